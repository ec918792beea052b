"""One run, judged: the pure evaluator behind live verdicts, the recomputation at close and what-if (V-10 … V-18).

    plan = RunPlan.build(run="r-1", criteria=criteria_set, streams=pinned_streams, start=run_started.at)
    evaluator = RunEvaluator(plan)
    evaluator.apply(lifecycle_record)            # PhaseStarted, RunHeld, …, RunEnded, entries; answers the criteria made stale
    arrival = evaluator.add_frame(frame)         # accepted | duplicate | conflict | ignored, and the criteria made stale
    for transition in evaluator.advance():       # once per batch of records: judges everything that may be released
        ...                                      # transition.state is the row to store; emit one event per transition
    rows = evaluator.states(now=event_time_now)  # every criterion, for the live page: decided / open / waiting, [low, high]
    blob = evaluator.snapshot()                  # with results, outbox and position in ONE transaction
    evaluator = RunEvaluator.restore(plan, blob)
    if evaluator.needs_rebuild:                  # a late sample, phase or hold: read the criteria that it has touched from stored frames
        fresh = read_again(evaluator)            # `rebuilding.py`; fed with the records and frames that it reads
        taken = take_over(evaluator, fresh)
    result = evaluator.result()                  # after RunEnded: final states and digest

Nothing here reads a clock, a database or Kafka. Frames are identified by (stream, boot, seq); the first in log order stays in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.arrivals import TAIL, BootArrivals
from services.verification.domain.entries import Entries
from services.verification.domain.groups import Group
from services.verification.domain.judging import BadValues, counted, judge
from services.verification.domain.kinds.lanes import FAR
from services.verification.domain.layout import columns_of, groups_of
from services.verification.domain.outcomes import (
    Activity,
    Arrival,
    CriterionState,
    Outcome,
    RunResult,
    Transition,
    Verdict,
)
from services.verification.domain.phases import COMMAND, CONDITION, END, START, PhaseSpan, PhaseWatch, When
from services.verification.domain.plan import RunPlan
from services.verification.domain.results import result_of
from services.verification.domain.rows import Arrived, Chunk
from services.verification.domain.snapshots import freeze, thaw
from shared.contracts.frame import Frame
from shared.contracts.lifecycle import (
    DeviationAccepted,
    Entry,
    PhaseStarted,
    RunEnded,
    RunHeld,
    RunRestarted,
    RunStarted,
)
from shared.kernel.errors import PilotlineError
from shared.kernel.times import Micros

MAX_WAITING_ROWS = 1_000_000
"""Rows of one stream held back for a slower one. Beyond it they are dropped, and the criteria that wait for the slower one are marked
stale when it speaks again or the run ends: a rebuild reads the rows from storage."""

Lifecycle = RunStarted | PhaseStarted | RunHeld | RunRestarted | RunEnded | Entry
"""The records of a run on its line's topic, what people enter among them."""


class NeedsRebuild(PilotlineError):
    """A result was asked of an evaluator that has gone past a late record."""


