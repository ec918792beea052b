"""Kafka and TimescaleDB for a benchmark: those named by PILOTLINE_KAFKA and PILOTLINE_DATABASE_URL, else this machine's own, started for it."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from deploy.local.stack import Endpoints, LocalStack
from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics
from shared.storage.migrate import migrate


@dataclass(frozen=True, slots=True)
class Servers:
    """A migrated, empty database and fresh topics."""

    kafka: str
    database_url: str
    topics: Topics


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Everything made for one benchmark; the database is dropped afterwards."""
    with contextlib.ExitStack() as cleanup:
        endpoints = _endpoints(cleanup)
        name = f"bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(endpoints.database_url, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
            connection.execute("checkpoint")
        # What an earlier benchmark has left to be written would otherwise be written, and waited for, during this one.
        os.sync()
        url = urlunsplit(urlsplit(endpoints.database_url)._replace(path=f"/{name}"))
        cleanup.callback(_drop, endpoints.database_url, name)
        migrate(url)
        topics = Topics(f"{name}.")
        await create_topics(endpoints.kafka_bootstrap, topics)
        yield Servers(endpoints.kafka_bootstrap, url, topics)


def _endpoints(cleanup: contextlib.ExitStack) -> Endpoints:
    kafka, database_url = os.environ.get("PILOTLINE_KAFKA"), os.environ.get("PILOTLINE_DATABASE_URL")
    if kafka and database_url:
        return Endpoints(kafka, database_url)
    return cleanup.enter_context(LocalStack(Path("build") / "perf-stack"))


def _drop(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())
