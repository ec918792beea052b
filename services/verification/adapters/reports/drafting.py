"""Reports from draft to issue, each step refused where it must be (V-23, V-24)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg.errors

from services.verification.adapters.reports.fonts import find_fonts, find_second, missing_characters, named, texts_of
from services.verification.adapters.reports.judging import Judging
from services.verification.adapters.reports.reading import Found, read_facts
from services.verification.adapters.reports.store import Report, ReportStore
from services.verification.domain.reports.document import check, compose, document_digest
from services.verification.domain.reports.evidence import evidence_of
from services.verification.domain.reports.members import evidence_members
from services.verification.domain.reports.profile import Particulars
from services.verification.domain.reports.signatures import CLOCK_TOLERANCE, Signature, check_next
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid, NotAllowed, NotFound, Unavailable
from shared.kernel.times import SECOND, Micros, to_rfc3339, utc
from shared.storage.blocks import StoredFrame, stream_frames
from shared.storage.pool import Connection, Pool
from shared.storage.registry import CachedRegistry

_CHUNK = 50


class Reports:
    """The steps. `now` is this machine's clock (µs)."""

    def __init__(self, pool: Pool, registry: CachedRegistry, now: Callable[[], Micros]) -> None:
        self._pool = pool
        self._registry = registry
        self._now = now

    async def draft(
        self,
        run: str,
        *,
        kind: str,
        particulars: Particulars,
        who: str,
        replaces: Report | None = None,
        reason: str = "",
    ) -> Report:
        """A numbered draft. The run is judged again from its stored frames first. Raises what `check` raises, NotAllowed(
        report_not_reproduced | report_draft_open | report_issued_before | report_replaced_before) and Invalid(report_character_missing)."""
        found, judging, partition = await self._judged(run, kind)
        async with self._pool.connection() as connection, connection.transaction():
            store = ReportStore(connection)
            await self._check_in_force(connection, found)
            await self._check_place(store, run, kind, replaces)
            platform = str(found.facts.run["platform"])
            at = self._now()
            members = evidence_members(
                found.facts,
                versions=[found.versions[part["stream"], part["registry_version"]] for part in judging.roots.parts()],
                evaluations=found.evaluations,
            )
            year = datetime.fromtimestamp(at / 1e6, ZoneInfo(found.facts.zone)).year
            number = await store.next_number(platform, year)
            before = (
                None if replaces is None else {"number": replaces.number, "digest": replaces.digest, "reason": reason}
            )
            profile = await store.profile(platform)
            _check_printable(
                {
                    "particulars": particulars.model_dump(mode="json"),
                    "reason": reason,
                    "profile": None if profile is None else profile.model_dump(mode="json"),
                }
            )
            document = compose(
                number=number,
                kind=kind,
                profile=profile,
                particulars=particulars,
                facts=found.facts,
                evidence=evidence_of(members, judging.roots),
                drafted_at=at,
                replaces=before,
            )
            assert found.facts.evaluation is not None
            report = Report(
                platform=platform, number=number, run=run, kind=kind, evaluation=found.facts.evaluation.number, partition=partition,
                upto_offset=found.upto_offset, frames=found.span, particulars=particulars.model_dump(mode="json"),
                document=canonical_json(document), digest=document_digest(document),
                replaces=None if replaces is None else replaces.number, state="draft", created_by=who, created_at=at,
                ended_by=None, ended_at=None, void_reason=None, replaced_by=None, signatures=0,
            )  # fmt: skip
            try:
                await store.insert(report, members)
            except psycopg.errors.UniqueViolation as error:
                raise _draft_open(run) from error
            return report

    async def amend(
        self, platform: str, number: str, *, reason: str, particulars: Particulars | None, who: str
    ) -> Report:
        """A draft that will replace an issued report and says why. Raises NotAllowed(report_not_issued | report_replaced_before), and what
        `draft` raises."""
        async with self._pool.connection() as connection:
            report = await self._known(ReportStore(connection), platform, number)
        if report.state != "issued":
            raise NotAllowed(
                "report_not_issued", f"the report {number} is {report.state}; only an issued one is amended", field="number",
                remedy="void the draft and write a new one",
            )  # fmt: skip
        facts = particulars or Particulars.model_validate(report.particulars)
        return await self.draft(
            report.run, kind=report.kind, particulars=facts, who=who, replaces=report, reason=reason
        )

    async def sign(self, platform: str, number: str, signature: Signature) -> Report:
        """The next signature of a draft. Raises NotAllowed(report_closed | signature_key_revoked), NotFound(signature_key_unknown),
        Invalid(signature_time | report_character_missing), and what `check_next` raises."""
        async with self._pool.connection() as connection, connection.transaction():
            store = ReportStore(connection)
            report = await self._open(store, platform, number)
            statement = signature.statement
            registered = next(
                (item for item in await store.keys(platform) if item.key.fingerprint == statement.key), None
            )
            if registered is None:
                raise NotFound(
                    "signature_key_unknown", "no such key is registered on this platform", field="key",
                    remedy="register it: `pilotline reports keys create`",
                )  # fmt: skip
            if registered.revoked_at is not None:
                raise NotAllowed(
                    "signature_key_revoked", f"the key was revoked at {to_rfc3339(registered.revoked_at)}", field="key",
                    remedy="make and register a new one: `pilotline reports keys create`",
                )  # fmt: skip
            if abs(statement.signed_at - self._now()) > CLOCK_TOLERANCE:
                raise Invalid(
                    "signature_time", f"signed_at is {(statement.signed_at - self._now()) // SECOND} s off this server's clock",
                    field="signed_at",
                    remedy="set the clock of the machine that signs, and sign again",
                )  # fmt: skip
            chain, _ = await store.chain(platform, number)
            check_next(report.digest, report.tree()["signatures"], chain, signature, registered.key)
            _check_printable({"name": statement.name})
            await store.add_signature(report, signature, registered.key)
            return await self._known(store, platform, number)

    async def issue(self, platform: str, number: str, who: str) -> Report:
        """The last step. Raises NotAllowed(report_closed | report_signature_missing | report_superseded | report_mismatch)."""
        async with self._pool.connection() as connection, connection.transaction():
            store = ReportStore(connection)
            report = await self._open(store, platform, number)
            policy = report.tree()["signatures"]
            if report.signatures < len(policy):
                missing = policy[report.signatures :]
                raise NotAllowed(
                    "report_signature_missing", f"signatures are missing: {', '.join(missing)}", field="signatures",
                    remedy=f"sign as {missing[0]}: `pilotline reports sign`", extra={"missing": missing},
                )  # fmt: skip
            await _check_still_final(connection, report)
            try:
                await store.end(report, state="issued", who=who, at=self._now())
            except psycopg.errors.UniqueViolation as error:
                raise _replaced_before(report.replaces or report.number) from error
            return await self._known(store, platform, number)

    async def void(self, platform: str, number: str, *, reason: str, who: str) -> Report:
        """A draft that will not be issued; its number stays taken, with the reason. Raises NotAllowed(report_closed)."""
        async with self._pool.connection() as connection, connection.transaction():
            store = ReportStore(connection)
            report = await self._open(store, platform, number)
            await store.end(report, state="void", who=who, at=self._now(), reason=reason)
            return await self._known(store, platform, number)

    async def _judged(self, run: str, kind: str) -> tuple[Found, Judging, int]:
        """The facts, and the run judged again from stored frames, in one snapshot."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read, read only")
            found = await read_facts(connection, self._registry, run)
            profile = await ReportStore(connection).profile(str(found.facts.run["platform"]))
            check(found.facts, profile, kind)
            assert found.facts.evaluation is not None
            for partition in await _partitions(connection, found):
                judging = Judging(found.plan, found.versions, found.lifecycle)
                async for frames in frames_of(connection, found.streams, found.span, partition, found.upto_offset):
                    await asyncio.to_thread(_take, judging, frames)
                result = judging.result()
                if result is not None and result.digest == found.facts.evaluation.digest:
                    return found, judging, partition
        raise NotAllowed(
            "report_not_reproduced", "the stored frames do not give the evaluation in force", field="run",
            remedy="look for frames that were deleted or altered, or for another release of the evaluator",
        )  # fmt: skip

    async def _check_in_force(self, connection: Connection, found: Found) -> None:
        assert found.facts.evaluation is not None
        cursor = await connection.execute(
            "select evaluation, verdict_state from verification.run where run_id = %s for share",
            (found.facts.run["run"],),
        )
        if await cursor.fetchone() != (found.facts.evaluation.number, "final"):
            raise NotAllowed(
                "report_not_final",
                "a new evaluation came while the report was drafted",
                field="run",
                remedy="draft it again",
            )

    async def _check_place(self, store: ReportStore, run: str, kind: str, replaces: Report | None) -> None:
        """One draft at a time; the first issued report of a kind, then amendments of the newest one."""
        for report in await store.of_run(run):
            if report.kind != kind:
                continue
            if report.state == "draft":
                raise _draft_open(run)
            if report.state == "issued" and replaces is None and report.replaces is None:
                raise NotAllowed(
                    "report_issued_before", f"the run has the issued report {report.number}", field="run",
                    remedy=f"amend it: `pilotline reports amend {report.platform}/{report.number}`",
                )  # fmt: skip
            if replaces is not None and report.number == replaces.number and report.replaced_by is not None:
                raise _replaced_before(report.number)

    async def _known(self, store: ReportStore, platform: str, number: str) -> Report:
        report = await store.find(platform, number)
        if report is None:
            raise report_unknown(platform, number)
        return report

    async def _open(self, store: ReportStore, platform: str, number: str) -> Report:
        report = await store.find(platform, number, lock=True)
        if report is None:
            raise report_unknown(platform, number)
        if report.state != "draft":
            raise NotAllowed(
                "report_closed", f"the report {number} is {report.state}; it does not change any more", field="number",
                remedy="amend it" if report.state == "issued" else "draft a new one",
            )  # fmt: skip
        return report


async def frames_of(
    connection: Connection, streams: Sequence[str], span: tuple[Micros, Micros], partition: int, upto_offset: int
) -> AsyncIterator[list[StoredFrame]]:
    """Chunks of the frames that an evaluation has read, in its order. Needs a transaction of the caller."""
    async for frames in stream_frames(connection, streams, *span, chunk=_CHUNK):
        wanted = [frame for frame in frames if frame.kafka_partition == partition and frame.kafka_offset < upto_offset]
        if wanted:
            yield wanted


def report_unknown(platform: str, number: str) -> NotFound:
    return NotFound(
        "report_unknown",
        f"the platform {platform} has no report {number}",
        field="number",
        remedy="see GET /v1/reports",
    )


def _check_printable(given: Mapping[str, Any]) -> None:
    """What people write for a report can be printed; what was recorded before is printed with the code points of missing signs.
    On a machine without the fonts nothing is printed, and nothing checked.

    Raises Invalid(report_character_missing) with the field.
    """
    try:
        fonts = [find_fonts()[0], *find_second()]
    except Unavailable:
        return
    for field, text in texts_of(given):
        if missing := missing_characters([text], fonts):
            raise Invalid(
                "report_character_missing", f"{field}: the fonts of the PDF have no sign for {named(missing)}", field=field,
                remedy="write the text with other characters",
            )  # fmt: skip


def _take(judging: Judging, frames: Sequence[StoredFrame]) -> None:
    for frame in frames:
        judging.take(frame)


async def _partitions(connection: Connection, found: Found) -> list[int]:
    """Where the line's records lie: one partition, unless the topic was given more of them."""
    from_, to = found.span
    cursor = await connection.execute(
        """select b.kafka_partition from ingest.block b join ingest.stream s using (stream_no)
           where s.stream_id = any(%s) and b.t1 >= %s and b.t0 < %s group by 1 order by count(*) desc, 1""",
        (found.streams, utc(from_), utc(to)),
    )
    return [row[0] for row in await cursor.fetchall()] or [0]


async def _check_still_final(connection: Connection, report: Report) -> None:
    cursor = await connection.execute(
        "select evaluation, verdict_state from verification.run where run_id = %s for share", (report.run,)
    )
    row = await cursor.fetchone()
    assert row is not None
    if row[1] == "mismatch":
        raise NotAllowed(
            "report_mismatch", "the run's evaluations disagree; no report is issued over that", field="run"
        )
    if row != (report.evaluation, "final"):
        raise NotAllowed(
            "report_superseded", f"the report tells of evaluation {report.evaluation}, the run has a newer one in force",
            field="evaluation", remedy="void this draft and write a new one",
        )  # fmt: skip


def _draft_open(run: str) -> NotAllowed:
    return NotAllowed(
        "report_draft_open", f"the run {run} has a draft of this kind already", field="run",
        remedy="sign and issue it, or void it: `pilotline reports void`",
    )  # fmt: skip


def _replaced_before(number: str) -> NotAllowed:
    return NotAllowed(
        "report_replaced_before", f"the report {number} has been replaced already", field="number",
        remedy="amend the report that replaces it",
    )  # fmt: skip
