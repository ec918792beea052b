"""Results, their files and deviations in PostgreSQL: append-only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.verification.ports import Attachment, Deviation, ResultEntry
from shared.kernel.times import Micros, micros, utc
from shared.storage.pool import Connection


class EntryStore:
    """`KeepsEntries` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def results(self, run: str) -> Sequence[ResultEntry]:
        cursor = await self._connection.execute(
            """select e.entry_id, e.run_id, e.criterion, e.key, e.entered_by, e.entered_at, e.value, e.unit, e.uncertainty, e.passed,
                      e.sampled_at, e.attachment, e.note, e.corrects, c.confirmed_by, c.confirmed_at
               from verification.result_entry e left join verification.result_confirmation c using (entry_id)
               where e.run_id = %s order by e.number""",
            (run,),
        )
        return [_result(row) for row in await cursor.fetchall()]

    async def insert_result(self, entry: ResultEntry) -> None:
        await self._connection.execute(
            """insert into verification.result_entry
                   (entry_id, run_id, criterion, key, value, unit, uncertainty, passed, sampled_at, attachment, note, corrects, entered_by,
                    entered_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                entry.entry,
                entry.run,
                entry.criterion,
                entry.key,
                entry.value,
                entry.unit,
                entry.uncertainty,
                entry.passed,
                None if entry.sampled_at is None else utc(entry.sampled_at),
                entry.attachment,
                entry.note,
                entry.corrects,
                entry.entered_by,
                utc(entry.entered_at),
            ),
        )

    async def confirm_result(self, entry: UUID, *, who: str, at: Micros) -> None:
        await self._connection.execute(
            "insert into verification.result_confirmation (entry_id, confirmed_by, confirmed_at) values (%s, %s, %s)",
            (entry, who, utc(at)),
        )

    async def attachment_known(self, sha256: str) -> bool:
        cursor = await self._connection.execute("select from verification.attachment where sha256 = %s", (sha256,))
        return cursor.rowcount == 1

    async def insert_attachment(self, attachment: Attachment, *, who: str) -> None:
        await self._connection.execute(
            """insert into verification.attachment (sha256, content_type, size, content, stored_by) values (%s, %s, %s, %s, %s)
               on conflict (sha256) do nothing""",
            (attachment.sha256, attachment.content_type, len(attachment.content), attachment.content, who),
        )

    async def attachment(self, run: str, sha256: str) -> Attachment | None:
        """A file that an entry of the run names."""
        cursor = await self._connection.execute(
            """select sha256, content_type, content from verification.attachment a
               where sha256 = %s and exists (select from verification.result_entry e where e.run_id = %s and e.attachment = a.sha256)""",
            (sha256, run),
        )
        row = await cursor.fetchone()
        return None if row is None else Attachment(*row)

    async def deviations(self, run: str) -> Sequence[Deviation]:
        cursor = await self._connection.execute(
            """select deviation_id, run_id, criterion, kind, reason, key, recorded_by, recorded_at, accepted_by, accepted_at
               from verification.deviation where run_id = %s order by recorded_at, deviation_id""",
            (run,),
        )
        return [_deviation(row) for row in await cursor.fetchall()]

    async def insert_deviation(self, deviation: Deviation) -> None:
        await self._connection.execute(
            """insert into verification.deviation (deviation_id, run_id, criterion, kind, reason, key, recorded_by, recorded_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                deviation.deviation,
                deviation.run,
                deviation.criterion,
                deviation.kind,
                deviation.reason,
                deviation.key,
                deviation.recorded_by,
                utc(deviation.recorded_at),
            ),
        )

    async def accept_deviation(self, deviation: UUID, *, who: str, at: Micros) -> None:
        await self._connection.execute(
            "update verification.deviation set accepted_by = %s, accepted_at = %s where deviation_id = %s",
            (who, utc(at), deviation),
        )


def _result(row: Sequence[Any]) -> ResultEntry:
    (entry, run, criterion, key, who, entered_at, value, unit, uncertainty, passed, sampled_at, attachment, note, corrects, second,
     confirmed_at) = row  # fmt: skip
    return ResultEntry(
        entry=entry,
        run=run,
        criterion=criterion,
        key=key,
        entered_by=who,
        entered_at=micros(entered_at),
        value=value,
        unit=unit,
        uncertainty=uncertainty,
        passed=passed,
        sampled_at=_micros(sampled_at),
        attachment=attachment,
        note=note,
        corrects=corrects,
        confirmed_by=second,
        confirmed_at=_micros(confirmed_at),
    )


def _deviation(row: Sequence[Any]) -> Deviation:
    deviation, run, criterion, kind, reason, key, author, recorded_at, second, accepted_at = row
    return Deviation(
        deviation=deviation,
        run=run,
        criterion=criterion,
        kind=kind,
        reason=reason,
        key=key,
        recorded_by=author,
        recorded_at=micros(recorded_at),
        accepted_by=second,
        accepted_at=_micros(accepted_at),
    )


def _micros(value: Any) -> Micros | None:
    return None if value is None else micros(value)
