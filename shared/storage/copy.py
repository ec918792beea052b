"""COPY in binary format, packed by hand: a tenth of the time psycopg needs to adapt the same cells one by one."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from shared.kernel.times import Micros
from shared.storage.arrays import PG_EPOCH
from shared.storage.pool import Connection

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_int4 = struct.Struct(">ii")
_int8 = struct.Struct(">iq")
_chunk_bytes = 4 * 1024 * 1024


def int4(value: int) -> bytes:
    return _int4.pack(4, value)


def int8(value: int) -> bytes:
    return _int8.pack(8, value)


def timestamptz(instant: Micros) -> bytes:
    return _int8.pack(8, instant - PG_EPOCH)


def binary(value: bytes) -> bytes:
    """A bytea, or the UTF-8 bytes of a text."""
    return len(value).to_bytes(4, "big") + value


async def copy_binary(connection: Connection, target: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
    """Append rows to `target`, in the caller's transaction. Each row is its packed fields, in the order of `columns`, without the count.

    Raises psycopg.Error; then nothing of it is stored.
    """
    count = len(columns).to_bytes(2, "big")
    statement = f"copy {target} ({', '.join(columns)}) from stdin (format binary)"
    async with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        pending, size = [HEADER], 0
        for row in rows:
            pending += (count, row)
            size += len(row)
            if size >= _chunk_bytes:
                await copy.write(b"".join(pending))
                pending, size = [], 0
        pending.append(TRAILER)
        await copy.write(b"".join(pending))
