"""What the number of a version promises against the version before it: major where it loosens or removes, minor where it tightens or adds,
patch for wording (V-19)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.standards import Standard, precedence
from services.verification.domain.tightening import loosened
from shared.kernel.errors import Invalid, NotAllowed

Digit = Literal["major", "minor", "patch"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that the new version asks for otherwise, and the digit that it moves. `criterion` is empty for phases and clauses."""

    digit: Digit
    criterion: str
    field: str
    detail: str


def changes(before: Standard, wanted: Standard) -> tuple[Change, ...]:
    """Everything that is more than wording; what loosens or removes comes first."""
    old, new = ({clause.id for clause in standard.clauses} for standard in (before, wanted))
    return (
        *(Change("major", item.criterion, item.field, item.detail) for item in loosened(before, _as_set(wanted))),
        *(Change("major", "", f"clauses[{clause}]", "the clause is removed") for clause in sorted(old - new)),
        *(
            Change("minor", item.criterion, item.field, "is tightened" if item.field else "the criterion is added")
            for item in loosened(wanted, _as_set(before))
        ),
        *(Change("minor", "", f"clauses[{clause}]", "the clause is added") for clause in sorted(new - old)),
    )


def predecessor(wanted: Standard, in_effect_once: Iterable[Standard]) -> Standard | None:
    """The version that readers of the new one compare with: the newest below it that is or was in effect."""
    below = [item for item in in_effect_once if precedence(item.version) < precedence(wanted.version)]
    return max(below, key=lambda item: precedence(item.version), default=None)


def check_number(before: Standard | None, wanted: Standard) -> None:
    """Raises Invalid(standard_version) when the content has changed by more than the number says; `changes` lists by what."""
    if before is None:
        return
    found = changes(before, wanted)
    digits = [item.digit for item in found]
    needed = next_version(before.version, "major" if "major" in digits else "minor" if digits else "patch")
    if precedence(wanted.version) >= precedence(needed):
        return
    first = found[0]
    about = f"{first.criterion}.{first.field}".strip(".")
    raise Invalid(
        "standard_version",
        f"{wanted.id} {wanted.version} changes {before.version} by more than its number says: {about}: {first.detail}",
        field="version",
        remedy=f"give this content version {needed} or above, or undo what the number does not say",
        extra={"before": before.version, "changes": [asdict(item) for item in found]},
    )


def check_newest(wanted: Standard, effective: Iterable[Standard]) -> None:
    """Raises NotAllowed(standard_older) when a newer version is in effect."""
    for other in effective:
        if precedence(other.version) > precedence(wanted.version):
            raise NotAllowed(
                "standard_older",
                f"{wanted.id} {other.version} is in effect, which is newer than {wanted.version}",
                field="version",
                remedy=f"give the content a version above {other.version}, or withdraw {other.version} first",
            )


def next_version(version: str, digit: Digit) -> str:
    """The lowest version above this one in which the digit has moved."""
    major, minor, patch = precedence(version)
    if digit == "major":
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if digit == "minor" else f"{major}.{minor}.{patch + 1}"


def _as_set(standard: Standard) -> CriteriaSet:
    return CriteriaSet(
        id=standard.id, version=1, title=standard.title, phases=standard.phases, criteria=standard.criteria
    )
