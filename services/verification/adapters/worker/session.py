"""One run in the worker's memory: its evaluator, what it has read of the log, and what it waits for.

Everything here follows from the records in their order, so that a session restored from a snapshot and fed the batches behind it is the
session that was lost. What follows from the clock or from storage (a rebuild, the close) is decided by the processor, which then writes a
snapshot in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.domain.evaluator import Lifecycle, NeedsRebuild, RunEvaluator
from services.verification.domain.outcomes import Outcome, Transition, Verdict
from services.verification.domain.phases import PhaseSpan
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import take_over
from shared.contracts.frame import Frame
from shared.contracts.lifecycle import DeviationAccepted, Entry, RunEnded, decode_line_record, encode_line_record
from shared.kernel.times import Micros

NEVER: Micros = -(2**62)


class Stage(StrEnum):
    """`live` until the end record; `ending` while samples before the end may still come; `closing` while storage catches up for the
    recomputation; `superseding` when late data has reached a closed run."""

    LIVE = "live"
    ENDING = "ending"
    CLOSING = "closing"
    SUPERSEDING = "superseding"


class Cause(StrEnum):
    STARTED = "started"
    LATE_DATA = "late_data"
    RESULT = "result"
    DEVIATION = "deviation"
    CATCH_UP = "catch_up"
    ENGINE = "engine_changed"
    CLOSE = "close"


def cause_of(record: Entry) -> Cause:
    """Why a run is evaluated again when this is entered."""
    return Cause.DEVIATION if isinstance(record, DeviationAccepted) else Cause.RESULT


@dataclass(frozen=True, slots=True)
class Logged:
    """A lifecycle record of the run with its place in the log."""

    offset: int
    record: Lifecycle


@dataclass(slots=True)
class Need:
    """A reading of stored frames that waits for the sink: frames below `cut` come from storage, `since` holds what came from there on.

    `size` is the bytes held; over the worker's bound they are forgotten and `cut` moves up, so that memory stays bounded while the sink
    is away. `whole`: only the criteria that something late has touched are read again, unless that was tried in vain.
    """

    cause: Cause
    cut: int
    whole: bool = False
    since: list[Frame | Logged] = field(default_factory=list)
    size: int = 0

    @property
    def partly(self) -> bool:
        return self.cause is Cause.LATE_DATA and not self.whole

    def hold(self, item: Frame | Logged, size: int) -> None:
        self.since.append(item)
        self.size += size

    def forget(self, cut: int) -> None:
        self.cut = cut
        self.since = []
        self.size = 0


@dataclass(slots=True)
class Session:
    """See the module's text. `evaluation` is the number of the one in force; `marks` are the newest instants seen per
    stream; `changes` counts the records it has taken in, `fed` the bytes of their samples; `spans` are the phases as they were last told."""

    run: str
    line: str
    partition: int
    plan: RunPlan
    order: ChannelOrder
    evaluator: RunEvaluator
    evaluation: int = 1
    stage: Stage = Stage.LIVE
    need: Need | None = None
    lifecycle: list[Logged] = field(default_factory=list)
    marks: dict[str, Micros] = field(default_factory=dict)
    late: int = 0
    gaps: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    reached: int = 0
    late_after_cut: int | None = None
    changes: int = 0
    fed: int = 0
    spans: tuple[PhaseSpan, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What the run is worth so far: one FAIL decides, PASS needs every criterion."""
        found = set(self.outcomes.values())
        for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            if outcome in found:
                return outcome
        return Outcome.PASS if found and len(self.outcomes) == len(self.plan.order) else Outcome.NONE

    def count(self, transitions: Iterable[Transition]) -> None:
        for change in transitions:
            self.outcomes[change.criterion] = change.after

    @property
    def end(self) -> Micros | None:
        for logged in reversed(self.lifecycle):
            if isinstance(logged.record, RunEnded):
                return logged.record.at
        return None

    @property
    def complete(self) -> bool:
        """Whether every stream has reached the last instant at which it should have had a sample in the run."""
        end = self.end
        return end is not None and all(
            self.marks.get(stream.id, NEVER) >= end - stream.period for stream in self.plan.streams
        )

    def cause_between(self, upto: int, cut: int) -> Cause:
        """Why a closed run is evaluated again: what was entered at offsets [upto, cut), or else frames that came late."""
        entered = [
            item.record for item in self.lifecycle if upto <= item.offset < cut and isinstance(item.record, Entry)
        ]
        return cause_of(entered[-1]) if entered else Cause.LATE_DATA

    def wants(self, frame: Frame) -> bool:
        return frame.stream in self.order

    @property
    def catching_up(self) -> bool:
        """What came before the run's start record is still being read: until then nothing can be judged."""
        return self.need is not None and self.need.cause in {Cause.CATCH_UP, Cause.ENGINE}

    def take(self, frame: Frame, offset: int) -> bool:
        """Takes in a frame of one of the run's streams; answers whether it came late. Raises Reject for one that storage refuses."""
        self.order.check(frame)
        if self.stage in {Stage.CLOSING, Stage.SUPERSEDING}:
            return self._take_behind_cut(frame, offset)
        self.changes += 1
        self.fed += len(frame.values)
        self.reached = offset + 1
        self.marks[frame.stream] = max(self.marks.get(frame.stream, NEVER), int(frame.times_array()[-1]))
        if self.need is not None:
            self.need.hold(frame, len(frame.values) + len(frame.times) + 200)
        if self.catching_up:
            return False
        arrival = self.order.add(self.evaluator, frame)
        if arrival.verdict is Verdict.ACCEPTED and arrival.late:
            self.late += 1
            return True
        return False

    def reaches(self, frame: Frame) -> bool:
        """Whether a sample of the frame can matter to the run."""
        times, end = frame.times_array(), self.end
        return int(times[-1]) >= self.plan.first_needed and (end is None or int(times[0]) < end)

    def _take_behind_cut(self, frame: Frame, offset: int) -> bool:
        if not self.reaches(frame):
            return False
        self.changes += 1
        self.late += 1
        self.late_after_cut = offset + 1
        return True

    def apply(self, record: Lifecycle, offset: int) -> None:
        """Takes in a lifecycle record of the run, or what somebody has entered."""
        self.changes += 1
        logged = Logged(offset, record)
        self.lifecycle.append(logged)
        if self.stage in {Stage.CLOSING, Stage.SUPERSEDING}:
            self.late_after_cut = offset + 1
            return
        self.reached = offset + 1
        if self.need is not None:
            self.need.hold(logged, 200)
        if not self.catching_up:
            self.evaluator.apply(record)
        if isinstance(record, RunEnded):
            self.stage = Stage.ENDING
        if isinstance(record, Entry) and self.need is None and self.evaluator.needs_rebuild:
            self.need = Need(cause_of(record), self.reached)

    def advance(self) -> tuple[Transition, ...]:
        """Judges what may be released; a criterion that a late record has touched asks for a rebuild."""
        if self.catching_up or self.stage in {Stage.CLOSING, Stage.SUPERSEDING}:
            return ()
        transitions = self.evaluator.advance()
        self.count(transitions)
        if self.evaluator.needs_rebuild and self.need is None:
            self.need = Need(Cause.LATE_DATA, self.reached)
        return transitions

    def adopt(self, fresh: RunEvaluator) -> None:
        """Goes on with an evaluator read from storage below the need's cut, after giving it what has come since; where only some criteria were
        read again, with them in the place of the old ones."""
        assert self.need is not None
        waiting = self.need
        self.need = None
        for item in waiting.since:
            if isinstance(item, Logged):
                fresh.apply(item.record)
            else:
                self.order.add(fresh, item)
        fresh.advance()
        if fresh.plan is self.evaluator.plan:
            self.evaluator = fresh
        else:
            self.evaluator.advance()
            if not take_over(self.evaluator, fresh):
                self.need = Need(Cause.LATE_DATA, self.reached, whole=True)
        self.outcomes = {state.criterion: state.outcome for state in self.evaluator.states() if state.outcome}


