"""The meter of one line: frames and run records in log order, segments out; pure, with a snapshot (B-1 … B-4).

    meter = LineMeter(MeterPlan.build(model, platform, streams))        # or LineMeter.restore(plan, snapshot)
    for record in batch:                                                # in log order
        meter.add_frame(readings_of(frame, partition, offset))          # accepted | duplicate | ignored | unknown_version
        meter.apply(lifecycle_record)
    segments = meter.advance()                                          # once per batch: closed segments, each with revision 0
    # ONE transaction: insert segments, outbox rows of usage_event(segment), meter.snapshot(), position
    if meter.stale is not None:                                         # something late: Stale(instruments, streams, since, until)
        # when the sink's position has passed every offset this meter was fed:
        frames = stored frames of stale.streams with a sample in [stale.since, stale.until], as `Readings`
        emitted = the last revision (void ones too) of every segment of stale.instruments with stale.since <= start < stale.until,
                  those that `advance` gave in this very batch included
        segments = meter.rebuild(frames, emitted)                       # superseding and void revisions, only where content changed
    # `advance` and `rebuild` go through STRETCH of event time and no more: while meter.behind or meter.stale is not None, again in a transaction of
    # its own. Cut anywhere, the segments are the same.
    live = meter.provisional()                                          # open segments up to the frontier, never an event

An instrument's frontier is the least watermark of its streams; nobody waits for a stream more than the model's `patience` behind the line's
newest sample, nor, once a run has ended, for anything before its end. What arrives behind the frontier is late, makes the instrument stale
from that clock hour on and changes nothing until `rebuild`. A person's note on, or a reservation of, time that is metered
already is late in the same way. So the segments in force are a function of the set of records, not of their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from services.billing.domain.annotations import Annotations, NoteRecord
from services.billing.domain.instrument_meter import STRETCH, InstrumentMeter, MeterIdentity
from services.billing.domain.local_hours import local_hours
from services.billing.domain.meter_state import InstrumentState, LineState
from services.billing.domain.readings import Readings, SeenSequences, rows_of
from services.billing.domain.reservations import ReservationRecord, Reservations
from services.billing.domain.run_timeline import RunTimeline
from services.billing.domain.segment import Segment
from services.billing.domain.state_model import StateModel
from shared.contracts.lifecycle import (
    AnnotationWithdrawn,
    Entry,
    GapSeen,
    InstrumentAnnotated,
    InstrumentReserved,
    LineRecord,
    ReservationCancelled,
    RunEnded,
)
from shared.contracts.registry import Platform, Stream
from shared.kernel.times import Micros


class Arrival(StrEnum):
    """What became of a frame. `unknown_version`: its registry version is not in the plan; `learn` it and add the frame again."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    UNKNOWN_VERSION = "unknown_version"


@dataclass(frozen=True, slots=True)
class Stale:
    """These instruments have to be computed again from `since`, from the stored frames of `streams`; up to and including `until` in one call."""

    instruments: tuple[str, ...]
    streams: tuple[str, ...]
    since: Micros
    until: Micros


@dataclass(frozen=True, slots=True)
class MeterPlan:
    """A state model, its platform (zone of hours and days) and the registry versions of its streams by (stream id, version)."""

    model: StateModel
    platform: Platform
    streams: Mapping[tuple[str, int], Stream]

    @staticmethod
    def build(model: StateModel, platform: Platform, streams: Iterable[Stream]) -> MeterPlan:
        return MeterPlan(model, platform, {(stream.id, stream.version): stream for stream in streams})


