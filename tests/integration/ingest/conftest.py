"""A registered database, a sink that runs, a gateway to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from services.ingest.adapters.registry_store import apply_registry
from services.ingest.adapters.sink import NAME, Sink
from services.ingest.bootstrap import build_gateway, build_sink
from services.ingest.config import GatewaySettings
from services.ingest.entrypoints.http import add_routes
from shared.contracts.registry_document import read_document
from shared.contracts.topics import Topics
from shared.messaging.loop import run_loop
from shared.messaging.producer import producing
from shared.messaging.relay import Relay
from shared.storage.api_keys import Role, Scope, create_key
from shared.storage.pool import Connection, Pool, build_pool

NAME_TEXT = {"en": "a", "zh": "甲"}
CHANNELS = [
    {"name": "pressure", "quantity_kind": "pressure", "unit": "kPa", "range": [0, 3000]},
    {"name": "temperature", "quantity_kind": "temperature", "unit": "K"},
]


def registry(*lines: str) -> dict[str, Any]:
    """Each line has an instrument `i`, a recorded stream `s` and a live stream `live` of the channels above."""
    common = {"period": "1 s", "max_age": "3 s", "channels": CHANNELS}
    return {
        "platforms": [{"id": "p", "name": NAME_TEXT, "time_zone": "Asia/Shanghai"}],
        "lines": [{"id": line, "platform": "p", "name": NAME_TEXT} for line in lines],
        "instruments": [{"id": f"{line}/i", "name": NAME_TEXT} for line in lines],
        "streams": [
            {"id": f"{line}/{name}", "instrument": f"{line}/i", "clock": clock, **common}
            for line in lines
            for name, clock in (("s", "recorded"), ("live", "live"))
        ],
    }


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool on a database with the lines l1 and l2."""
    async with build_pool(database, name="test", max_size=6) as pool:
        async with pool.connection() as connection:
            await apply_registry(connection, read_document(registry("l1", "l2")))
        yield pool


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as connection:
        yield connection


@pytest.fixture
def sink(pool: Pool, topics: Topics) -> Sink:
    return build_sink(pool, topics)


@pytest.fixture
async def running_sink(pool: Pool, database: str, kafka: str, topics: Topics) -> AsyncIterator[None]:
    """The sink and its relay, as their process runs them."""
    stop = asyncio.Event()
    loop = run_loop(
        build_sink(pool, topics),
        topics=[topics.line_records],
        bootstrap=kafka,
        pool=pool,
        group=topics.prefix + NAME,
        stop=stop,
    )
    async with producing(kafka) as producer, asyncio.TaskGroup() as tasks:
        tasks.create_task(loop)
        tasks.create_task(Relay("ingest", database_url=database, producer=producer, poll_seconds=0.2).run(stop))
        yield
        stop.set()


@pytest.fixture
async def gateway(database: str, kafka: str, topics: Topics, pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway, with the key of an administrator."""
    settings = GatewaySettings(database_url=database, kafka=kafka, topic_prefix=topics.prefix, rows_per_answer=50)  # type: ignore[arg-type]
    async with build_gateway(settings) as app:
        transport = httpx.ASGITransport(add_routes(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.headers["authorization"] = f"Bearer {await key(pool, Role.ADMIN)}"
            yield client


async def key(pool: Pool, role: Role, scope: Scope | None = None) -> str:
    async with pool.connection() as connection:
        return await create_key(connection, label="test", person="test", role=role, scope=scope or Scope())


async def rows(pool: Pool, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(query.encode(), parameters)
        return await cursor.fetchall()


async def until(question: Callable[[], Awaitable[object]], seconds: float = 30.0) -> None:
    """Ask again until the answer is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await question():  # noqa: ASYNC110 - another process answers
            await asyncio.sleep(0.05)
