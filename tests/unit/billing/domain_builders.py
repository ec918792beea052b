"""A small line, its state model, frames, and a worker in miniature: what a meter process does with its records, without Kafka and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID, uuid5

import numpy as np

from services.billing.domain.e10 import EquipmentState, Responsible, StateOutcome
from services.billing.domain.instrument_meter import STRETCH
from services.billing.domain.ledger import LedgerRow, ledger_row
from services.billing.domain.line_meter import LineMeter, MeterPlan
from services.billing.domain.readings import Readings, readings_of
from services.billing.domain.run_timeline import RunRecord
from services.billing.domain.segment import (
    Evidence,
    MeteredQuantity,
    OffsetRange,
    QuantityKind,
    RunContext,
    Segment,
    SequenceRange,
)
from services.billing.domain.state_model_file import load_state_model
from services.billing.domain.usage import parse_usage, usage_event
from shared.contracts.events import decode_event, encode_event
from shared.contracts.frame import build_frame
from shared.contracts.lifecycle import LineRecord, PhaseStarted, RunEnded, RunHeld, RunRestarted, RunStarted
from shared.contracts.registry import Channel, Name, Platform, Stream
from shared.kernel.ids import NAMESPACE
from shared.kernel.times import MINUTE, SECOND, Micros

T0: Micros = 1_772_380_800_000_000
"""2026-03-02T00:00+08:00, a full hour in every zone used here."""

PLATFORM = Platform("hz", Name("Platform", "平台"), "Asia/Shanghai")

STREAMS = (
    Stream(
        "l1/reactor",
        1,
        "hz",
        "l1",
        "l1/reactor",
        (Channel("pressure", "pressure", "kPa"), Channel("feed", "mass_flow", "kg/h")),
        3 * MINUTE,
        8 * MINUTE,
    ),
    Stream("l1/drive", 1, "hz", "l1", "l1/drive", (Channel("power", "power", "kW"),), 5 * MINUTE, 12 * MINUTE),
)

MODEL = """
id: line
version: 1
line: l1
patience: 700 h
instruments:
  - instrument: l1/reactor
    conditions:
      over: {enter: reactor.pressure > 2.95 MPa, leave: reactor.pressure < 2900 kPa, dwell: 6 min}
      feeding: {enter: reactor.feed > 1000 kg/h}
    rules:
      - {when: {all: [{run: [active]}, over]}, state: unscheduled_down, reason: overpressure, responsible: platform}
      - {when: {all: [{run: [active]}, feeding]}, state: productive, sub_state: run}
      - {when: {run: [held]}, state: standby, sub_state: idle_hold}
      - {when: {all: [{run: [active]}, {phase: [cleaning]}]}, state: engineering, sub_state: clean}
    default: {state: non_scheduled}
    gap: {hold: 15 min, state: non_scheduled, reason: no_data, responsible: platform}
    quantities:
      - {name: feed, kind: integral, channel: reactor.feed, unit: kg}
      - {name: energy, kind: integral, channel: drive.power, unit: kW.h}
      - {name: trips, kind: count, condition: over, unit: "1"}
      - {name: highest, kind: maximum, channel: reactor.pressure, unit: kPa}
      - {name: mean_power, kind: mean, channel: drive.power, unit: kW}
  - instrument: l1/drive
    conditions:
      turning: {enter: drive.power > 10 kW, dwell: 1 min}
    rules:
      - {when: turning, state: productive}
    default: {state: standby}
    gap: {hold: 0 s, state: non_scheduled, reason: no_data}
    quantities:
      - {name: heat, kind: integral, channel: drive.power, unit: MJ}
