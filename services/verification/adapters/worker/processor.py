"""The verification worker as a processor of `line.records`: frames, lifecycle and gaps in, verdicts out.

A batch is applied to the runs of its lines in log order, then judged once. Results, events, snapshots, the batch itself and the position
commit together. What waits for the sink (catching up, late data, the close) is read in the background and taken over in a later batch or
tick, so that nothing here waits for storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.verification.adapters.worker import closing, evaluations, run_records
from services.verification.adapters.worker.book import Book, Closed
from services.verification.adapters.worker.delivery import (
    Reached,
    give_frame,
    give_gap,
    give_lifecycle,
    say_gap,
    say_late,
)
from services.verification.adapters.worker.effects import Effects, word
from services.verification.adapters.worker.levels import Levels
from services.verification.adapters.worker.readings import Readings
from services.verification.adapters.worker.rebuilds import Rebuilt, positions_of_worker
from services.verification.adapters.worker.recovery import Recovery
from services.verification.adapters.worker.session import Cause, Logged, Need, Session, Stage
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.outcomes import Outcome
from shared.contracts.frame import Frame, decode_frame
from shared.contracts.lifecycle import Baseline, Entry, GapSeen, PinnedStream, RunStarted, decode_line_record
from shared.contracts.topics import Kind, Topics
from shared.kernel.errors import Reject
from shared.kernel.times import Micros
from shared.messaging.dead_letters import dead_letter
from shared.messaging.processor import Record
from shared.observability.metrics import EVALUATION_REBUILDS, RUNS_OPEN, OfLine
from shared.storage.pool import Connection, Pool
from shared.storage.registry import CachedRegistry

NAME = "verification.worker"
_REMEMBERED_FRAMES = 20_000


@dataclass(frozen=True, slots=True)
class Tuning:
    """Seconds and bytes; see WorkerSettings."""

    close_grace: float = 10.0
    snapshot_seconds: float = 2.0
    level_seconds: float = 0.5
    rebuild_memory: int = 64 * 1024 * 1024


class VerificationWorker:
    """A `Processor` (shared.messaging.processor)."""

    name = NAME
    kinds: frozenset[str] | None = frozenset({Kind.FRAME, Kind.LIFECYCLE, Kind.GAP})
    tick_seconds: float | None = 0.2

    def __init__(
        self,
        pool: Pool,
        topics: Topics,
        *,
        tuning: Tuning = Tuning(),
        now: Callable[[], Micros] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pool` serves the readings in the background, beside the driver's connection."""
        self._topics = topics
        self._close_grace = tuning.close_grace
        self._monotonic = monotonic
        self._book = Book(CachedRegistry(pool))
        self._levels = Levels(now, tuning.level_seconds, monotonic)
        self._readings = Readings(pool, topics.line_records, tuning.rebuild_memory)
        self._recovery = Recovery(pool, topics.line_records, tuning.snapshot_seconds, monotonic)
        self._sessions: dict[str, Session] = {}
        self._by_line: dict[str, list[Session]] = {}
        self._upto: dict[int, int] = {}
        self._recent: dict[tuple[str, str, int], int] = {}
        self._ending_since: dict[str, float] = {}

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        self._readings.cancel()
        self._book.forget()
        self._levels.forget()
        self._sessions.clear()
        self._by_line.clear()
        self._recent.clear()
        self._ending_since.clear()
        self._upto = await positions_of_worker(connection, NAME, self._topics.line_records, partitions)
        for session in await self._recovery.load(connection, self._book, partitions):
            self._enter(session)
            # What a need held is lost; storage has it once the sink is past the position.
            if session.need is not None and session.stage in {Stage.LIVE, Stage.ENDING}:
                session.need.forget(self._upto[session.partition])

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        effects = Effects(self._topics)
        for partition, batch in groupby(records, key=lambda record: record.partition):
            await self._apply(partition, list(batch), connection, effects)
        await self._attend(connection, effects)
        self._levels.write(self._sessions.values(), effects)
        await effects.write(connection)
        await self._recovery.save_marked(connection, self._sessions, self._upto)

    async def committed(self) -> None:
        self._recovery.save_beside(self._sessions.values(), self._upto)
        for line, sessions in self._by_line.items():
            RUNS_OPEN.set(OfLine(line), sum(session.stage is Stage.LIVE for session in sessions))

    # Records ------------------------------------------------------------------------------------------------------------------

    async def _apply(self, partition: int, batch: list[Record], connection: Connection, effects: Effects) -> None:
        kept: list[Record] = []
        touched: dict[str, tuple[Session, int, int]] = {}
        counts = {run: (session.late, session.gaps) for run, session in self._sessions.items()}
        self._upto[partition] = batch[-1].offset + 1
        for record in batch:
            try:
                reached = await self._take(record, connection, effects)
            except Reject as reject:
                await dead_letter(connection, self.name, record, reject)
                continue
            if reached:
                kept.append(record)
                for session, _ in reached:
                    touched.setdefault(session.run, (session, *counts.get(session.run, (0, 0))))
        for session, late, gaps in touched.values():
            await self._judge(session, connection, effects)
            if (session.late, session.gaps) != (late, gaps):
                await evaluations.set_counts(connection, session.run, session.gaps, session.late)
        if kept:
            await self._recovery.keep(connection, partition, batch, kept)

    async def _take(self, record: Record, connection: Connection, effects: Effects) -> Reached:
        """The sessions that the record has reached. Raises Reject for one that nothing can be made of."""
        line = (record.key or b"").decode("utf-8", "replace")
        if record.kind == Kind.FRAME:
            return await self._take_frame(decode_frame(record.value), line, record, connection, effects)
        content = decode_line_record(record.value)
        if isinstance(content, RunStarted):
            return await self._start(content, record, connection)
        if isinstance(content, GapSeen):
            reached = give_gap(content, self._by_line.get(line, ()))
            for session, _ in reached:
                say_gap(session, content, effects)
            return reached
        if isinstance(content, Lifecycle):
            return await self._take_lifecycle(content, line, record, connection)
        return []

    async def _take_lifecycle(self, content: Lifecycle, line: str, record: Record, connection: Connection) -> Reached:
        reached = give_lifecycle(content, record.offset, self._by_line.get(line, ()))
        if reached:
            await run_records.keep(connection, record.partition, record.offset, content)
        elif isinstance(content, Entry) and content.run not in self._sessions:
            await self._enter_closed(content, line, record, connection)
        return reached

    async def _take_frame(
        self, frame: Frame, line: str, record: Record, connection: Connection, effects: Effects
    ) -> Reached:
        sessions = self._by_line.get(line, ())
        if sessions:
            self._remember(frame, record.offset)
            await self._book.know([(frame.stream, frame.registry_version)])
        reached = give_frame(frame, record.offset, sessions)
        for session, late in reached:
            if late:
                say_late(session, frame, effects)
        for run in await self._book.touched(connection, line, frame):
            opened = await self._reopen(run, record, connection, late=1)
            if opened is not None:
                say_late(opened, frame, effects)
        return reached

    async def _start(self, started: RunStarted, record: Record, connection: Connection) -> Reached:
        if started.run in self._sessions:
            return []
        criteria = (started.criteria_set, started.criteria_version, started.criteria_digest)
        session = await self._session(
            connection, started.run, started.line, record, started.at, criteria, started.streams, started.baselines
        )
        session.lifecycle.append(Logged(record.offset, started))
        await run_records.keep(connection, record.partition, record.offset, started)
        # What came before this record lies in storage; at least the values that hold into the run (V-18).
        session.need = Need(Cause.CATCH_UP, record.offset + 1)
        await evaluations.open_evaluation(connection, session.plan, 1, cause=Cause.STARTED)
        return [(session, False)]

    async def _session(
        self,
        connection: Connection,
        run: str,
        line: str,
        record: Record,
        start: Micros,
        criteria: tuple[str, int, str],
        pinned: Sequence[PinnedStream],
        baselines: Sequence[Baseline],
    ) -> Session:
        plan, order = await self._book.plan(
            connection, run, start=start, criteria=criteria, pinned=pinned, baselines=baselines
        )
        session = Session(run, line, record.partition, plan, order, RunEvaluator(plan), reached=record.offset + 1)
        self._enter(session)
        self._recovery.mark(session)
        return session

    async def _judge(self, session: Session, connection: Connection, effects: Effects) -> None:
        before = session.outcome
        transitions = session.advance()
        for change in transitions:
            effects.transition(closing.subject_of(session), change, self._place_of)
        await closing.tell_phases(connection, session, effects)
        self._levels.changed(session, [change.state for change in transitions], effects)
        await self._say_verdict(session, before, connection, effects)

    # What waits for the clock or for the sink ---------------------------------------------------------------------------------

    async def _attend(self, connection: Connection, effects: Effects) -> None:
        for session in list(self._sessions.values()):
            if session.need is None and session.stage is Stage.ENDING and self._may_finish(session):
                await self._finish(session, connection, effects)
        self._readings.bound(self._sessions.values(), self._upto)
        await self._readings.start_ready(connection, self._sessions.values())
        for session, outcome in self._readings.done(self._sessions):
            if isinstance(outcome, Rebuilt):
                await self._adopt(session, outcome, connection, effects)
            else:
                await self._conclude(session, outcome, connection, effects)

    def _may_finish(self, session: Session) -> bool:
        since = self._ending_since.setdefault(session.run, self._monotonic())
        return session.complete or self._monotonic() - since >= self._close_grace

    async def _finish(self, session: Session, connection: Connection, effects: Effects) -> None:
        before, cut = session.outcome, self._upto[session.partition]
        if await closing.finish(connection, session, effects, cut, self._recent):
            session.stage = Stage.CLOSING
            session.need = Need(Cause.CLOSE, cut)
        else:
            session.need = Need(Cause.LATE_DATA, cut, whole=True)
        self._recovery.mark(session)
        self._levels.due(session)
        await self._say_verdict(session, before, connection, effects)

    async def _adopt(self, session: Session, rebuilt: Rebuilt, connection: Connection, effects: Effects) -> None:
        before, evaluation = session.outcome, session.evaluation
        await closing.adopt(connection, session, rebuilt, effects, self._recent)
        EVALUATION_REBUILDS.add(OfLine(session.line))
        self._recovery.mark(session)
        self._levels.due(session)
        if session.need is None and session.evaluator.needs_rebuild:
            session.need = Need(Cause.LATE_DATA, self._upto[session.partition])
        known = before if evaluation == session.evaluation else None
        await self._say_verdict(session, known, connection, effects)

    async def _conclude(
        self, session: Session, recomputed: closing.Recomputed, connection: Connection, effects: Effects
    ) -> None:
        """A final result from storage has come. Late frames behind its cut ask for the next one; else the run leaves the memory."""
        assert session.need is not None
        cut = session.need.cut
        session.need = None
        if session.stage is Stage.CLOSING:
            await closing.close(connection, session, recomputed, effects, cut)
        else:
            await closing.supersede(connection, session, recomputed, effects, cut)
        if session.late_after_cut is not None and session.late_after_cut > cut:
            session.stage = Stage.SUPERSEDING
            session.need = Need(Cause.LATE_DATA, session.late_after_cut)
            self._recovery.mark(session)
            await evaluations.reopen_verdict(connection, session.run, session.late)
            return
        await self._leave(session, connection)

    async def _leave(self, session: Session, connection: Connection) -> None:
        await self._recovery.leave(connection, session)
        self._levels.leave(session)
        self._readings.leave(session.run)
        self._ending_since.pop(session.run, None)
        del self._sessions[session.run]
        self._by_line[session.line].remove(session)
        streams = frozenset(stream.id for stream in session.plan.streams)
        closed = Closed(session.run, session.plan.first_needed, session.end or 0, streams)
        self._book.closed(session.line, closed)

    async def _enter_closed(self, entry: Entry, line: str, record: Record, connection: Connection) -> None:
        """What is entered of a run that is closed."""
        facts = await self._book.run(connection, entry.run)
        if facts is not None and facts.line == line and facts.ended_at is not None:
            await run_records.keep(connection, record.partition, record.offset, entry)
            await self._reopen(entry.run, record, connection, late=0)

    async def _reopen(self, run: str, record: Record, connection: Connection, *, late: int) -> Session | None:
        """A frame or an entry for a closed run: the run is evaluated again once the sink is past it. None: it was never evaluated."""
        facts = await self._book.run(connection, run)
        present = await evaluations.in_force(connection, run)
        if facts is None or facts.started_at is None or present is None:
            return None
        criteria = (facts.criteria_set, facts.criteria_version, facts.criteria_digest)
        session = await self._session(
            connection, run, facts.line, record, facts.started_at, criteria, facts.streams, facts.baselines
        )
        session.evaluation = present.number
        session.lifecycle = await self._book.lifecycle(connection, facts)
        session.stage = Stage.SUPERSEDING
        session.late = await evaluations.late_of(connection, run) + late
        session.need = Need(Cause.LATE_DATA, record.offset + 1)
        self._book.opened(facts.line, run)
        await evaluations.reopen_verdict(connection, run, session.late)
        return session

    async def _say_verdict(
        self, session: Session, before: Outcome | None, connection: Connection, effects: Effects
    ) -> None:
        """What the run is worth while its evaluation is open, when that has changed."""
        outcome = session.outcome
        if outcome is before or session.stage is Stage.SUPERSEDING:
            return
        await evaluations.set_verdict(connection, session.run, word(outcome), "provisional", session.evaluation)
        facts = {"run": session.run, "line": session.line, "evaluation": session.evaluation}
        verdict = {"verdict": word(outcome), "state": "provisional"}
        at = max(session.marks.values(), default=session.plan.start)
        identity: list[object] = [session.evaluation, word(outcome), "provisional"]
        effects.event(closing.subject_of(session), "verdict", identity, at, {**facts, **verdict})

    def _enter(self, session: Session) -> None:
        self._sessions[session.run] = session
        self._by_line.setdefault(session.line, []).append(session)

    def _remember(self, frame: Frame, offset: int) -> None:
        self._recent.setdefault((frame.stream, frame.boot, frame.seq), offset)
        if len(self._recent) > _REMEMBERED_FRAMES:
            del self._recent[next(iter(self._recent))]

    def _place_of(self, stream: str, boot: str, seq: int) -> int | None:
        return self._recent.get((stream, boot, seq))
