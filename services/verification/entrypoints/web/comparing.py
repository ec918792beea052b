"""Iterations as the page prints them: criteria through the runs, statistics, issues, curves to lay over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.adapters.iteration_views import ChannelStatistics, Comparison, Overlay, RunColumn
from services.verification.adapters.unit_signs import shown_unit
from services.verification.domain.issues import Action, IssueState
from services.verification.domain.iterations import PERCENTILES, CriterionComparison, Standing, Step
from services.verification.entrypoints.web.presentation import WORDS, limit_lines, phase_titles
from services.verification.entrypoints.web.texts import ABSENT, MINUS, Language
from services.verification.issue_handlers import IssueView
from shared.kernel.times import SECOND


@dataclass(frozen=True, slots=True)
class ColumnLine:
    run: str
    roles: str
    iteration: int
    word: str
    criteria: str
    started: str
    started_utc: str


@dataclass(frozen=True, slots=True)
class SideCell:
    """`word` is empty where the run has no such criterion."""

    word: str
    margin: str


@dataclass(frozen=True, slots=True)
class StepCell:
    change: str
    text: str
    delta: str
    other_text: bool


@dataclass(frozen=True, slots=True)
class ComparedLine:
    criterion: str
    title: str
    phase: str
    sides: tuple[SideCell, ...]
    steps: tuple[StepCell, ...]


@dataclass(frozen=True, slots=True)
class StatisticLine:
    """One run's; `span` is over how many lines channel and phase stand, 0 below the first of them."""

    channel: str
    phase: str
    run: str
    span: int
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IssueLine:
    title: str
    criterion: str
    state: str
    found: str
    cause: str
    fix: str
    ended: str
    history: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparePart:
    run: str
    columns: tuple[ColumnLine, ...]
    rows: tuple[ComparedLine, ...]
    counts: tuple[tuple[str, int], ...]


def show_comparison(found: Comparison, language: Language) -> ComparePart:
    runs = [column.run for column in found.columns]
    titles = titles_of(found, language)
    rows = tuple(_row(item, runs, found, titles, language) for item in found.criteria)
    changes = [step.change for row in rows for step in row.steps[-1:]]
    return ComparePart(
        run=found.run,
        columns=tuple(_column(column, language) for column in found.columns),
        rows=rows,
        counts=tuple((language.text(word), changes.count(word)) for word in _CHANGES if changes.count(word)),
    )


def titles_of(found: Comparison, language: Language) -> dict[str, str]:
    """Phases by id, as the latest run that has them calls them."""
    return {
        name: title for column in found.columns for name, title in phase_titles(column.head.phases, language).items()
    }


_STATES = {
    IssueState.OPEN: "Not fixed",
    IssueState.FIXED: "Fixed",
    IssueState.VERIFIED: "Verified",
    IssueState.CLOSED: "Closed",
}
_ACTIONS = {
    Action.CAUSE: "Cause",
    Action.NOTE: "Note",
    Action.FIX: "Fix",
    Action.VERIFY: "Verified",
    Action.CLOSE: "Closed",
    Action.REOPEN: "Opened again",
}
_CHANGES = ("worse", "better", "new", "gone", "undecided", "same")


def _column(column: RunColumn, language: Language) -> ColumnLine:
    return ColumnLine(
        run=column.run,
        roles=" · ".join(language.text(role) for role in column.roles),
        iteration=column.head.iteration,
        word=column.head.word if column.head.word in WORDS else "open",
        criteria=f"{column.criteria_set} {column.criteria_version}",
        started=language.instant(column.head.started_at),
        started_utc=language.utc(column.head.started_at),
    )


def _row(
    item: CriterionComparison, runs: Sequence[str], found: Comparison, titles: dict[str, str], language: Language
) -> ComparedLine:
    names = found.names[item.criterion]
    unit = list(item.standings.values())[-1].unit
    return ComparedLine(
        criterion=item.criterion,
        title=language.local_name(dict(names.title)),
        phase=titles.get(names.phase, names.phase),
        sides=tuple(_side(item.standings.get(run), language) for run in runs),
        steps=tuple(_step(item.steps[run], unit, language) for run in runs if run in item.steps),
    )


def _side(standing: Standing | None, language: Language) -> SideCell:
    return SideCell("", ABSENT) if standing is None else SideCell(standing.verdict, _margin(standing, language))


def _margin(standing: Standing, language: Language) -> str:
    return language.number(standing.margin, standing.unit, 4)


def _step(step: Step, unit: str, language: Language) -> StepCell:
    delta = ABSENT
    if step.delta is not None:
        text = language.number(step.delta, unit, 4)
        delta = text if text.startswith(MINUS) else f"+{text}"
    return StepCell(str(step.change), language.text(str(step.change)), delta, step.text_differs)


def statistic_heads(language: Language) -> tuple[str, ...]:
    """The heads of the numbers of a statistic, in the order of `statistic_lines`."""
    return (
        language.text("Samples"),
        language.text("Mean"),
        language.text("Standard deviation"),
        language.text("Minimum"),
        *(f"P{q:g}" for q in PERCENTILES),
        language.text("Maximum"),
    )


def statistic_lines(
    found: Sequence[ChannelStatistics], titles: dict[str, str], language: Language
) -> tuple[StatisticLine, ...]:
    lines = []
    for item in found:
        for number, (run, seen) in enumerate(item.runs.items()):
            percentiles = seen.percentiles or (None,) * len(PERCENTILES)
            values = (seen.mean, seen.sd, seen.minimum, *percentiles, seen.maximum)
            numbers = (str(seen.count), *(language.number(value, "", 4) for value in values))
            channel = f"{item.channel} ({shown_unit(item.unit)})"
            lines.append(
                StatisticLine(
                    channel, titles.get(item.phase, item.phase), run, 0 if number else len(item.runs), numbers
                )
            )
    return tuple(lines)


def issue_line(view: IssueView, titles: dict[str, str], language: Language) -> IssueLine:
    issue, how = view.issue, view.standing
    ended = ABSENT
    if how.failed_in is not None:
        ended = f"{language.text('failed again in')} {how.failed_in}"
    elif how.closed_in is not None:
        ended = how.closed_in
    return IssueLine(
        title=issue.title,
        criterion=titles.get(issue.criterion or "", issue.criterion or ABSENT),
        state=language.text(_STATES[how.state]),
        found=f"{issue.run} · {issue.opened_by} · {language.instant(issue.opened_at)}",
        cause=how.cause or ABSENT,
        fix=f"{how.fix} ({how.fixed_in})" if how.fixed_in else ABSENT,
        ended=ended,
        history=tuple(
            " · ".join(
                part
                for part in (
                    language.instant(entry.at), language.text(_ACTIONS[entry.action]), entry.run or "", entry.who, entry.text,
                )
                if part
            )
            for entry in issue.history
        ),
    )  # fmt: skip


def overlay_document(found: Overlay, language: Language) -> dict[str, Any]:
    """What compare.js draws: seconds from the phase's start on the x axis, null at a gap."""
    return {
        "title": found.title,
        "phase": found.phase,
        "unit": found.unit,
        "limits": limit_lines(found.limits, language),
        "curves": [
            {
                "run": curve.run,
                "label": f"{curve.run} ({' · '.join(language.text(role) for role in curve.roles)})",
                "x": [offset / SECOND for offset in curve.offsets],
                "lo": list(curve.lo),
                "hi": list(curve.hi),
                "samples": curve.raw,
            }
            for curve in found.curves
        ],
    }
