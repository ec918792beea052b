"""The sink's process: applies `line.records`, and relays the gaps it finds back to it."""

from __future__ import annotations

import asyncio

from services.ingest.adapters.sink import NAME, SCHEMA
from services.ingest.bootstrap import build_sink
from services.ingest.config import SinkSettings
from shared.contracts.topics import Topics
from shared.messaging.loop import run_loop
from shared.messaging.producer import producing
from shared.messaging.relay import Relay
from shared.observability.health import health_app, serving
from shared.observability.process import run_process
from shared.storage.pool import build_pool, reachable

_records_per_transaction = 4000


async def main(settings: SinkSettings, stop: asyncio.Event) -> None:
    """Returns after `stop`, the batch under way committed. Raises what no retry can cure."""
    database_url = settings.database_url.get_secret_value()
    topics = Topics(settings.topic_prefix)
    pool = build_pool(database_url, name="ingest-sink", max_size=4)
    async with pool, producing(settings.kafka, client_id="ingest-sink") as producer:
        checks = {"database": lambda: reachable(pool), "kafka": producer.reachable}
        relay = Relay(SCHEMA, database_url=database_url, producer=producer)
        async with (
            serving(health_app(checks), settings.bind_host, settings.bind_port),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay.run(stop))
            tasks.create_task(
                run_loop(
                    build_sink(pool, topics),
                    topics=[topics.line_records],
                    bootstrap=settings.kafka,
                    pool=pool,
                    group=settings.topic_prefix + NAME,
                    stop=stop,
                    max_records=_records_per_transaction,
                )
            )


if __name__ == "__main__":
    run_process("ingest-sink", main, SinkSettings)
