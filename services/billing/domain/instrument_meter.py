"""One instrument in event time: rows and run changes in, segments out. A sequential loop over instants; the same rows give the same segments
however they are cut into batches.

At an instant, in this order: time up to it is accounted with what held before; at the start of a clock hour the segment closes and the carry
is kept as a checkpoint; rows are applied; values older than their `max_age` are dropped; conditions and rules are decided; the segment
closes where the outcome, the run's context or the annotation or reservation in force changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from services.billing.domain.annotations import Annotations
from services.billing.domain.conditions import ComparatorState, decide, due, observe, settle
from services.billing.domain.exact import NANO, nano
from services.billing.domain.local_hours import LocalHours
from services.billing.domain.meter_state import (
    INFERRED,
    MEASURED,
    UNKNOWN,
    Carry,
    Held,
    InstrumentState,
    OpenSegment,
    Provenance,
    Tally,
)
from services.billing.domain.provenance import evidence_of, include
from services.billing.domain.quantities import count_rows, quantities_of
from services.billing.domain.readings import Row
from services.billing.domain.reservations import Reservations
from services.billing.domain.run_timeline import RunTimeline
from services.billing.domain.segment import QuantityKind, RunContext, Segment
from services.billing.domain.state_model import InstrumentModel
from shared.kernel.times import DAY, Micros

STRETCH: Micros = 30 * DAY
"""Most event time that one call goes through: what closes in it, at least a segment each clock hour, is held in memory and written in one
transaction, however long ago a run has started."""
CHECKPOINTS = 30
"""Hours that can be recomputed without going back to the very first sample."""


@dataclass(frozen=True, slots=True)
class MeterIdentity:
    """What every segment of a line's meter says about itself."""

    model: str
    platform: str
    line: str


