"""The one-shot before the processes start: migrates the database and creates the topics. Safe to run again and at once.

Configured as any process is: PILOTLINE_DATABASE_URL (or _FILE), PILOTLINE_KAFKA, PILOTLINE_TOPIC_PREFIX.
"""

from __future__ import annotations

import asyncio

from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics
from shared.observability.process import run_process
from shared.observability.settings import ProcessSettings
from shared.storage.migrate import migrate


async def prepare(settings: ProcessSettings, stop: asyncio.Event) -> None:
    """Bring database and broker to what this release needs. `stop` is not asked: a migration is not left half way.

    Raises psycopg.Error or aiokafka.errors.KafkaError; what is done by then stays, the next run does the rest.
    """
    await asyncio.to_thread(migrate, settings.database_url.get_secret_value())
    await create_topics(settings.kafka, Topics(settings.topic_prefix))


if __name__ == "__main__":
    run_process("migrate", prepare, ProcessSettings)
