"""The verification worker's process: judges the runs of the lines it is given, and stands by for the outbox relay."""

from __future__ import annotations

import asyncio

from services.verification.adapters.worker.processor import Tuning, VerificationWorker
from services.verification.adapters.worker.warming import warm_up
from services.verification.config import WorkerSettings
from shared.contracts.topics import Topics
from shared.messaging.faust_app import run_faust
from shared.messaging.producer import producing
from shared.messaging.relay import Relay
from shared.observability.health import health_app, serving
from shared.observability.process import run_process
from shared.storage.pool import build_pool, reachable

_SESSION_SECONDS = 6.0
"""The least that Kafka allows: how long the lines of a dead worker wait for another one."""


async def main(settings: WorkerSettings, stop: asyncio.Event) -> None:
    # Before the group is joined: a compilation would hold up the heartbeats.
    await asyncio.to_thread(warm_up)
    database_url = settings.database_url.get_secret_value()
    topics = Topics(settings.topic_prefix)
    pool = build_pool(database_url, name="verification-worker")
    tuning = Tuning(
        close_grace=settings.close_grace,
        snapshot_seconds=settings.snapshot_seconds,
        level_seconds=settings.level_seconds,
        rebuild_memory=settings.rebuild_memory_bytes,
    )
    async with pool, producing(settings.kafka, client_id="verification-worker") as producer:
        checks = {"database": lambda: reachable(pool), "kafka": producer.reachable}
        relay = Relay("verification", database_url=database_url, producer=producer)
        async with (
            serving(health_app(checks), settings.bind_host, settings.bind_port),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay.run(stop))
            await run_faust(
                VerificationWorker(pool, topics, tuning=tuning),
                topics=[topics.line_records],
                bootstrap=settings.kafka,
                pool=pool,
                group=f"{settings.topic_prefix}verification-worker",
                stop=stop,
                session_timeout=_SESSION_SECONDS,
                instance=settings.worker_instance,
            )
            stop.set()


if __name__ == "__main__":
    run_process("verification-worker", main, WorkerSettings)
