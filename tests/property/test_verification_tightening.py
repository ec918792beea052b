"""Tightening: what passes a platform's criterion passes the standard's, whenever the engine says that it is at least as strict (V-19)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.outcomes import Outcome
from services.verification.domain.rebuilding import rebuild
from services.verification.domain.standards import standard_of
from services.verification.domain.tightening import Loosened, loosened
from tests.property.recordings import TITLE, Recording, criteria_set, kpa, recordings, seconds

HIGH = {"op": ">=", "left": "fast.x", "right": kpa(1)}
SLOPE = {"value": 1, "unit": "kPa/s"}
RANGE = {"signal": "fast.x", "low": kpa(-2), "high": kpa(2)}
QUANTITY = st.sampled_from([-2.0, -1.0, 0.5, 1.0, 2.0, 3.0])
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "band"} | RANGE,
    {"kind": "hold", "duration": seconds(3)} | RANGE,
    {"kind": "longest_excursion", "at_most": seconds(3)} | RANGE,
    {"kind": "cumulative_time_out", "at_most": seconds(3)} | RANGE,
    {"kind": "fraction_in_band", "at_least": 0.5} | RANGE,
    {
        "kind": "settle",
        "signal": "fast.x",
        "target": kpa(1),
        "tolerance": kpa(3),
        "by": seconds(3),
        "overshoot": kpa(3),
    },
    {"kind": "rate_of_change", "signal": "fast.x", "window": seconds(4), "high": SLOPE},
    {"kind": "window_statistics", "statistic": "mean"} | RANGE,
    {"kind": "data_quality", "signal": "fast.x", "max_gap": seconds(3), "min_coverage": 0.5, "max_nan": 2},
    {"kind": "setpoint_band", "signal": "fast.x", "setpoint": "fast.y", "within": kpa(3)},
    {"kind": "steady_state", "signal": "fast.x", "gradient": SLOPE, "window": seconds(3), "windows": 2},
    {"kind": "count", "event": HIGH, "at_least": 1, "at_most": 3},
    {"kind": "envelope", "signal": "fast.x", "sigmas": 2, "floor": kpa(1), "at_most": seconds(3)}
    | {"reference": {"step": seconds(2), "unit": "kPa", "mean": [0.0, 1.0] * 900, "sd": [0.5, 1.0] * 900}},
    {"kind": "response", "trigger": HIGH, "answer": {"op": "not", "of": HIGH}, "within": seconds(3)},
)


def mutated(draw: Any, value: Any) -> Any:
    """A quantity, number or missing limit, a little otherwise."""
    if isinstance(value, dict) and set(value) == {"value", "unit"}:
        positive = value["unit"] in ("s", "kPa/s")
        return {"value": draw(st.sampled_from([1.0, 2.0, 3.0, 4.0]) if positive else QUANTITY), "unit": value["unit"]}
    if isinstance(value, float):
        return draw(st.sampled_from([0.25, 0.5, 0.75]))
    return draw(st.integers(1, 4)) if isinstance(value, int) else value


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = copy.deepcopy(draw(st.sampled_from(KINDS)))
    asked["quality"] = {"max_gap": draw(st.sampled_from([None, seconds(3), seconds(6)]))}
    given_ = copy.deepcopy(asked)
    for name in list(given_):
        if name in ("kind", "signal", "event", "trigger", "answer", "setpoint", "statistic", "reference"):
            continue
        if name in ("floor", "at_most") and asked["kind"] == "envelope" and draw(st.booleans()):
            given_[name] = None
        elif draw(st.booleans()):
            given_[name] = mutated(draw, given_[name])
    if draw(st.booleans()):
        given_["quality"] = {"max_gap": draw(st.sampled_from([None, seconds(2), seconds(6)])), "min_coverage": 0.5}
    return asked, given_


def judged(recording: Recording, criterion: dict[str, Any]) -> Outcome:
    plan = recording.plan(criterion | {"phase": "p"})
    return rebuild(plan, recording.lifecycle(), recording.frames).result().criteria[0].outcome


def standard(criterion: dict[str, Any]) -> Any:
    document = criteria_set(criterion | {"phase": "p", "clause": "1"}).model_dump(mode="json")
    return standard_of(
        {
            "id": "standard",
            "version": "1.0.0",
            "body": "b",
            "number": "n",
            "year": 2026,
            "title": TITLE,
            "effective_from": "2026-01-01",
            "clauses": [{"id": "1", "title": TITLE}],
            "phases": document["phases"],
            "criteria": document["criteria"],
        }
    )


def adopted(*criteria: dict[str, Any]) -> CriteriaSet:
    return criteria_set(*(criterion | {"phase": "p", "clause": "1"} for criterion in criteria))


@given(pairs(), st.lists(recordings(most=14), min_size=3, max_size=3))
def test_what_passes_the_tighter_criterion_passes_the_other(pair: Any, runs: list[Recording]) -> None:  # V-19
    asked, given_ = pair
    if loosened(standard(asked), adopted(given_)):
        return
    for recording in runs:
        if judged(recording, given_) is Outcome.PASS:
            assert judged(recording, asked) is Outcome.PASS


@pytest.mark.parametrize(
    ("index", "change", "field"),
    [
        (0, {"high": kpa(2.5)}, "high"),
        (0, {"low": None}, "low"),
        (0, {"signal": "fast.y"}, "signal"),
        (0, {"quality": {"on_bad_quality": "exclude", "max_gap": None}}, "quality.max_gap"),
        (1, {"duration": seconds(2)}, "duration"),
        (5, {"by": seconds(2)}, "by"),
        (1, {"clock_in_hold": "stop"}, "clock_in_hold"),
        (2, {"at_most": {"value": 1, "unit": "min"}}, "at_most"),
        (4, {"at_least": 0.4}, "at_least"),
        (5, {"target": kpa(1.5)}, "target"),
        (5, {"overshoot": None}, "overshoot"),
        (6, {"window": seconds(3)}, "window"),
        (8, {"max_nan": None}, "max_nan"),
        (12, {"sigmas": 2.5}, "sigmas"),
        (12, {"floor": kpa(1.5)}, "floor"),
        (13, {"within": seconds(4)}, "within"),
    ],
)
def test_what_loosens_is_named(index: int, change: dict[str, Any], field: str) -> None:  # V-19
    asked = KINDS[index] | {"quality": {"max_gap": seconds(6)}}
    [found] = loosened(standard(asked), adopted(asked | change))
    assert (found.criterion, found.field) == ("c0", field)


def test_an_allowance_that_the_standard_does_not_give_is_named() -> None:  # V-19
    asked = KINDS[12] | {"floor": None, "at_most": None}
    assert [item.field for item in loosened(standard(asked), adopted(KINDS[12]))] == ["floor", "at_most"]
    assert loosened(standard(KINDS[12]), adopted(asked)) == ()


def test_a_missing_criterion_and_another_kind_are_named() -> None:  # V-19
    asked = standard(KINDS[0])
    other = adopted(KINDS[1]).model_copy(update={"criteria": ()})
    assert loosened(asked, other) == (Loosened("c0", "", "the criterion is missing"),)
    [kind] = loosened(asked, adopted(KINDS[1]))
    assert kind.field == "kind"


def test_tighter_in_another_unit_and_more_criteria_are_allowed() -> None:  # V-19
    tight = KINDS[0] | {
        "high": {"value": 1999, "unit": "Pa"},
        "decision": {"rule": "guard_band", "uncertainty": kpa(0.1)},
    }
    assert loosened(standard(KINDS[0]), adopted(tight, KINDS[1])) == ()


def in_phases(names: str) -> CriteriaSet:
    own = adopted(KINDS[0]).model_dump(mode="json")
    known = {phase["id"]: phase for phase in own["phases"]}
    further = {"id": "x", "title": TITLE, "starts_when": {"formula": HIGH}}
    return CriteriaSet.model_validate(own | {"phases": [known.get(name, further) for name in names]})


@pytest.mark.parametrize(
    ("names", "field"),
    [("xpq", "phases[x]"), ("pxq", "phases[x]"), ("pqx", "phases[x]"), ("qp", "phases[q]"), ("p", "phases[q]")],
)
def test_further_phases_and_another_order_are_named(
    names: str, field: str
) -> None:  # V-19, V-3: they move the boundaries
    assert [item.field for item in loosened(standard(KINDS[0]), in_phases(names))] == [field]


KELVIN = {"value": 278.15, "unit": "K"}
CELSIUS = {"value": 5, "unit": "Cel"}
APART = {"op": "difference", "of": ["fast.x", "fast.y"]}


@pytest.mark.parametrize(
    "criterion",
    [
        {"kind": "band", "signal": APART},
        {"kind": "band", "signal": "fast.x"},
        {"kind": "hold", "signal": APART, "duration": seconds(3)},
        {"kind": "window_statistics", "signal": "fast.x", "statistic": "sd"},
    ],
)
def test_a_limit_in_a_unit_of_another_zero_may_be_a_difference(
    criterion: dict[str, Any],
) -> None:  # V-19: 5 Cel apart are 5 K
    found = loosened(standard(criterion | {"high": CELSIUS}), adopted(criterion | {"high": KELVIN}))
    assert [item.field for item in found] == ["high"]


def test_a_standard_deviation_is_a_difference_in_every_unit() -> None:  # V-19
    spread = {"kind": "window_statistics", "signal": "fast.x", "statistic": "sd"}
    asked = standard(spread | {"high": {"value": 2, "unit": "K"}})
    assert loosened(asked, adopted(spread | {"high": {"value": 2, "unit": "Cel"}})) == ()


@pytest.mark.parametrize("rule", ["guard_band", "four_level", "min_probability"])
@pytest.mark.parametrize(
    ("asked", "change", "field"),
    [
        ({"uncertainty": kpa(0.5)}, {"uncertainty": kpa(0.4)}, "uncertainty"),
        ({}, {"uncertainty": kpa(0.5)}, "uncertainty"),
        ({"uncertainty": kpa(0.5)}, {"uncertainty": None}, "uncertainty"),
    ],
)
def test_a_smaller_or_another_uncertainty_is_named(
    rule: str, asked: dict[str, Any], change: dict[str, Any], field: str
) -> None:  # V-19, V-9
    decision = {"rule": rule} | asked
    found = loosened(standard(KINDS[0] | {"decision": decision}), adopted(KINDS[0] | {"decision": decision | change}))
    assert [item.field for item in found] == [f"decision.{field}"]


@pytest.mark.parametrize("rule", ["guard_band", "four_level"])
def test_a_smaller_multiplier_is_named(rule: str) -> None:  # V-19, V-9
    wide, narrow = ({"rule": rule, "uncertainty": kpa(0.5), "multiplier": m} for m in (1.0, 0.5))
    found = loosened(standard(KINDS[0] | {"decision": wide}), adopted(KINDS[0] | {"decision": narrow}))
    assert [item.field for item in found] == ["decision.multiplier"]
    assert loosened(standard(KINDS[0] | {"decision": narrow}), adopted(KINDS[0] | {"decision": wide})) == ()


@pytest.mark.parametrize("asked", [{"rule": "simple"}, {"rule": "guard_band", "uncertainty": kpa(0.5)}])
def test_an_uncertainty_that_widens_the_limits_is_named(asked: dict[str, Any]) -> None:  # V-19, V-9
    wide = {"rule": "guard_band", "uncertainty": kpa(-50)}
    found = loosened(standard(KINDS[0] | {"decision": asked}), adopted(KINDS[0] | {"decision": wide}))
    assert [item.field for item in found] == ["decision.uncertainty"]
