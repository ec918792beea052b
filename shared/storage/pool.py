"""The connection pool of a process: bounded, UTC, opened and closed by its entrypoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]


def build_pool(database_url: str, *, name: str, min_size: int = 1, max_size: int = 8) -> Pool:
    """A pool that is not open yet (`async with`). `name` shows in pg_stat_activity. Waiting for a connection raises
    psycopg_pool.PoolTimeout after 10 s."""
    return AsyncConnectionPool(
        database_url,
        min_size=min_size,
        max_size=max_size,
        timeout=10.0,
        name=name,
        open=False,
        kwargs=session_settings(name),
        check=AsyncConnectionPool.check_connection,
    )


@asynccontextmanager
async def connect(database_url: str, *, name: str) -> AsyncIterator[Connection]:
    """One session of its own with a transaction that commits on leaving, or rolls back with the error. For commands."""
    settings: dict[str, Any] = session_settings(name)
    async with await psycopg.AsyncConnection.connect(database_url, **settings) as connection:
        yield connection


async def reachable(pool: Pool) -> None:
    """Readiness: raises when the database does not answer."""
    async with pool.connection() as connection:
        await connection.execute("select 1")


def session_settings(name: str) -> dict[str, str]:
    """libpq parameters of every session of pilotline: UTC, named, keepalives so that a dead server is noticed."""
    return {"application_name": name, "options": "-c timezone=UTC", "keepalives_idle": "10", "connect_timeout": "10"}
