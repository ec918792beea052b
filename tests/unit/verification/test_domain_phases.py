"""Phases by condition: boundaries worked by hand, static errors, waiting for the condition's channels."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.criteria.writing import set_text
from services.verification.domain.criteria_model import CriteriaSet, load_criteria
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.outcomes import Outcome
from services.verification.domain.phases import PhaseSpan
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame
from tests.unit.verification.building import (
    SECOND,
    STREAMS,
    TITLE,
    begun,
    criteria_of,
    ended,
    fed,
    kpa,
    one,
    seconds,
    two,
)

ABOVE = {"op": ">=", "left": "one.x", "right": kpa(5)}
OPEN = {"op": ">", "left": "two.z", "right": {"value": 0, "unit": "Pa"}}
BAND = {"kind": "band", "signal": "one.x", "high": kpa(100)}


def set_of(**conditions: Any) -> CriteriaSet:
    """Phase p, and phase q with these conditions; c0 judges p, c1 judges q."""
    document = criteria_of(BAND, BAND | {"phase": "q"}).model_dump(mode="json")
    document["phases"][1] |= conditions
    return CriteriaSet.model_validate(document)


def plan_with(**conditions: Any) -> RunPlan:
    return RunPlan.build(run="run", criteria=set_of(**conditions), streams=STREAMS, start=0)


def span(plan: RunPlan, frames: list[Frame], *records: Lifecycle, phase: str = "q") -> PhaseSpan | None:
    evaluator = rebuild(plan, [begun(), *records, ended(20)], frames)
    evaluator.result()
    return next((found for found in evaluator.phases if found.phase == phase), None)


def test_the_phase_begins_when_the_condition_has_held_for_its_duration() -> None:
    # V-3
    plan = plan_with(starts_when={"formula": ABOVE, "for": seconds(3)})
    rows = one([(t, 9.0 if t in (2, 3) or t >= 6 else 1.0) for t in range(12)])
    found = span(plan, [rows])
    assert found == PhaseSpan("q", 9 * SECOND, 20 * SECOND, "condition", False)
    # The value of 8 s holds to 11 s, the maximum age: that is three seconds from 8 s, and not from 9 s.
    assert span(plan, [one([(8, 9.0)])]) == PhaseSpan("q", 11 * SECOND, 20 * SECOND, "condition", False)
    slow = plan_with(starts_when={"formula": ABOVE, "for": seconds(3.1)})
    assert span(slow, [one([(8, 9.0)])]) is None


def test_without_a_duration_it_begins_with_the_first_sample_and_a_value_held_into_the_run_counts() -> None:
    # V-3
    plan = plan_with(starts_when={"formula": ABOVE})
    at = span(plan, [one([(0, 1.0), (4, 5.0)])])
    assert at is not None
    assert at.start == 4 * SECOND
    held = span(plan, [one([(-1, 7.0), (5, 1.0)])])
    assert held is not None
    assert held.start == 0


def test_it_is_armed_by_the_phase_before_and_ends_by_its_own_condition() -> None:
    # V-3
    plan = plan_with(
        starts_when={"formula": ABOVE, "for": seconds(2)}, ends_when={"formula": {"op": "not", "of": ABOVE}}
    )
    frames = [one([(t, 9.0 if t < 12 else 1.0) for t in range(15)])]
    evaluator = rebuild(plan, [begun(5), ended(20)], frames)
    evaluator.result()
    assert evaluator.phases == (
        PhaseSpan("p", 5 * SECOND, 7 * SECOND, "command", False),
        PhaseSpan("q", 7 * SECOND, 12 * SECOND, "condition", True),
    )
    assert span(plan, frames, phase="x") is None


def test_the_earlier_boundary_wins_and_a_command_at_the_same_instant() -> None:
    # V-3
    plan = plan_with(starts_when={"formula": ABOVE})
    frames = [one([(t, 9.0 if t >= 6 else 1.0) for t in range(12)])]
    by_command = span(plan, frames, begun(6, "q"))
    assert by_command is not None
    assert (by_command.start, by_command.starts_by) == (6 * SECOND, "command")
    by_condition = span(plan, frames, begun(8, "q"))
    assert by_condition == PhaseSpan("q", 6 * SECOND, 20 * SECOND, "condition", False)


def test_criteria_wait_for_the_channels_of_a_condition_that_may_still_come() -> None:
    # V-3, V-14
    plan = plan_with(starts_when={"formula": OPEN})
    live = fed(plan, begun(), one([(t, 200.0 if t >= 6 else 1.0) for t in range(9)]))
    assert [state.outcome for state in live.states()] == [Outcome.NONE, Outcome.NONE]
    live.add_frame(two([(0, 0.0), (2, 0.0), (4, 1.0), (6, 1.0)]))
    changes = live.advance()
    assert [(change.criterion, change.after) for change in changes] == [("c0", Outcome.PASS), ("c1", Outcome.FAIL)]
    # Behind the last boundary the condition's channel is waited for no longer.
    live.add_frame(one([(t, 1.0) for t in range(9, 30)], seq=1))
    live.advance()
    assert live.states()[1].quality.last_at == 29 * SECOND
    assert not live.needs_rebuild


def test_what_comes_behind_its_boundary_asks_for_a_rebuild() -> None:
    # V-3, V-15
    plan = plan_with(starts_when={"formula": ABOVE})
    rows = one([(t, 9.0 if t >= 6 else 1.0) for t in range(12)])
    late = fed(plan, begun(), rows)
    assert late.add_frame(one([(3.5, 9.0)], seq=1)).late == ("c0", "c1")
    commanded = fed(plan, begun(), rows)
    assert commanded.apply(begun(3, "q")) == ("c0", "c1")
    over = fed(plan, begun(), rows)
    assert over.apply(ended(5)) == ("c0", "c1")
    early = fed(plan, begun(), one([(t, 1.0) for t in range(12)]))
    early.apply(ended(11.5))
    early.advance()
    restored = RunEvaluator.restore(plan, early.snapshot())
    assert restored.result().criteria[1].reason == "phase_not_run"


@pytest.mark.parametrize(
    ("conditions", "code", "field"),
    [
        ({"formula": {"op": "always", "of": ABOVE}}, "criteria_condition", "phases[1].starts_when.formula"),
        (
            {"formula": ABOVE | {"left": "no.x"}},
            "criteria_unknown_channel",
            "phases[1].starts_when.formula.left",
        ),
        ({"formula": ABOVE | {"right": seconds(1)}}, "criteria_unit", "phases[1].starts_when.formula.right"),
        ({"formula": ABOVE, "for": kpa(1)}, "criteria_unit", "phases[1].starts_when.for"),
        ({"formula": ABOVE, "for": seconds(-1)}, "criteria_horizon", "phases[1].starts_when.for"),
    ],
)
def test_static_errors_of_conditions(conditions: dict[str, Any], code: str, field: str) -> None:
    # V-8
    findings = check(set_of(starts_when=conditions), STREAMS).findings
    assert [(found.code, found.field) for found in findings] == [(code, field)]


def test_conditions_survive_the_text_form() -> None:
    # V-5
    whole = set_of(starts_when={"formula": ABOVE, "for": seconds(60)}, ends_when={"formula": OPEN})
    text = set_text(whole)
    assert "starts_when = {formula = one.x >= 5 kPa" in text
    assert load_criteria(text) == whole
    assert TITLE["en"] in text
