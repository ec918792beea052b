"""Phases that begin or end by a condition on telemetry (V-3): the boundary is found in event time, whatever the cuts of the data.

A condition is a formula without temporal operators and a duration. It is looked at by the held value: on a stretch [a, b) on which it has
held without interruption, the boundary is max(a, A) + duration, if that is not behind b; A is when the condition was armed. The start of a
phase is armed when the phase before it in the set begins (of the first phase: when the run starts), its end when the phase itself begins.

Commands win when they come first: whichever is earlier in event time begins the phase, a command at equal times. A command for a phase that
a condition has begun is ignored. So that a boundary is known before anything behind it is judged, no criterion goes past the conditions that
may still come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.verification.domain import criteria_model as model
from services.verification.domain.conditions import compile_condition
from services.verification.domain.durations import micros_of
from services.verification.domain.kinds.lanes import FAR
from services.verification.domain.merging import MergedSignal
from services.verification.domain.rows import StreamRows
from services.verification.domain.signals import Channels, SignalPlan
from shared.kernel.times import Micros

NEVER = -FAR
START, END = "start", "end"
COMMAND, CONDITION = "command", "condition"


class When(Enum):
    """When a command takes effect: now; in its turn among the conditions' boundaries; too late, behind boundaries that were found without
    it, which asks for a rebuild; or never, because a condition has begun its phase."""

    NOW = "now"
    IN_TURN = "in_turn"
    TOO_LATE = "too_late"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ConditionPlan:
    """A condition, compiled: its margin is not negative where it holds; `lasting` is how long it has to (µs)."""

    what: str
    place: int
    signal: SignalPlan
    lasting: Micros


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase [start, end) of a run; `end` None while it lasts. `starts_by`: command or condition. `ends_itself`: by a condition of its own,
    and not by the phase that follows or the run's end."""

    phase: str
    start: Micros
    end: Micros | None
    starts_by: str
    ends_itself: bool


def compile_conditions(criteria: model.CriteriaSet, channels: Channels) -> tuple[ConditionPlan, ...]:
    """Raises Invalid(criteria_condition | criteria_unknown_channel | criteria_unit | criteria_horizon) with the field at fault."""
    return tuple(
        compile_boundary(phase, place, what, channels)
        for place, phase in enumerate(criteria.phases)
        for what in (START, END)
        if getattr(phase, f"{what}s_when") is not None
    )


def compile_boundary(phase: model.Phase, place: int, what: str, channels: Channels) -> ConditionPlan:
    """Raises Invalid as `compile_conditions` does."""
    given, where = getattr(phase, f"{what}s_when"), f"phases[{place}].{what}s_when"
    lasting = 0 if given.held_for is None else micros_of(given.held_for, f"{where}.for", least=0)
    return ConditionPlan(what, place, compile_condition(given.formula, channels, f"{where}.formula"), lasting)


