"""What pages and the read API show: frozen values, read in one repeatable-read snapshot together with the cursor of the event stream, so that
nothing falls between a page and its stream.

    model = ReadModel(pool)
    page = await model.board(only="running", line=None, limit=100, after=None)      # BoardPage: rows, after (next page), cursor
    view = await model.run("r-1")                                                   # RunView | None: head, phases, criteria, evaluations, cursor
    detail = await model.criterion("r-1", "pressure-limit")                         # CriterionDetail | None: evidence, positions, transitions
    curve = await model.curve("r-1", criterion="pressure-limit", channel=None, from_=None, to=None, points=800)   # CurveData | None

Words. `word` of a criterion is its verdict when it is decided (`pass`, `inconclusive`, `fail`), else its activity (`open`, `waiting`, `planned`,
`rebuilding`); `word` of a run is its verdict, `open` while it has none, `none` when it ended without having started.
All instants are µs (UTC); a page turns them into the line's zone (`zone`). `version` changes whenever something shown has changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from services.verification.adapters import run_queries as queries
from services.verification.adapters.curves import MAX_POINTS, read_curve, signal_of
from services.verification.adapters.entry_store import EntryStore
from services.verification.adapters.evidence import positions_of
from services.verification.adapters.limits import bounds_of
from services.verification.adapters.run_queries import RunFacts
from services.verification.adapters.standard_store import StandardStore
from services.verification.adapters.views import (
    AwaitedRow,
    BoardPage,
    BoardRow,
    CriterionDetail,
    CriterionRow,
    CurveData,
    RunView,
    StandardRow,
)
from services.verification.domain.baselines import pinned_for
from services.verification.domain.criteria.entered import Inspection, LabResult
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.signals import Channels, channels_of
from services.verification.domain.standards import state_on
from services.verification.ports import ResultEntry
from shared.contracts.registry import Stream
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros
from shared.storage.pool import Connection, Pool
from shared.storage.registry import read_stream

_REMEMBERED = 64


class ReadModel:
    """Reads through a pool; remembers published criteria sets and stream versions, which never change."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._criteria: dict[str, CriteriaSet] = {}
        self._streams: dict[tuple[str, int], Stream] = {}

    async def board(
        self,
        *,
        only: str | None = None,
        line: str | None = None,
        project: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> BoardPage:
        """Runs in progress first, then the newest. `only`: `running` (running or held), `ended`, or None; `after`: a page's token."""
        offset = _offset(after)
        async with self._snapshot() as connection:
            runs = await queries.select_runs(
                connection, only=only, line=line, project=project, limit=limit + 1, offset=offset
            )
            rows = await self._board_rows(connection, runs[:limit])
            more = f"n{offset + limit}" if len(runs) > limit else None
            return BoardPage(tuple(rows), more, await queries.cursor_of(connection))

    async def run(self, run: str) -> RunView | None:
        """None: there is no such run."""
        async with self._snapshot() as connection:
            facts = await self._facts(connection, run)
            if facts is None:
                return None
            head = (await self._board_rows(connection, [facts]))[0]
            evaluations = await queries.evaluations(connection, run)
            results = tuple(await EntryStore(connection).results(run))
            return RunView(
                head=head,
                criteria=await self._criterion_rows(connection, facts),
                evaluations=evaluations,
                awaited=awaited(self._criteria[facts.criteria_digest], results),
                results=results,
                deviations=tuple(await EntryStore(connection).deviations(run)),
                criteria_set=facts.criteria_set,
                criteria_version=facts.criteria_version,
                criteria_digest=facts.criteria_digest,
                end_reason=facts.end_reason,
                mismatch=facts.verdict_state == "mismatch",
                digest=evaluations[-1].digest if evaluations and facts.verdict_state == "final" else None,
                cursor=await queries.cursor_of(connection),
                standard=await self._standard(connection, facts),
            )

    async def criterion(self, run: str, criterion: str) -> CriterionDetail | None:
        """None: there is no such run, or the worker has not read its start yet, or the set has no such criterion."""
        async with self._snapshot() as connection:
            facts = await self._facts(connection, run)
            row = None if facts is None else await self._criterion_row(connection, facts, criterion)
            if facts is None or row is None:
                return None
            document = next(item for item in self._criteria[facts.criteria_digest].criteria if item.id == criterion)
            return CriterionDetail(
                row=row,
                document=document.model_dump(mode="json"),
                previous=pinned_for(document, facts.baselines),
                positions=await positions_of(connection, row.state["evidence"]),
                transitions=await queries.transitions(connection, run, criterion),
            )

    async def curve(
        self,
        run: str,
        *,
        criterion: str | None = None,
        channel: str | None = None,
        from_: Micros | None = None,
        to: Micros | None = None,
        points: int = 800,
    ) -> CurveData | None:
        """A channel (`<stream>.<channel>`), or a criterion's signal with its limits. Without `from_` and `to` the criterion's phase, or the
        whole run so far. None: there is no such run, or it has not started. Raises NotFound(criterion_unknown | channel_unknown)."""
        async with self._snapshot() as connection:
            facts = await self._facts(connection, run)
            if facts is None or facts.started_at is None:
                return None
            head = (await self._board_rows(connection, [facts]))[0]
            channels = await self._channels(connection, facts)
            row = None if criterion is None else await self._criterion_row(connection, facts, criterion)
            criteria, span = self._criteria[facts.criteria_digest], _span(head, row, from_, to)
            curve = await read_curve(
                connection,
                signal=signal_of(criteria, criterion, channel, channels),
                title=channel or criterion or "",
                criterion=row,
                phases=head.phases,
                span=span,
                points=min(max(points, 10), MAX_POINTS),
            )
        started = {phase.id: phase.started_at for phase in head.phases}
        judged = next((item for item in criteria.criteria if item.id == criterion), None)
        if judged is None or (start := started.get(judged.phase)) is None:
            return curve
        return replace(curve, bounds=bounds_of(judged, channels, start, span))

    async def _facts(self, connection: Connection, run: str) -> RunFacts | None:
        found = await queries.select_runs(connection, run=run)
        return found[0] if found else None

    async def _standard(self, connection: Connection, facts: RunFacts) -> StandardRow | None:
        named, store = self._criteria[facts.criteria_digest].standard, StandardStore(connection)
        if named is None:
            return None
        kept = await store.find(named.id, named.version)
        state = "unknown" if kept is None else state_on(kept.standard, kept.standing, await store.today())
        return StandardRow(named.id, named.version, str(state))

    async def _board_rows(self, connection: Connection, runs: list[RunFacts]) -> list[BoardRow]:
        if len(self._criteria) > _REMEMBERED:
            self._criteria.clear()
        await queries.read_sets(connection, runs, self._criteria)
        return await queries.board_rows(connection, runs, self._criteria)

    async def _criterion_rows(self, connection: Connection, facts: RunFacts) -> tuple[CriterionRow, ...]:
        await queries.read_sets(connection, [facts], self._criteria)
        channels = await self._channels(connection, facts)
        return await queries.criterion_rows(connection, facts.run, self._criteria[facts.criteria_digest], channels)

    async def _criterion_row(self, connection: Connection, facts: RunFacts, criterion: str) -> CriterionRow | None:
        rows = await self._criterion_rows(connection, facts)
        return next((row for row in rows if row.criterion == criterion), None)

    async def _channels(self, connection: Connection, facts: RunFacts) -> Channels:
        streams = []
        for pinned in facts.streams:
            key = (pinned.stream, pinned.version)
            if key not in self._streams:
                found = await read_stream(connection, *key)
                assert found is not None  # versions are immutable and never deleted
                self._streams[key] = found
            streams.append(self._streams[key])
        return channels_of(streams)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read, read only")
            yield connection


def awaited(criteria: CriteriaSet, results: Sequence[ResultEntry]) -> tuple[AwaitedRow, ...]:
    """What people still have to enter or confirm, in the order of the set."""
    rows = []
    for criterion in criteria.criteria:
        if not isinstance(criterion, LabResult | Inspection):
            continue
        given = [entry for entry in results if entry.criterion == criterion.id]
        if not given:
            rows.append(AwaitedRow(criterion.id, "awaiting_result"))
        elif given[-1].confirmed_by is None and (isinstance(criterion, LabResult) or criterion.second_person):
            rows.append(AwaitedRow(criterion.id, "awaiting_confirmation"))
    return tuple(rows)


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.startswith("n") or not token[1:].isdecimal() or len(token) > 12:
        raise Invalid(
            "page_token", "this is no token of this list", field="after", remedy="take it from the page before"
        )
    return int(token[1:])


def _span(head: BoardRow, row: CriterionRow | None, from_: Micros | None, to: Micros | None) -> tuple[Micros, Micros]:
    """What a curve shows when nobody chose: the criterion's phase, or the run; up to its newest sample while it lasts."""
    start, end = head.started_at or 0, head.ended_at
    for phase in head.phases:
        if row is not None and phase.id == row.phase and phase.started_at is not None:
            start, end = phase.started_at, phase.ended_at
    newest = head.newest + 1 if head.newest is not None else start + 1
    first = start if from_ is None else from_
    last = (newest if end is None else end) if to is None else to
    return first, max(last, first + 1)
