"""Profiles, keys, reports and signatures in PostgreSQL. Every method works in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.reports.profile import Profile
from services.verification.domain.reports.signatures import PublicKey, Signature
from services.verification.domain.reports.trust import RegisteredKey
from shared.kernel.canonical import canonical_json
from shared.kernel.times import Micros, micros, utc
from shared.storage.pool import Connection

_COLUMNS = """
    r.platform_id, r.number, r.run_id, r.kind, r.evaluation, r.kafka_partition, r.upto_offset, r.frames_from, r.frames_to,
    r.particulars, r.document, r.digest, r.replaces, r.state, r.created_by, r.created_at, r.ended_by, r.ended_at, r.void_reason,
    (select a.number from verification.report a where a.platform_id = r.platform_id and a.replaces = r.number and a.state = 'issued'),
    (select count(*) from verification.report_signature s where s.platform_id = r.platform_id and s.number = r.number)"""


@dataclass(frozen=True, slots=True)
class Report:
    """A report as kept. `document` are the canonical bytes whose SHA-256 is `digest`; its frames lie below `upto_offset` of `partition`
    and have a sample in the stretch `frames` of event time.
    `ended_at`: when it was issued or voided."""

    platform: str
    number: str
    run: str
    kind: str
    evaluation: int
    partition: int
    upto_offset: int
    frames: tuple[Micros, Micros]
    particulars: Mapping[str, Any]
    document: bytes
    digest: str
    replaces: str | None
    state: str
    created_by: str
    created_at: Micros
    ended_by: str | None
    ended_at: Micros | None
    void_reason: str | None
    replaced_by: str | None
    signatures: int

    def tree(self) -> dict[str, Any]:
        """The document as JSON."""
        tree: dict[str, Any] = json.loads(self.document)
        return tree

    def issue(self) -> dict[str, Any] | None:
        """The record of issue, None before."""
        if self.state != "issued":
            return None
        return {"number": self.number, "digest": self.digest, "issued_at": self.ended_at}


class ReportStore:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def profile(self, platform: str) -> Profile | None:
        """The newest profile of a platform."""
        cursor = await self._connection.execute(
            "select document from verification.report_profile where platform_id = %s order by version desc limit 1",
            (platform,),
        )
        row = await cursor.fetchone()
        return None if row is None else Profile.model_validate(row[0])

    async def apply_profile(self, profile: Profile, digest: str, who: str) -> int:
        """Its version; the same content again makes no new one."""
        await self._lock(f"report-profile {profile.platform}")
        cursor = await self._connection.execute(
            "select version, digest from verification.report_profile where platform_id = %s order by version desc limit 1",
            (profile.platform,),
        )
        row = await cursor.fetchone()
        if row is not None and row[1] == digest:
            return int(row[0])
        version = 1 if row is None else int(row[0]) + 1
        await self._connection.execute(
            "insert into verification.report_profile (platform_id, version, digest, document, applied_by) values (%s, %s, %s, %s::jsonb, %s)",
            (profile.platform, version, digest, profile.model_dump_json(), who),
        )
        return version

    async def add_key(self, platform: str, key: PublicKey, who: str) -> bool:
        """False when the key is registered already."""
        cursor = await self._connection.execute(
            """insert into verification.report_key (platform_id, fingerprint, person, name, public_key, roles, registered_by)
               values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing""",
            (platform, key.fingerprint, key.person, key.name, key.public_key, list(key.roles), who),
        )
        return cursor.rowcount == 1

    async def keys(self, platform: str) -> list[RegisteredKey]:
        """All keys, also the revoked ones, oldest first."""
        cursor = await self._connection.execute(
            """select person, name, public_key, roles, registered_at, revoked_at from verification.report_key
               where platform_id = %s order by registered_at, fingerprint""",
            (platform,),
        )
        return [
            RegisteredKey(
                PublicKey(person, name, public_key, tuple(roles)), micros(at), None if gone is None else micros(gone)
            )
            for person, name, public_key, roles, at, gone in await cursor.fetchall()
        ]

    async def policies(self, platform: str) -> dict[str, list[list[str]]]:
        """Per report type the orders of roles that any version of the profile has asked for, oldest first."""
        cursor = await self._connection.execute(
            "select document -> 'report_types' from verification.report_profile where platform_id = %s order by version",
            (platform,),
        )
        found: dict[str, list[list[str]]] = {}
        for (types,) in await cursor.fetchall():
            for kind, facts in types.items():
                orders = found.setdefault(kind, [])
                if facts["signatures"] not in orders:
                    orders.append(facts["signatures"])
        return found

    async def revoke_key(self, platform: str, fingerprint: str, who: str) -> bool:
        """False when there is no such key in force. Signatures made before stay valid."""
        cursor = await self._connection.execute(
            """update verification.report_key set revoked_by = %s, revoked_at = clock_timestamp()
               where platform_id = %s and fingerprint = %s and revoked_at is null""",
            (who, platform, fingerprint),
        )
        return cursor.rowcount == 1

    async def next_number(self, platform: str, year: int) -> str:
        """The next number of that year; taken for good when the caller commits, free again when it does not."""
        cursor = await self._connection.execute(
            """insert into verification.report_counter as c (platform_id, year, last) values (%s, %s, 1)
               on conflict (platform_id, year) do update set last = c.last + 1 returning last""",
            (platform, year),
        )
        row = await cursor.fetchone()
        assert row is not None
        return f"VR-{year}-{row[0]:06d}"

    async def insert(self, report: Report, members: Mapping[str, bytes]) -> None:
        await self._connection.execute(
            """insert into verification.report (platform_id, number, run_id, kind, evaluation, kafka_partition, upto_offset, frames_from, frames_to,
                   particulars, document, digest, replaces, created_by, created_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s)""",
            (
                report.platform, report.number, report.run, report.kind, report.evaluation, report.partition, report.upto_offset,
                *map(utc, report.frames), canonical_json(report.particulars).decode(), report.document, report.digest,
                report.replaces, report.created_by, utc(report.created_at),
            ),
        )  # fmt: skip
        async with self._connection.cursor() as cursor:
            await cursor.executemany(
                "insert into verification.report_member (platform_id, number, name, content) values (%s, %s, %s, %s)",
                [(report.platform, report.number, name, content) for name, content in sorted(members.items())],
            )

    async def find(self, platform: str, number: str, *, lock: bool = False) -> Report | None:
        """With `lock` nobody else changes it before the transaction ends."""
        if lock:
            await self._connection.execute(
                "select from verification.report where platform_id = %s and number = %s for update", (platform, number)
            )
        found = await self._select("r.platform_id = %s and r.number = %s", (platform, number))
        return found[0] if found else None

    async def of_run(self, run: str) -> list[Report]:
        """Oldest first."""
        return await self._select("r.run_id = %s", (run,))

    async def listed(
        self, *, number: str | None, state: str | None, limit: int, after: tuple[str, str] | None
    ) -> list[Report]:
        """Newest number first, by platform; `after`: platform and number of the last one seen."""
        platform, last = after or ("", "")
        return await self._select(
            """(%s::text is null or r.number = %s) and (%s::text is null or r.state = %s)
               and (%s = '' or r.platform_id > %s or (r.platform_id = %s and r.number < %s))""",
            (number, number, state, state, platform, platform, platform, last),
            "r.platform_id, r.number desc limit " + str(int(limit)),
        )

    async def members(self, platform: str, number: str) -> dict[str, bytes]:
        cursor = await self._connection.execute(
            "select name, content from verification.report_member where platform_id = %s and number = %s",
            (platform, number),
        )
        return {name: bytes(content) for name, content in await cursor.fetchall()}

    async def chain(self, platform: str, number: str) -> tuple[list[Signature], list[PublicKey]]:
        """The signatures so far, in order, and the keys that made them."""
        cursor = await self._connection.execute(
            """select signature, key from verification.report_signature where platform_id = %s and number = %s order by position""",
            (platform, number),
        )
        rows = await cursor.fetchall()
        return [Signature.of(row[0]) for row in rows], [PublicKey.of(row[1]) for row in rows]

    async def add_signature(self, report: Report, signature: Signature, key: PublicKey) -> None:
        await self._connection.execute(
            """insert into verification.report_signature (platform_id, number, position, signature, key)
               values (%s, %s, %s, %s::jsonb, %s::jsonb)""",
            (
                report.platform, report.number, signature.statement.position, canonical_json(signature.document()).decode(),
                canonical_json(key.document()).decode(),
            ),
        )  # fmt: skip

    async def end(self, report: Report, *, state: str, who: str, at: Micros, reason: str | None = None) -> None:
        """Issued or void; nothing changes afterwards."""
        await self._connection.execute(
            """update verification.report set state = %s, ended_by = %s, ended_at = %s, void_reason = %s
               where platform_id = %s and number = %s""",
            (state, who, utc(at), reason, report.platform, report.number),
        )

    async def _select(
        self, condition: str, parameters: Sequence[object], order: str = "r.created_at, r.number"
    ) -> list[Report]:
        cursor = await self._connection.execute(
            f"select {_COLUMNS} from verification.report r where {condition} order by {order}".encode(), parameters
        )
        return [_report(row) for row in await cursor.fetchall()]

    async def _lock(self, name: str) -> None:
        await self._connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (name,))


def _report(row: Sequence[Any]) -> Report:
    (platform, number, run, kind, evaluation, partition, upto, from_, to, particulars, document, digest, replaces, state, created_by,
     created_at, ended_by, ended_at, reason, replaced_by, signatures) = row  # fmt: skip
    ended = None if ended_at is None else micros(ended_at)
    return Report(
        platform, number, run, kind, evaluation, partition, upto, (micros(from_), micros(to)), particulars, bytes(document), digest, replaces,
        state, created_by, micros(created_at), ended_by, ended, reason, replaced_by, signatures,
    )  # fmt: skip
