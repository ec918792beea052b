"""The recorder's process: applies `usage.events` to the ledger."""

from __future__ import annotations

import asyncio

from services.billing.adapters.recorder import NAME
from services.billing.bootstrap import build_recorder
from services.billing.config import RecorderSettings
from shared.contracts.topics import Topics
from shared.messaging.loop import run_loop
from shared.observability.health import health_app, serving
from shared.observability.process import run_process
from shared.storage.pool import build_pool, reachable


async def main(settings: RecorderSettings, stop: asyncio.Event) -> None:
    """Returns after `stop`, the batch under way committed. Raises what no retry can cure."""
    topics = Topics(settings.topic_prefix)
    pool = build_pool(settings.database_url.get_secret_value(), name="billing-recorder", max_size=4)
    async with (
        pool,
        serving(health_app({"database": lambda: reachable(pool)}), settings.bind_host, settings.bind_port),
    ):
        await run_loop(
            build_recorder(),
            topics=[topics.usage_events],
            bootstrap=settings.kafka,
            pool=pool,
            group=settings.topic_prefix + NAME,
            stop=stop,
            max_records=settings.recorder_records,
            instance=settings.recorder_instance,
        )


if __name__ == "__main__":
    run_process("billing-recorder", main, RecorderSettings)
