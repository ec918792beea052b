"""Standards: clauses and criteria that platforms adopt, with a life cycle of people and dates (V-19).

    draft -> review -> approved -> effective -> superseded
                |                      |
                +-> draft (returned)   +-> withdrawn (also from approved)

Two people approve, and neither is who changed the draft last. Nothing of a version changes once it is in review. A version in effect expires
by its own dates, with no step; a newer one still supersedes it, and it can be withdrawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from services.verification.domain.criteria.parts import Identifier, Model, Title
from services.verification.domain.criteria_model import Criterion, Phase
from services.verification.domain.standard_units import check_units
from shared.kernel.canonical import digest
from shared.kernel.errors import Forbidden, Invalid, Malformed, NotAllowed
from shared.kernel.persons import same_person
from shared.kernel.yaml_text import read_yaml_text

APPROVALS = 2

Version = Annotated[str, Field(pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$", max_length=40)]
"""Semantic: major for what loosens or removes, minor for what is added or tightened, patch for wording."""


class Clause(Model):
    id: Annotated[str, Field(min_length=1, max_length=80)]
    title: Title
    text: Title | None = None


class Standard(Model):
    """A version of a standard, for example T/CSTM 00123-2025. Every criterion belongs to one of its clauses."""

    id: Identifier
    version: Version
    body: str = Field(min_length=1, max_length=200)
    number: str = Field(min_length=1, max_length=80)
    year: Annotated[int, Field(ge=1900, le=2200)]
    title: Title
    effective_from: date
    effective_to: date | None = None
    clauses: tuple[Clause, ...] = Field(min_length=1, max_length=500)
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=64)
    criteria: tuple[Criterion, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _hangs_together(self) -> Standard:
        for what, names in (
            ("clause", [clause.id for clause in self.clauses]),
            ("phase", [phase.id for phase in self.phases]),
            ("criterion", [criterion.id for criterion in self.criteria]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} id used twice: {', '.join(twice)}")
        clauses, phases = {clause.id for clause in self.clauses}, {phase.id for phase in self.phases}
        for criterion in self.criteria:
            if criterion.clause not in clauses:
                raise ValueError(f"criterion {criterion.id}: there is no clause {criterion.clause!r}")
            if criterion.phase not in phases:
                raise ValueError(f"criterion {criterion.id}: there is no phase {criterion.phase}")
        if self.effective_to is not None and self.effective_to < self.effective_from:
            raise ValueError("effective_to lies before effective_from")
        return self

    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest(self.model_dump(mode="json"))


def precedence(version: str) -> tuple[int, int, int]:
    """Semantic versions by their order."""
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def load_standard(text: str | bytes) -> Standard:
    """From YAML or JSON. Raises Malformed(standard_malformed) and as `standard_of`."""
    try:
        document: Any = read_yaml_text(text)
    except yaml.YAMLError as error:
        raise Malformed("standard_malformed", f"not YAML or JSON: {error}", remedy="check indentation") from error
    return standard_of(document)


def standard_of(document: Any) -> Standard:
    """Raises Invalid(standard_invalid | unit_unknown | unit_incommensurable) with the first field at fault."""
    try:
        standard = Standard.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Invalid("standard_invalid", first["msg"], field=field, remedy="see docs/standards.md") from error
    check_units(standard.phases, standard.criteria)
    return standard


class State(StrEnum):
    DRAFT = "draft"
    REVIEW = "review"
    APPROVED = "approved"
    EFFECTIVE = "effective"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"  # what a version in effect is after its last day; no step leads here


class Action(StrEnum):
    CHANGE = "change"  # the content of a draft
    SUBMIT = "submit"
    RETURN = "return"
    APPROVE = "approve"
    EFFECT = "effect"
    SUPERSEDE = "supersede"
    WITHDRAW = "withdraw"


_FROM: dict[Action, frozenset[State]] = {
    Action.CHANGE: frozenset({State.DRAFT}),
    Action.SUBMIT: frozenset({State.DRAFT}),
    Action.RETURN: frozenset({State.REVIEW}),
    Action.APPROVE: frozenset({State.REVIEW}),
    Action.EFFECT: frozenset({State.APPROVED}),
    Action.SUPERSEDE: frozenset({State.EFFECTIVE}),
    Action.WITHDRAW: frozenset({State.APPROVED, State.EFFECTIVE}),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a person, by name, did to a version."""

    action: Action
    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a version stands. `author` changed the draft last; `approved_by` are the approvals of this review."""

    state: State = State.DRAFT
    author: str = ""
    approved_by: tuple[str, ...] = ()


def standing(history: Sequence[Step]) -> Standing:
    """After everything that was done, in order. Raises as `after` for a history that could not have happened."""
    now = Standing()
    for step in history:
        now = after(now, step)
    return now


def after(now: Standing, step: Step) -> Standing:
    """Raises NotAllowed(standard_state), Forbidden(standard_same_person)."""
    if now.state not in _FROM[step.action]:
        allowed = sorted(action for action, states in _FROM.items() if now.state in states)
        raise NotAllowed(
            "standard_state",
            f"a version that is {now.state} takes no {step.action}",
            field="action",
            remedy=f"what it takes: {', '.join(allowed) or 'nothing'}",
            extra={"state": str(now.state), "allowed": [str(action) for action in allowed]},
        )
    if step.action is Action.APPROVE:
        return _approved(now, step.who)
    states = {
        Action.CHANGE: State.DRAFT,
        Action.SUBMIT: State.REVIEW,
        Action.RETURN: State.DRAFT,
        Action.EFFECT: State.EFFECTIVE,
        Action.SUPERSEDE: State.SUPERSEDED,
        Action.WITHDRAW: State.WITHDRAWN,
    }
    author = step.who if step.action is Action.CHANGE else now.author
    approvals = () if step.action in (Action.SUBMIT, Action.RETURN) else now.approved_by
    return Standing(states[step.action], author, approvals)


def _approved(now: Standing, who: str) -> Standing:
    is_author = same_person(who, now.author)
    if is_author or any(same_person(who, other) for other in now.approved_by):
        raise Forbidden(
            "standard_same_person",
            f"{who} has {'changed the draft last' if is_author else 'approved already'}",
            field="who",
            remedy="two other people approve",
        )
    approvals = (*now.approved_by, who)
    return Standing(State.APPROVED if len(approvals) >= APPROVALS else State.REVIEW, now.author, approvals)


def state_on(standard: Standard, now: Standing, day: date) -> State:
    """The state on a day (UTC): a version in effect has expired once its last day is over."""
    over = standard.effective_to is not None and day > standard.effective_to
    return State.EXPIRED if over and now.state is State.EFFECTIVE else now.state


def check_in_effect(standard: Standard, now: Standing, day: date, *, field: str = "version") -> None:
    """Raises NotAllowed(standard_state) for a version that is not in effect on the day (UTC)."""
    state = state_on(standard, now, day)
    if state is not State.EFFECTIVE:
        ended = f" since {standard.effective_to}" if state is State.EXPIRED else ""
        raise NotAllowed(
            "standard_state",
            f"{standard.id} {standard.version} is {state}{ended}",
            field=field,
            remedy="take a version that is in effect",
            extra={"state": str(state)},
        )


def check_effect(standard: Standard, today: date) -> None:
    """Raises NotAllowed(standard_dates) outside of the dates that the version gives."""
    if today < standard.effective_from or (standard.effective_to is not None and today > standard.effective_to):
        raise NotAllowed(
            "standard_dates",
            f"{standard.id} {standard.version} is effective from {standard.effective_from}"
            + (f" to {standard.effective_to}" if standard.effective_to else ""),
            field="effective_from",
            remedy="wait for the date, or give a new version other dates",
        )
