"""Criteria sets in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.ports import StoredCriteria
from shared.kernel.canonical import canonical_json
from shared.kernel.times import micros
from shared.storage.api_keys import Scope
from shared.storage.pool import Connection

_SELECT = """select c.document, c.digest, c.state, c.line_id, c.memory_bytes, c.created_at, c.published_at,
                    k.platform_id, k.line_id, k.instrument_id
             from verification.criteria_set c left join ingest.api_key k on k.prefix = c.created_by"""


class CriteriaStore:
    """`KeepsCriteria` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, set_id: str, version: int, *, lock: bool = False) -> StoredCriteria | None:
        """With `lock` nobody else who asks so finds the version, or that there is none, before the transaction ends."""
        if lock:
            await self._connection.execute(
                "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"criteria {set_id}@{version}",)
            )
        cursor = await self._connection.execute(
            f"{_SELECT} where set_id = %s and version = %s".encode(), (set_id, version)
        )
        row = await cursor.fetchone()
        return None if row is None else _stored(row)

    async def save(
        self, criteria: CriteriaSet, *, who: str, published: bool, line: str | None, memory: int | None
    ) -> None:
        """Inserts, or replaces a draft; a published row refuses by trigger."""
        await self._connection.execute(
            """insert into verification.criteria_set as c
                   (set_id, version, digest, document, state, line_id, memory_bytes, created_by, published_at)
               values (%(id)s, %(version)s, %(digest)s, %(document)s::jsonb, %(state)s, %(line)s, %(memory)s, %(who)s,
                       case when %(state)s = 'published' then clock_timestamp() end)
               on conflict (set_id, version) do update
               set digest = excluded.digest, document = excluded.document, state = excluded.state, line_id = excluded.line_id,
                   memory_bytes = excluded.memory_bytes, created_by = excluded.created_by, published_at = excluded.published_at""",
            {
                "id": criteria.id,
                "version": criteria.version,
                "digest": criteria.digest(),
                "document": canonical_json(criteria.model_dump(mode="json")).decode(),
                "state": "published" if published else "draft",
                "line": line,
                "memory": memory,
                "who": who,
            },
        )

    async def list(self, *, limit: int, after: tuple[str, int] | None) -> Sequence[StoredCriteria]:
        """By id and version, behind `after`."""
        cursor = await self._connection.execute(
            f"{_SELECT} where (set_id, version) > (%s, %s) order by set_id, version limit %s".encode(),
            (*(after or ("", 0)), limit),
        )
        return [_stored(row) for row in await cursor.fetchall()]


def _stored(row: Sequence[Any]) -> StoredCriteria:
    document, digest, state, line, memory, created_at, published_at, *bound = row
    return StoredCriteria(
        criteria=CriteriaSet.model_validate(document),
        digest=digest,
        published=state == "published",
        line=line,
        memory=memory,
        created_at=micros(created_at),
        published_at=None if published_at is None else micros(published_at),
        scope=Scope(*bound),
    )
