"""The meter's process: meters `line.records` with Faust, and relays billing's outbox to `usage.events`."""

from __future__ import annotations

import asyncio

from services.billing.adapters.meter import NAME
from services.billing.adapters.meter_tables import SCHEMA
from services.billing.bootstrap import build_meter
from services.billing.config import MeterSettings
from shared.contracts.topics import Topics
from shared.kernel.units import check_unit
from shared.messaging.faust_app import run_faust
from shared.messaging.producer import producing
from shared.messaging.relay import Relay
from shared.observability.health import health_app, serving
from shared.observability.process import run_process
from shared.storage.pool import build_pool, reachable


async def main(settings: MeterSettings, stop: asyncio.Event) -> None:
    """Returns after `stop`, the batch under way committed. Raises what no retry can cure."""
    await asyncio.to_thread(check_unit, "1")  # loads the unit tables now and not inside the first transaction
    database_url = settings.database_url.get_secret_value()
    topics = Topics(settings.topic_prefix)
    pool = build_pool(database_url, name="billing-meter", max_size=4)
    async with pool, producing(settings.kafka, client_id="billing-meter") as producer:
        checks = {"database": lambda: reachable(pool), "kafka": producer.reachable}
        relay = Relay(SCHEMA, database_url=database_url, producer=producer)
        async with (
            serving(health_app(checks), settings.bind_host, settings.bind_port),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay.run(stop))
            tasks.create_task(
                run_faust(
                    build_meter(pool, topics),
                    topics=[topics.line_records],
                    bootstrap=settings.kafka,
                    pool=pool,
                    group=settings.topic_prefix + NAME,
                    stop=stop,
                    session_timeout=settings.meter_session_seconds,
                    instance=settings.meter_instance,
                )
            )


if __name__ == "__main__":
    run_process("billing-meter", main, MeterSettings)