@dataclass(slots=True)
class InstrumentMeter:
    """The machine over an `InstrumentState`. Positions in `held` are those of `model.channels()`."""

    identity: MeterIdentity
    model: InstrumentModel
    hours: LocalHours
    timeline: RunTimeline
    notes: Annotations
    reservations: Reservations
    state: InstrumentState
    stretch: Micros = STRETCH
    _channels: dict[str, list[tuple[int, int]]] = field(init=False)
    _max_ages: list[Micros] = field(init=False)
    _condition_channels: list[int] = field(init=False)
    _quantity_channels: list[int] = field(init=False)
    _reserved: list[int] = field(init=False)

    def __post_init__(self) -> None:
        channels = self.model.channels()
        place = {ref: position for position, ref in enumerate(channels)}
        self._channels = {}
        for ref in channels:
            of_stream = self._channels.setdefault(ref.stream, [])
            of_stream.append((len(of_stream), place[ref]))
        self._max_ages = [ref.max_age for ref in channels]
        self._condition_channels = [place[condition.channel] for condition in self.model.conditions]
        self._quantity_channels = [
            -1 if rule.channel is None else place[rule.channel] for rule in self.model.quantities
        ]
        self._reserved = [
            position for position, rule in enumerate(self.model.quantities) if rule.kind is QuantityKind.RESERVED
        ]

    @property
    def frontier(self) -> Micros | None:
        """Everything at or before it is processed; None before the first instant."""
        return None if self.state.carry is None else self.state.carry.now

    @property
    def settled(self) -> Micros | None:
        """What is learnt about an instant up to here comes late; None when nothing does."""
        return self.frontier if self.state.redo_to is None else self.state.redo_from

    @property
    def fed(self) -> Micros | None:
        """Rows up to here come from storage when they are needed again; later ones are kept as they arrive."""
        return self.frontier if self.state.redo_to is None else self.state.redo_to

    @property
    def waits_since(self) -> Micros | None:
        """The instant from which this has to be computed again; None when nothing has."""
        return self.state.redo_from if self.state.stale_since is None else self.state.stale_since

    def advance(self, to: Micros) -> list[Segment]:
        """Process every instant up to and including `to`, but no more than a stretch; the segments that closed, in order of time."""
        state = self.state
        if state.carry is None:
            self._begin()
        if state.carry is not None:
            to = min(to, state.carry.now + self.stretch)
        if state.carry is None or to < state.carry.now or (to == state.carry.now and state.open is not None):
            return []
        released = self._release(to)
        closed: list[Segment] = []
        index = 0
        while (at := self._next_instant(released, index)) <= to:
            rows: list[tuple[str, Row]] = []
            while index < len(released) and released[index][1].at == at:
                rows.append(released[index])
                index += 1
            self._instant(at, rows, closed)
        self._accumulate(to)
        return closed

    def provisional(self) -> Segment | None:
        """The open segment up to the frontier, None while it has no length."""
        open_, carry = self.state.open, self.state.carry
        if open_ is None or carry is None or open_.start == carry.now:
            return None
        return self._segment(open_, carry, provisional=True)

    def restart_point(self, instant: Micros) -> Micros:
        """Start of what has to be computed again when something is learnt about `instant`: a checkpoint, or before the origin."""
        hour = self.hours.cell(instant).start
        if any(checkpoint.now <= hour for checkpoint in self.state.checkpoints):
            return max(checkpoint.now for checkpoint in self.state.checkpoints if checkpoint.now <= hour)
        return hour if self.state.origin is None else min(hour, self.state.origin)

    def restart(self, since: Micros) -> None:
        """Go back to the checkpoint at `since`, or to nothing when there is none. The caller feeds the rows from `since` to `redo_to` again."""
        state = self.state
        reached = [at for at in (self.frontier, state.redo_to) if at is not None]
        state.redo_from, state.redo_to = since, max(reached, default=since)
        kept = [checkpoint for checkpoint in state.checkpoints if checkpoint.now <= since]
        state.carry = deepcopy(kept[-1]) if kept and kept[-1].now == since else None
        state.checkpoints = kept if state.carry is not None else []
        state.open, state.stale_since = None, None
        if state.carry is None:
            state.origin, state.first_row = None, None

    def take(self, stream: str, rows: list[Row]) -> None:
        """Keep rows for the time the frontier reaches them."""
        if not rows:
            return
        self.state.pending.setdefault(stream, []).extend(rows)
        first = min(row.at for row in rows)
        if self.state.first_row is None or first < self.state.first_row:
            self.state.first_row = first

    def _begin(self) -> None:
        known = [at for at in (self.state.first_row, self.timeline.first_at()) if at is not None]
        if not known:
            return
        origin = self.hours.cell(min(known)).start
        self.state.origin = origin
        self.state.carry = Carry(
            now=origin,
            held=[None] * len(self._max_ages),
            comparators=[ComparatorState() for _ in self.model.conditions],
            registers=[0] * len(self.model.quantities),
        )

    def _release(self, to: Micros) -> list[tuple[str, Row]]:
        released: list[tuple[str, Row]] = []
        for stream, rows in self.state.pending.items():
            released.extend((stream, row) for row in rows if row.at <= to)
            self.state.pending[stream] = [row for row in rows if row.at > to]
        released.sort(key=lambda item: (item[1].at, item[0], item[1].boot, item[1].seq, item[1].row))
        return released

    def _next_instant(self, released: Sequence[tuple[str, Row]], index: int) -> Micros:
        carry = self._carry()
        if self.state.open is None:
            return carry.now
        instants = [self.state.hour_end]
        if index < len(released):
            instants.append(released[index][1].at)
        changes = (
            self.timeline.next_change(carry.now),
            self.notes.of(self.model.instrument).next_change(carry.now),
            self.reservations.next_change(self.model.instrument, carry.now),
        )
        instants.extend(change for change in changes if change is not None)
        if carry.basis == INFERRED and carry.unknown_since is not None:
            instants.append(carry.unknown_since + self.model.gap.hold)
        for held, max_age in zip(carry.held, self._max_ages, strict=True):
            if held is not None:
                instants.append(held.at + max_age)
        for comparator, condition in zip(carry.comparators, self.model.conditions, strict=True):
            if (change := due(comparator, condition)) is not None:
                instants.append(change)
        return min(instants)

    def _instant(self, at: Micros, rows: list[tuple[str, Row]], closed: list[Segment]) -> None:
        state = self.state
        self._accumulate(at)
        if state.open is None or at >= state.hour_end:
            self._close(closed)
            self._start_hour(at)
        edges = self._observe(at, rows)
        context = self.reservations.context(self.model.instrument, at, self.timeline.context(at))
        outcome, note = self._decide(at, context), self.notes.of(self.model.instrument).at(at)
        if state.open is not None and (state.open.outcome, state.open.context, state.open.note) != (
            outcome,
            context,
            note,
        ):
            self._close(closed)
        if state.open is None:
            state.open = self._opened(at, outcome, context, note)
        self._count(state.open, rows, edges)

    def _accumulate(self, to: Micros) -> None:
        carry, open_ = self._carry(), self.state.open
        elapsed = to - carry.now
        if open_ is None or elapsed == 0:
            return
        if carry.basis == MEASURED:
            open_.measured += elapsed
        elif carry.basis == INFERRED:
            open_.inferred += elapsed
        else:
            open_.unknown += elapsed
        for position, channel in enumerate(self._quantity_channels):
            held = carry.held[channel] if channel >= 0 else None
            if held is not None:
                carry.registers[position] += held.nano * elapsed
                open_.tallies[position].covered += elapsed
        for position in self._reserved if open_.context.reservation else ():
            carry.registers[position] += NANO * elapsed
            open_.tallies[position].covered += elapsed
        carry.now = to

    def _start_hour(self, at: Micros) -> None:
        carry, state = self._carry(), self.state
        carry.registers = [0] * len(self.model.quantities)
        state.hour_end = self.hours.cell(at).end
        if not state.checkpoints or state.checkpoints[-1].now < at:
            state.checkpoints.append(deepcopy(carry))
            del state.checkpoints[:-CHECKPOINTS]

    def _observe(self, at: Micros, rows: list[tuple[str, Row]]) -> list[str]:
        """Apply rows, drop what is too old, move the comparators; names of the conditions that turned on."""
        carry = self._carry()
        touched: set[int] = set()
        for stream, row in rows:
            for column, channel in self._channels.get(stream, ()):
                value = row.values[column]
                if value is not None:
                    carry.held[channel] = Held(value, nano(value), at, row.frame)
                    touched.add(channel)
                elif column in row.bad:
                    carry.held[channel] = None
                    touched.add(channel)
        for channel, max_age in enumerate(self._max_ages):
            held = carry.held[channel]
            if held is not None and held.at + max_age <= at:
                carry.held[channel] = None
                touched.add(channel)
        edges: list[str] = []
        for index, condition in enumerate(self.model.conditions):
            comparator, channel = carry.comparators[index], self._condition_channels[index]
            before = comparator.output
            if channel in touched:
                held = carry.held[channel]
                observe(comparator, condition, None if held is None else held.value, at)
            else:
                settle(comparator, condition, at)
            if before is False and comparator.output:
                edges.append(condition.name)
        return edges

    def _decide(self, at: Micros, context: RunContext) -> int:
        """Index of the outcome: a rule's, then the default's, then the gap's."""
        carry = self._carry()
        conditions = {
            condition.name: comparator.output if carry.held[channel] is not None else None
            for condition, comparator, channel in zip(
                self.model.conditions, carry.comparators, self._condition_channels, strict=True
            )
        }
        decided: int | None = len(self.model.rules)
        for index, rule in enumerate(self.model.rules):
            holds = decide(rule.when, conditions, context)
            if holds is not False:
                decided = index if holds else None
                break
        if decided is not None:
            carry.known, carry.unknown_since, carry.basis = decided, None, MEASURED
            return decided
        if carry.unknown_since is None:
            carry.unknown_since = at
        if carry.known is None or at >= carry.unknown_since + self.model.gap.hold:
            carry.basis = UNKNOWN
            return len(self.model.rules) + 1
        carry.basis = INFERRED
        return carry.known

    def _opened(self, at: Micros, outcome: int, context: RunContext, note: str) -> OpenSegment:
        carry = self._carry()
        provenance = Provenance()
        for held in carry.held:
            if held is not None:
                include(provenance, held.frame)
        tallies = [Tally(opened_at=register) for register in carry.registers]
        return OpenSegment(
            start=at, outcome=outcome, context=context, tallies=tallies, provenance=provenance, note=note
        )

    def _count(self, open_: OpenSegment, rows: list[tuple[str, Row]], edges: list[str]) -> None:
        """Take an instant's rows, maxima and edges into the segment that holds it."""
        carry = self._carry()
        for _, row in rows:
            include(open_.provenance, row.frame)
        open_.provenance.samples += len(rows)
        count_rows(self.model.quantities, carry.registers, rows)
        for rule, channel, tally in zip(self.model.quantities, self._quantity_channels, open_.tallies, strict=True):
            if rule.kind is QuantityKind.COUNT:
                tally.count += edges.count(rule.condition or "")
            held = carry.held[channel] if channel >= 0 else None
            if rule.kind is QuantityKind.MAXIMUM and held is not None:
                tally.maximum = held.nano if tally.maximum is None else max(tally.maximum, held.nano)

    def _close(self, closed: list[Segment]) -> None:
        state, carry = self.state, self._carry()
        if state.open is None:
            return
        closed.append(self._segment(state.open, carry))
        state.open = None

    def _segment(self, open_: OpenSegment, carry: Carry, *, provisional: bool = False) -> Segment:
        outcomes = [*(rule.outcome for rule in self.model.rules), self.model.default, self.model.gap.outcome]
        outcome, annotation = outcomes[open_.outcome], None
        if open_.note:
            outcome, annotation = self.notes.explain(open_.note, outcome)
        return Segment(
            model=self.identity.model,
            platform=self.identity.platform,
            line=self.identity.line,
            instrument=self.model.instrument,
            start=open_.start,
            end=carry.now,
            outcome=outcome,
            context=open_.context,
            measured=open_.measured,
            inferred=open_.inferred,
            unknown=open_.unknown,
            quantities=quantities_of(self.model.quantities, open_.tallies, carry.registers),
            evidence=evidence_of(open_.provenance),
            revision=open_.revision,
            provisional=provisional,
            annotation=annotation,
        )

    def _carry(self) -> Carry:
        carry = self.state.carry
        assert carry is not None, "an instrument has a carry from its first instant on"
        return carry