class RunEvaluator:
    """The evaluation of one run; see the module's text for its use."""

    def __init__(self, plan: RunPlan, tail: int | None = TAIL) -> None:
        """`tail` is for a rebuild, whose frames come in another order than that of their numbers: see `joined`."""
        self.plan = plan
        self.stale: set[str] = set()
        self.how = ""
        self._end: Micros = FAR
        self._phases: dict[str, tuple[Micros, Micros]] = {}
        self._phase: str | None = None
        self._watch = PhaseWatch(plan.phases, plan.conditions, plan.start)
        self._held = np.zeros((0, 2), np.int64)
        self._arrivals: dict[tuple[str, str], BootArrivals] = {}
        self._keep = tail
        self._columns, self._rows = columns_of(plan)
        self._first = {stream.id: plan.start - stream.max_age for stream in plan.streams}
        self._groups = groups_of(plan, self._columns)
        self._by_stream = {
            stream.id: [group for group in self._groups if stream.id in group.streams] for stream in plan.streams
        }
        self._outcomes = [Outcome.NONE] * len(plan.criteria)
        self._entries = Entries(plan.entered)
        self._finished = False
        self._bad = [BadValues()] * len(plan.criteria)

    @property
    def ended(self) -> bool:
        return self._end < FAR

    @property
    def needs_rebuild(self) -> bool:
        """A late record touched a criterion, or the chain over the inputs: replace this evaluator by a rebuilt one before its result."""
        return bool(self.stale) or not all(arrivals.whole(self._end) for arrivals in self._arrivals.values())

    def apply(self, record: Lifecycle) -> tuple[str, ...]:
        """Takes a lifecycle record of this run in log order; answers the criteria that had already gone past it (now stale)."""
        before = set(self.stale)
        if isinstance(record, PhaseStarted):
            self._phase_commanded(record.phase, record.at)
        elif isinstance(record, RunHeld):
            self._hold_changed(record.at, np.vstack([self._held, [[record.at, FAR]]]))
        elif isinstance(record, RunRestarted):
            held = self._held.copy()
            held[-1:, 1] = record.at
            self._hold_changed(record.at, held)
        elif isinstance(record, RunEnded):
            self._end = record.at
            self.how = record.how
            self._phase_commanded(None, record.at)
            for group in self._groups:
                if group.behind:
                    self._mark(group, lambda _: True)
        elif isinstance(record, Entry):
            self._enter(record)
        return tuple(sorted(self.stale - before))

    def add_frame(self, frame: Frame) -> Arrival:
        """`add` for a decoded frame."""
        return self.add(
            frame.stream,
            frame.boot,
            frame.seq,
            frame.content_hash(),
            frame.times_array(),
            frame.values_array(),
            frame.quality_array() if frame.quality else None,
        )

    def add(
        self,
        stream: str,
        boot: str,
        seq: int,
        content_hash: bytes,
        times: NDArray[np.int64],
        values: NDArray[np.float64],
        quality: NDArray[np.uint8] | None = None,
    ) -> Arrival:
        """Takes in one frame: times (n,), values (n, k) in the order of the stream's channels, quality bits (n, k) or None.

        Nothing is judged before `advance`. The arrays are kept until then: do not write to them.
        """
        rows = self._rows.get(stream)
        if rows is None:
            return Arrival(Verdict.IGNORED)
        first, last = int(times.min()), int(times.max())
        reach = self._first[stream]
        numbers = None
        if first < reach or last >= self._end:
            numbers = np.flatnonzero((times >= reach) & (times < self._end))
            rows.watermark = max(rows.watermark, last)
            if numbers.size == 0:
                return Arrival(Verdict.IGNORED)
            times, values = times[numbers], values[numbers]
            quality = None if quality is None else quality[numbers]
            first, last = int(times.min()), int(times.max())
        arrivals = self._arrivals.get((stream, boot))
        if arrivals is None:
            arrivals = self._arrivals[stream, boot] = BootArrivals()
        verdict = arrivals.take(seq, content_hash, first, self._keep)
        if verdict is not Verdict.ACCEPTED:
            return Arrival(verdict)
        late: list[str] = []
        for group in self._by_stream[stream]:
            if first <= group.released:
                late += self._late(group, times[times <= group.released], reach - self.plan.start)
        if stream in self._watch.streams and first <= self._watch.reached:
            late += self._mark_all()
        rows.arrived.append(Arrived(times, values, quality, rows.boot_index(boot), seq, numbers))
        rows.watermark = max(rows.watermark, last)
        return Arrival(verdict, tuple(sorted(set(late))))

    def advance(self, upto: Micros | None = None) -> tuple[Transition, ...]:
        """Judges what may be released: for each group of streams, every row up to the smallest watermark among them.

        `upto` replaces the watermarks when the caller knows that no earlier row will come (a replay in order of time). Answers the
        outcomes that have grown.
        """
        for rows in self._rows.values():
            rows.settle()
        reached = self._watch.reached
        for phase, at in self._watch.advance(self._rows, self._columns, upto, self._end):
            self._phase_started(phase, at)
        if self._watch.lost and self._watch.reached > reached:
            self._mark_all()
        touched: list[Group] = []
        for group in self._groups:
            frontier = min(self._rows[name].watermark for name in group.streams) if upto is None else upto
            frontier = min(frontier, self._watch.frontier)
            if frontier <= group.released:
                continue
            if group.behind:
                self._mark(group, lambda _: True)
            if self._release(group, frontier):
                touched.append(group)
        self._forget()
        return self._in_order([*self._transitions(touched), *self._entered_transitions()])

    def states(self, now: Micros | None = None, idle: Micros | None = None) -> tuple[CriterionState, ...]:
        """Every criterion as it stands. With `now` (event time), an open criterion is `waiting` when one of its streams has been
        silent for longer than its own idle time, else `idle`, else the stream's maximum age."""
        ages = {stream.id: idle if idle is not None else stream.max_age for stream in self.plan.streams}
        states = []
        for group in self._groups:
            for member in group.members:
                state = self._judge(group, member)
                own = self.plan.criteria[member.number].idle
                silent = now is not None and any(
                    self._rows[name].watermark < now - (ages[name] if own is None else own) for name in group.streams
                )
                if silent and state.activity is Activity.OPEN:
                    state = replace(state, activity=Activity.WAITING)
                states.append(state)
        states += [self._entered_state(name) for name in self._entries.plans]
        places = {name: place for place, name in enumerate(self.plan.order)}
        return tuple(sorted(states, key=lambda state: places[state.criterion]))

    def finish(self) -> tuple[Transition, ...]:
        """After RunEnded: judges everything that waits, up to the end; what people have not entered by now is inconclusive. Raises
        NeedsRebuild while the run has not ended."""
        if not self.ended:
            raise NeedsRebuild(f"run {self.plan.run} has not ended")
        judged = self.advance(upto=max([self._end, *(group.released for group in self._groups)]))
        self._finished = not self.needs_rebuild
        return self._in_order([*judged, *self._entered_transitions()])

    def result(self) -> RunResult:
        """The final result; what waits is judged first. Raises NeedsRebuild when `needs_rebuild`, or before RunEnded."""
        self.finish()
        if self.needs_rebuild:
            raise NeedsRebuild(f"run {self.plan.run} has gone past a late record: {', '.join(sorted(self.stale))}")
        return result_of(self.plan, self.how, self.states(), self._inputs())

    def joined(self) -> None:
        """A rebuilt evaluator has everything that is stored and goes on with live records: its tail shrinks to the usual one."""
        self._keep = TAIL
        for arrivals in self._arrivals.values():
            arrivals.shorten(TAIL)

    def snapshot(self) -> bytes:
        """Everything this evaluator knows, as bytes; `restore` continues from it as if nothing had happened."""
        return freeze(self)

    @classmethod
    def restore(cls, plan: RunPlan, snapshot: bytes) -> RunEvaluator:
        """Raises NeedsRebuild when the snapshot was taken under another plan or engine."""
        evaluator = cls(plan)
        if not thaw(evaluator, snapshot):
            raise NeedsRebuild(f"the snapshot of run {plan.run} was taken under another plan or engine")
        return evaluator

    def _release(self, group: Group, upto: Micros) -> bool:
        changed, given = group.release(upto, self._rows, self._held)
        for name, chunk in given:
            if chunk.bad is not None:
                self._count_bad(group, name, chunk)
                changed = True
        return changed

    def _transitions(self, groups: Sequence[Group]) -> list[Transition]:
        transitions = []
        for group in groups:
            for member in group.members:
                state = self._judge(group, member)
                before = self._outcomes[member.number]
                if state.outcome > before:
                    self._outcomes[member.number] = state.outcome
                    transitions.append(Transition(state.criterion, before, state.outcome, state))
        return transitions + self._never_begun() if self._over else transitions

    def _never_begun(self) -> list[Transition]:
        found = []
        for group in self._groups:
            for member in group.members:
                plan = self.plan.criteria[member.number]
                if self._outcomes[member.number] is Outcome.NONE and plan.phase not in self._phases:
                    state = self._judge(group, member)
                    self._outcomes[member.number] = state.outcome
                    found.append(Transition(plan.id, Outcome.NONE, state.outcome, state))
        return found

    def _entered_transitions(self) -> list[Transition]:
        transitions = []
        for name, before in self._entries.outcomes.items():
            state = self._entered_state(name)
            if state.outcome > before:
                transitions.append(Transition(name, before, state.outcome, state))
        self._entries.outcomes |= {change.criterion: change.after for change in transitions}
        return transitions

    def _in_order(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """In the order of the set."""
        if len(transitions) < 2:
            return tuple(transitions)
        places = {name: place for place, name in enumerate(self.plan.order)}
        return tuple(sorted(transitions, key=lambda change: places[change.criterion]))

    def _entered_state(self, criterion: str) -> CriterionState:
        return self._entries.state(criterion, final=self._finished, stale=criterion in self.stale)

    def _enter(self, record: Entry) -> None:
        """An outcome that shrinks by it is a new evaluation's: the criterion becomes stale."""
        if not self._entries.apply(record):
            return
        name = record.criterion
        if isinstance(record, DeviationAccepted):
            judged = zip(self.plan.criteria, self._outcomes, strict=True)
            self.stale.update(plan.id for plan, outcome in judged if plan.id == name and outcome is not Outcome.NONE)
        elif self._entered_state(name).outcome < self._entries.outcomes[name]:
            self.stale.add(name)

    def _judge(self, group: Group, member: Any) -> CriterionState:
        plan = self.plan.criteria[member.number]
        if plan.id in self._entries.waived:
            plan = replace(plan, calibration_expired=False)
        return judge(
            plan,
            member,
            group,
            self._rows,
            self._held,
            self._bad[member.number],
            run_ended=self._over,
            stale=plan.id in self.stale,
        )

    @property
    def phases(self) -> tuple[PhaseSpan, ...]:
        """The phases so far, in order of their start."""
        by_condition = {(what, name) for what, name, _ in self._watch.found}
        return tuple(
            PhaseSpan(
                phase=name,
                start=start,
                end=None if end == FAR else end,
                starts_by=CONDITION if (START, name) in by_condition else COMMAND,
                ends_itself=(END, name) in by_condition,
            )
            for name, (start, end) in sorted(self._phases.items(), key=lambda item: item[1])
        )

    @property
    def _over(self) -> bool:
        """Whether the run has ended and every boundary of it is known."""
        return self.ended and self._watch.settled

    def _phase_commanded(self, phase: str | None, at: Micros) -> None:
        """A command of the past, behind which the conditions have found their boundaries, asks for a rebuild."""
        when = self._watch.command(phase, at)
        if when is When.NOW:
            self._phase_started(phase, at)
        elif when is When.TOO_LATE or (phase is None and self._watch.lost):
            self._mark_all()

    def _phase_started(self, phase: str | None, at: Micros) -> None:
        """Ends the present phase at `at` and begins another; a phase that has been there before is not judged twice."""
        changed = []
        if self._phase is not None:
            self._phases[self._phase] = (self._phases[self._phase][0], at)
            changed.append(self._phase)
        self._phase = phase if phase not in self._phases else None
        if self._phase is not None:
            self._phases[self._phase] = (at, FAR)
            changed.append(self._phase)
        for name in changed:
            for group in self._groups:
                for lanes in group.lane_sets:
                    lanes.set_phase(name, *self._phases[name])
                if group.released >= at:
                    self._mark(group, lambda plan, name=name: bool(plan.phase == name))

    def _hold_changed(self, at: Micros, held: NDArray[np.int64]) -> None:
        self._held = held.astype(np.int64)
        for group in self._groups:
            if group.released >= at:
                self._mark(group, lambda plan: bool(plan.lane.stops and plan.phase == self._phase))

    def _mark_all(self) -> list[str]:
        return [name for group in self._groups for name in self._mark(group, lambda _: True)]

    def _late(self, group: Group, times: NDArray[np.int64], reach: Micros) -> list[str]:
        """The criteria whose phase, with the carry into it, a late row can touch."""
        first, last = int(times.min()), int(times.max())

        def touched(plan: Any) -> bool:
            start, end = self._phases.get(plan.phase, (last, FAR))
            return first < end and last >= start + reach

        return self._mark(group, touched)

    def _mark(self, group: Group, wanted: Any) -> list[str]:
        names = [plan.id for member in group.members if wanted(plan := self.plan.criteria[member.number])]
        self.stale.update(names)
        return names

    def _count_bad(self, group: Group, stream: str, chunk: Chunk) -> None:
        columns = self._columns
        for member in group.members:
            plan = self.plan.criteria[member.number]
            start, end = self._phases.get(plan.phase, (FAR, FAR))
            inside = (chunk.times >= start) & (chunk.times < end)
            for item in plan.signal.inputs:
                if item.stream != stream or chunk.bad is None:
                    continue
                marks = np.where(inside, chunk.bad[columns[item.path]], 0)
                self._bad[member.number] = counted(self._bad[member.number], marks, chunk.times)

    def _forget(self) -> None:
        for name, rows in self._rows.items():
            if not rows.chunks:
                continue
            passed = [group.released for group in self._by_stream[name]]
            rows.forget(min([*passed, self._watch.frontier] if name in self._watch.streams else passed))
            if rows.waiting() > MAX_WAITING_ROWS:
                for group in self._by_stream[name]:
                    if group.released < rows.chunks[-1].times[-1]:
                        group.behind = True
                        group.released = int(rows.chunks[-1].times[-1])
                self._watch.lost = self._watch.lost or (name in self._watch.streams and not self._watch.settled)
                rows.chunks = []

    def _inputs(self) -> list[object]:
        """The frames in force before the run's end, per stream and boot: their number and the chain over them; then what was entered."""
        listed: list[object] = []
        for (stream, boot), arrivals in sorted(self._arrivals.items()):
            count, link = arrivals.final(self._end)
            if count:
                listed.append([stream, boot, count, link])
        return [*listed, ["entered", self._entries.facts()]] if self._entries.records else listed
