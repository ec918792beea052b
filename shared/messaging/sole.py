"""Work that one process at a time does: the session that holds an advisory lock does it on its own connection.

Several may run; all but one wait for the lock. A session that was lost has lost its lock, and cannot write on any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import structlog
from psycopg.rows import TupleRow

from shared.messaging.connecting import backoff, pause
from shared.messaging.failures import transient
from shared.storage.pool import session_settings

log = structlog.get_logger()

Session = psycopg.AsyncConnection[TupleRow]


async def run_alone(
    name: str,
    work: Callable[[Session], Awaitable[None]],
    *,
    database_url: str,
    stop: asyncio.Event,
    poll_seconds: float,
    outside: tuple[type[Exception], ...] = (),
) -> None:
    """Calls `work` with an autocommit connection whose session holds the lock `name`, again and again until `stop`.

    Waits out what is transient of the database, and what is in `outside`, with back-off; raises what is not.
    """
    parameters: dict[str, Any] = session_settings(name)
    failures: tuple[type[Exception], ...] = (psycopg.Error, *outside)
    attempt = 0
    while not stop.is_set():
        try:
            async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, **parameters) as session:
                if await _locked(session, name):
                    attempt = 0
                    await work(session)
                else:
                    await pause(stop, poll_seconds)
        except failures as error:
            if isinstance(error, psycopg.Error) and transient(error) is None:
                raise
            log.warning("work_retried", work=name, error=type(error).__name__)
            await pause(stop, backoff(attempt))
            attempt += 1


async def _locked(session: Session, name: str) -> bool:
    cursor = await session.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (f"pilotline_{name}",))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
