"""Decision rules with numbers that can be worked by hand or looked up (V-9)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.check import check
from services.verification.domain.decisions import (
    DecisionPlan,
    conformity,
    guard_of_probability,
    level_of,
    normal_cdf,
    probability,
)
from services.verification.domain.outcomes import CriterionState, Outcome
from services.verification.domain.results import result_facts
from tests.unit.verification.building import STREAMS, criteria_of, kpa, seconds, verdict

# one.x has U = 2 kPa with k = 2 in the registry: u = 1 kPa.
LIMIT = {"kind": "band", "high": kpa(100)}


def under(rule: str, worst: float, **more: Any) -> CriterionState:
    return verdict(LIMIT | {"decision": {"rule": rule} | more}, [90, worst, 95])


@pytest.mark.parametrize(
    ("worst", "outcome", "level"),
    [
        (98, Outcome.PASS, "pass"),
        (98.5, Outcome.PASS, "conditional_pass"),
        (100, Outcome.PASS, "conditional_pass"),
        (100.5, Outcome.FAIL, "conditional_fail"),
        (102, Outcome.FAIL, "conditional_fail"),
        (102.5, Outcome.FAIL, "fail"),
    ],
)
def test_four_levels(worst: float, outcome: Outcome, level: str) -> None:  # V-9: w = U = 2
    state = under("four_level", worst)
    assert (state.outcome, state.level, state.margin) == (outcome, level, 100 - worst)


def test_a_multiplier_widens_the_conditional_zone() -> None:  # V-9: w = 1.5 U = 3
    assert under("four_level", 97.5, multiplier=1.5).level == "conditional_pass"


def test_equality_with_the_acceptance_limit_passes() -> None:  # V-9: 100 - 2
    assert under("guard_band", 98).outcome is Outcome.PASS
    assert under("guard_band", 98.0001).outcome is Outcome.FAIL


def test_the_probability_of_conformity_is_of_the_worst_value() -> None:  # V-9: one standard uncertainty inside: 84.1 %
    assert under("four_level", 99).conformity_probability == 0.841344746
    assert under("guard_band", 99).conformity_probability == 0.841344746
    assert under("simple", 99).conformity_probability is None


def test_a_minimum_probability_draws_the_limit_in() -> None:  # V-9: z(0.95) = 1.6449
    assert under("min_probability", 98.35, probability=0.95).outcome is Outcome.PASS
    failed = under("min_probability", 98.36, probability=0.95)
    assert failed.outcome is Outcome.FAIL
    assert failed.conformity_probability == pytest.approx(0.9495, abs=1e-4)
    assert under("min_probability", 100, probability=0.5).outcome is Outcome.PASS


def test_two_limits_share_the_risk() -> None:  # V-9: one standard uncertainty from both: 68.3 %
    narrow = {"kind": "band", "low": kpa(98), "high": kpa(100), "decision": {"rule": "four_level"}}
    assert verdict(narrow, [99]).conformity_probability == 0.682689492


def test_a_band_too_narrow_for_its_probability_is_refused() -> None:  # V-9, V-8
    narrow = {"kind": "band", "signal": "one.x", "low": kpa(99), "high": kpa(100)}
    [finding] = check(criteria_of(narrow | {"decision": {"rule": "min_probability"}}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_decision_rule", "criteria[0].decision.probability")


def test_an_uncertainty_of_the_criterion_has_a_coverage_factor_of_its_own() -> None:  # V-9: u = 3/3
    state = under("four_level", 99, uncertainty=kpa(3), coverage_factor=3)
    assert (state.conformity_probability, state.level) == (0.841344746, "conditional_pass")


@pytest.mark.parametrize(
    ("criterion", "rule"),
    [
        ({"kind": "longest_excursion", "signal": "one.x", "high": kpa(5), "at_most": seconds(3)}, "four_level"),
        ({"kind": "fraction_in_band", "signal": "one.x", "high": kpa(5), "at_least": 0.5}, "min_probability"),
        ({"kind": "data_quality", "signal": "one.x", "max_nan": 1}, "guard_band"),
        ({"kind": "count", "event": {"op": ">", "left": "one.x", "right": kpa(5)}, "at_most": 1}, "guard_band"),
        ({"kind": "condition", "of": {"op": ">", "left": "one.x", "right": kpa(5)}}, "guard_band"),
    ],
)
def test_a_rule_that_the_kind_has_no_use_for_is_refused(criterion: dict[str, Any], rule: str) -> None:  # V-9, V-8
    [finding] = check(criteria_of(criterion | {"decision": {"rule": rule}}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_decision_rule", "criteria[0].decision.rule")


def test_level_and_probability_are_part_of_the_digest() -> None:  # V-9, V-16
    facts = result_facts(under("four_level", 99))
    assert (facts["level"], facts["conformity_probability"]) == ("conditional_pass", 0.841344746)


def test_nothing_decided_has_no_level() -> None:  # V-9
    state = verdict(LIMIT | {"decision": {"rule": "four_level"}}, [])
    assert (state.outcome, state.level, state.conformity_probability) == (Outcome.INCONCLUSIVE, None, None)
    assert level_of(DecisionPlan("four_level", guard=2.0), Outcome.NONE, 1.0) is None


@pytest.mark.parametrize("kind", ["band", "lab_result"])
@pytest.mark.parametrize("expanded", [0.0, -50.0])
def test_an_uncertainty_that_would_widen_the_limits_is_refused(kind: str, expanded: float) -> None:  # V-9, V-8
    criterion: dict[str, Any] = {"kind": kind, "high": kpa(100)} | ({"signal": "one.x"} if kind == "band" else {})
    decision = {"rule": "guard_band", "uncertainty": kpa(expanded)}
    [finding] = check(criteria_of(criterion | {"decision": decision}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_decision_rule", "criteria[0].decision.uncertainty")
    assert "greater than 0" in finding.detail
    assert finding.remedy


AT_100 = {"op": "constant", "value": 100, "unit": "kPa"}


def test_both_sides_of_a_tolerance_share_the_risk() -> None:  # V-9: two standard uncertainties from both: 95.4 %
    within = {"kind": "setpoint_band", "setpoint": AT_100, "within": kpa(2)}
    state = verdict(within | {"decision": {"rule": "four_level", "uncertainty": kpa(2)}}, [100])
    assert state.conformity_probability == 0.954499736


@pytest.mark.parametrize(
    "criterion",
    [
        {"kind": "setpoint_band", "signal": "one.x", "setpoint": AT_100, "within": kpa(1)},
        {"kind": "balance", "inputs": ["one.x"], "outputs": [AT_100], "limit": kpa(1)},
    ],
)
def test_a_tolerance_too_narrow_for_its_probability_is_refused(
    criterion: dict[str, Any],
) -> None:  # V-9: at best 68.3 %
    decision = {"rule": "min_probability", "probability": 0.8, "uncertainty": kpa(2)}
    [finding] = check(criteria_of(criterion | {"decision": decision}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_decision_rule", "criteria[0].decision.probability")


@pytest.mark.parametrize(
    "criterion",
    [
        {"kind": "setpoint_band", "signal": "one.x", "setpoint": AT_100, "fraction": 0.1},
        {"kind": "balance", "inputs": ["one.x"], "outputs": [AT_100], "fraction": 0.1},
    ],
)
def test_a_tolerance_that_moves_has_no_probability(criterion: dict[str, Any]) -> None:  # V-9, V-8
    decision = {"rule": "min_probability", "uncertainty": kpa(2)}
    [finding] = check(criteria_of(criterion | {"decision": decision}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_decision_rule", "criteria[0].decision.rule")


def test_a_guard_band_on_a_tolerance_that_moves_tells_no_probability() -> None:  # V-9: 10 % of 100, less U
    moving = {"kind": "setpoint_band", "setpoint": AT_100, "fraction": 0.1}
    state = verdict(moving | {"decision": {"rule": "guard_band", "uncertainty": kpa(2)}}, [108])
    assert (state.outcome, state.margin, state.conformity_probability) == (Outcome.PASS, 0.0, None)


@given(st.floats(-15, 15))
def test_the_normal_distribution_agrees_with_another_one(x: float) -> None:  # V-9
    assert float(normal_cdf(x)) == pytest.approx(NormalDist().cdf(x), abs=1e-14)


@given(st.floats(0.5, 0.9999), st.floats(0.01, 10), st.none() | st.floats(5, 100))
def test_the_guard_band_has_the_wanted_probability(wanted: float, standard: float, band: float | None) -> None:  # V-9
    width = guard_of_probability(wanted, standard, band)
    if width is None:
        assert band is not None
        assert probability(band / 2, standard, band) < wanted
    else:
        assert probability(width, standard, band) >= wanted - 5e-10  # what nine digits leave
        assert width == 0 or probability(width * (1 - 1e-6) - 1e-12, standard, band) <= wanted


def test_a_guard_band_is_rounded_outward() -> None:  # V-9: z(0.95) = 1.64485362695147271...
    assert guard_of_probability(0.95, 1.0, None) == 1.6448536269514729


def test_a_margin_far_inside_is_certain_and_far_outside_impossible() -> None:  # V-9
    plan = DecisionPlan("four_level", expanded=2.0, coverage_factor=2.0, guard=2.0)
    assert [conformity(plan, m) for m in (math.inf, 50.0, -50.0, -math.inf)] == [1.0, 1.0, 0.0, 0.0]
