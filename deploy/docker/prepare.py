"""The one-shot before the processes start: migrates the database and creates the topics. Safe to run again and at once.

Reads PILOTLINE_DATABASE_URL (or the file PILOTLINE_DATABASE_URL_FILE names), PILOTLINE_KAFKA and PILOTLINE_TOPIC_PREFIX.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.contracts.topics import Topics
from shared.storage.migrate import migrate


def database_url(environment: Mapping[str, str]) -> str:
    """The address of the database; a mounted secret wins over the plain variable. Raises KeyError when neither is set."""
    secret = environment.get("PILOTLINE_DATABASE_URL_FILE")
    if secret:
        return Path(secret).read_text(encoding="utf-8").strip()
    return environment["PILOTLINE_DATABASE_URL"]


async def create_topics(kafka: str, prefix: str) -> tuple[str, ...]:
    """Create the topics that lack on the one broker, each as the contract says; returns those made now.

    Raises aiokafka.errors.KafkaError when the broker refuses one.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [
                NewTopic(name, topic.partitions, replication_factor=1, topic_configs=topic.settings())
                for name, topic in Topics(prefix).named()
            ]
        )
    finally:
        await admin.close()
    made = []
    for name, code, *message in answer.topic_errors:
        if code == 0:
            made.append(name)
        elif for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(f"topic {name}: {message}")
    return tuple(made)


def main() -> None:
    """Entry point of the `migrate` image."""
    migrate(database_url(os.environ))
    made = asyncio.run(create_topics(os.environ["PILOTLINE_KAFKA"], os.environ.get("PILOTLINE_TOPIC_PREFIX", "")))
    sys.stdout.write(f"database migrated, topics created: {', '.join(made) or 'none'}\n")


if __name__ == "__main__":
    main()
