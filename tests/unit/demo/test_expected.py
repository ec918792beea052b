"""What the recordings must come to, with the reason in the data (V-27). Nothing here is tuned to an evaluator: none is called."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.demo.configuration import demo_plan, expected_run
from deploy.demo.expected import Channel, expected_outcome
from deploy.demo.tennessee import FAULT_ROW, RUNS, load_run
from shared.kernel.times import HOUR, MINUTE

UNDISTURBED = {
    "d00": "PASS",  # normal operation
    "d01": "FAIL",  # A/C ratio step: the steam valve works outside its normal band for 10.7 h, 4 h are allowed
    "d02": "FAIL",  # B composition step: steam stays below 190 kg/h for most of the phase
    "d03": "PASS",  # D feed temperature: known to be almost invisible
    "d04": "PASS",  # reactor cooling water step: one sample at 120.6 Cel, then the controller has it
    "d05": "FAIL",  # condenser cooling water step: 4.2 h of steam outside its band
    "d06": "FAIL",  # A feed loss: 2895 kPa passed at 12.9 h, shut down at 13.9 h
    "d07": "FAIL",  # C header pressure loss: 78 min above 2800 kPa, 60 are allowed
    "d08": "FAIL",  # random feed composition: 171 kPa/h, 120 are allowed
    "d09": "PASS",  # D feed temperature random: almost invisible
    "d10": "PASS",  # C feed temperature random: 3.75 h of steam outside its band, just within
}


def failed(run: str) -> set[str]:
    return {name for name, (outcome, _) in expected_run(demo_plan(), run).criteria.items() if outcome == "FAIL"}


@pytest.mark.parametrize("run", RUNS)
def test_verdicts_without_trouble_follow_from_the_recordings(run: str) -> None:
    assert expected_run(demo_plan(troubles=()), run).verdict == UNDISTURBED[run]


@pytest.mark.parametrize("run", RUNS)
def test_trouble_in_the_transport_makes_nothing_better_or_worse_than_unknown(run: str) -> None:
    """Only what never arrived or is no number changes a verdict, and only from PASS to INCONCLUSIVE (G5)."""
    changed = {"d03": "INCONCLUSIVE", "d09": "INCONCLUSIVE"}
    assert expected_run(demo_plan(), run).verdict == changed.get(run, UNDISTURBED[run])


def test_the_gap_of_d03_matters_where_the_reactor_is_watched_without_pause() -> None:
    criteria = expected_run(demo_plan(), "d03").criteria
    unknown = {name for name, (outcome, _) in criteria.items() if outcome == "INCONCLUSIVE"}
    assert unknown == {"pressure-limit", "temperature-limit"}


def test_d06_breaks_the_operating_limit_of_the_pressure_and_stands_still_afterwards() -> None:
    assert {"pressure-limit", "pressure-excursion", "pressure-recovered", "pressure-data"} <= failed("d06")


def test_d07_stays_above_2800_kpa_for_26_samples() -> None:
    above = load_run("d07")[FAULT_ROW:, 6] > 2800
    assert above.sum() == 26
    outcome, margin = expected_run(demo_plan(), "d07").criteria["pressure-excursion"]
    assert (outcome, margin) == ("FAIL", 3600 - 26 * 180)


def ramp(slope: float) -> Channel:
    """`slope` per hour, a sample a minute, over [0 h, 3 h), uncertainty 0.5."""
    times = np.arange(0, 3 * HOUR, MINUTE, dtype=np.int64)
    return Channel(times, slope * times / HOUR, 2 * MINUTE, 0.5)


def judged(channel: Channel, **criterion: object) -> tuple[str, float | None]:
    return expected_outcome({"signal": "s.x", **criterion}, {"s.x": channel}, HOUR, 3 * HOUR)


def test_a_band_is_judged_by_the_samples_of_the_half_open_phase() -> None:
    margin = judged(ramp(1.0), kind="band", high={"value": 3.0})[1]
    assert margin == pytest.approx(1 / 60)
    outcome, margin = judged(ramp(1.0), kind="band", high={"value": 3.0}, decision={"rule": "guard_band"})
    assert outcome == "FAIL"
    assert margin == pytest.approx(1 / 60 - 0.5)


def test_the_held_value_is_out_of_band_until_the_next_sample() -> None:
    times = np.array([HOUR, 2 * HOUR, 2 * HOUR + MINUTE], dtype=np.int64)
    channel = Channel(times, np.array([0.0, 5.0, 0.0]), 4 * HOUR, 0.0)
    limits = {"high": {"value": 1.0}, "at_most": {"value": 1, "unit": "min"}}
    assert judged(channel, kind="longest_excursion", **limits) == ("PASS", 0.0)
    limits["at_most"] = {"value": 59, "unit": "s"}
    assert judged(channel, kind="cumulative_time_out", **limits) == ("FAIL", -1.0)


def test_a_hold_across_an_undefined_stretch_is_not_proven_either_way() -> None:
    times = np.array([HOUR, 2 * HOUR + 30 * MINUTE], dtype=np.int64)
    channel = Channel(times, np.zeros(2), 30 * MINUTE, 0.0)
    criterion = {"kind": "hold", "high": {"value": 1.0}, "duration": {"value": 1, "unit": "h"}}
    assert judged(channel, **criterion, quality={"max_gap": {"value": 1, "unit": "h"}})[0] == "INCONCLUSIVE"


def test_a_slope_is_that_of_every_whole_window() -> None:
    limits = {"low": {"value": -2, "unit": "1/h"}, "high": {"value": 2, "unit": "1/h"}}
    outcome, margin = judged(ramp(1.5), kind="rate_of_change", window={"value": 1, "unit": "h"}, min_count=10, **limits)
    assert outcome == "PASS"
    assert margin == pytest.approx(0.5)


def test_no_sample_at_all_is_inconclusive() -> None:
    nothing = Channel(np.array([], dtype=np.int64), np.array([]), MINUTE, 0.0)
    assert judged(nothing, kind="band", high={"value": 1.0}) == ("INCONCLUSIVE", None)
