"""The meter under any order, repetition and cutting of its records: the segments in force are a function of the set of records."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.billing.domain.exact import NANO, divide_half_even, nano
from services.billing.domain.instrument_meter import STRETCH
from services.billing.domain.line_meter import MeterPlan
from services.billing.domain.readings import Readings
from services.billing.domain.segment import Segment
from shared.contracts.frame import Quality
from shared.contracts.lifecycle import (
    AnnotationWithdrawn,
    InstrumentAnnotated,
    InstrumentReserved,
    LineRecord,
    ReservationCancelled,
)
from shared.kernel.times import HOUR, MINUTE, Micros
from tests.unit.billing.domain_builders import (
    MODEL,
    T0,
    MeterBench,
    frame,
    held,
    phase,
    plan,
    restarted,
    run_records,
)

EVERY_KIND = MODEL.replace(
    "      - {name: energy",
    """      - {name: slot, kind: reserved, unit: min}
      - {name: rows, kind: samples, stream: drive, unit: "1"}
      - {name: data, kind: bytes, stream: reactor, unit: kBy}
      - {name: energy""",
)
PLANS = (plan(), plan(EVERY_KIND.replace("patience: 700 h", "patience: 20 min")))
"""One that waits for every stream, one that goes on without a silent one and computes again when it speaks (with every kind of quantity)."""

Item = Readings | LineRecord
FEW = settings().max_examples * 2 // 5
"""An example is a whole story: fewer of them than of small ones."""


@dataclass(frozen=True)
class Story:
    """Frames in the order of their time, and the run records among them."""

    frames: tuple[Readings, ...]
    records: tuple[LineRecord, ...]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Three hours of two streams at odd instants, with gaps, missing and bad cells, one run, people's notes and reservations."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames: list[Readings] = []
    for stream, width, period in (("l1/reactor", 2, 3.0), ("l1/drive", 1, 5.0)):
        minutes = np.cumsum(random.choice([period, period, period * 1.37, 26.0], size=48, p=[0.6, 0.25, 0.1, 0.05]))
        minutes = np.unique(np.round(minutes[minutes < 180], 3))
        if width == 2:
            values = np.column_stack(
                [2925 + 60 * np.sin(minutes / 9), random.choice([4000.1, 900.7], size=len(minutes))]
            )
        else:
            values = random.uniform(0, 340, size=(len(minutes), 1))
        marks = random.choice([0, 0, 0, 0, int(Quality.MISSING), int(Quality.OUT_OF_RANGE)], size=values.shape)
        values = np.where(marks == int(Quality.MISSING), np.nan, values)
        start = seq = 0
        while start < len(minutes):
            stop = start + int(random.integers(1, 6))
            cut = slice(start, stop)
            frames.append(
                frame(stream, seq, minutes[cut].tolist(), values[cut].tolist(), quality=marks[cut].tolist(), offset=seq)
            )
            start, seq = stop, seq + 1
    frames.sort(key=lambda readings: int(readings.times[-1]))
    start_at, hold_at, end_at = sorted(random.uniform(2, 176, size=3).round(3).tolist())
    records: list[LineRecord] = [
        *run_records(start=start_at, end=end_at),
        phase("cleaning", round((start_at + end_at) / 2, 3)),
        held(hold_at),
        restarted(round((hold_at + end_at) / 2, 3)),
        *_notes(random),
        *_slots(random),
    ]
    return Story(tuple(frames), tuple(records))


def _notes(random: np.random.Generator) -> list[LineRecord]:
    """Up to three notes that may overlap, begin before the first sample or end after the last one; the first may be withdrawn."""
    notes: list[LineRecord] = []
    for number in range(int(random.integers(0, 4))):
        start, end = sorted((T0 + random.integers(-20, 220, size=2) * MINUTE + [0, 1]).tolist())
        instrument, party = random.choice(["l1/reactor", "l1/drive"]), random.choice(["", "platform", "utility"])
        notes.append(
            InstrumentAnnotated(f"n{number}", "l1", str(instrument), start, end, "why", "li", str(party), number)
        )
    if notes and random.random() < 0.4:
        first = notes[0]
        assert isinstance(first, InstrumentAnnotated)
        notes.append(AnnotationWithdrawn("w0", "l1", first.instrument, "n0", "a mistake", "li", 9))
    return notes


def _slots(random: np.random.Generator) -> list[LineRecord]:
    """Up to three reservations of the reactor, by the run's customer or another one, that may overlap; the first may be cancelled."""
    slots: list[LineRecord] = []
    for number in range(int(random.integers(0, 4))):
        start, end = sorted((T0 + random.integers(-20, 220, size=2) * MINUTE + [0, 1]).tolist())
        customer = str(random.choice(["acme", "beta"]))
        slots.append(
            InstrumentReserved(f"s{number}", f"s{number}", "l1", "l1/reactor", start, end, customer, booked_at=number)
        )
    if slots and random.random() < 0.5:
        at = T0 + int(random.integers(-30, 200)) * MINUTE
        slots.append(ReservationCancelled("c0", "s0", "l1", "l1/reactor", at))
    return slots


def undisturbed(story: Story, of: MeterPlan = PLANS[0]) -> MeterBench:
    """Everything known from the start, frames in order, one batch."""
    bench = MeterBench(of)
    bench.feed([*story.records, *story.frames])
    bench.rebuild()
    return bench


# B-3, B-21: permutation, duplication, chunking, crashes, stretches; B-4 with gaps in the story
@settings(max_examples=FEW)
@given(story=stories(), of=st.sampled_from(PLANS), data=st.data())
def test_segments_in_force_do_not_depend_on_order_repetition_or_batches(
    story: Story, of: MeterPlan, data: st.DataObject
) -> None:
    expected = undisturbed(story, of)
    items: list[Item] = [*story.records, *story.frames]
    repeated = data.draw(st.lists(st.sampled_from(items), max_size=20))
    log = data.draw(st.permutations(items + repeated))
    bench = MeterBench(of, data.draw(st.sampled_from([2 * HOUR, STRETCH])))
    position = 0
    while position < len(log):
        size = data.draw(st.integers(1, 12))
        bench.feed(log[position : position + size])
        position += size
        action = data.draw(st.sampled_from(["go on", "crash", "rebuild", "part"]))
        if action == "crash":
            bench.crash()
        elif action == "rebuild":
            bench.rebuild()
        elif action == "part" and bench.meter.stale is not None:
            bench.rebuild_part()
    bench.settle()
    assert bench.meter.stale is None
    assert bench.in_force() == expected.in_force()
    assert _open(bench) == _open(expected)


# B-3: splitting [a, c) at b gives exactly the sum
@settings(max_examples=FEW)
@given(story=stories(), cuts=st.lists(st.integers(1, 179 * 60_000_000), min_size=1, max_size=6, unique=True))
def test_cutting_a_segment_at_any_instant_gives_parts_that_sum_exactly(story: Story, cuts: list[int]) -> None:
    whole = undisturbed(story, PLANS[1])
    extra = tuple(phase(f"cut{number}", cut / MINUTE) for number, cut in enumerate(cuts))
    parts = undisturbed(Story(story.frames, (*story.records, *extra)), PLANS[1])
    assert _by_hour(whole) == _by_hour(parts)
    assert len(parts.in_force()) >= len(whole.in_force())


# B-2: the integral is that of previous values held for at most max_age, rounded once per hour cell
@settings(max_examples=FEW)
@given(story=stories())
def test_metered_energy_equals_an_integral_in_fractions(story: Story) -> None:
    bench = undisturbed(story)
    metered: dict[Micros, Decimal] = defaultdict(Decimal)
    for segment in bench.in_force():
        if segment.instrument == "l1/drive":
            metered[segment.start // HOUR] += segment.quantities[0].value
    closed_until = max(segment.end for segment in bench.in_force() if segment.instrument == "l1/drive")
    for hour, value in metered.items():
        end = min((hour + 1) * HOUR, closed_until)
        megajoules = _held_integral(story, hour * HOUR, end) * Fraction(36, 10) / HOUR
        units = divide_half_even((megajoules * NANO).numerator, (megajoules * NANO).denominator)
        assert value == Decimal(units).scaleb(-9)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_a_reading_becomes_nano_units_by_its_exact_binary_value(reading: float) -> None:
    exact = Fraction(reading) * NANO
    assert nano(reading) == round(exact)


def _held_integral(story: Story, start: Micros, end: Micros) -> Fraction:
    """kW x µs of the drive over [start, end), from nano-readings, by definition."""
    max_age = 12 * MINUTE
    points: list[tuple[Micros, int | None]] = []
    for readings in story.frames:
        if readings.stream == "l1/drive":
            for time, value, mark in zip(readings.times, readings.values[:, 0], readings.quality[:, 0], strict=True):
                if mark != int(Quality.MISSING):
                    points.append((int(time), None if mark else nano(float(value))))
    points.sort()
    total = Fraction(0)
    for (time, value), following in zip(points, [*(time for time, _ in points[1:]), None], strict=True):
        until = min(time + max_age, end if following is None else following, end)
        if value is not None and until > max(time, start):
            total += Fraction(value, NANO) * (until - max(time, start))
    return total


def _by_hour(bench: MeterBench) -> dict[tuple[str, Micros], dict[str, object]]:
    """Additive facts per instrument and hour, up to where both benches have closed."""
    sums: dict[tuple[str, Micros], dict[str, object]] = {}
    for segment in [*bench.in_force(), *bench.meter.provisional()]:
        cell = sums.setdefault((segment.instrument, segment.start // HOUR), defaultdict(Decimal))
        for name, value in _additive(segment):
            cell[name] += value  # type: ignore[operator]
    return {key: dict(cell) for key, cell in sums.items()}


def _additive(segment: Segment) -> list[tuple[str, Decimal]]:
    facts = [
        ("measured", Decimal(segment.measured)),
        ("inferred", Decimal(segment.inferred)),
        ("unknown", Decimal(segment.unknown)),
        ("samples", Decimal(segment.evidence.samples)),
    ]
    for quantity in segment.quantities:
        if quantity.kind in ("integral", "count", "samples", "bytes", "reserved"):
            facts += [(quantity.name, quantity.value), (f"{quantity.name} covered", Decimal(quantity.covered))]
    return facts


def _open(bench: MeterBench) -> list[str]:
    return [segment.content_digest() for segment in bench.meter.provisional()]


def test_the_story_begins_at_a_full_hour() -> None:
    assert T0 % HOUR == 0
