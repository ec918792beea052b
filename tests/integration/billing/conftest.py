"""A module's own database with two metered runs in the ledger, and the API over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.billing.bootstrap import build_api
from services.billing.config import ApiSettings
from services.billing.entrypoints.api import add_routes
from shared.contracts.topics import Topics
from shared.messaging.producer import producing
from shared.storage.api_keys import Role, Scope, create_key
from shared.storage.pool import connect
from tests.integration.billing.plant import (
    OTHER,
    PLATFORM,
    a_run,
    install,
    processes,
    send,
    settled,
    until,
)


@dataclass(frozen=True, slots=True)
class Plant:
    """Where everything is, and a key per role; `elsewhere` is an accountant of another platform."""

    kafka: str
    database: str
    topics: Topics
    accountant: str
    viewer: str
    gateway: str
    elsewhere: str


@pytest.fixture(scope="module")
def metered(kafka: str, module_database: str, module_topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """Two runs of 24 h and 12 h, of two customers, metered and recorded by the real processes."""
    logs: Path = tmp_path_factory.mktemp("processes")
    with ThreadPoolExecutor(1) as own_loop:
        return own_loop.submit(asyncio.run, _prepare(kafka, module_database, module_topics, logs)).result()


async def _prepare(kafka: str, database: str, topics: Topics, logs: Path) -> Plant:
    await install(database)
    records = a_run(topics, "r1", 0, 48) + a_run(topics, "r2", 50, 24, customer=OTHER)
    with processes(kafka, database, topics, logs, "sink", "meter", "recorder"):
        async with producing(kafka) as producer:
            await send(producer, records)
        await asyncio.to_thread(until, lambda: settled(database, topics, sent=len(records)), 180, "settled")
    keys = {}
    async with connect(database, name="test-keys") as connection:
        for name, role, platform in (
            ("accountant", Role.ACCOUNTANT, PLATFORM),
            ("viewer", Role.VIEWER, PLATFORM),
            ("gateway", Role.GATEWAY, PLATFORM),
            ("elsewhere", Role.ACCOUNTANT, "sz-other"),
        ):
            keys[name] = await create_key(
                connection, label=name, person=name, role=role, scope=Scope(platform=platform)
            )
    return Plant(kafka, database, topics, **keys)


@pytest.fixture
async def api(metered: Plant) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, called as the accountant unless a request says otherwise."""
    settings = ApiSettings.read(kafka=metered.kafka, database_url=metered.database, topic_prefix=metered.topics.prefix)
    async with build_api(settings) as (app, _relay):
        transport = httpx.ASGITransport(app=add_routes(app))
        headers = {"authorization": f"Bearer {metered.accountant}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://billing", headers=headers) as client:
            yield client
