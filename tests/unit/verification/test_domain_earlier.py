"""Criteria that judge a run by earlier ones, with numbers that can be worked by hand (V-6)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.verification.domain.baselines import Recorded, baselines_of, subject_of
from services.verification.domain.check import check
from services.verification.domain.criteria.earlier import ComparePrevious
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.outcomes import CriterionState, Outcome
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from services.verification.domain.references import RecordedPhase, reference_of
from shared.contracts.lifecycle import Baseline
from shared.kernel.errors import Invalid
from tests.unit.verification.building import (
    NAN,
    SECOND,
    STREAMS,
    begun,
    criteria_of,
    ended,
    held,
    kpa,
    one,
    seconds,
    verdict,
)

FAMILY = {"step": seconds(2), "unit": "kPa", "mean": [1.0, 5.0] + [5.0] * 1798, "sd": [1.0, 0.5] + [0.5] * 1798}
ENVELOPE: dict[str, Any] = {"kind": "envelope", "reference": FAMILY, "sigmas": 2}


def test_an_envelope_is_as_wide_as_its_family_was_spread() -> None:  # V-6: 1 +- 2 for two seconds, then 5 +- 1
    state = verdict(ENVELOPE, [1, 3, 5.5, 5])
    assert (state.outcome, state.margin, state.worst_at, state.worst_value) == (Outcome.PASS, 0.0, SECOND, 3.0)
    state = verdict(ENVELOPE, [1, 2, 6.5, 5])
    assert (state.outcome, state.margin, state.worst_at) == (Outcome.FAIL, -0.5, 2 * SECOND)
    assert (state.decided_at, state.time_out) == (2 * SECOND, SECOND)


def test_a_held_value_leaves_the_envelope_when_the_reference_moves_away() -> None:  # V-6: a duration kind, on v(t)
    state = verdict(ENVELOPE, [1, 3, NAN, NAN], end=4)
    assert (state.outcome, state.margin, state.worst_at) == (Outcome.FAIL, -1.0, 2 * SECOND)


def test_time_outside_may_be_allowed() -> None:  # V-6, V-13
    allowing = ENVELOPE | {"at_most": seconds(1)}
    state = verdict(allowing, [1, 2, 6.5, 5])
    assert (state.outcome, state.margin, state.unit, state.time_out) == (Outcome.PASS, 0.0, "s", SECOND)
    state = verdict(allowing, [1, 2, 6.5, 6.5, 5])
    assert (state.outcome, state.margin, state.decided_at) == (Outcome.FAIL, -1.0, 3 * SECOND)


def test_a_floor_keeps_the_envelope_from_closing() -> None:  # V-6
    still = {"step": seconds(3600), "unit": "kPa", "mean": [1.0], "sd": [0.0]}
    criterion = ENVELOPE | {"reference": still}
    assert verdict(criterion, [1, 1.1]).outcome is Outcome.FAIL
    assert verdict(criterion | {"floor": kpa(0.5)}, [1, 1.1]).margin == pytest.approx(0.4)


def test_a_held_run_waits_for_its_reference_when_the_clock_stops() -> None:  # V-2
    values = [1, 1, 1, 1, 5]
    stopped = verdict(ENVELOPE | {"clock_in_hold": "stop"}, values, holds=held(1, 3))
    assert (stopped.outcome, stopped.margin) == (Outcome.PASS, 1.0)
    assert verdict(ENVELOPE, values, holds=held(1, 3)).outcome is Outcome.FAIL


def test_a_guard_band_narrows_the_envelope() -> None:  # V-9: U is 2 kPa, half of it for r = 0.5 is 1 kPa
    guarded = ENVELOPE | {"decision": {"rule": "guard_band", "multiplier": 0.5}}
    assert verdict(guarded, [2, 2]).margin == 0.0
    with pytest.raises(Invalid) as refused:
        verdict(ENVELOPE | {"decision": {"rule": "min_probability"}}, [2, 2])
    assert refused.value.code == "criteria_decision_rule"


def unplanned(criterion: dict[str, Any]) -> CriteriaSet:
    return criteria_of({"signal": "one.x"} | criterion)


def test_a_phase_that_outlasts_its_reference_is_undecided_unless_it_has_failed() -> None:  # V-6
    short = ENVELOPE | {"reference": {"step": seconds(1), "unit": "kPa", "mean": [1.0], "sd": [1.0]}}
    plan = RunPlan.build(run="run", criteria=unplanned(short), streams=STREAMS, start=0)
    state = rebuild(plan, [begun(), ended(2)], [one([(0, 1), (1, 9)])]).result().criteria[0]
    assert (state.outcome, state.reason, state.detail) == (
        Outcome.INCONCLUSIVE,
        "past_reference",
        "the phase outlasts the reference",
    )
    state = rebuild(plan, [begun(), ended(2)], [one([(0, 4), (1, 1)])]).result().criteria[0]
    assert state.outcome is Outcome.FAIL


def test_a_reference_covers_the_planned_phase() -> None:  # V-8
    short = ENVELOPE | {"signal": "one.x", "reference": {"step": seconds(1), "unit": "kPa", "mean": [1], "sd": [1]}}
    [finding] = check(criteria_of(short, planned=2), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_horizon", "criteria[0].reference.mean")


def test_a_reference_in_another_unit_is_converted_and_one_of_another_kind_refused() -> None:  # V-7
    bars = {"step": seconds(3600), "unit": "bar", "mean": [0.01], "sd": [0.01]}
    assert verdict(ENVELOPE | {"reference": bars}, [1, 2]).margin == pytest.approx(1.0)
    wrong = ENVELOPE | {"signal": "one.x", "reference": bars | {"unit": "K"}}
    [finding] = check(criteria_of(wrong), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_unit", "criteria[0].reference.unit")


def test_the_memory_of_a_reference_is_counted() -> None:  # V-8
    [(_, small)] = check(criteria_of(ENVELOPE | {"signal": "one.x"}, planned=3600), STREAMS).memory
    assert small >= 2 * 1800 * 8


MEAN: dict[str, Any] = {
    "kind": "compare_previous",
    "signal": "one.x",
    "statistic": "mean",
    "low": kpa(-1),
    "high": kpa(1),
}


def judged(criterion: dict[str, Any], xs: list[float], previous: float | None, unit: str = "kPa") -> CriterionState:
    criteria = unplanned(criterion)
    [model] = criteria.criteria
    assert isinstance(model, ComparePrevious)
    pinned = (
        []
        if previous is None
        else [Baseline(subject_of(model.model_dump(mode="json")), "before", 1, "d", previous, unit)]
    )
    plan = RunPlan.build(run="run", criteria=criteria, streams=STREAMS, start=0, baselines=pinned)
    return rebuild(plan, [begun(), ended(len(xs))], [one(list(enumerate(xs)))]).result().criteria[0]


def test_a_mean_beside_that_of_the_run_before() -> None:  # V-6
    state = judged(MEAN, [4, 6], 4.5)
    assert (state.outcome, state.margin, state.worst_value) == (Outcome.PASS, 0.5, 5.0)
    assert judged(MEAN, [4, 6], 3.5).margin == -0.5
    assert judged(MEAN, [4, 6], 4500.0, "Pa").margin == 0.5


def test_a_guard_band_narrows_a_comparison() -> None:  # V-9: the mean is 0.5 kPa above, 1 kPa less 0.25 kPa is allowed
    guarded = MEAN | {"decision": {"rule": "guard_band", "uncertainty": kpa(0.25)}}
    assert judged(guarded, [4, 6], 4.5).margin == 0.25
    assert judged(guarded, [4, 6], 5.5).margin == 0.25


def test_a_ratio_to_the_run_before() -> None:  # V-6: at most 10 % more
    ratio = MEAN | {"low": None, "high": {"value": 110, "unit": "%"}, "relation": "ratio"}
    assert judged(ratio, [5, 6], 5.0).margin == pytest.approx(0.0)
    assert judged(ratio, [5, 7], 5.0).outcome is Outcome.FAIL
    below = ratio | {"high": None, "low": {"value": 1, "unit": "1"}}
    assert judged(below, [-3, -3], -2.0).outcome is Outcome.PASS  # -3 / -2 is 1.5
    assert judged(ratio, [5, 6], 0.0).reason == "no_previous_run"


def test_the_first_run_of_a_chain_has_nothing_to_compare_with_but_tells_its_value() -> None:  # V-6
    state = judged(MEAN, [4, 6], None)
    assert (state.outcome, state.reason, state.margin) == (Outcome.INCONCLUSIVE, "no_previous_run", None)
    assert state.worst_value == 5.0


def test_a_ratio_of_temperatures_is_refused() -> None:  # V-7
    cel = MEAN | {"signal": "one.temperature", "relation": "ratio", "low": None, "high": {"value": 1, "unit": "1"}}
    [finding] = check(criteria_of(cel), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_unit", "criteria[0].relation")


def phase_of(name: str, start: int, rows: list[tuple[int, float]], length: int = 6) -> RecordedPhase:
    """(second after the start, value) rows; values hold for three seconds."""
    times = np.array([start + t * SECOND for t, _ in rows], np.int64)
    return RecordedPhase(name, start, start + length * SECOND, 3 * SECOND, times, np.array([x for _, x in rows]))


def test_a_family_is_laid_over_itself_at_the_phases_starts() -> None:  # V-6: held values every two seconds
    first = phase_of("a", 0, [(-1, 2.0), (1, 4.0), (4, 8.0)])
    second = phase_of("b", 3600 * SECOND, [(0, 4.0), (2, 6.0), (5, 1.0)])
    points = reference_of([first, second], 2 * SECOND, 2)
    assert [(point.mean, point.runs) for point in points] == [(3.0, 2), (5.0, 2), (7.0, 2)]
    assert [point.sd for point in points] == pytest.approx([2**0.5] * 3)


def test_a_reference_ends_where_too_few_go_on() -> None:  # V-6: b is silent for longer than its values hold
    first, third = phase_of("a", 0, [(0, 1.0), (3, 1.0)]), phase_of("c", 9 * SECOND, [(0, 3.0), (2, 5.0)], length=4)
    second = phase_of("b", 0, [(0, 2.0)])
    assert [point.runs for point in reference_of([first, second, third], SECOND, 2)] == [3, 3, 3, 2]
    assert len(reference_of([first, second, third], SECOND, 3)) == 3


@pytest.mark.parametrize(
    ("family", "step", "code"),
    [
        ([phase_of("a", 0, [(0, 1.0)])], SECOND, "reference_family"),
        ([phase_of("a", 0, [(0, 1.0)]), phase_of("b", 0, [(1, 1.0)])], SECOND, "reference_family"),
        ([phase_of("a", 0, [(0, 1.0)])] * 2, 100, "reference_steps"),
    ],
)
def test_what_makes_no_reference_is_refused_with_its_reason(family: Any, step: int, code: str) -> None:  # G14
    with pytest.raises(Invalid) as refused:
        reference_of(family, step, 2)
    assert refused.value.code == code


def recorded(*facts: dict[str, Any], criteria: CriteriaSet) -> Recorded:
    return Recorded("before", 2, "digest", criteria, {f"c{k}": fact for k, fact in enumerate(facts)})


FACT = {"outcome": "PASS", "reason": None, "worst_value": 5.0, "unit": "kPa"}


def test_what_is_pinned_is_what_the_run_before_has_said_of_the_same_subject() -> None:  # V-6
    before = criteria_of(MEAN, MEAN | {"statistic": "max"})
    now = criteria_of(MEAN | {"high": kpa(9)}, MEAN | {"statistic": "rms"})
    [baseline] = baselines_of(now, recorded(FACT, FACT, criteria=before))
    assert (baseline.run, baseline.evaluation, baseline.digest, baseline.value) == ("before", 2, "digest", 5.0)
    assert baseline.subject == subject_of(now.criteria[0].model_dump(mode="json"))


@pytest.mark.parametrize(
    ("fact", "pinned"),
    [
        ({"outcome": "INCONCLUSIVE", "reason": "no_previous_run"}, 1),
        ({"outcome": "INCONCLUSIVE", "reason": "coverage"}, 0),
        ({"outcome": "FAIL"}, 1),
        ({"outcome": "FAIL", "worst_value": None}, 0),
    ],
)
def test_a_value_that_its_data_does_not_carry_is_not_pinned(fact: dict[str, Any], pinned: int) -> None:  # V-6, G6
    criteria = criteria_of(MEAN)
    assert len(baselines_of(criteria, recorded(FACT | fact, criteria=criteria))) == pinned


def test_a_plan_with_another_baseline_is_another_plan() -> None:  # V-17: a snapshot is not restored under it
    criteria = unplanned(MEAN)
    pinned = [Baseline("s", "before", 1, "d", value, "kPa") for value in (1.0, 2.0)]
    plans = [RunPlan.build(run="run", criteria=criteria, streams=STREAMS, start=0, baselines=[one_]) for one_ in pinned]
    assert plans[0].digest() != plans[1].digest()
