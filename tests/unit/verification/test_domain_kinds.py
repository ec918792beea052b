"""The normative conventions, each with numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.outcomes import Outcome
from services.verification.domain.rebuilding import rebuild
from tests.unit.verification.building import (
    NAN,
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

BAND = {"kind": "band", "low": kpa(90), "high": kpa(110)}


def test_equality_with_a_limit_passes() -> None:  # V-9, conventions
    state = verdict(BAND, [100, 110, 100])
    assert (state.outcome, state.margin) == (Outcome.PASS, 0.0)


def test_the_worst_instant_is_the_earliest_of_equals_and_the_evidence_its_sample() -> None:  # V-13
    state = verdict(BAND, [100, 112, 100, 112])
    assert (state.outcome, state.margin, state.worst_at, state.worst_value) == (Outcome.FAIL, -2.0, SECOND, 112.0)
    assert state.share == pytest.approx(-0.2)  # of half the band, 10 kPa
    assert state.evidence is not None
    assert [(s.role, s.stream, s.boot, s.seq, s.row) for s in state.evidence.samples] == [
        ("worst", "line/one", "boot", 0, 1)
    ]


def test_a_phase_is_half_open_and_the_value_carried_into_it_is_not_judged_pointwise() -> None:  # conventions
    plan = plan_of({"signal": "one.x"} | BAND | {"phase": "q"})
    live = fed(plan, begun(0), one([(9, 500)]), begun(10, "q"), begun(12, "x"), one([(10, 100), (12, 900)], seq=1))
    assert [(s.outcome, s.margin) for s in live.states()] == [(Outcome.PASS, 10.0)]


def test_limits_are_converted_to_the_channels_unit() -> None:  # V-8
    state = verdict({"kind": "band", "high": {"value": 1.1, "unit": "bar"}}, [100, 109])
    assert state.margin == 1.0
    assert state.unit == "kPa"


@pytest.mark.parametrize("side", ["low", "high"])
@pytest.mark.parametrize(("limit", "unit", "level"), [(4.35, "bar", 435), (0.57, "MPa", 570), (1.1, "bar", 110)])
def test_equality_passes_in_another_unit(side: str, limit: float, unit: str, level: float) -> None:  # V-9, V-8
    state = verdict({"kind": "band", side: {"value": limit, "unit": unit}}, [level])
    assert (state.outcome, state.margin) == (Outcome.PASS, 0.0)


def test_a_limit_beyond_all_numbers_is_refused() -> None:  # V-8
    beyond = {"kind": "band", "signal": "one.x", "high": {"value": 1e308, "unit": "MPa"}}
    [finding] = check(criteria_of(beyond), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_unit", "criteria[0].high")


def test_a_guard_band_takes_the_uncertainty_off_every_limit() -> None:  # V-9: U = 2 kPa, r = 1.5, w = 3 kPa
    rule = {"decision": {"rule": "guard_band", "multiplier": 1.5}}
    assert verdict(BAND | rule, [100, 107]).margin == 0.0
    assert verdict(BAND | rule, [100, 108]).outcome is Outcome.FAIL
    assert verdict(BAND | rule, [100, 93]).margin == 0.0
    assert verdict(BAND | rule, [100, 92]).outcome is Outcome.FAIL


PER_SECOND = {"value": 3, "unit": "kPa/s"}
RAMP = {"kind": "ramp", "from_level": kpa(0), "to_level": kpa(2), "rate": {"value": 1, "unit": "kPa/s"}}


@pytest.mark.parametrize(
    ("criterion", "uncertainty", "xs", "margin"),
    [
        ({"kind": "settle", "target": kpa(100), "tolerance": kpa(5), "by": seconds(1)}, kpa(2), [100, 101], 2),
        ({"kind": "settle", "target": kpa(9), "tolerance": kpa(9), "by": seconds(1), "overshoot": kpa(4)}, kpa(2),
         [9, 10], 1),
        (RAMP | {"tolerance": kpa(3)}, kpa(2), [0, 1, 2, 2], 1),
        ({"kind": "rate_of_change", "window": seconds(2), "high": PER_SECOND}, PER_SECOND | {"value": 1}, [0, 1, 2], 1),
        ({"kind": "drift", "low": PER_SECOND | {"value": 0}}, PER_SECOND | {"value": 0.5}, [0, 1, 2], 0.5),
        ({"kind": "steady_state", "gradient": PER_SECOND, "window": seconds(2), "windows": 1},
         PER_SECOND | {"value": 1}, [5, 5], 2),
        ({"kind": "window_statistics", "statistic": "sd", "high": kpa(9)}, kpa(1), [5, 5], 8),
        ({"kind": "integral", "low": {"value": 1, "unit": "kPa.s"}}, {"value": 2, "unit": "kPa.s"}, [1, 2, 3], 3),
        ({"kind": "totaliser", "high": kpa(6)}, kpa(1), [1, 3], 3),
    ],
)  # fmt: skip
def test_a_guard_band_is_taken_off_what_each_kind_allows(
    criterion: dict[str, Any], uncertainty: dict[str, Any], xs: list[float], margin: float
) -> None:  # V-9
    rule = {"decision": {"rule": "guard_band", "uncertainty": uncertainty}}
    assert verdict(criterion | rule, xs).margin == pytest.approx(margin)
    assert verdict(criterion, xs).margin == pytest.approx(margin + uncertainty["value"])


def test_a_guard_band_is_taken_off_what_a_setpoint_allows() -> None:  # V-9: 3 kPa less 1 kPa, and 0.5 kPa away
    criterion = {"kind": "setpoint_band", "signal": "one.x", "setpoint": "two.z", "within": kpa(3)}
    plan = plan_of(criterion | {"decision": {"rule": "guard_band", "uncertainty": kpa(1)}})
    live = fed(plan, begun(), two([(0, 6000)]), one([(0, 6.5)]), ended(1))
    assert live.result().criteria[0].margin == pytest.approx(1.5)


def test_hold_counts_held_values_up_to_the_next_sample() -> None:  # V-6: in band on [1 s, 4 s)
    criterion = {"kind": "hold", "low": kpa(90), "high": kpa(110), "duration": seconds(3)}
    state = verdict(criterion, [80, 100, 95, 104, 80])
    assert (state.outcome, state.margin, state.time_margin) == (Outcome.PASS, 5.0, 0)
    assert state.decided_at == 4 * SECOND
    assert verdict(criterion, [80, 100, 95, 80, 80]).time_margin == -SECOND


def test_a_held_value_lasts_no_longer_than_the_maximum_age() -> None:  # conventions: 3 s
    criterion = {"kind": "hold", "low": kpa(90), "duration": seconds(4)}
    assert verdict(criterion, [100, NAN, NAN, 100, 100]).outcome is Outcome.PASS
    state = verdict(criterion, [100, NAN, NAN, NAN, 100, 100, 100])
    assert (state.outcome, state.reason, state.time_margin) == (Outcome.INCONCLUSIVE, "no_window", -SECOND)


def test_a_hold_that_nothing_answers_is_undecided() -> (
    None
):  # V-6, V-10: no 4 s without a gap, and the gaps could have been in band
    sparse = {"kind": "hold", "high": kpa(110), "duration": seconds(4)}
    state = verdict(sparse, [104, NAN, NAN, NAN, NAN, 103, NAN, NAN, NAN, NAN])
    assert (state.outcome, state.reason, state.margin) == (Outcome.INCONCLUSIVE, "no_window", None)
    too_short = verdict(sparse, [104, 104, 104])
    assert (too_short.outcome, too_short.reason, too_short.margin) == (Outcome.FAIL, None, None)


def test_a_number_that_cannot_be_compared_is_no_pass() -> None:  # V-10: infinity less infinity
    difference = {"op": "difference", "of": ["one.x", "one.x"]}
    state = verdict(
        {"kind": "window_statistics", "statistic": "mean", "high": kpa(1), "signal": difference}, [math.inf, math.inf]
    )
    assert state.outcome is not Outcome.PASS


def test_the_clock_of_a_hold_stops_in_held_when_the_criterion_says_so() -> None:  # V-2
    criterion = {"kind": "hold", "low": kpa(90), "duration": seconds(4)}
    xs = [100, 100, 50, 50, 100, 100, 100, 50]
    stopped = verdict(criterion | {"clock_in_hold": "stop"}, xs, holds=held(2, 4))
    assert (stopped.outcome, stopped.decided_at) == (Outcome.PASS, 6 * SECOND)  # 0–2 s and 4–6 s
    assert verdict(criterion, xs, holds=held(2, 4)).outcome is Outcome.FAIL


def test_the_longest_excursion_may_last_exactly_as_long_as_allowed() -> None:  # V-6
    criterion = {"kind": "longest_excursion", "high": kpa(110), "at_most": seconds(2)}
    state = verdict(criterion, [100, 120, 120, 100, 120, 100])
    assert (state.outcome, state.margin, state.unit, state.time_out) == (Outcome.PASS, 0.0, "s", 3 * SECOND)
    state = verdict(criterion, [100, 120, 120, 130, 100])
    assert (state.outcome, state.decided_at, state.worst_at) == (Outcome.FAIL, 3 * SECOND, 3 * SECOND)


def test_a_gap_ends_an_excursion() -> None:  # conventions: 120 holds for 3 s, then nothing is known
    criterion = {"kind": "longest_excursion", "high": kpa(110), "at_most": seconds(3)}
    assert verdict(criterion, [120, NAN, NAN, NAN, 120, 100]).margin == 0.0


def test_cumulative_time_out_adds_the_excursions() -> None:  # V-6
    criterion = {"kind": "cumulative_time_out", "high": kpa(110), "at_most": seconds(2.5)}
    state = verdict(criterion, [120, 100, 120, 100, 120, 100])
    assert (state.outcome, state.margin, state.decided_at) == (Outcome.FAIL, -0.5, 4 * SECOND + SECOND // 2)


def test_settle_judges_staying_from_the_time_given_and_overshoot_always() -> None:  # V-6
    criterion = {"kind": "settle", "target": kpa(100), "tolerance": kpa(2), "by": seconds(2), "overshoot": kpa(5)}
    state = verdict(criterion, [50, 104, 101, 99])
    assert (state.outcome, state.margin, state.time_margin) == (Outcome.PASS, 1.0, 0)
    assert verdict(criterion, [50, 106, 101, 99]).margin == -1.0  # 6 kPa beyond, 5 allowed
    assert verdict(criterion, [100, 94, 101, 99]).margin == -1.0  # begun at the target, either side is beyond
    assert verdict(criterion, [50, 40, 101, 103]).outcome is Outcome.FAIL  # left the band again
    assert verdict(criterion, [50, 101]).reason == "not_reached"


def test_settle_leaves_out_what_lies_in_a_hold_when_the_clock_stops() -> None:  # V-2: the hold is [2 s, 3 s)
    criterion = {"kind": "settle", "target": kpa(100), "tolerance": kpa(2), "by": seconds(1)}
    xs = [100, 100, 50, 101]
    assert verdict(criterion | {"clock_in_hold": "stop"}, xs, holds=held(2, 3)).margin == 1.0
    assert verdict(criterion, xs, holds=held(2, 3)).margin == -48.0


def test_a_slope_is_the_least_squares_line_of_the_window() -> None:  # V-6: (-1.5·0 - 0.5·1 + 0.5·4 + 1.5·9)/5 = 3 kPa/s
    criterion = {"kind": "rate_of_change", "window": seconds(4), "high": {"value": 240, "unit": "kPa/min"}}
    state = verdict(criterion, [5, 0, 1, 4, 9])
    assert state.margin == pytest.approx(60.0)
    assert state.unit == "kPa/min"
    assert state.worst_value == pytest.approx(180.0)


def test_a_slope_of_a_temperature_has_kelvin_in_its_unit() -> None:  # V-8
    criterion = {
        "kind": "rate_of_change",
        "signal": "one.temperature",
        "window": seconds(2),
        "high": {"value": 6, "unit": "K/min"},
    }
    assert verdict(criterion, [0, 0, 0, 0]).margin == pytest.approx(6.0)


def test_sd_has_n_minus_1_and_a_percentile_is_linear_between_order_statistics() -> None:  # conventions
    statistics = {"kind": "window_statistics", "high": kpa(10)}
    assert verdict(statistics | {"statistic": "sd"}, [1, 2, 3, 4]).worst_value == pytest.approx((5 / 3) ** 0.5)
    state = verdict(statistics | {"statistic": "percentile", "percentile": 90}, [1, 2, 3, 4])
    assert state.worst_value == pytest.approx(3.7)  # rank 0.9·3 = 2.7


@pytest.mark.parametrize(
    ("statistic", "high", "tumbling", "sliding"),
    [
        ("mean", 13 / 3, 8 / 3, 2),
        ("sd", (13 / 3) ** 0.5, (7 / 3) ** 0.5, 1),
        ("min", 2, 1, 1),
        ("max", 6, 4, 3),
        ("rms", (65 / 3) ** 0.5, (26 / 3) ** 0.5, (14 / 3) ** 0.5),
        ("percentile", 5, 3, 2),
    ],
)
def test_the_worst_window_of_each_statistic(statistic: str, high: float, tumbling: float, sliding: float) -> None:
    """V-6: tumbling windows are 4 1 3 and 2 6 5, sliding ones 1 3 2, 3 2 6 and 2 6 5; the highest value is the same."""
    xs = [4, 1, 3, 2, 6, 5]
    for windows, low in (("tumbling", tumbling), ("sliding", sliding)):
        criterion: dict[str, Any] = {"kind": "window_statistics", "statistic": statistic}
        criterion |= {"windows": windows, "window": seconds(3), "percentile": 50 if statistic == "percentile" else None}
        assert verdict(criterion | {"high": kpa(9)}, xs).worst_value == pytest.approx(high)
        assert verdict(criterion | {"low": kpa(0)}, xs).worst_value == pytest.approx(low)


def test_a_sliding_window_is_open_at_its_start() -> None:  # conventions: (1 s, 3 s] holds the samples at 2 s and 3 s
    criterion = {
        "kind": "window_statistics",
        "statistic": "mean",
        "windows": "sliding",
        "window": seconds(2),
        "high": kpa(9),
    }
    state = verdict(criterion, [9, 9, 1, 2])
    assert [state.margin, state.worst_at] == [4.0, 2 * SECOND]  # (9 + 1)/2 at 2 s; 9 at 1 s is no window yet
    assert verdict(criterion | {"window": seconds(3)}, [4, 1, 3, 8]).worst_value == 4.0  # of 1, 3 and 8


def test_a_sliding_window_holds_every_sample_of_its_last_instant() -> None:  # V-6, conventions: (106 + 98)/2, not 106
    rows = [(0, 100.0), (1, 100.0), (2, 106.0), (2, NAN), (2, 98.0), (3, 100.0)]

    def judged(criterion: dict[str, Any]) -> float | None:
        plan = plan_of({"signal": "one.x"} | criterion)
        return rebuild(plan, [begun(), ended(5)], [one(rows)]).result().criteria[0].margin

    mean = {"kind": "window_statistics", "statistic": "mean", "windows": "sliding", "window": seconds(1)}
    assert judged(mean | {"high": kpa(103)}) == 1.0
    rate = {"kind": "rate_of_change", "window": seconds(2), "high": {"value": 3, "unit": "kPa/s"}}
    assert judged(rate) == pytest.approx(1.0)  # from 100 at 1 s to 106 and 98 at 2 s: 2 kPa/s


def test_tumbling_windows_are_judged_when_they_fit_the_phase() -> None:
    criterion = {
        "kind": "window_statistics",
        "statistic": "max",
        "windows": "tumbling",
        "window": seconds(2),
        "high": kpa(5),
    }
    assert verdict(criterion, [1, 2, 3, 4, 100]).margin == 1.0


def test_several_channels_meet_by_held_values_at_every_instant_of_any() -> None:  # conventions
    criterion = {"kind": "band", "signal": {"op": "difference", "of": ["one.x", "two.z"]}, "high": kpa(6)}
    live = fed(plan_of(criterion), begun(), one([(0, 10), (1, 11), (2, 12)]), two([(1, 5000), (2, 7000)]))
    state = live.states()[0]
    assert (state.quality.samples, state.high) == (2, 0.0)  # at 1 s 11 - 5 kPa; at 0 s z is not defined; at 2 s 12 - 7


def test_a_balance_is_relative_to_what_goes_in() -> None:  # V-6
    criterion = {"kind": "balance", "inputs": ["one.x"], "outputs": ["two.z"], "fraction": 0.1}
    live = fed(plan_of(criterion), begun(), one([(0, 10), (1, 10)]), two([(0, 9000), (1, 8500)]))
    assert live.states()[0].high == pytest.approx(-0.5)  # 1.0 kPa allowed, 1.5 kPa lost
    assert live.states()[0].outcome is Outcome.FAIL


def test_a_stuck_value_is_found() -> None:  # V-6
    criterion = {"kind": "data_quality", "max_stuck": seconds(2)}
    assert verdict(criterion, [1, 2, 2, 2, 3]).outcome is Outcome.PASS
    assert verdict(criterion, [1, 2, 2, 2, 2, 3]).outcome is Outcome.FAIL
