"""Iterations: what changed between runs, baselines, statistics by the engine's conventions (V-21)."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.iterations import (
    PERCENTILES,
    Change,
    Standing,
    baseline_of,
    compare_runs,
    statistics_of,
    step,
    within,
)
from tests.unit.verification.building import kpa, verdict


def standing(verdict: str, margin: float | None = 1.0, unit: str = "kPa", document: str = "d") -> Standing:
    return Standing(verdict, margin, None, unit, None, unit, None, document)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("pass", "pass", Change.SAME),
        ("fail", "inconclusive", Change.BETTER),
        ("inconclusive", "pass", Change.BETTER),
        ("pass", "fail", Change.WORSE),
        ("pass", "open", Change.UNDECIDED),
        ("waiting", "waiting", Change.UNDECIDED),
    ],
)
def test_a_step_says_whether_a_verdict_got_better(before: str, after: str, change: Change) -> None:  # V-21
    assert step(standing(before), standing(after)).change is change


def test_deltas_need_two_finite_margins_in_one_unit() -> None:  # V-21
    assert step(standing("pass", 2.0), standing("pass", 1.5)).delta == -0.5
    assert step(standing("pass", None), standing("pass", 1.5)).delta is None
    assert step(standing("pass", 1.0, "Pa"), standing("pass", 1.5)).delta is None
    assert step(standing("pass", math.inf), standing("pass", 1.5)).delta is None


def test_other_texts_and_criteria_that_come_or_go_are_said() -> None:  # V-21
    runs = {
        "a": {"old": standing("fail"), "both": standing("pass", document="x")},
        "b": {"both": standing("pass", document="y"), "new": standing("pass")},
    }
    found = {item.criterion: item for item in compare_runs("b", runs, runs)}
    assert list(found) == ["both", "new", "old"]
    assert found["both"].steps["a"].text_differs
    assert (found["new"].steps["a"].change, found["old"].steps["a"].change) == (Change.NEW, Change.GONE)
    assert set(found["old"].standings) == {"a"}
    assert set(found["both"].steps) == {"a"}


def test_a_criterion_that_neither_of_two_runs_has_is_undecided() -> None:  # V-21
    runs = {"a": {"x": standing("pass")}, "b": {}, "c": {}}
    [found] = compare_runs("c", runs, runs)
    assert (found.steps["a"].change, found.steps["b"].change) == (Change.GONE, Change.UNDECIDED)


def test_a_run_that_has_not_started_has_lost_no_criterion() -> None:  # V-21
    runs = {"a": {"x": standing("pass"), "old": standing("pass")}, "b": {}}
    found = {item.criterion: item for item in compare_runs("b", runs, {"a": {"x", "old"}, "b": {"x"}})}
    assert (found["x"].steps["a"].change, found["old"].steps["a"].change) == (Change.UNDECIDED, Change.GONE)
    forward = {item.criterion: item for item in compare_runs("a", runs, {"a": {"x", "old"}, "b": {"x"}})}
    assert (forward["x"].steps["b"].change, forward["old"].steps["b"].change) == (Change.UNDECIDED, Change.NEW)


def test_the_baseline_is_the_first_of_the_chain() -> None:  # V-21
    assert baseline_of("c", {"c": "b", "b": "a", "a": None}) == "a"
    assert baseline_of("a", {"a": None}) is None
    assert baseline_of("b", {"b": "a", "a": "b"}) == "a"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_statistics_agree_with_the_textbook(values: list[float]) -> None:  # V-21
    found = statistics_of(np.array(values))
    ordered = sorted(values)
    assert (found.count, found.minimum, found.maximum) == (len(values), ordered[0], ordered[-1])
    assert found.mean == pytest.approx(fmean(values), rel=1e-9, abs=1e-6)
    assert found.sd == (pytest.approx(stdev(values), rel=1e-6, abs=1e-6) if len(values) > 1 else None)
    for q, value in zip(PERCENTILES, found.percentiles, strict=True):
        rank = q / 100 * (len(values) - 1)
        low = ordered[math.floor(rank)]
        high = ordered[min(math.floor(rank) + 1, len(values) - 1)]
        assert value == pytest.approx(low + (rank - math.floor(rank)) * (high - low), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("q", PERCENTILES)
def test_a_percentile_is_the_one_that_a_criterion_is_judged_by(q: float) -> None:  # V-21
    values = [3.0, 8.0, 1.0, 5.0, 4.0, 9.5]
    criterion = {"kind": "window_statistics", "statistic": "percentile", "percentile": q, "high": kpa(0)}
    judged = verdict(criterion, values)
    assert judged.margin is not None
    assert statistics_of(np.array(values)).percentiles[PERCENTILES.index(q)] == -judged.margin


def test_no_sample_has_no_statistic() -> None:  # G5: nothing by absence
    found = statistics_of(np.empty(0))
    assert (found.count, found.mean, found.sd, found.percentiles) == (0, None, None, ())


def test_phases_are_half_open_and_absent_values_are_left_out() -> None:  # V-21
    times = np.array([0, 1, 2, 3, 4], np.int64)
    values = np.array([9.0, 1.0, math.nan, 3.0, 9.0])
    assert within(times, values, [("p", 1, 4), ("q", 4, 9)])["p"].tolist() == [1.0, 3.0]
    assert within(times, values, [("q", 4, 9)])["q"].tolist() == [9.0]
