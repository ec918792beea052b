"""What one line's meter says about states, gaps, runs and late samples."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from services.billing.domain.line_meter import Arrival, LineMeter
from services.billing.domain.segment import HOLD_RULE, MeteredQuantity, Segment
from services.billing.domain.usage import usage_event
from shared.contracts.frame import Quality
from shared.kernel.times import DAY, HOUR, MINUTE
from tests.unit.billing.domain_builders import (
    MODEL,
    MeterBench,
    at,
    frame,
    held,
    phase,
    plan,
    restarted,
    run_records,
    steady,
)


def reactor(bench: MeterBench) -> list[Segment]:
    return [segment for segment in bench.in_force() if segment.instrument == "l1/reactor"]


def quantity(segment: Segment, name: str) -> MeteredQuantity:
    return next(each for each in segment.quantities if each.name == name)


# B-1, B-2
def test_a_steady_run_is_productive_by_the_hour_with_its_feed_and_energy() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(end=120), *steady(120)])
    first, second = reactor(bench)
    assert (first.start, first.end, second.end) == (at(0), at(60), at(120))
    assert first.outcome.state == "productive"
    assert first.context.customer == "acme"
    assert quantity(first, "feed").value == Decimal(4000)
    assert quantity(first, "energy").value == Decimal(300)
    assert quantity(second, "highest").value == Decimal(2800)
    assert quantity(second, "mean_power").value == Decimal(300)
    assert (first.measured, first.inferred, first.unknown) == (HOUR, 0, 0)


# B-1
def test_overpressure_counts_after_its_dwell_and_ends_at_the_lower_limit_after_the_dwell_again() -> None:
    bench = MeterBench(plan())
    pressures = {12: 2960.0, 15: 2960.0, 18: 2960.0, 21: 2920.0, 24: 2920.0, 27: 2890.0, 30: 2890.0, 33: 2890.0}
    frames = [frame("l1/reactor", m // 3, [m], [[pressures.get(m, 2800.0), 4000.0]], offset=m) for m in range(0, 61, 3)]
    drive = [frame("l1/drive", m // 5, [m], [[300.0]], offset=100 + m) for m in range(0, 61, 5)]
    bench.feed([*run_records(), *frames, *drive])
    down = [segment for segment in reactor(bench) if segment.outcome.state == "unscheduled_down"]
    assert [(segment.start, segment.end) for segment in down] == [(at(18), at(33))]
    assert (down[0].outcome.reason, down[0].outcome.responsible) == ("overpressure", "platform")
    assert quantity(down[0], "trips").value == 1


# B-1
def test_pressure_over_the_limit_for_less_than_the_dwell_changes_nothing() -> None:
    bench = MeterBench(plan())
    frames = [
        frame("l1/reactor", m // 3, [m], [[2960.0 if m == 12 else 2800.0, 4000.0]], offset=m) for m in range(0, 61, 3)
    ]
    drive = [frame("l1/drive", m // 5, [m], [[300.0]], offset=100 + m) for m in range(0, 61, 5)]
    bench.feed([*run_records(), *frames, *drive])
    assert {segment.outcome.state for segment in reactor(bench)} == {"productive"}


# B-4
def test_a_gap_is_held_up_to_the_cap_and_unknown_beyond_it() -> None:
    bench = MeterBench(plan())
    frames = [readings for readings in steady(120) if not at(9) < int(readings.times[0]) < at(90)]
    bench.feed([*run_records(), *frames])
    held_over, beyond = reactor(bench)[:2]
    assert held_over.end == at(9 + 8 + 15)
    assert (held_over.measured, held_over.inferred, held_over.unknown) == (17 * MINUTE, 15 * MINUTE, 0)
    assert (beyond.outcome.state, beyond.outcome.reason) == ("non_scheduled", "no_data")
    assert (beyond.measured, beyond.inferred, beyond.unknown) == (0, 0, beyond.end - beyond.start)
    assert beyond.billable == 0
    assert usage_event(held_over).data["time"] == {
        "measured": "1020",
        "inferred": "900",
        "unknown": "0",
        "rule": HOLD_RULE,
    }


# B-2, B-4
def test_a_quantity_is_metered_only_as_far_as_values_hold_and_says_how_far() -> None:
    bench = MeterBench(plan())
    frames = [readings for readings in steady(120) if not at(9) < int(readings.times[0]) < at(90)]
    bench.feed([*run_records(), *frames])
    feed = quantity(reactor(bench)[0], "feed")
    assert feed.covered == 17 * MINUTE
    assert feed.value == (Decimal(4000 * 17) / 60).quantize(Decimal("1e-9"))


# B-4
@pytest.mark.parametrize("quality", [Quality.NOT_A_NUMBER, Quality.OUT_OF_RANGE, Quality.SENDER_BAD])
def test_a_bad_cell_ends_the_value_before_it_and_is_never_metered(quality: Quality) -> None:
    bench = MeterBench(plan())
    drive = [
        frame("l1/drive", m // 5, [m], [[9e9 if m == 30 else 300.0]], quality=[[quality if m == 30 else 0]], offset=m)
        for m in range(0, 61, 5)
    ]
    bench.feed(drive)
    heat = next(s for s in bench.in_force() if s.instrument == "l1/drive" and s.start == at(0)).quantities
    assert sum(q.value for s in bench.in_force() for q in s.quantities if q.name == "heat") == Decimal(990)
    assert heat[0].covered == 30 * MINUTE


# B-4
def test_a_value_that_is_no_number_ends_the_value_before_it_though_nobody_marked_it() -> None:
    bench = MeterBench(plan())
    values = {30: float("nan")}
    bench.feed(frame("l1/drive", m // 5, [m], [[values.get(m, 300.0)]], offset=m) for m in range(0, 61, 5))
    assert sum(q.value for s in bench.in_force() for q in s.quantities if q.name == "heat") == Decimal(990)


# B-4
def test_a_missing_cell_lets_the_value_before_it_go_on() -> None:
    bench = MeterBench(plan())
    drive = [
        frame(
            "l1/drive",
            m // 5,
            [m],
            [[float("nan") if m == 30 else 300.0]],
            quality=[[Quality.MISSING if m == 30 else 0]],
            offset=m,
        )
        for m in range(0, 61, 5)
    ]
    bench.feed(drive)
    assert sum(q.value for s in bench.in_force() for q in s.quantities if q.name == "heat") == Decimal(1080)


# B-3
def test_segments_end_at_phase_hold_run_and_hour() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(start=5, end=70), phase("main", 20), held(30), restarted(40), *steady(70)])
    assert [(segment.start, segment.end) for segment in reactor(bench) if segment.end <= at(70)] == [
        (at(a), at(b)) for a, b in [(0, 5), (5, 20), (20, 30), (30, 40), (40, 60), (60, 70)]
    ]
    contexts = [(segment.context.run, segment.context.phase, segment.context.held) for segment in reactor(bench)]
    assert contexts[:5] == [
        ("", "", False),
        ("r1", "", False),
        ("r1", "main", False),
        ("r1", "main", True),
        ("r1", "main", False),
    ]


# B-3
def test_the_end_of_a_run_closes_its_segments_though_no_sample_follows() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(end=62), *steady(57)])
    last = reactor(bench)[-1]
    assert (last.start, last.end, last.context.run) == (at(60), at(62), "r1")


# B-3
def test_of_two_runs_the_later_counts_and_the_earlier_goes_on_after_it() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records("r1", start=0, end=60), *run_records("r2", start=20, end=40), *steady(60)])
    assert [segment.context.run for segment in reactor(bench)] == ["r1", "r2", "r1"]


# B-3
def test_a_late_sample_makes_its_hour_stale_and_supersedes_only_what_it_changes() -> None:
    bench = MeterBench(plan())
    frames = steady(240)
    late = next(
        readings for readings in frames if readings.stream == "l1/reactor" and int(readings.times[0]) == at(132)
    )
    strange = frame("l1/reactor", late.seq, [132], [[2800.0, 4600.0]], offset=9999)
    bench.feed([*run_records(), *(readings for readings in frames if readings is not late)])
    before = len(bench.emitted)
    bench.feed([strange])
    stale = bench.meter.stale
    assert stale is not None
    assert (stale.since, stale.instruments, stale.streams) == (at(120), ("l1/reactor",), ("l1/drive", "l1/reactor"))
    bench.rebuild()
    revisions = bench.emitted[before:]
    assert [(segment.start, segment.revision, segment.void) for segment in revisions] == [(at(120), 1, False)]
    assert quantity(revisions[0], "feed").value == Decimal(4000 + 30)
    assert usage_event(revisions[0]).data["supersedes"] == usage_event(bench.emitted[2]).id
    assert bench.meter.stale is None


# B-3
def test_a_sample_later_than_every_checkpoint_starts_again_from_the_first_hour() -> None:
    bench, expected = MeterBench(plan()), MeterBench(plan())
    frames = steady(40 * 60)
    late = frames[7]
    bench.feed([*run_records(), *(readings for readings in frames if readings is not late)])
    bench.feed([late])
    stale = bench.meter.stale
    assert stale is not None
    assert stale.since == at(0)
    bench.rebuild()
    expected.feed([*run_records(), *frames])
    assert bench.in_force() == expected.in_force()


# B-3
def test_a_boundary_that_moves_makes_the_segment_it_began_void() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(start=20), *steady(60)])
    assert [segment.start for segment in reactor(bench)] == [at(0), at(20)]
    bench.feed([phase("main", 40)])
    bench.rebuild()
    assert [segment.start for segment in reactor(bench)] == [at(0), at(20), at(40)]
    sooner = MeterBench(plan())
    sooner.feed([*run_records(start=20), phase("main", 40), *steady(60)])
    sooner.feed(run_records("r2", start=20, end=50))
    sooner.rebuild()
    assert [segment.start for segment in reactor(sooner)] == [at(0), at(20), at(50)]
    voided = [segment for segment in sooner.latest().values() if segment.void]
    assert {(segment.instrument, segment.start) for segment in voided} == {("l1/reactor", at(40)), ("l1/drive", at(40))}


# B-5
def test_evidence_names_the_frames_inside_and_those_whose_values_hold_at_the_start() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(start=31), *steady(60)])
    ranges = {(r.stream, r.seq_from, r.seq_to) for r in reactor(bench)[1].evidence.ranges}
    assert ranges == {("l1/drive", 6, 11), ("l1/reactor", 10, 19)}
    assert reactor(bench)[1].evidence.samples == 14
    offsets = bench.emitted[1].evidence.offsets
    assert offsets is not None
    assert offsets.partition == 0


# B-6
def test_a_frame_resent_with_other_content_changes_nothing_here() -> None:
    meter = LineMeter(plan())
    assert meter.add_frame(frame("l1/drive", 0, [0], [[1.0]])) is Arrival.ACCEPTED
    assert meter.add_frame(frame("l1/drive", 0, [0], [[2.0]])) is Arrival.DUPLICATE
    assert meter.add_frame(frame("l1/other", 0, [0], [[2.0]])) is Arrival.IGNORED


def test_a_frame_of_an_unknown_registry_version_waits_until_the_version_is_learnt() -> None:
    known = plan()
    meter = LineMeter(type(known)(known.model, known.platform, {}))
    reading = frame("l1/drive", 0, [0], [[1.0]])
    assert meter.add_frame(reading) is Arrival.UNKNOWN_VERSION
    meter.learn(known.streams["l1/drive", 1])
    assert meter.add_frame(reading) is Arrival.ACCEPTED


def test_a_snapshot_of_another_state_model_is_refused() -> None:
    snapshot = LineMeter(plan()).snapshot()
    other = plan(MODEL.replace("1000", "1001"))
    with pytest.raises(ValueError, match="state model"):
        LineMeter.restore(other, snapshot)


# B-3
def test_the_open_segment_is_provisional_and_no_event() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records(), *steady(30)])
    open_ = bench.meter.provisional()
    assert [(segment.instrument, segment.start, segment.end) for segment in open_] == [
        ("l1/reactor", at(0), at(30)),
        ("l1/drive", at(0), at(30)),
    ]
    with pytest.raises(ValueError, match="open segment"):
        usage_event(open_[0])


# B-3, B-21
@pytest.mark.parametrize("known_late", [False, True], ids=["before the samples", "after them"])
def test_a_long_stretch_is_metered_in_bounded_parts_that_give_the_same_segments(known_late: bool) -> None:
    long_ago = -60 * 24 * 60
    bench, expected = MeterBench(plan(), 5 * DAY), MeterBench(plan(), 366 * DAY)
    records, frames = run_records(start=long_ago, end=60), steady(120)
    bench.feed([*frames] if known_late else [*records, *frames])
    bench.feed(records if known_late else [])
    largest, parts = 0, 0
    while bench.meter.stale is not None or bench.meter.behind is not None:
        before = len(bench.emitted)
        if bench.meter.stale is not None:
            bench.rebuild_part()
        bench.store_advance()
        bench.crash()
        largest, parts = max(largest, len(bench.emitted) - before), parts + 1
    assert largest <= 2 * (5 * 24 + 2)
    assert parts >= 11
    expected.feed([*records, *frames])
    assert bench.in_force() == expected.in_force()


# B-3, B-21
def test_a_start_of_thirty_years_ago_takes_its_turns() -> None:
    meter = LineMeter(plan())
    for record in run_records(start=-30 * 365.25 * 24 * 60, end=60):
        meter.apply(record)
    reached = []
    for _ in range(5):
        assert 0 < len(meter.advance()) <= 2 * (30 * 24 + 1)
        reached.append(meter.behind or 0)
    assert [later - earlier for earlier, later in pairwise(reached)] == [30 * DAY] * 4


# B-3
def test_what_comes_while_a_long_part_is_computed_again_is_neither_lost_nor_counted_twice() -> None:
    bench, expected = MeterBench(plan(), 10 * HOUR), MeterBench(plan())
    frames = steady(40 * 60)
    late, rest = (
        [frames[7], frames[200]],
        [readings for readings in frames[:-60] if readings not in (frames[7], frames[200])],
    )
    bench.feed([*run_records(), *rest])
    bench.settle()
    bench.feed(late[:1])
    bench.rebuild_part()
    bench.feed([*late[1:], *frames[-60:-30]])
    bench.rebuild_part()
    bench.crash()
    bench.feed(frames[-30:])
    bench.settle()
    expected.feed([*run_records(), *frames])
    assert bench.in_force() == expected.in_force()
