"""Issues of an item under test through its iterations: found in run N, cause, fix, closed in run M (V-21).

    open ── fix ──▶ fixed ── verify in run M ──▶ verified ── close ──▶ closed
     ▲                │                             │                    │
     └────────────────┴── reopen, or the same criterion fails again ─────┘

The history is append-only and the state is read from it. That a criterion fails again is not written down: it is read from the final
verdicts, so that it holds at once, and no longer when a later evaluation takes the failure back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.kernel.errors import Invalid, NotAllowed
from shared.kernel.times import Micros


class IssueState(StrEnum):
    OPEN = "open"
    FIXED = "fixed"
    VERIFIED = "verified"
    CLOSED = "closed"


class Action(StrEnum):
    """`cause` and `note` leave the state as it is."""

    CAUSE = "cause"
    NOTE = "note"
    FIX = "fix"
    VERIFY = "verify"
    CLOSE = "close"
    REOPEN = "reopen"


_LEADS = {
    Action.FIX: IssueState.FIXED,
    Action.VERIFY: IssueState.VERIFIED,
    Action.CLOSE: IssueState.CLOSED,
    Action.REOPEN: IssueState.OPEN,
}
_ALLOWED: Mapping[IssueState, tuple[Action, ...]] = {
    IssueState.OPEN: (Action.CAUSE, Action.NOTE, Action.FIX),
    IssueState.FIXED: (Action.CAUSE, Action.NOTE, Action.VERIFY, Action.REOPEN),
    IssueState.VERIFIED: (Action.CAUSE, Action.NOTE, Action.CLOSE, Action.REOPEN),
    IssueState.CLOSED: (Action.NOTE, Action.REOPEN),
}


@dataclass(frozen=True, slots=True)
class Iteration:
    """A run as issues see it: when it started (event time; None: not yet), and the criteria by verdict, empty before its final verdict."""

    run: str
    number: int
    started_at: Micros | None
    verdicts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry of the history. `at` is this system's clock; `run` is the run that the entry names, if any; `key` makes a repetition harmless."""

    action: Action
    at: Micros
    who: str
    text: str
    run: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How an issue stands. `cause` and `fix` are the latest texts; `failed_in` is the run whose failure has opened it again."""

    state: IssueState
    cause: str
    fix: str
    fixed_in: str | None
    verified_in: str | None
    closed_in: str | None
    failed_in: str | None

    @property
    def allowed(self) -> tuple[Action, ...]:
        return _ALLOWED[self.state]


def standing(criterion: str | None, history: Sequence[Happening], iterations: Mapping[str, Iteration]) -> Standing:
    """The state that the history leads to. `iterations` are the runs of the issue's item."""
    state, cause, fix = IssueState.OPEN, "", ""
    fixed: str | None = None
    verified: str | None = None
    for entry in history:
        if entry.action is Action.CAUSE:
            cause = entry.text
        if entry.action is Action.FIX:
            fix, fixed, verified = entry.text, entry.run, None
        if entry.action is Action.VERIFY:
            verified = entry.run
        if entry.action is Action.REOPEN:
            fixed = verified = None
        state = _LEADS.get(entry.action, state)
    failure = _failed_again(criterion, state, fixed, verified, iterations)
    closed = verified if state is IssueState.CLOSED else None
    if failure is not None:
        return Standing(IssueState.OPEN, cause, fix, fixed, verified, None, failure)
    return Standing(state, cause, fix, fixed, verified, closed, None)


def _failed_again(
    criterion: str | None,
    state: IssueState,
    fixed: str | None,
    verified: str | None,
    iterations: Mapping[str, Iteration],
) -> str | None:
    """The first run, from the one with the fix on, or after the one that verified it, in which the criterion failed."""
    if criterion is None or state is IssueState.OPEN:
        return None
    mark = iterations.get(verified or fixed or "")
    if mark is None or mark.started_at is None:
        return None
    since = mark.started_at
    failed = [
        (run.started_at, run.run)
        for run in iterations.values()
        if run.started_at is not None
        and run.verdicts.get(criterion) == "fail"
        and (run.started_at > since or (verified is None and run.run == mark.run))
    ]
    return min(failed)[1] if failed else None


def require_possible(
    wanted: Happening, found_in: str, criterion: str | None, now: Standing, iterations: Mapping[str, Iteration]
) -> None:
    """Raises NotAllowed(issue_action | issue_not_passed | issue_run_earlier), Invalid(issue_text | issue_run)."""
    if wanted.action not in now.allowed:
        raise NotAllowed(
            "issue_action",
            f"{wanted.action} does not follow on {now.state}",
            field="action",
            remedy=f"possible now: {', '.join(now.allowed)}",
            extra={"state": str(now.state), "allowed": [str(action) for action in now.allowed]},
        )
    if wanted.action not in (Action.VERIFY, Action.CLOSE) and not wanted.text.strip():
        raise Invalid("issue_text", f"{wanted.action} needs words", field="text", remedy="say what was found or done")
    if wanted.action in (Action.FIX, Action.VERIFY):
        _require_run(wanted, found_in, criterion, now, iterations)
    elif wanted.run is not None:
        raise Invalid("issue_run", f"{wanted.action} names no run", field="run", remedy="leave it out")


def _require_run(
    wanted: Happening, found_in: str, criterion: str | None, now: Standing, iterations: Mapping[str, Iteration]
) -> None:
    run = iterations.get(wanted.run or "")
    if run is None:
        raise Invalid(
            "issue_run",
            f"{wanted.action} names a run of the same item and project",
            field="run",
            remedy=f"use one of: {', '.join(iterations)}",
        )
    after = iterations[now.fixed_in] if wanted.action is Action.VERIFY and now.fixed_in else iterations[found_in]
    if _start(run) < _start(after):
        raise NotAllowed(
            "issue_run_earlier",
            f"{run.run} started before {after.run}",
            field="run",
            remedy="name that run or a later one",
        )
    if wanted.action is Action.VERIFY:
        _require_passed(run, criterion)


def _require_passed(run: Iteration, criterion: str | None) -> None:
    verdicts = [run.verdicts.get(criterion)] if criterion is not None else list(run.verdicts.values())
    if not verdicts or any(verdict != "pass" for verdict in verdicts):
        about = criterion or "every criterion"
        raise NotAllowed(
            "issue_not_passed",
            f"{about} has not passed in {run.run} with a final verdict",
            field="run",
            remedy="name a run that shows the fix at work, after its close",
        )


def _start(run: Iteration) -> Micros:
    """A run that has not started comes last."""
    return 2**62 if run.started_at is None else run.started_at
