"""Issues: the states that a history leads to, what may follow, and that a failure opens a closed one again (V-21)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.issues import (
    Action,
    Happening,
    IssueState,
    Iteration,
    Standing,
    require_possible,
    standing,
)
from shared.kernel.errors import Problem

RUNS = {
    "r1": Iteration("r1", 1, 100, {"limit": "fail", "rate": "pass"}),
    "r2": Iteration("r2", 2, 200, {"limit": "pass", "rate": "pass"}),
    "r3": Iteration("r3", 3, None, {}),
}
WITH_RUN = (Action.FIX, Action.VERIFY)


def happening(action: Action, run: str | None = None, text: str = "words") -> Happening:
    return Happening(action, 0, "me", text, run, str(action))


FIXED = (happening(Action.CAUSE), happening(Action.FIX, "r2", "new seal"))
CLOSED = (*FIXED, happening(Action.VERIFY, "r2"), happening(Action.CLOSE))


def refused(wanted: Happening, now: Standing, criterion: str | None = "limit", found_in: str = "r1") -> str:
    with pytest.raises(Problem) as caught:
        require_possible(wanted, found_in, criterion, now, RUNS)
    return caught.value.code


def test_a_history_leads_from_open_to_closed() -> None:  # V-21
    assert standing("limit", (), RUNS).state is IssueState.OPEN
    fixed = standing("limit", FIXED, RUNS)
    assert (fixed.state, fixed.cause, fixed.fix, fixed.fixed_in) == (IssueState.FIXED, "words", "new seal", "r2")
    closed = standing("limit", CLOSED, RUNS)
    assert (closed.state, closed.verified_in, closed.closed_in) == (IssueState.CLOSED, "r2", "r2")
    again = standing("limit", (*CLOSED, happening(Action.REOPEN)), RUNS)
    assert (again.state, again.fixed_in, again.closed_in) == (IssueState.OPEN, None, None)


def test_the_same_criterion_failing_again_opens_a_closed_issue() -> None:  # V-21
    later = {**RUNS, "r3": Iteration("r3", 3, 300, {"limit": "fail"}), "r4": Iteration("r4", 4, 400, {"limit": "fail"})}
    found = standing("limit", CLOSED, later)
    assert (found.state, found.failed_in, found.closed_in) == (IssueState.OPEN, "r3", None)
    assert Action.FIX in found.allowed
    # The evaluation that took the failure back closes it again; a new fix counts from its own run on.
    assert standing("limit", CLOSED, RUNS).state is IssueState.CLOSED
    mended = standing(
        "limit", (*CLOSED, happening(Action.FIX, "r4")), {**later, "r4": replace(later["r4"], verdicts={})}
    )
    assert (mended.state, mended.fixed_in) == (IssueState.FIXED, "r4")


def test_other_criteria_earlier_runs_and_issues_of_no_criterion_are_left_alone() -> None:  # V-21
    later = {**RUNS, "r3": Iteration("r3", 3, 300, {"rate": "fail", "limit": "inconclusive"})}
    assert standing("limit", CLOSED, later).state is IssueState.CLOSED
    assert standing(None, CLOSED, {**RUNS, "r3": Iteration("r3", 3, 300, {"limit": "fail"})}).state is IssueState.CLOSED


def test_a_fix_that_fails_in_its_own_run_is_none() -> None:  # V-21
    runs = {**RUNS, "r2": Iteration("r2", 2, 200, {"limit": "fail"})}
    assert standing("limit", FIXED, runs).failed_in == "r2"


def test_what_does_not_follow_is_refused_with_what_does() -> None:  # V-21, G14
    now = standing("limit", (), RUNS)
    with pytest.raises(Problem) as caught:
        require_possible(happening(Action.CLOSE), "r1", "limit", now, RUNS)
    assert caught.value.code == "issue_action"
    assert caught.value.remedy == "possible now: cause, note, fix"
    assert refused(happening(Action.FIX, "r2", " "), now) == "issue_text"
    assert refused(happening(Action.FIX), now) == "issue_run"
    assert refused(happening(Action.FIX, "elsewhere"), now) == "issue_run"
    assert refused(happening(Action.NOTE, "r2"), now) == "issue_run"
    assert refused(happening(Action.FIX, "r1"), now, found_in="r2") == "issue_run_earlier"


def test_only_a_run_that_passed_verifies() -> None:  # V-21
    fixed_early = standing("limit", (happening(Action.FIX, "r1"),), {**RUNS, "r1": Iteration("r1", 1, 100, {})})
    assert refused(happening(Action.VERIFY, "r3"), fixed_early) == "issue_not_passed"
    assert refused(happening(Action.VERIFY, "r1"), standing("limit", FIXED, RUNS)) == "issue_run_earlier"
    require_possible(happening(Action.VERIFY, "r2"), "r1", "limit", standing("limit", FIXED, RUNS), RUNS)
    # Without a criterion the whole run has to have passed.
    require_possible(happening(Action.VERIFY, "r2"), "r1", None, standing(None, FIXED, RUNS), RUNS)
    mixed = {**RUNS, "r2": Iteration("r2", 2, 200, {"limit": "pass", "rate": "inconclusive"})}
    with pytest.raises(Problem) as caught:
        require_possible(happening(Action.VERIFY, "r2"), "r1", None, standing(None, FIXED, mixed), mixed)
    assert caught.value.code == "issue_not_passed"


@given(st.lists(st.sampled_from(list(Action)), max_size=12))
def test_any_order_of_actions_that_is_let_through_keeps_its_promises(wanted: list[Action]) -> None:  # V-21
    """Closed issues were verified by a run that passed, in every history that the rules let come about."""
    history: list[Happening] = []
    for action in wanted:
        now = standing("limit", history, RUNS)
        step = happening(action, "r2" if action in WITH_RUN else None)
        if action not in now.allowed:
            assert refused(step, now) == "issue_action"
            continue
        require_possible(step, "r1", "limit", now, RUNS)
        history.append(step)
    end = standing("limit", history, RUNS)
    if end.state is IssueState.CLOSED:
        assert end.closed_in == end.verified_in == "r2"
        assert RUNS["r2"].verdicts["limit"] == "pass"
    assert (end.fixed_in is None) == (end.state is IssueState.OPEN)
