"""Iterations over HTTP: a run beside the one before it and a baseline, statistics, curves to lay over each other, issues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.issue_store import IssueStore
from services.verification.adapters.iterations import Reaches
from services.verification.adapters.run_store import RunStore
from services.verification.adapters.views import BoardRow
from services.verification.bootstrap import Verification, now
from services.verification.domain.issues import Action, Happening
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_line, reach_run
from services.verification.entrypoints.documents import json_of
from services.verification.issue_handlers import (
    IssueDesk,
    IssueView,
    act_on_issue,
    issues_of,
    open_issue,
    show_issue,
)
from services.verification.ports import Issue
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.times import SECOND
from shared.storage.api_keys import Caller

router = APIRouter(prefix="/v1", tags=["iterations"])

Name = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=4000)]
Baseline = Annotated[str | None, Query(max_length=200, description="default: the first run of the chain")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewIssue(_Body):
    """What was found in the run, of one criterion or of none. `key` makes a repetition harmless."""

    title: Annotated[str, Field(min_length=1, max_length=300)]
    criterion: Name | None = None
    key: Key | None = None


class NewAction(_Body):
    """`run`: with fix the first run that has it, with verify the run that shows it at work. `key` makes a repetition harmless."""

    action: Action
    text: Text = ""
    run: Name | None = None
    key: Key | None = None


@router.get("/runs/{run}/comparison")
async def comparison(parts: Parts, caller: Reader, run: str, baseline: Baseline = None) -> dict[str, Any]:
    """Every criterion of the run beside the previous run and the baseline: verdicts, margins, what changed and by how much."""
    await reach_run(parts, caller, run)
    found = await parts.iterations.comparison(run, baseline=baseline, reaches=await _reaches(parts, caller))
    document: dict[str, Any] = json_of(_there(found, run))
    return document


@router.get("/runs/{run}/comparison/statistics")
async def statistics(
    parts: Parts,
    caller: Reader,
    run: str,
    baseline: Baseline = None,
    channel: Annotated[list[str] | None, Query(max_length=200)] = None,
    phase: Annotated[str | None, Query(max_length=80)] = None,
) -> dict[str, Any]:
    """Count, mean, sd, extremes and percentiles (5, 25, 50, 75, 95) per channel and phase; by default of the channels that criteria read."""
    await reach_run(parts, caller, run)
    found = await parts.iterations.statistics(
        run, baseline=baseline, channels=channel or (), phase=phase, reaches=await _reaches(parts, caller)
    )
    return {"items": json_of(_there(found, run))}


@router.get("/runs/{run}/comparison/overlay")
async def overlay(
    parts: Parts,
    caller: Reader,
    run: str,
    channel: Annotated[str | None, Query(max_length=200)] = None,
    criterion: Annotated[str | None, Query(max_length=80)] = None,
    phase: Annotated[str | None, Query(max_length=80)] = None,
    baseline: Baseline = None,
    points: Annotated[int, Query(ge=10, le=4000)] = 400,
) -> dict[str, Any]:
    """The same signal in the same phase of every run: minimum and maximum per bucket, `offsets` in seconds from the phase's start."""
    if (channel is None) == (criterion is None):
        raise Invalid(
            "curve_subject", "name a channel or a criterion", field="channel", remedy="give exactly one of them"
        )
    await reach_run(parts, caller, run)
    found = await parts.iterations.overlay(
        run,
        criterion=criterion,
        channel=channel,
        phase=phase,
        baseline=baseline,
        points=points,
        reaches=await _reaches(parts, caller),
    )
    document: dict[str, Any] = json_of(_there(found, run))
    for curve in document["curves"]:
        curve["offsets"] = [offset / SECOND for offset in curve["offsets"]]
    return document