"""


def plan(text: str = MODEL, platform: Platform = PLATFORM) -> MeterPlan:
    return MeterPlan.build(load_state_model(text, STREAMS), platform, STREAMS)


def frame(
    stream: str,
    seq: int,
    minutes: Sequence[float],
    values: Sequence[Sequence[float]],
    *,
    boot: str = "b1",
    offset: int = 0,
    quality: Sequence[Sequence[int]] | None = None,
) -> Readings:
    """A frame with samples at `minutes` after T0."""
    times = np.array([T0 + round(minute * MINUTE) for minute in minutes], dtype=np.int64)
    marks = None if quality is None else np.array(quality, dtype=np.uint8)
    matrix = np.array(values, dtype=np.float64).reshape(len(times), -1)
    built = build_frame(
        stream=stream, registry_version=1, boot=boot, seq=seq, times=times, values=matrix, quality=marks
    )
    return readings_of(built, 0, offset)


def run_records(
    run: str = "r1", *, start: float = 0, end: float | None = None, customer: str = "acme"
) -> list[RunRecord]:
    """Start and, when given, end of a run, in minutes after T0."""
    records: list[RunRecord] = [
        RunStarted(f"{run}/start", run, "l1", at(start), "p1", customer, "c", 1, "d", (), service_code="pilot")
    ]
    if end is not None:
        records.append(RunEnded(f"{run}/end", run, "l1", at(end), "completed"))
    return records


def phase(name: str, minute: float, run: str = "r1") -> PhaseStarted:
    return PhaseStarted(f"{run}/{name}/{minute}", run, "l1", at(minute), name)


def held(minute: float, run: str = "r1") -> RunHeld:
    return RunHeld(f"{run}/held/{minute}", run, "l1", at(minute))


def restarted(minute: float, run: str = "r1") -> RunRestarted:
    return RunRestarted(f"{run}/restarted/{minute}", run, "l1", at(minute))


def at(minute: float) -> Micros:
    return T0 + round(minute * MINUTE)


@dataclass
class MeterBench:
    """Feeds a meter, stores what it emits, rebuilds when asked; every event makes the way over the wire."""

    plan: MeterPlan
    stretch: Micros = STRETCH
    meter: LineMeter = field(init=False)
    stored: dict[tuple[str, str, int], Readings] = field(default_factory=dict)
    emitted: list[Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.meter = LineMeter(self.plan, stretch=self.stretch)

    def feed(self, items: Iterable[Readings | LineRecord]) -> None:
        for item in items:
            if isinstance(item, Readings):
                self.stored.setdefault((item.stream, item.boot, item.seq), item)
                self.meter.add_frame(item)
            else:
                self.meter.apply(item)
        self.store_advance()

    def store_advance(self) -> None:
        self._store(self.meter.advance())

    def rebuild(self) -> None:
        """Compute again what is stale, from what is stored."""
        while self.meter.stale is not None:
            self.rebuild_part()

    def settle(self) -> None:
        """Until nothing is left to do."""
        while self.meter.stale is not None or self.meter.behind is not None:
            self.store_advance()
            self.rebuild()

    def rebuild_part(self) -> None:
        """One stretch of it."""
        stale = self.meter.stale
        assert stale is not None
        frames = [
            readings
            for readings in self.stored.values()
            if readings.stream in stale.streams and int(readings.times.max()) >= stale.since
        ]
        latest = [
            segment
            for segment in self.latest().values()
            if segment.instrument in stale.instruments and segment.start >= stale.since
        ]
        self._store(self.meter.rebuild(frames, latest))

    def crash(self) -> None:
        """Lose the memory and read the snapshot."""
        self.meter = LineMeter.restore(self.plan, self.meter.snapshot(), stretch=self.stretch)

    def latest(self) -> dict[UUID, Segment]:
        last: dict[UUID, Segment] = {}
        for segment in self.emitted:
            assert segment.revision == (last[segment.key].revision + 1 if segment.key in last else 0)
            last[segment.key] = segment
        return last

    def in_force(self) -> list[Segment]:
        """Segments that count, without their revisions and Kafka offsets, by instrument and time."""
        plain = [
            replace(segment, revision=0, evidence=replace(segment.evidence, offsets=None))
            for segment in self.latest().values()
            if not segment.void
        ]
        return sorted(plain, key=lambda segment: (segment.instrument, segment.start))

    def _store(self, segments: list[Segment]) -> None:
        for segment in segments:
            usage = parse_usage(decode_event(encode_event(usage_event(segment))))
            assert usage.segment == segment
            self.emitted.append(usage.segment)


def ledger(segments: Iterable[Segment]) -> list[LedgerRow]:
    """The rows a recorder would append."""
    return [ledger_row(parse_usage(usage_event(segment)), number) for number, segment in enumerate(segments, start=1)]


def usage_row(
    number: int,
    start: Micros,
    duration: Micros,
    *,
    state: EquipmentState = EquipmentState.PRODUCTIVE,
    responsible: Responsible = Responsible.CUSTOMER,
    energy: str = "0",
    run: str = "r1",
    customer: str = "acme",
    instrument: str = "l1/reactor",
    tenant: str = "hz",
    inferred: Micros = 0,
    unknown: Micros = 0,
) -> LedgerRow:
    """A ledger row made by hand, of one closed segment."""
    segment = Segment(
        model="0" * 64,
        platform=tenant,
        line="l1",
        instrument=instrument,
        start=start,
        end=start + duration,
        outcome=StateOutcome(state, responsible=responsible),
        context=RunContext(run=run, customer=customer),
        measured=duration - inferred - unknown,
        inferred=inferred,
        unknown=unknown,
        quantities=(MeteredQuantity("energy", "kW.h", QuantityKind.INTEGRAL, Decimal(energy), duration),),
        evidence=Evidence(
            (SequenceRange("l1/reactor", "b1", number, number),),
            1,
            1,
            uuid5(NAMESPACE, str(number)).hex * 2,
            OffsetRange(0, number, number),
        ),
    )
    return ledger_row(parse_usage(usage_event(segment)), number)


def steady(minutes: int, *, pressure: float = 2800.0, feed: float = 4000.0, power: float = 300.0) -> list[Readings]:
    """Frames of one sample each: reactor every 3, drive every 5 minutes, in order of time."""
    frames = [
        frame("l1/reactor", minute // 3, [minute], [[pressure, feed]], offset=minute * 2)
        for minute in range(0, minutes + 1, 3)
    ]
    frames += [
        frame("l1/drive", minute // 5, [minute], [[power]], offset=minute * 2 + 1)
        for minute in range(0, minutes + 1, 5)
    ]
    return sorted(frames, key=lambda readings: (int(readings.times[0]), readings.stream))


def seconds(duration: Micros) -> Decimal:
    return Decimal(duration) / SECOND
