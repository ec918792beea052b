"""Nothing passes by absence (G5): data quality as a part of every criterion."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.outcomes import Activity, Outcome
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Quality
from tests.unit.verification.building import (
    NAN,
    SECOND,
    begun,
    ended,
    fed,
    kpa,
    one,
    plan_of,
    seconds,
    two,
    verdict,
)

BAND = {"kind": "band", "low": kpa(90), "high": kpa(110)}
GAP = {"quality": {"max_gap": seconds(2)}}


def test_no_sample_at_all_is_inconclusive() -> None:  # V-10, G5
    state = verdict(BAND, [], end=5)
    assert (state.outcome, state.reason, state.margin) == (Outcome.INCONCLUSIVE, "no_data", None)


def test_coverage_is_the_measure_of_the_defined_held_value() -> None:  # V-10: defined on [0, 3) and [5, 6) of [0, 6)
    xs = [100, NAN, NAN, NAN, NAN, 100]
    state = verdict(BAND | {"quality": {"min_coverage": 0.7}}, xs)
    assert (state.outcome, state.reason) == (Outcome.INCONCLUSIVE, "coverage")
    assert state.quality.coverage == pytest.approx(4 / 6)
    assert verdict(BAND | {"quality": {"min_coverage": 0.6}}, xs).outcome is Outcome.PASS


def test_coverage_equal_to_the_demand_is_enough() -> None:  # V-10: defined on [0 s, 3 s) of [0 s, 6 s)
    half = BAND | {"quality": {"min_coverage": 0.5}}
    assert verdict(half, [100], end=6).outcome is Outcome.PASS
    assert verdict(half, [100], end=7).reason == "coverage"
    demanded = {"kind": "data_quality", "min_coverage": 0.5}
    assert verdict(demanded, [100], end=6).outcome is Outcome.PASS
    assert verdict(demanded, [100], end=7).outcome is Outcome.FAIL


def test_a_phase_covered_by_the_value_before_it_alone_passes_nothing() -> None:  # V-10, G5
    plan = plan_of({"kind": "data_quality", "signal": "one.x", "min_coverage": 0.5, "max_gap": seconds(1)})
    state = rebuild(plan, [begun(1), ended(2)], [one([(0, 100)])]).result().criteria[0]
    assert (state.outcome, state.reason, state.quality.coverage) == (Outcome.INCONCLUSIVE, "no_data", 1.0)


def test_a_gap_counts_from_the_phases_start_and_to_its_end() -> None:  # V-10
    assert verdict(BAND | GAP, [100, NAN, 100, 100], end=5).outcome is Outcome.PASS
    assert verdict(BAND | GAP, [NAN, NAN, NAN, 100]).reason == "gap"
    demanded = {"kind": "data_quality", "max_gap": seconds(2)}
    assert verdict(demanded, [100, NAN, 100, 100], end=5).outcome is Outcome.PASS
    assert verdict(demanded, [100, NAN, NAN, 100], end=5).outcome is Outcome.FAIL
    state = verdict(BAND | GAP, [100, 100], end=6)
    assert (state.reason, state.quality.longest_gap) == ("gap", 5 * SECOND)
    assert "no data since 1970-01-01T00:00:01Z" in state.detail  # V-14


def test_a_proven_fail_stays_whatever_the_quality() -> None:  # V-10
    assert verdict(BAND | GAP, [100, 120, NAN, NAN, NAN, 100]).outcome is Outcome.FAIL


def test_a_mean_over_a_gap_proves_nothing() -> None:  # V-10: what was in the gap could undo it
    criterion = {"kind": "window_statistics", "statistic": "mean", "high": kpa(110)} | GAP
    assert verdict(criterion, [200, NAN, NAN, NAN, 200]).outcome is Outcome.INCONCLUSIVE
    assert verdict(criterion | {"statistic": "max"}, [200, NAN, NAN, NAN, 200]).outcome is Outcome.FAIL
    criterion |= {"windows": "tumbling", "window": seconds(5)}
    assert verdict(criterion, [200, NAN, NAN, NAN, 200]).outcome is Outcome.INCONCLUSIVE
    assert verdict(criterion | {"statistic": "max"}, [200, NAN, NAN, NAN, 200]).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "kind",
    [
        {"kind": "rate_of_change", "high": {"value": 4, "unit": "kPa/s"}},
        {"kind": "window_statistics", "windows": "sliding", "statistic": "mean", "high": kpa(2)},
    ],
)
def test_a_window_that_begins_where_a_gap_ends_is_seen_whole(kind: dict[str, Any]) -> None:  # V-10
    """The gap is (0 s, 4 s]; (4 s, 6 s] holds 0 and 9, and nothing is missing in it."""
    xs = [0, NAN, NAN, NAN, 0, 0, 9]
    assert verdict(kind | GAP | {"window": seconds(2)}, xs).outcome is Outcome.FAIL
    assert verdict(kind | GAP | {"window": seconds(2.5)}, xs).outcome is Outcome.INCONCLUSIVE
    allowed = verdict(kind | GAP | {"window": seconds(4)}, [0, NAN, 0, NAN, 50, 50])
    assert (allowed.outcome, allowed.decided_at) == (Outcome.FAIL, 4 * SECOND)


def test_a_hold_that_could_lie_in_the_gap_is_not_failed() -> None:  # V-10
    criterion = {"kind": "hold", "low": kpa(90), "duration": seconds(4)} | GAP
    assert verdict(criterion, [50, 100, NAN, NAN, NAN, NAN, 50]).outcome is Outcome.INCONCLUSIVE
    assert verdict(criterion, [50, 100, NAN, NAN, 50, 50, 50]).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [("exclude", Outcome.PASS), ("inconclusive", Outcome.INCONCLUSIVE), ("fail", Outcome.FAIL)],
)
def test_bad_values_are_left_out_and_judged_as_the_criterion_says(rule: str, outcome: Outcome) -> None:  # V-10
    plan = plan_of({"signal": "one.x"} | BAND | {"quality": {"on_bad_quality": rule}})
    bad = one([(1, 500)], seq=1, marks=int(Quality.SENDER_BAD))
    frames = [one([(0, 100)]), bad, one([(2, 100)], seq=2)]
    state = rebuild(plan, [begun(), ended(3)], frames).result().criteria[0]
    assert (state.outcome, state.quality.samples, state.quality.bad_samples) == (outcome, 2, 1)


def test_bad_values_are_counted_in_their_phase() -> None:  # V-10: the one at 2 s belongs to the phase q
    criterion = {"signal": "one.x", "quality": {"on_bad_quality": "fail"}} | BAND
    plan = plan_of(criterion, criterion | {"phase": "q"})
    bad = one([(2, 500)], seq=1, marks=int(Quality.SENDER_BAD))
    frames = [one([(0, 100), (1, 100)]), bad, one([(3, 100)], seq=2)]
    states = rebuild(plan, [begun(), begun(2, "q"), ended(4)], frames).result().criteria
    assert [(s.outcome, s.quality.bad_samples) for s in states] == [(Outcome.PASS, 0), (Outcome.FAIL, 1)]


def test_a_value_out_of_the_registered_range_is_judged_as_sent() -> None:  # V-10: leaving it out would hide a violation
    assert verdict(BAND, [500], marks=int(Quality.OUT_OF_RANGE)).outcome is Outcome.FAIL


def test_nan_values_are_counted() -> None:  # V-6
    plan = plan_of({"kind": "data_quality", "signal": "one.x", "max_nan": 1})
    burst = one([(1, NAN), (2, NAN)], seq=1, marks=int(Quality.NOT_A_NUMBER))
    result = rebuild(plan, [begun(), ended(4)], [one([(0, 1)]), burst]).result()
    assert (result.criteria[0].outcome, result.criteria[0].margin) == (Outcome.FAIL, -1.0)


def test_an_expired_calibration_makes_a_pass_inconclusive() -> None:  # V-9: due 2026-01-31, the run is in March
    start = 1_772_323_200 * SECOND
    criterion = {"signal": "one.x", "decision": {"rule": "guard_band"}} | BAND
    shift = start / SECOND
    frames = [one([(shift, 100), (shift + 1, 100)])]
    records: list[Lifecycle] = [begun(shift), ended(shift + 2)]
    state = rebuild(plan_of(criterion, start=start), records, frames).result().criteria[0]
    assert (state.outcome, state.reason) == (Outcome.INCONCLUSIVE, "calibration_expired")
    given = criterion | {"decision": {"rule": "guard_band", "uncertainty": kpa(1)}}
    assert rebuild(plan_of(given, start=start), records, frames).result().outcome is Outcome.PASS


def test_more_samples_than_the_registered_rate_never_give_a_wrong_minimum() -> None:  # V-11
    criterion = {"kind": "hold", "signal": "one.x", "low": kpa(0), "duration": seconds(2)}
    rows = [(k / 1000, 10_000.0 - k) for k in range(3000)]
    rows += [(3 + k / 1000, 1.0 + k) for k in range(3000)]  # rising: nothing leaves the queue before its time
    result = rebuild(plan_of(criterion), [begun(), ended(6)], [one(rows)]).result()
    assert (result.criteria[0].outcome, result.criteria[0].reason) == (Outcome.INCONCLUSIVE, "rate")


def test_a_silent_stream_makes_only_its_own_criteria_wait() -> None:  # V-14
    both = {"kind": "band", "signal": {"op": "sum", "of": ["one.x", "two.z"]}, "high": kpa(500)}
    plan = plan_of({"signal": "one.x"} | BAND, both)
    live = fed(plan, begun(), two([(0, 5000)]), one([(k, 100) for k in range(10)]))
    now = 9 * SECOND
    assert [s.activity for s in live.states(now=now)] == [Activity.OPEN, Activity.WAITING]
    assert [s.quality.samples for s in live.states()] == [10, 1]
    assert [s.activity for s in live.states(now=now, idle=20 * SECOND)] == [Activity.OPEN, Activity.OPEN]


def test_a_silent_channel_waits_after_its_idle_time_and_ends_inconclusive() -> None:  # V-14
    criterion = {"kind": "band", "signal": "one.x", "high": kpa(5), "quality": {"idle": seconds(4)}}
    live = fed(plan_of(criterion), begun(), one([(0, 1), (1, 1), (2, 1)]))
    assert [live.states(now=at * SECOND)[0].activity for at in (5, 6, 7)] == [
        Activity.OPEN,
        Activity.OPEN,
        Activity.WAITING,
    ]
    silent = fed(plan_of(criterion), begun(), one([(0, 1), (1, 1), (2, 1)]), ended(10)).result().criteria[0]
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, "silent")
    assert silent.detail == "no data since 1970-01-01T00:00:02Z"
    violated = fed(plan_of(criterion), begun(), one([(0, 1), (1, 9)]), ended(10)).result().criteria[0]
    assert violated.outcome is Outcome.FAIL
    heard = fed(plan_of(criterion), begun(), one([(0, 1), (6, 1)]), ended(10)).result().criteria[0]
    assert heard.outcome is Outcome.PASS