@router.post("/runs/{run}/issues", status_code=201)
async def add_issue(parts: Parts, caller: Operator, run: str, given: NewIssue) -> dict[str, Any]:
    """Record a fault found in the run."""
    await reach_run(parts, caller, run)
    wanted = Issue(
        issue=uuid4(),
        run=run,
        line="",
        project="",
        item="",
        criterion=given.criterion,
        title=given.title,
        key=given.key or str(uuid4()),
        opened_by=caller.person,
        opened_at=now(),
    )
    async with _desk(parts) as desk:
        return issue_document(await open_issue(wanted, desk))


@router.get("/runs/{run}/issues")
async def list_issues(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """The issues of the run's item in all its iterations, oldest first."""
    await reach_run(parts, caller, run)
    lines = (await parts.registry.current()).lines
    async with parts.pool.connection() as connection:
        found = await issues_of(run, IssueStore(connection))
    seen = [
        view
        for view in found
        if view.issue.line in lines
        and caller.scope.covers_line(platform=lines[view.issue.line].platform, line=view.issue.line)
    ]
    return {"items": [issue_document(view) for view in seen]}


@router.get("/issues/{issue}")
async def one_issue(parts: Parts, caller: Reader, issue: UUID) -> dict[str, Any]:
    """The issue with its whole history, and what may be done next."""
    return issue_document(await _reach_issue(parts, caller, issue))


@router.post("/issues/{issue}/actions")
async def act(parts: Parts, caller: Operator, issue: UUID, given: NewAction) -> dict[str, Any]:
    """cause, note, fix (in a run), verify (by a run in which the criterion passed), close, reopen."""
    await _reach_issue(parts, caller, issue)
    if given.run is not None:
        await reach_run(parts, caller, given.run)
    happening = Happening(given.action, now(), caller.person, given.text, given.run, given.key or str(uuid4()))
    async with _desk(parts) as desk:
        return issue_document(await act_on_issue(issue, happening, desk))


def issue_document(view: IssueView) -> dict[str, Any]:
    """The history is what people have entered; `failed_in` is the run that has opened the issue again, read from the verdicts."""
    issue, how = view.issue, view.standing
    return {
        "issue": str(issue.issue),
        "run": issue.run,
        "iteration": view.iterations[issue.run].number,
        "project": issue.project,
        "item": issue.item,
        "criterion": issue.criterion,
        "title": issue.title,
        "state": str(how.state),
        "cause": how.cause,
        "fix": how.fix,
        "fixed_in": how.fixed_in,
        "verified_in": how.verified_in,
        "closed_in": how.closed_in,
        "failed_in": how.failed_in,
        "allowed": [str(action) for action in how.allowed],
        "opened_by": issue.opened_by,
        "opened_at": json_of(issue.opened_at, "recorded_at"),
        "history": [
            {
                "action": str(entry.action),
                "text": entry.text,
                "run": entry.run,
                "who": entry.who,
                "at": json_of(entry.at, "recorded_at"),
            }
            for entry in issue.history
        ],
    }


async def _reaches(parts: Verification, caller: Caller) -> Reaches:
    lines = (await parts.registry.current()).lines

    def reached(row: BoardRow) -> bool:
        return row.line in lines and caller.scope.covers_line(platform=lines[row.line].platform, line=row.line)

    return reached


async def _reach_issue(parts: Verification, caller: Caller, issue: UUID) -> IssueView:
    """Raises NotFound(issue_unknown), also for one on a line outside the key's scope."""
    async with parts.pool.connection() as connection:
        found = await show_issue(issue, IssueStore(connection))
    try:
        await reach_line(parts, caller, found.issue.line)
    except NotFound as problem:
        raise NotFound("issue_unknown", f"there is no issue {issue}", field="issue") from problem
    return found


@asynccontextmanager
async def _desk(parts: Verification) -> AsyncIterator[IssueDesk]:
    """One transaction."""
    async with parts.pool.connection() as connection, connection.transaction():
        yield IssueDesk(RunStore(connection, parts.topics), CriteriaStore(connection), IssueStore(connection))


def _there(found: Any, run: str) -> Any:
    if found is None:
        raise NotFound("run_unknown", f"there is no run {run}", field="run", remedy="see GET /v1/runs")
    return found
