"""What a failure of the database means, by SQLSTATE class, never by its text.

| class | meaning | what happens |
| --- | --- | --- |
| 08, 40, 53, 55, 57, none | connection, serialization or deadlock, resources, lock not available, server stops | roll back, restore, try again |
| 22, 23 | the data cannot be stored | `bisect` finds the record; it becomes a dead letter |
| others | our own mistake | the process stops |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from shared.kernel.errors import Reject, Retry
from shared.messaging.dead_letters import dead_letter
from shared.messaging.positions import Fenced
from shared.messaging.processor import Record

_transient_classes = frozenset({"08", "40", "53", "55", "57"})
_data_classes = frozenset({"22", "23"})

Write = Callable[[Sequence[Record]], Awaitable[None]]


def transient(error: BaseException) -> str | None:
    """A short reason when the same work may succeed later, else None."""
    if isinstance(error, Fenced):
        return "fenced"
    if isinstance(error, Retry | PoolTimeout):
        return type(error).__name__
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:
            return "connection" if isinstance(error, psycopg.OperationalError) else None
        sqlstate_class = error.sqlstate[:2]
        return f"sqlstate_{sqlstate_class}" if sqlstate_class in _transient_classes else None
    return None


def refused_data(error: psycopg.Error) -> bool:
    """The database refuses the data itself: the same data will be refused again."""
    return error.sqlstate is not None and error.sqlstate[:2] in _data_classes


async def bisect(
    connection: psycopg.AsyncConnection[Any], processor: str, records: Sequence[Record], write: Write
) -> None:
    """Write records in order; those the database refuses become dead letters, the others are stored.

    `write` is called with runs of records, each inside its own savepoint, and must be safe to call again after a failure: no effect but
    through this connection, no change of memory.
    """
    if not records:
        return
    try:
        async with connection.transaction():
            await write(records)
    except psycopg.Error as error:
        if not refused_data(error):
            raise
        if len(records) == 1:
            reason = Reject(f"sqlstate_{error.sqlstate}", error.diag.message_primary or type(error).__name__)
            await dead_letter(connection, processor, records[0], reason)
            return
        middle = len(records) // 2
        await bisect(connection, processor, records[:middle], write)
        await bisect(connection, processor, records[middle:], write)
