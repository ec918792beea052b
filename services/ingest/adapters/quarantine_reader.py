"""Quarantined records as people read them, scoped by the key."""

from __future__ import annotations

from typing import Any

import zstandard
from psycopg.rows import dict_row

from shared.kernel.errors import NotFound
from shared.storage.api_keys import Caller
from shared.storage.pool import Connection

_FACTS = """q.id, q.stream_id as stream, q.code, q.detail, encode(q.hash, 'hex') as hash, q.content_type, q.complete, q.source, q.boot, q.seq,
            q.registry_version, q.first_seen, q.last_seen, q.count, q.state"""
# A key bound to a part of the plant sees the records of that part, and whatever it sent itself.
_REACH = """(q.source = %(prefix)s
             or ((%(platform)s::text is null or l.platform_id = %(platform)s) and (%(line)s::text is null or s.line_id = %(line)s)
                 and (%(instrument)s::text is null or s.instrument_id = %(instrument)s)))"""
_FROM = """from ingest.quarantine q
           left join ingest.stream s on s.stream_id = q.stream_id left join ingest.line l on l.line_id = s.line_id"""
_LARGEST = 64 * 1024 * 1024


async def read_page(
    connection: Connection, caller: Caller, *, stream: str | None, code: str | None, limit: int, after: int
) -> list[dict[str, Any]]:
    """Newest first; `after` is the last id of the page before, 0 for the first page."""
    query = f"""select {_FACTS} {_FROM}
                where {_REACH} and (%(after)s = 0 or q.id < %(after)s)
                  and (%(stream)s::text is null or q.stream_id = %(stream)s) and (%(code)s::text is null or q.code = %(code)s)
                order by q.id desc limit %(limit)s"""
    wanted = {"after": after, "stream": stream, "code": code, "limit": limit}
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), {**wanted, **_reach(caller)})
        return await cursor.fetchall()


async def read_one(connection: Connection, caller: Caller, record_id: int) -> tuple[dict[str, Any], bytes]:
    """The facts and the bytes as received. Raises NotFound(quarantine_unknown)."""
    query = f"select {_FACTS}, q.raw, q.encoding {_FROM} where {_REACH} and q.id = %(id)s"
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query.encode(), {"id": min(record_id, 2**63 - 1), **_reach(caller)})
        row = await cursor.fetchone()
    if row is None:
        raise NotFound("quarantine_unknown", f"there is no quarantined record {record_id}", field="record_id")
    raw, encoding = row.pop("raw"), row.pop("encoding")
    content = zstandard.ZstdDecompressor().decompress(raw, max_output_size=_LARGEST) if encoding == "zstd" else raw
    return row, content


def _reach(caller: Caller) -> dict[str, str | None]:
    scope = caller.scope
    return {
        "prefix": caller.prefix,
        "platform": scope.platform,
        "line": scope.line,
        "instrument": scope.instrument,
    }
