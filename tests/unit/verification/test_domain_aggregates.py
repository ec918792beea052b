"""The kinds on processes and events, with numbers that can be worked by hand (V-6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from services.verification.domain.bounds import clopper_pearson_lower, poisson_upper
from services.verification.domain.check import check
from services.verification.domain.kinds import events
from services.verification.domain.outcomes import CriterionState, Outcome
from services.verification.domain.plan import RunPlan
from shared.contracts.frame import Quality
from shared.contracts.registry import Channel, Stream
from shared.kernel.errors import Invalid
from tests.unit.verification.building import (
    SECOND,
    STREAMS,
    begun,
    criteria_of,
    ended,
    fed,
    held,
    kpa,
    one,
    plan_of,
    seconds,
    two,
    verdict,
)

SLOPE = {"value": 1, "unit": "kPa/s"}
ABOVE_FIVE = {"op": ">=", "left": "one.x", "right": kpa(5)}


def of_events(criterion: dict[str, Any], xs: Sequence[float]) -> CriterionState:
    """As `verdict`, for kinds without a signal of their own."""
    frame = one(list(enumerate(xs)))
    return fed(plan_of(criterion), begun(), frame, ended(len(xs))).result().criteria[0]


def test_fraction_in_band_of_four_seconds() -> None:  # V-6: three of four seconds in band
    state = verdict({"kind": "fraction_in_band", "high": kpa(5), "at_least": 0.75}, [1, 9, 2, 3])
    assert (state.outcome, state.margin, state.time_out) == (Outcome.PASS, 0.0, SECOND)
    state = verdict({"kind": "fraction_in_band", "high": kpa(5), "at_least": 0.8}, [1, 9, 2, 3])
    assert state.outcome is Outcome.FAIL
    assert state.margin == pytest.approx(-0.05)


def test_a_ramp_on_the_line_and_one_off_it() -> None:  # V-6: 0, 1, 2 kPa after as many seconds, then 2
    ramp = {"kind": "ramp", "from_level": kpa(0), "to_level": kpa(2), "rate": SLOPE, "tolerance": kpa(0.5)}
    assert verdict(ramp, [0, 1, 2, 2]).margin == 0.5
    late = verdict(ramp, [0, 1, 1, 2])
    assert (late.outcome, late.margin, late.worst_at) == (Outcome.FAIL, -0.5, 2 * SECOND)


def test_a_held_run_holds_its_ramp_when_the_clock_stops() -> None:  # V-2
    ramp = {"kind": "ramp", "from_level": kpa(0), "to_level": kpa(9), "rate": SLOPE, "tolerance": kpa(0)}
    values = [0, 1, 1, 1, 2]
    stopped = verdict(ramp | {"clock_in_hold": "stop"}, values, holds=held(1, 3))
    assert (stopped.outcome, stopped.margin) == (Outcome.PASS, 0.0)
    assert verdict(ramp, values, holds=held(1, 3)).outcome is Outcome.FAIL
    adrift = verdict(ramp | {"clock_in_hold": "stop"}, [0, 1, 5, 1, 2], holds=held(1, 3))
    assert (adrift.outcome, adrift.margin) == (Outcome.PASS, 0.0)  # what lies in the hold is not judged


def test_a_hold_before_the_phase_does_not_hold_its_ramp() -> (
    None
):  # V-2: the ramp begins at 3 s, the hold was [1 s, 2 s)
    ramp = {"kind": "ramp", "signal": "one.x", "phase": "q", "from_level": kpa(0), "to_level": kpa(9), "rate": SLOPE}
    plan = plan_of(ramp | {"tolerance": kpa(0), "clock_in_hold": "stop"})
    live = fed(plan, begun(), *held(1, 2), begun(3, "q"), one([(3, 0), (4, 1), (5, 2)]), ended(6))
    assert live.result().criteria[0].margin == 0.0


def test_steady_state_passes_at_the_end_of_its_windows() -> None:  # V-6, V-12
    steady = {"kind": "steady_state", "gradient": SLOPE, "window": seconds(2), "windows": 2}
    state = verdict(steady, [0, 9, 3, 3, 4, 4, 9, 0])
    assert (state.outcome, state.margin, state.decided_at) == (Outcome.PASS, 1.0, 6 * SECOND)
    assert verdict(steady, [0, 9, 3, 3]).outcome is Outcome.FAIL
    assert verdict(steady, [3, 3]).reason == "no_window"
    assert verdict(steady, [3, 3, math.nan, math.nan, 3, 3]).reason == "no_window"  # an empty one breaks the row


def test_a_gap_in_a_steady_window_proves_nothing() -> None:  # V-10, V-12: 5 s without a sample, 3 s are allowed
    steady = {"kind": "steady_state", "gradient": SLOPE, "window": seconds(8), "windows": 1}
    assert verdict(steady, [3] * 8, end=9).decided_at == 8 * SECOND
    assert verdict(steady, [3, 3, *[math.nan] * 4, 3, 3], end=9).decided_at == 9 * SECOND


def test_drift_of_half_a_kilopascal_a_second() -> None:  # V-6
    state = verdict({"kind": "drift", "high": {"value": 60, "unit": "kPa/min"}}, [0, 0.5, 1, 1.5])
    assert (state.outcome, state.unit) == (Outcome.PASS, "kPa/min")
    assert state.margin == pytest.approx(30)


def test_an_integral_in_its_own_unit() -> None:  # V-6: 1 + 2 + 3 kPa over a second each
    state = verdict({"kind": "integral", "low": {"value": 0.1, "unit": "kPa.min"}}, [1, 2, 3])
    assert (state.outcome, state.margin) == (Outcome.PASS, 0.0)
    assert state.worst_value == pytest.approx(0.1)


def test_an_integral_leaves_out_what_is_undefined() -> None:  # V-6: a value holds 3 s, the next comes after 5 s
    values = [2, *[math.nan] * 4, 1]
    assert verdict({"kind": "integral", "high": {"value": 9, "unit": "kPa.s"}}, values).worst_value == 7.0


def test_sums_lose_nothing_beside_large_terms() -> None:  # V-11: added one by one, every 1 would be rounded away
    assert verdict({"kind": "integral", "low": {"value": 1, "unit": "kPa.s"}}, [1e16, 1, -1e16]).worst_value == 1.0
    assert verdict({"kind": "totaliser", "low": kpa(1)}, [0, 1e16, 1, 2]).worst_value == 1e16 + 2


def test_a_temperature_has_no_integral() -> None:  # V-8
    criterion = {"kind": "integral", "signal": "one.temperature", "low": {"value": 1, "unit": "K.h"}}
    assert check(criteria_of(criterion), STREAMS).findings[0].field == "criteria[0].signal"


def test_a_totaliser_over_a_reset_and_a_rollover() -> None:  # V-6: 5 to 9 is 4, then 1 after a reset
    state = verdict({"kind": "totaliser", "low": kpa(5)}, [5, 9, 1])
    assert (state.outcome, state.margin, state.decided_at) == (Outcome.PASS, 0.0, 2 * SECOND)
    state = verdict({"kind": "totaliser", "high": kpa(6), "rollover": kpa(10)}, [5, 9, 1])
    assert (state.outcome, state.margin) == (Outcome.PASS, 0.0)


def test_a_totaliser_begins_with_the_reading_carried_into_the_phase() -> None:  # V-6: which holds for 3 s
    plan = plan_of({"kind": "totaliser", "signal": "one.x", "low": kpa(0)})
    for before, total in ((-2.5, 4.0), (-3, 0.0)):
        state = fed(plan, begun(), one([(before, 5), (1, 9)]), ended(2)).result().criteria[0]
        assert state.worst_value == total


def test_uniformity_by_its_named_formula() -> None:  # V-6: places 4 and 6 (6000 Pa): range 2, mean 5
    frames = [one([(0, 4), (1, 4)]), two([(0, 6000)])]
    for formula, value in (("half_range", 0.2), ("range", 0.4), ("sd", math.sqrt(2) / 5)):
        criterion = {"kind": "uniformity", "places": ["one.x", "two.z"], "formula": formula, "at_most": 0.5}
        state = fed(plan_of(criterion), begun(), *frames, ended(2)).result().criteria[0]
        assert state.margin == pytest.approx(0.5 - value)


def test_a_share_of_a_mean_in_celsius_is_refused() -> None:  # V-8
    criterion = {"kind": "uniformity", "places": ["one.temperature"] * 2, "formula": "sd", "at_most": 0.1}
    findings = check(criteria_of(criterion), STREAMS).findings
    assert ("criteria_unit", "criteria[0].places") in [(finding.code, finding.field) for finding in findings]


def test_a_setpoint_that_is_a_channel() -> None:  # V-6: 10 % of 6 kPa around 6 kPa
    criterion = {"kind": "setpoint_band", "signal": "one.x", "setpoint": "two.z", "fraction": 0.1}
    result = fed(plan_of(criterion), begun(), two([(0, 6000)]), one([(0, 6.5), (1, 7)]), ended(2)).result()
    assert result.criteria[0].margin == pytest.approx(-0.4)


def test_events_are_counted_where_they_begin() -> None:  # V-6: 5 at 1 s and at 4 s; the first instant is none
    state = of_events({"kind": "count", "event": ABOVE_FIVE, "at_most": 2}, [6, 0, 5, 6, 0, 7])
    assert (state.outcome, state.margin, state.worst_value) == (Outcome.PASS, 0.0, 2.0)
    assert state.evidence is not None
    assert [(s.role, s.seq, s.row) for s in state.evidence.samples] == [("first", 0, 2), ("last", 0, 5)]
    more = of_events({"kind": "count", "event": ABOVE_FIVE, "at_most": 1}, [0, 5, 0, 7])
    assert (more.outcome, more.decided_at) == (Outcome.FAIL, 3 * SECOND)
    reached = of_events({"kind": "count", "event": ABOVE_FIVE, "at_least": 1}, [0, 5, 0, 7])
    assert (reached.outcome, reached.decided_at) == (Outcome.PASS, SECOND)


def test_an_event_begins_where_the_value_before_is_known_in_the_phase() -> None:  # V-6: it holds for 3 s
    plan = plan_of({"kind": "count", "event": ABOVE_FIVE, "at_least": 1})
    for before, found in ((-2.5, 1.0), (-3, 0.0)):
        state = fed(plan, begun(), one([(before, 0), (1, 6)]), ended(2)).result().criteria[0]
        assert state.worst_value == found


def test_a_success_rate_by_its_lower_bound() -> None:  # V-6: two of two at 90 %: sqrt(0.1)
    rate = {"kind": "success_rate", "trial": ABOVE_FIVE, "success": {"op": "<", "left": "one.x", "right": kpa(9)}}
    state = of_events(rate | {"at_least": 0.3, "confidence": 0.9}, [0, 5, 0, 7, 0])
    assert state.outcome is Outcome.PASS
    assert state.worst_value == pytest.approx(math.sqrt(0.1), abs=1e-11)
    half = of_events(rate | {"at_least": 0.3, "confidence": 0.9}, [0, 5, 0, 9, 0])
    assert half.worst_value == clopper_pearson_lower(1, 2, 0.9)
    few = of_events(rate | {"at_least": 0.3, "min_trials": 3}, [0, 5, 0, 7, 0])
    assert (few.outcome, few.reason) == (Outcome.INCONCLUSIVE, "too_few_trials")


def test_mtbf_by_its_lower_bound() -> None:  # V-6: 4 s without a failure at 90 %: 4 / ln 10
    mtbf = {"kind": "mtbf", "failure": ABOVE_FIVE, "at_least": seconds(1.5), "confidence": 0.9}
    state = of_events(mtbf, [0, 1, 0, 1])
    assert (state.outcome, state.unit) == (Outcome.PASS, "s")
    assert state.worst_value == pytest.approx(4 / math.log(10))
    assert of_events(mtbf, [0, 9, 0, 1]).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "criterion",
    [
        {"kind": "mtbf", "failure": ABOVE_FIVE, "at_least": seconds(1.5)},
        {"kind": "success_rate", "trial": ABOVE_FIVE, "success": ABOVE_FIVE, "at_least": 0.5},
    ],
)
def test_a_bound_is_worked_out_when_the_phase_is_over(
    criterion: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """V-11: its steps are as many as the events, so that working it out with every sample would cost more and more."""
    calls: list[tuple[float, ...]] = []

    def counted(*given: float) -> float:
        calls.append(given)
        return 0.5

    for name in ("clopper_pearson_lower", "poisson_upper"):
        monkeypatch.setattr(events, name, counted)
    live = fed(plan_of(criterion), begun(), *(one([(2 * k, 0), (2 * k + 1, 9)], seq=k) for k in range(4)))
    [state] = live.states()
    assert (calls, state.margin, state.low < state.high) == ([], None, True)
    live.apply(ended(8))
    assert live.result().criteria[0].margin is not None
    assert calls


def test_a_failure_in_a_hold_does_not_count_when_the_clock_stops() -> None:  # V-2: 4 s of operation, and 1 s held
    mtbf = {"kind": "mtbf", "failure": ABOVE_FIVE, "at_least": seconds(1.5), "confidence": 0.9}
    plan = plan_of(mtbf | {"clock_in_hold": "stop"})
    frame = one(list(enumerate([0, 1, 9, 1, 0])))
    state = fed(plan, begun(), *held(2, 3), frame, ended(5)).result().criteria[0]
    assert state.worst_value == pytest.approx(4 / math.log(10))


def test_process_capability() -> None:  # V-6: 1, 2, 3: mean 2, sd 1
    cpk = {"kind": "window_statistics", "statistic": "cpk", "lower_spec": kpa(-1), "upper_spec": kpa(8)}
    state = verdict(cpk | {"low": {"value": 1, "unit": "1"}}, [1, 2, 3])
    assert (state.outcome, state.margin, state.worst_value, state.unit) == (Outcome.PASS, 0.0, 1.0, "1")


def test_saturation_needs_a_range_and_is_the_longest_time_at_it() -> None:  # V-6
    stream = Stream("line/one", 1, "p", "line", "one", (Channel("x", "pressure", "kPa", high=9),), SECOND, 3 * SECOND)
    criterion = {"kind": "data_quality", "signal": "one.x", "max_saturated": seconds(1)}
    plan = RunPlan.build(run="run", criteria=criteria_of(criterion), streams=[stream], start=0)
    for values, outcome in (((9, 10, 1, 9), Outcome.PASS), ((1, 9, 9, 9), Outcome.FAIL)):
        evaluator = fed(plan, begun())
        frame = one(list(enumerate(values)))
        evaluator.add("line/one", "b", 0, bytes(32), frame.times_array(), frame.values_array()[:, :1])
        evaluator.apply(ended(4))
        assert evaluator.result().criteria[0].outcome is outcome
    [finding] = check(criteria_of(criterion), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_range", "criteria[0].max_saturated")


def test_values_of_suspect_clock_are_counted() -> None:  # V-6
    criterion = {"kind": "data_quality", "signal": "one.x", "max_clock_suspect": 2}

    def outcome(mark: Quality, rows: int) -> Outcome:
        bad = one([(t, 1.0) for t in range(rows)], marks=int(mark))
        return fed(plan_of(criterion), begun(), bad, one([(5, 1)], seq=1), ended(6)).result().criteria[0].outcome

    assert outcome(Quality.CLOCK_SUSPECT, 2) is Outcome.PASS
    assert outcome(Quality.CLOCK_SUSPECT, 3) is Outcome.FAIL
    assert outcome(Quality.SENDER_BAD, 3) is Outcome.PASS


@pytest.mark.parametrize(
    ("successes", "trials", "confidence", "bound"),
    [
        # R: binom.test(x, n, alternative = "greater", conf.level)$conf.int[1]
        (0, 10, 0.95, 0.0),
        (10, 10, 0.95, 0.7411344),
        (9, 10, 0.95, 0.6058367),
        (95, 100, 0.95, 0.8977466),
    ],
)
def test_clopper_pearson_against_tables(successes: int, trials: int, confidence: float, bound: float) -> None:
    """V-6."""
    assert clopper_pearson_lower(successes, trials, confidence) == pytest.approx(bound, abs=5e-8)


@pytest.mark.parametrize(
    ("events", "confidence", "mean"), [(0, 0.9, 2.302585), (1, 0.9, 3.889720), (3, 0.95, 7.753657)]
)
def test_the_poisson_bound_is_half_a_chi_square_quantile(events: int, confidence: float, mean: float) -> None:  # V-6
    assert poisson_upper(events, confidence) == pytest.approx(mean, abs=5e-7)


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        clopper_pearson_lower(3, 2, 0.9)


@pytest.mark.parametrize(
    ("criterion", "field"),
    [
        ({"kind": "ramp", "from_level": kpa(1), "to_level": kpa(1), "rate": SLOPE, "tolerance": kpa(1)}, "to_level"),
        ({"kind": "drift", "low": SLOPE, "high": {"value": 1, "unit": "kPa/min"}}, "high"),
    ],
)
def test_an_error_names_its_field(criterion: dict[str, Any], field: str) -> None:  # V-8
    with pytest.raises(Invalid) as caught:
        plan_of({"signal": "one.x"} | criterion)
    assert caught.value.field == f"criteria[0].{field}"