class LineMeter:
    """See the module's text. One per line; not shared between threads. `stretch` is at least two hours."""

    def __init__(self, plan: MeterPlan, state: LineState | None = None, *, stretch: Micros = STRETCH) -> None:
        model = plan.model
        self.plan = plan
        self._stretch = stretch
        self._streams = dict(plan.streams)
        self._state = state or LineState(
            model=model.digest,
            instruments={instrument.instrument: InstrumentState() for instrument in model.instruments},
        )
        self._timeline = RunTimeline(self._state.records)
        self._notes = Annotations(self._state.notes)
        self._reservations = Reservations(self._state.reservations)
        identity = MeterIdentity(model.digest, plan.platform.id, model.line)
        self._hours = hours = local_hours(plan.platform.time_zone)
        self._meters = {
            instrument.instrument: InstrumentMeter(
                identity,
                instrument,
                hours,
                self._timeline,
                self._notes,
                self._reservations,
                self._state.instruments[instrument.instrument],
                stretch,
            )
            for instrument in model.instruments
        }

    @staticmethod
    def restore(plan: MeterPlan, snapshot: bytes, *, stretch: Micros = STRETCH) -> LineMeter:
        """The meter as it was. Raises ValueError when the snapshot was made under another state model."""
        state = msgspec.json.decode(snapshot, type=LineState)
        if state.model != plan.model.digest:
            raise ValueError(f"the snapshot belongs to state model {state.model}, not {plan.model.digest}")
        return LineMeter(plan, state, stretch=stretch)

    def snapshot(self) -> bytes:
        return msgspec.json.encode(self._state)

    def learn(self, stream: Stream) -> None:
        """Know one more registry version of a stream."""
        self._streams[stream.id, stream.version] = stream

    def add_frame(self, readings: Readings) -> Arrival:
        """Take a frame. The first of a (stream, boot, seq) stays in force: any later one, whatever it says, is a duplicate here and a
        matter for the sink."""
        if readings.stream not in self.plan.model.streams():
            return Arrival.IGNORED
        if (readings.stream, readings.registry_version) not in self._streams:
            return Arrival.UNKNOWN_VERSION
        boots = self._state.seen.setdefault(readings.stream, {})
        if not boots.setdefault(readings.boot, SeenSequences()).add(readings.seq):
            return Arrival.DUPLICATE
        first, last = int(readings.times.min()), int(readings.times.max())
        for meter in self._meters.values():
            if readings.stream not in meter.model.streams():
                continue
            settled = meter.settled
            meter.take(readings.stream, rows_of(readings, self._columns(meter, readings), meter.fed))
            marks = meter.state.watermarks
            marks[readings.stream] = max(marks.get(readings.stream, last), last)
            if settled is not None and first <= settled:
                self._make_stale(meter, first)
        return Arrival.ACCEPTED

    def apply(self, record: LineRecord) -> bool:
        """Take a run record, a person's note or a reservation. False when it was known, or does not concern the meter (gaps show in the
        readings; what people enter of a run is the verification's).

        Raises Reject(annotation_text | annotation_range | annotation_responsible | reservation_range | reservation_text).
        """
        if isinstance(record, GapSeen | Entry):
            return False
        if isinstance(record, InstrumentAnnotated | AnnotationWithdrawn):
            return self._annotate(record)
        if isinstance(record, InstrumentReserved | ReservationCancelled):
            return self._reserve(record)
        if not self._timeline.add(record):
            return False
        if isinstance(record, RunEnded):
            self._state.forced = max(record.at, self._state.forced or record.at)
        for meter in self._meters.values():
            if meter.settled is not None and record.at <= meter.settled:
                self._make_stale(meter, record.at)
        return True

    def _annotate(self, record: NoteRecord) -> bool:
        meter = self._meters.get(record.instrument)
        if meter is None:
            return False
        note = self._notes.add(record)
        if note is not None:
            self._say_again(meter, note.from_, note.to)
        return note is not None

    def _reserve(self, record: ReservationRecord) -> bool:
        meter = self._meters.get(record.instrument)
        if meter is None:
            return False
        span = self._reservations.add(record)
        if span is not None:
            self._say_again(meter, *span)
        return span is not None

    def advance(self) -> list[Segment]:
        """Process what may be processed, a stretch of each instrument at most; the segments that closed, by instrument and time."""
        closed: list[Segment] = []
        for meter in self._meters.values():
            frontier = self._frontier(meter)
            if frontier is not None and meter.state.redo_to is None:
                closed.extend(meter.advance(frontier))
        return closed

    @property
    def behind(self) -> Micros | None:
        """From where `advance` has to go on although nothing new comes, None when it has done everything."""
        reached = [
            meter.frontier
            for meter in self._meters.values()
            if meter.frontier is not None
            and meter.state.redo_to is None
            and meter.frontier < (self._frontier(meter) or meter.frontier)
        ]
        return min(reached, default=None)

    def provisional(self) -> list[Segment]:
        """The open segments up to their frontiers, marked provisional."""
        return [segment for meter in self._meters.values() if (segment := meter.provisional()) is not None]

    @property
    def stale(self) -> Stale | None:
        """What the next `rebuild` is for, None when nothing has to be rebuilt."""
        waiting = {name: at for name, meter in self._meters.items() if (at := meter.waits_since) is not None}
        if not waiting:
            return None
        since = min(waiting.values())
        until = self._hours.cell(since + self._stretch).start
        names = tuple(name for name, at in waiting.items() if at < until)
        return Stale(
            instruments=names,
            streams=tuple(sorted({stream for name in names for stream in self._meters[name].model.streams()})),
            since=since,
            until=until,
        )

    def rebuild(self, frames: Iterable[Readings], emitted: Iterable[Segment]) -> list[Segment]:
        """Compute stale instruments again, up to `stale.until`; the revisions that say what changed. What was metered before and lies behind it
        stays stale; when nothing does, the meter goes on live.

        `frames`: every stored frame of the stale streams with a sample in [stale.since, stale.until], in any order. Frames this meter has not
        been fed yet are left for later. `emitted`: the last revision of every segment of those instruments that starts in
        [stale.since, stale.until).
        """
        stale = self.stale
        if stale is None:
            return []
        waiting = {name: self._meters[name] for name in stale.instruments}
        since = {name: meter.waits_since or 0 for name, meter in waiting.items()}
        for name, meter in waiting.items():
            if meter.state.stale_since is not None:
                meter.restart(since[name])
        targets = {name: min(stale.until, meter.state.redo_to or 0) for name, meter in waiting.items()}
        self._feed_again(waiting, since, targets, frames)
        known: dict[str, dict[Micros, Segment]] = {name: {} for name in waiting}
        for segment in emitted:
            if segment.instrument in waiting and since[segment.instrument] <= segment.start < stale.until:
                known[segment.instrument][segment.start] = segment
        revisions: list[Segment] = []
        for name, meter in waiting.items():
            revisions.extend(_differences(meter, meter.advance(targets[name]), known[name]))
            state = meter.state
            if state.redo_to == targets[name]:
                state.redo_from = state.redo_to = None
            else:
                state.redo_from = stale.until
        return revisions

    def _feed_again(
        self,
        meters: Mapping[str, InstrumentMeter],
        since: Mapping[str, Micros],
        targets: Mapping[str, Micros],
        frames: Iterable[Readings],
    ) -> None:
        """Rows of [since, target], without the instant up to which an open segment has taken them already."""
        after = {
            name: since[name] if meter.state.open is not None else since[name] - 1 for name, meter in meters.items()
        }
        taken: set[tuple[str, str, int]] = set()
        for readings in frames:
            identity = (readings.stream, readings.boot, readings.seq)
            if identity in taken or not self._has_seen(*identity):
                continue
            taken.add(identity)
            for name, meter in meters.items():
                if readings.stream in meter.model.streams():
                    rows = rows_of(readings, self._columns(meter, readings), after[name])
                    meter.take(readings.stream, [row for row in rows if row.at <= targets[name]])

    def _columns(self, meter: InstrumentMeter, readings: Readings) -> list[int]:
        stream = self._streams[readings.stream, readings.registry_version]
        return [stream.index(ref.channel) for ref in meter.model.channels() if ref.stream == readings.stream]

    def _has_seen(self, stream: str, boot: str, seq: int) -> bool:
        sequences = self._state.seen.get(stream, {}).get(boot)
        return sequences is not None and seq in sequences

    def _say_again(self, meter: InstrumentMeter, start: Micros, end: Micros) -> None:
        """What was learnt about [start, end) makes the part of it that is metered stale."""
        origin, settled = meter.state.origin, meter.settled
        if origin is not None and settled is not None and start <= settled and end > origin:
            self._make_stale(meter, max(start, origin))

    def _make_stale(self, meter: InstrumentMeter, instant: Micros) -> None:
        since = meter.restart_point(instant)
        known = meter.state.stale_since
        meter.state.stale_since = since if known is None else min(known, since)

    def _frontier(self, meter: InstrumentMeter) -> Micros | None:
        marks = meter.state.watermarks
        newest = [mark for other in self._meters.values() for mark in other.state.watermarks.values()]
        bounds = [self._state.forced] if self._state.forced is not None else []
        if newest:
            bounds.append(max(newest) - self.plan.model.patience)
        if all(stream in marks for stream in meter.model.streams()) and marks:
            bounds.append(min(marks.values()))
        return max(bounds) if bounds else None


def _differences(meter: InstrumentMeter, closed: list[Segment], known: dict[Micros, Segment]) -> list[Segment]:
    """Revisions that bring `known` (last revisions by start) to `closed`; equal content stays as it is."""
    revisions: list[Segment] = []
    for segment in closed:
        before = known.pop(segment.start, None)
        if before is None:
            revisions.append(segment)
        elif before.content_digest() != segment.content_digest():
            revisions.append(replace(segment, revision=before.revision + 1))
    for before in known.values():
        if not before.void:
            revisions.append(replace(before, revision=before.revision + 1, void=True))
    open_ = meter.state.open
    if open_ is not None and open_.start in known:
        before = known[open_.start]
        open_.revision = before.revision + (1 if before.void else 2)
    return sorted(revisions, key=lambda segment: (segment.start, segment.revision))
