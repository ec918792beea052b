"""What a run is compared with: values of the run before it, pinned when it starts (V-6, compare with run N-1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.verification.domain.criteria.earlier import ComparePrevious
from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.criteria_model import CriteriaSet
from shared.contracts.lifecycle import Baseline
from shared.kernel.canonical import digest

_GOOD = frozenset({"no_previous_run", "calibration_expired"})
"""Reasons of an undecided criterion that say nothing against its value."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The verdict of record of a run: its digest, the criteria it was given under and the facts of each criterion."""

    run: str
    evaluation: int
    digest: str
    criteria: CriteriaSet
    facts: Mapping[str, Mapping[str, Any]]


def subject_of(criterion: Mapping[str, Any]) -> str:
    """The digest of what a criterion compares, from its JSON: whoever changes a limit alone compares the same thing."""
    return digest({name: criterion[name] for name in ("signal", "statistic", "percentile", "phase", "min_count")})


def _subject(criterion: ComparePrevious) -> str:
    return subject_of(criterion.model_dump(mode="json"))


def compares(criteria: CriteriaSet) -> bool:
    """Whether a run by these criteria needs the run before it."""
    return any(isinstance(criterion, ComparePrevious) for criterion in criteria.criteria)


def baselines_of(criteria: CriteriaSet, earlier: Recorded) -> tuple[Baseline, ...]:
    """The values to pin, in the order of the set. A subject that the earlier run has not judged, or of which its data said too little, has
    none: its criterion will be undecided."""
    wanted = [_subject(item) for item in criteria.criteria if isinstance(item, ComparePrevious)]
    found: dict[str, Baseline] = {}
    for criterion in earlier.criteria.criteria:
        if not isinstance(criterion, ComparePrevious):
            continue
        facts, subject = earlier.facts[criterion.id], _subject(criterion)
        decided = facts["outcome"] in ("PASS", "FAIL") or facts["reason"] in _GOOD
        if decided and facts["worst_value"] is not None:
            value = float(facts["worst_value"])
            found[subject] = Baseline(
                subject, earlier.run, earlier.evaluation, earlier.digest, value, str(facts["unit"])
            )
    return tuple(found[subject] for subject in dict.fromkeys(wanted) if subject in found)


def pinned_for(criterion: Any, baselines: Iterable[Baseline]) -> Baseline | None:
    """What was pinned for a criterion; None for one that compares with nothing, and where there was nothing to pin."""
    if not isinstance(criterion, ComparePrevious):
        return None
    subject = _subject(criterion)
    return next((baseline for baseline in baselines if baseline.subject == subject), None)


def values_by_subject(baselines: Iterable[Baseline]) -> dict[str, Quantity]:
    """The pinned values, for a plan."""
    return {baseline.subject: Quantity(value=baseline.value, unit=baseline.unit) for baseline in baselines}