class _Saved(msgspec.Struct, array_like=True):
    run: str
    line: str
    evaluation: int
    stage: str
    cause: str | None
    cut: int
    lifecycle: list[tuple[int, bytes]]
    marks: dict[str, int]
    late: int
    gaps: int
    outcomes: dict[str, int]
    reached: int
    late_after_cut: int | None
    evaluator: bytes


def freeze_session(session: Session) -> bytes:
    """What `thaw_session` needs besides the plan. What a need holds is left out: its cut moves up when it is read again."""
    saved = _Saved(
        run=session.run,
        line=session.line,
        evaluation=session.evaluation,
        stage=session.stage,
        cause=None if session.need is None else session.need.cause,
        cut=0 if session.need is None else session.need.cut,
        lifecycle=[(logged.offset, encode_line_record(logged.record)) for logged in session.lifecycle],
        marks=session.marks,
        late=session.late,
        gaps=session.gaps,
        outcomes=session.outcomes,
        reached=session.reached,
        late_after_cut=session.late_after_cut,
        evaluator=session.evaluator.snapshot(),
    )
    return msgspec.msgpack.encode(saved)


def thaw_session(data: bytes, plan: RunPlan, order: ChannelOrder, partition: int) -> Session:
    """An evaluator of another engine or plan cannot go on: the run is then read again from storage, as a new evaluation."""
    saved = msgspec.msgpack.decode(data, type=_Saved)
    lifecycle = []
    for offset, encoded in saved.lifecycle:
        record = decode_line_record(encoded)
        assert isinstance(record, Lifecycle)
        lifecycle.append(Logged(offset, record))
    need = None if saved.cause is None else Need(Cause(saved.cause), saved.cut)
    try:
        evaluator = RunEvaluator.restore(plan, saved.evaluator)
    except NeedsRebuild:
        evaluator = RunEvaluator(plan)
        if need is None or need.cause is Cause.LATE_DATA:
            need = Need(Cause.ENGINE, saved.reached)
    return Session(
        run=saved.run,
        line=saved.line,
        partition=partition,
        plan=plan,
        order=order,
        evaluator=evaluator,
        evaluation=saved.evaluation,
        stage=Stage(saved.stage),
        need=need,
        lifecycle=lifecycle,
        marks=saved.marks,
        late=saved.late,
        gaps=saved.gaps,
        outcomes=saved.outcomes,
        reached=saved.reached,
        late_after_cut=saved.late_after_cut,
    )