@dataclass(slots=True)
class Watched:
    """A condition while its samples pass. `since`: from when on it has held without interruption, NEVER when it does not; `until`: to
    where its present value holds."""

    plan: ConditionPlan
    merged: MergedSignal
    since: Micros = NEVER
    until: Micros = NEVER
    stretches: list[tuple[Micros, Micros]] = field(default_factory=list)

    def read(self, rows: Mapping[str, StreamRows], columns: Mapping[str, int], after: Micros, upto: Micros) -> None:
        """Takes in the rows with after < t <= upto; `stretches` are then those on which it has held, up to there."""
        times, until, values = self._points(rows, columns, after, upto)
        if not times.size:
            self.stretches = [] if self.since == NEVER else [(self.since, self.until)]
            return
        found: list[tuple[Micros, Micros]] = []
        holds = values >= 0.0
        change = np.flatnonzero(_breaks(times, until, holds))
        for first, behind in zip(change.tolist(), [*change[1:].tolist(), times.size], strict=True):
            start, stop = int(times[first]), int(until[behind - 1])
            if behind < times.size:
                stop = min(stop, int(times[behind]))
            if first == 0 and self.since != NEVER:
                held_to = min(self.until, start)
                if held_to < start or not holds[0]:
                    found.append((self.since, held_to))
                else:
                    start = self.since
            self.since, self.until = (start, stop) if holds[first] else (NEVER, stop)
            if self.since != NEVER:
                found.append((start, stop))
        self.stretches = found

    def reached(self, armed: Micros, upto: Micros) -> Micros | None:
        """The first instant at which it has held long enough since it was armed, as far as is known up to `upto`."""
        for start, stop in self.stretches:
            at = max(start, armed) + self.plan.lasting
            if (at <= stop if self.plan.lasting else at < stop) and at <= upto:
                return at
        return None

    def _points(
        self, rows: Mapping[str, StreamRows], columns: Mapping[str, int], after: Micros, upto: Micros
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        times: list[NDArray[np.int64]] = []
        values: list[NDArray[np.float64]] = []
        places: list[NDArray[np.int64]] = []
        spans: dict[str, tuple[int, int, int, int]] = {}
        t_at = x_at = r_at = 0
        for name in self.plan.signal.streams:
            chunk = rows[name].between(after, upto)
            n = 0 if chunk is None else chunk.times.shape[0]
            spans[name] = (t_at, n, x_at, r_at)
            if chunk is not None:
                times.append(chunk.times)
                values.append(chunk.values.ravel())
                places.append(chunk.positions.ravel())
                t_at, x_at, r_at = t_at + n, x_at + chunk.values.size, r_at + 2 * n
        if not times:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        given = [
            (t0, n, x0 + columns[item.path] * n, r0)
            for item in self.plan.signal.inputs
            for t0, n, x0, r0 in [spans[item.stream]]
        ]
        t, u, x, _ = self.merged.points(np.concatenate(times), np.concatenate(values), np.concatenate(places), given)
        return t, u, x


def _breaks(times: NDArray[np.int64], until: NDArray[np.int64], holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a stretch begins: at the first point, where the truth changes, and behind a hole in the data."""
    found = np.ones(times.size, np.bool_)
    found[1:] = (holds[1:] != holds[:-1]) | (until[:-1] < times[1:])
    return found


class PhaseWatch:
    """The boundaries of a run: those of its commands, which come in log order, and those of its conditions."""

    def __init__(self, phases: Sequence[str], conditions: Sequence[ConditionPlan], start: Micros) -> None:
        self.phases = tuple(phases)
        self.watched = [Watched(plan, MergedSignal(plan.signal)) for plan in conditions]
        self.streams = frozenset(name for plan in conditions for name in plan.signal.streams)
        self.reached: Micros = NEVER
        self.place = -1
        self.armed: Micros = start
        self.current: str | None = None
        self.begun: set[str] = set()
        self.commands: list[tuple[Micros, str | None]] = []
        self.found: list[tuple[str, str, Micros]] = []
        self.settled = not conditions
        self.lost = False  # rows that a condition waited with were dropped: only a rebuild can go on

    @property
    def frontier(self) -> Micros:
        """How far the boundaries are known."""
        return FAR if self.settled else self.reached

    def command(self, phase: str | None, at: Micros) -> When:
        """A phase begins by a command; None: the run ends."""
        if at > self.reached and not self.settled:
            self.commands.append((at, phase))
            self.commands.sort(key=lambda item: item[0])
            return When.IN_TURN
        unchanged = phase is None and not any(found >= at for _, _, found in self.found)
        if at <= self.reached and not unchanged:
            return When.TOO_LATE
        self.settled = self.settled or phase is None
        return When.NOW if self._counts(phase) else When.NEVER

    def advance(
        self, rows: Mapping[str, StreamRows], columns: Mapping[str, int], upto: Micros | None, end: Micros
    ) -> list[tuple[str | None, Micros]]:
        """Finds the boundaries as far as the rows are known: up to `upto`, or to the slowest stream of a condition that may still come.
        Answers (phase that begins, or None where one ends, at) in order of time."""
        made: list[tuple[str | None, Micros]] = []
        while not self.settled:
            needed = self._needed()
            names = {name for watched in needed for name in watched.plan.signal.streams}
            known = min((rows[name].watermark for name in names), default=FAR) if upto is None else upto
            known = min(known, end)
            if needed and known <= self.reached:
                break
            last = min(known, end - 1)
            for watched in needed:
                watched.read(rows, columns, self.reached, last)
            before = len(made)
            while (event := self._next(known, last)) is not None:
                made += self._take(*event)
                if not self._needed():
                    break
            self.reached = max(self.reached, known)
            if not self._needed() or known >= end:
                self.settled = True
                self.reached = made[-1][1] if made else self.reached
                made += [(phase, at) for at, phase in self.commands if self._counts(phase)]
                self.commands = []
            elif len(made) == before:
                break
        return made

    def _needed(self) -> list[Watched]:
        """The conditions that may still find a boundary."""
        return [
            watched
            for watched in self.watched
            if watched.plan.place > self.place
            or (watched.plan.what == END and watched.plan.place == self.place and self._is_current(watched))
        ]

    def _is_current(self, watched: Watched) -> bool:
        return self.current == self.phases[watched.plan.place]

    def _next(self, known: Micros, last: Micros) -> tuple[Micros, int, str | None, Watched | None] | None:
        """The earliest boundary up to `known`: (at, order at equal times, phase, its condition)."""
        candidates: list[tuple[Micros, int, str | None, Watched | None]] = []
        if self.commands and self.commands[0][0] <= known:
            candidates.append((self.commands[0][0], 0, self.commands[0][1], None))
        for watched in self.watched:
            starts = watched.plan.what == START
            armed = watched.plan.place == self.place + 1 if starts else watched.plan.place == self.place
            if not armed or (not starts and not self._is_current(watched)):
                continue
            at = watched.reached(self.armed, last)
            if at is not None:
                candidates.append(
                    (at, 1 if starts else 2, self.phases[watched.plan.place] if starts else None, watched)
                )
        return min(candidates, key=lambda item: item[:2], default=None)

    def _take(
        self, at: Micros, _order: int, phase: str | None, watched: Watched | None
    ) -> list[tuple[str | None, Micros]]:
        if watched is None:
            self.commands.pop(0)
            if not self._counts(phase):
                return []
        else:
            self.found.append((watched.plan.what, self.phases[watched.plan.place], at))
        self.current = None if phase in self.begun else phase
        if phase is not None and phase not in self.begun:
            self.begun.add(phase)
            if phase in self.phases:
                self.place = max(self.place, self.phases.index(phase))
                self.armed = at
        return [(phase, at)]

    def _counts(self, phase: str | None) -> bool:
        """A command for a phase that a condition has begun changes nothing."""
        return not any(what == START and name == phase for what, name, _ in self.found)
