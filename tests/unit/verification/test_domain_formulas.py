"""Temporal criteria with numbers that can be worked by hand: responses, until, order, unknown ends, early decisions (V-6, V-7, V-12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.outcomes import CriterionState, Outcome
from tests.unit.verification.building import SECOND, STREAMS, begun, criteria_of, ended, fed, kpa, one, plan_of, seconds

HIGH = {"op": ">=", "left": "one.x", "right": kpa(5)}
LOW = {"op": "<=", "left": "one.x", "right": kpa(1)}


def judged(criterion: dict[str, Any], xs: Sequence[float], end: float | None = None) -> CriterionState:
    """At 0 s, 1 s, …; the phase ends a second after the last value, or at `end`."""
    frame = one(list(enumerate(xs)))
    return fed(plan_of(criterion), begun(), frame, ended(len(xs) if end is None else end)).result().criteria[0]


def test_an_answer_in_time_and_one_too_late() -> None:  # V-6
    response = {"kind": "response", "trigger": HIGH, "answer": LOW, "within": seconds(2)}
    met = judged(response, [0, 6, 3, 1, 3, 3, 3])
    assert (met.outcome, met.margin) == (Outcome.PASS, 0.0)
    late = judged(response, [0, 7, 7, 7, 1, 3, 3])
    assert (late.outcome, late.margin, late.worst_at) == (Outcome.FAIL, -2.0, SECOND)
    assert late.decided_at == 4 * SECOND
    assert late.evidence is not None
    assert (late.evidence.start, late.evidence.end) == (SECOND, 3 * SECOND)


def test_a_window_over_the_end_without_an_answer_is_undecided() -> None:  # V-6, G5
    response = {"kind": "response", "trigger": HIGH, "answer": LOW, "within": seconds(2)}
    state = judged(response, [0, 0, 0, 7, 7])
    assert (state.outcome, state.reason) == (Outcome.INCONCLUSIVE, "undecided")
    assert judged(response, [0, 0, 7, 7, 0]).outcome is Outcome.PASS
    assert (
        judged(response, [0, 0, 0, 7, 3]).outcome is Outcome.INCONCLUSIVE
    )  # of [3 s, 5 s] the last instant is unknown
    assert judged(response, [0, 0, 7, 3, 3]).outcome is Outcome.FAIL
    once = {
        "kind": "formula",
        "of": {"op": "eventually", "of": HIGH, "within": {"after": seconds(0), "upto": seconds(3)}},
    }
    assert judged(once, [0, 0, 0]).outcome is Outcome.INCONCLUSIVE
    assert judged(once, [0, 0, 0], end=3.1).outcome is Outcome.FAIL


def test_a_condition_rises_behind_an_instant_at_which_it_did_not_hold() -> None:  # V-6
    never = {"kind": "condition", "of": {"op": "not", "of": {"op": "rise", "of": HIGH}}}
    assert judged(never, [6, 6, 0]).outcome is Outcome.PASS
    assert judged(never, [0, 6, 6]).outcome is Outcome.FAIL


def test_what_is_implied_is_asked_where_the_premise_holds() -> None:  # V-6
    implies = {
        "kind": "condition",
        "of": {"op": "implies", "of": [HIGH, {"op": "<=", "left": "one.x", "right": kpa(7)}]},
    }
    assert judged(implies, [0, 6, 3]).outcome is Outcome.PASS
    assert judged(implies, [0, 8, 3]).outcome is Outcome.FAIL


def test_a_window_without_an_instant_says_nothing() -> None:  # G5
    window = {"after": seconds(3), "upto": seconds(4)}
    formula = {"op": "always", "of": LOW, "within": window}
    frame = one([(0, 0), (1, 0), (9, 0)])
    plan = plan_of({"kind": "formula", "of": formula})
    [state] = fed(plan, begun(), frame, ended(10)).result().criteria
    assert (state.outcome, state.reason) == (Outcome.INCONCLUSIVE, "undecided")


def test_until_passes_when_it_is_reached_and_fails_when_it_cannot_be() -> None:  # V-12
    until = {"kind": "until", "holds": {"op": "<=", "left": "one.x", "right": kpa(3)}, "until": HIGH}
    reached = judged(until, [1, 2, 6, 0, 0])
    assert (reached.outcome, reached.margin, reached.decided_at) == (Outcome.PASS, 1.0, 2 * SECOND)
    broken = judged(until, [1, 4, 6, 0])
    assert (broken.outcome, broken.margin) == (Outcome.FAIL, -1.0)
    never = judged(until, [1, 2, 2])
    assert (never.outcome, never.margin) == (Outcome.FAIL, -3.0)


def test_until_within_a_window_is_broken_before_it_is_reached() -> None:  # V-7: from 2 s on, by 4 kPa before 6 kPa
    window = {"after": seconds(0), "upto": seconds(3)}
    until = {"op": "until", "of": [{"op": "<=", "left": "one.x", "right": kpa(3)}, HIGH], "within": window}
    always = {"kind": "condition", "of": until}
    assert judged(always, [6, 6, 2, 2, 3, 6, 6, 6, 6, 6]).outcome is Outcome.PASS
    assert judged(always, [6, 6, 2, 2, 4, 6, 6, 6, 6, 6]).outcome is Outcome.FAIL


def test_a_violated_always_within_is_known_when_it_is_seen() -> None:  # V-12
    inner = {"op": "always", "of": HIGH, "within": {"after": seconds(0), "upto": seconds(30)}}
    evaluator = fed(plan_of({"kind": "condition", "of": inner}), begun(), one([(0, 6), (1, 4)]))
    [state] = evaluator.states()
    assert (state.outcome, state.decided_at) == (Outcome.FAIL, SECOND)


def test_the_instant_at_which_a_phase_ends_is_not_in_it() -> None:  # conventions: the one at 2 s belongs to the phase q
    plan, frame = plan_of({"kind": "condition", "of": HIGH}), one([(0, 6), (1, 6), (2, 0)])
    assert fed(plan, begun(), begun(2, "q"), frame, ended(4)).result().criteria[0].outcome is Outcome.PASS
    assert fed(plan, begun(), begun(3, "q"), frame, ended(4)).result().criteria[0].outcome is Outcome.FAIL


def test_order_and_its_violation() -> None:  # V-6
    order = {"kind": "order", "events": [HIGH, LOW]}
    assert judged(order, [3, 6, 3, 0, 3]).outcome is Outcome.PASS
    assert judged(order, [3, 0, 3, 6, 0]).outcome is Outcome.FAIL
    assert judged(order, [3, 6, 3, 3]).outcome is Outcome.FAIL


def test_both_at_their_limits_are_forbidden() -> None:  # conventions: equality violates forbid
    forbid = {"kind": "forbid", "of": HIGH, "during": {"op": "<=", "left": "one.x", "right": kpa(5)}}
    state = judged(forbid, [0, 5, 9])
    assert (state.outcome, state.worst_at) == (Outcome.FAIL, SECOND)
    assert judged(forbid, [0, 4.5, 9]).outcome is Outcome.PASS


def test_since_looks_back_no_further_than_it_says() -> None:  # V-6
    since = {
        "kind": "since",
        "trigger": {"op": ">=", "left": "one.x", "right": kpa(8)},
        "holds": {"op": ">=", "left": "one.x", "right": kpa(2)},
        "since": LOW,
    }
    assert judged(since, [0, 3, 9]).outcome is Outcome.PASS
    assert judged(since | {"within": seconds(2)}, [0, 3, 9]).outcome is Outcome.PASS
    assert judged(since | {"within": seconds(1)}, [0, 3, 9]).outcome is Outcome.FAIL
    assert judged(since, [3, 3, 9]).outcome is Outcome.FAIL


def test_an_inner_window_without_an_end_needs_the_planned_length() -> None:  # V-8
    forever = {"op": "implies", "of": [HIGH, {"op": "always", "of": HIGH}]}
    [finding] = check(criteria_of({"kind": "condition", "of": forever}), STREAMS).findings
    assert finding.code == "criteria_memory"
    assert not check(criteria_of({"kind": "condition", "of": forever}, planned=60), STREAMS).findings


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ({"op": "always", "of": HIGH, "within": {"after": seconds(2), "upto": seconds(1)}}, "criteria_formula"),
        ({"op": "always", "of": HIGH, "within": {"after": seconds(0), "upto": kpa(1)}}, "criteria_unit"),
        ({"op": "always", "of": HIGH, "within": {"after": seconds(0), "upto": seconds(7200)}}, "criteria_horizon"),
    ],
)
def test_what_a_formula_cannot_be(formula: dict[str, Any], code: str) -> None:  # V-8
    once = {"op": "not", "of": formula}
    [finding] = check(criteria_of({"kind": "condition", "of": once}, planned=3600), STREAMS).findings
    assert finding.code == code


def test_the_horizons_of_nested_windows_add_up() -> None:  # V-8: 40 s ahead of the instant, and 40 s behind it
    def within(op: str, of: dict[str, Any]) -> dict[str, Any]:
        return {"op": op, "of": of, "within": {"after": seconds(0), "upto": seconds(20)}}

    for outer, inner in (("always", "eventually"), ("historically", "once")):
        nested = {"kind": "formula", "of": within(outer, within(inner, HIGH))}
        [finding] = check(criteria_of(nested, planned=30), STREAMS).findings
        assert (finding.code, "needs 40 s" in finding.detail) == ("criteria_horizon", True)
        assert check(criteria_of(nested, planned=40), STREAMS).findings == ()
    to_the_end = {"kind": "formula", "of": within("always", {"op": "eventually", "of": HIGH})}
    assert check(criteria_of(to_the_end, planned=30), STREAMS).findings == ()
