"""What-if: what drafts of a criteria set would have said about runs that are over (V-20). Nothing here is an evaluation of record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.outcomes import Outcome, RunResult
from shared.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of one criterion of one evaluation. `margin` is in `unit`; None when there is no number."""

    outcome: str
    margin: float | None
    unit: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Flip:
    """One criterion of one run under one draft against the verdict of record.

    `before` is None where the record has no such criterion, `after` where the draft has none. `delta` is after less before, None unless
    both have a number in one unit.
    """

    run: str
    draft: str
    criterion: str
    before: Judged | None
    after: Judged | None
    delta: float | None

    @property
    def flipped(self) -> bool:
        """Whether the outcome changes; a criterion that comes or goes is a change too."""
        return (self.before and self.before.outcome) != (self.after and self.after.outcome)


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The verdict of one run under one draft beside the one of record."""

    run: str
    draft: str
    before: str
    after: str
    digest: str


@dataclass(frozen=True, slots=True)
class FlipTable:
    """Of one run and one draft: the run's verdict and its criteria, in the draft's order, then those that the draft no longer has."""

    verdict: RunVerdict
    flips: tuple[Flip, ...]


def draft_name(id_: str, version: int) -> str:
    """As the tables name a draft."""
    return f"{id_}@{version}"


def check_names(drafts: Sequence[tuple[str, CriteriaSet]]) -> None:
    """Raises Invalid(what_if_draft_twice) when two have one name. Each comes with the field it was given in."""
    seen: dict[str, str] = {}
    for field, draft in drafts:
        name = draft_name(draft.id, draft.version)
        if name in seen:
            raise Invalid(
                "what_if_draft_twice",
                f"{field} is {name}, as {seen[name]} is",
                field=field,
                remedy="give every draft a version of its own: the tables name drafts by id and version",
            )
        seen[name] = field


def judged(result: RunResult) -> dict[str, Judged]:
    """By criterion, in the result's order."""
    return {
        state.criterion: Judged(_word(state.outcome), state.margin, state.unit, state.reason)
        for state in result.criteria
    }


def compare(draft: str, record: Mapping[str, Judged], verdict: str, result: RunResult) -> FlipTable:
    """The flip table of one run. `record` and `verdict` are what the evaluation in force says."""
    after = judged(result)
    names: Sequence[str] = [*after, *(name for name in record if name not in after)]
    return FlipTable(
        RunVerdict(result.run, draft, verdict, _word(result.outcome), result.digest),
        tuple(_flip(result.run, draft, name, record.get(name), after.get(name)) for name in names),
    )


def _flip(run: str, draft: str, criterion: str, before: Judged | None, after: Judged | None) -> Flip:
    delta = _delta(before, after) if before is not None and after is not None and before.unit == after.unit else None
    return Flip(run, draft, criterion, before, after, delta)


def _delta(before: Judged, after: Judged) -> float | None:
    if before.margin is None or after.margin is None:
        return None
    delta = after.margin - before.margin
    return delta if math.isfinite(delta) else None


def _word(outcome: Outcome) -> str:
    return outcome.name.lower()
