"""Use cases of issues: find a fault, say its cause and fix, show that it is gone, close it. Each runs in one transaction of its caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from services.verification.criteria_handlers import published_criteria
from services.verification.domain.issues import Happening, Iteration, Standing, require_possible, standing
from services.verification.ports import Issue, KeepsCriteria, KeepsIssues, KeepsRuns
from shared.kernel.errors import Invalid, NotAllowed, NotFound


@dataclass(frozen=True, slots=True)
class IssueDesk:
    """Where issues are kept."""

    runs: KeepsRuns
    criteria: KeepsCriteria
    issues: KeepsIssues


@dataclass(frozen=True, slots=True)
class IssueView:
    """An issue with how it stands, and the numbers of the iterations that it names."""

    issue: Issue
    standing: Standing
    iterations: Mapping[str, Iteration]


async def open_issue(wanted: Issue, desk: IssueDesk) -> IssueView:
    """Record a fault found in a run; the same request again answers what was recorded. Project, item and line are taken from the run.

    Raises NotFound(run_unknown | criterion_unknown), Invalid(issue_text), NotAllowed(issue_key_reused).
    """
    run = await desk.runs.lock(wanted.run)
    if run is None:
        raise NotFound("run_unknown", f"there is no run {wanted.run}", field="run", remedy="see GET /v1/runs")
    full = replace(wanted, line=run.line, project=run.project, item=run.item)
    for earlier in await desk.issues.of_item(run.run):
        if (earlier.run, earlier.key) == (full.run, full.key):
            if (earlier.criterion, earlier.title) != (full.criterion, full.title):
                raise _reused()
            return await _view(earlier, desk)
    if not full.title.strip():
        raise Invalid("issue_text", "an issue needs a title", field="title", remedy="say what was found")
    if full.criterion is not None:
        stored = await published_criteria(desk.criteria, run.criteria_set, run.criteria_version)
        if all(item.id != full.criterion for item in stored.criteria.criteria):
            raise NotFound("criterion_unknown", f"run {run.run} has no criterion {full.criterion}", field="criterion")
    await desk.issues.insert(full)
    return await _view(full, desk)


async def act_on_issue(issue: UUID, wanted: Happening, desk: IssueDesk) -> IssueView:
    """Add to an issue's history; the same request again answers how it stands.

    Raises NotFound(issue_unknown), NotAllowed(issue_key_reused | issue_action | issue_not_passed | issue_run_earlier),
    Invalid(issue_text | issue_run).
    """
    found = await desk.issues.find(issue)
    if found is None:
        raise NotFound("issue_unknown", f"there is no issue {issue}", field="issue")
    for earlier in found.history:
        if earlier.key == wanted.key:
            if (earlier.action, earlier.text, earlier.run) != (wanted.action, wanted.text, wanted.run):
                raise _reused()
            return await _view(found, desk)
    view = await _view(found, desk)
    require_possible(wanted, found.run, found.criterion, view.standing, view.iterations)
    await desk.issues.append(issue, wanted)
    return await _view(replace(found, history=(*found.history, wanted)), desk)


async def issues_of(run: str, issues: KeepsIssues) -> tuple[IssueView, ...]:
    """The issues of a run's item under test in all its iterations, oldest first."""
    iterations = await issues.iterations(run)
    found = await issues.of_item(run)
    return tuple(IssueView(issue, standing(issue.criterion, issue.history, iterations), iterations) for issue in found)


async def show_issue(issue: UUID, issues: KeepsIssues) -> IssueView:
    """Raises NotFound(issue_unknown)."""
    found = await issues.find(issue)
    if found is None:
        raise NotFound("issue_unknown", f"there is no issue {issue}", field="issue")
    iterations = await issues.iterations(found.run)
    return IssueView(found, standing(found.criterion, found.history, iterations), iterations)


async def _view(issue: Issue, desk: IssueDesk) -> IssueView:
    iterations = await desk.issues.iterations(issue.run)
    return IssueView(issue, standing(issue.criterion, issue.history, iterations), iterations)


def _reused() -> NotAllowed:
    return NotAllowed(
        "issue_key_reused", "this key was used for something else", field="key", remedy="choose another key"
    )
