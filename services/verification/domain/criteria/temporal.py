"""Criteria in temporal logic: conditions, formulas, responses, until and since, order of events, what must not be together (V-6, V-7).

All of them are formulas of one core: `core_of` writes each as one, and says at which instants it has to hold.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from services.verification.domain.criteria.formulas import (
    And,
    Binary,
    Edge,
    Formula,
    Implies,
    Interval,
    Not,
    Unary,
)
from services.verification.domain.criteria.parts import CriterionBase, Quantity

_NOW = Quantity(value=0.0, unit="s")


class Condition(CriterionBase):
    """`of` holds at every instant of the phase."""

    kind: Literal["condition"]
    of: Formula


class FormulaCriterion(CriterionBase):
    """`of` holds at the phase's first instant, as signal temporal logic has it."""

    kind: Literal["formula"]
    of: Formula


class Response(CriterionBase):
    """Each time `trigger` becomes true (or, with `on: level`, at every instant at which it is), `answer` is true at an instant from
    `after` to `within` later, both included."""

    kind: Literal["response"]
    trigger: Formula
    answer: Formula
    within: Quantity
    after: Quantity = _NOW
    on: Literal["rise", "level"] = "rise"


class Until(CriterionBase):
    """`holds` at every instant from the phase's first on, until `until` is true, which it is at last (within `within`)."""

    kind: Literal["until"]
    holds: Formula
    until: Formula
    within: Quantity | None = None


class Since(CriterionBase):
    """Whenever `trigger` is true, `since` has been true (at most `within` ago), and `holds` at every instant after it."""

    kind: Literal["since"]
    trigger: Formula
    holds: Formula
    since: Formula
    within: Quantity | None = None


class Order(CriterionBase):
    """Every event happens, none of them before the one that is named before it; at one instant is in order."""

    kind: Literal["order"]
    events: Annotated[tuple[Formula, ...], Field(min_length=2, max_length=8)]


class Forbid(CriterionBase):
    """`of` is never true while `during` is; both at their limits at once are a violation."""

    kind: Literal["forbid"]
    of: Formula
    during: Formula


FORMULA_KINDS = frozenset({"condition", "formula", "response", "until", "since", "order", "forbid"})


class Scope(StrEnum):
    """The instants of the phase at which a formula has to hold."""

    EVERY = "every"
    SOME = "some"
    FIRST = "first"


def core_of(criterion: Any) -> tuple[Scope, Any]:
    """The criterion as a formula, and where it has to hold."""
    if isinstance(criterion, Condition):
        return _every(criterion.of)
    if isinstance(criterion, FormulaCriterion):
        return _top(criterion.of)
    if isinstance(criterion, Response):
        trigger = Edge(op="rise", of=criterion.trigger) if criterion.on == "rise" else criterion.trigger
        window = Interval(after=criterion.after, upto=criterion.within)
        return Scope.EVERY, Implies(
            op="implies", of=(trigger, Unary(op="eventually", of=criterion.answer, within=window))
        )
    if isinstance(criterion, Until):
        return Scope.FIRST, Binary(op="until", of=(criterion.holds, criterion.until), within=_upto(criterion.within))
    if isinstance(criterion, Since):
        past = Binary(op="since", of=(criterion.holds, criterion.since), within=_upto(criterion.within))
        return Scope.EVERY, Implies(op="implies", of=(criterion.trigger, past))
    if isinstance(criterion, Order):
        pairs = [
            Binary(op="until", of=(Not(op="not", of=later), sooner))
            for sooner, later in zip(criterion.events, criterion.events[1:], strict=False)
        ]
        last = Unary(op="eventually", of=criterion.events[-1])
        return Scope.FIRST, And(op="and", of=(*pairs, last))
    assert isinstance(criterion, Forbid)
    return Scope.EVERY, Not(op="not", of=And(op="and", of=(criterion.of, criterion.during)))


def _upto(within: Quantity | None) -> Interval | None:
    return None if within is None else Interval(after=_NOW, upto=within)


def _top(formula: Any) -> tuple[Scope, Any]:
    """Always and eventually over the whole phase need no memory of it."""
    if isinstance(formula, Unary) and formula.within is None:
        if formula.op == "always":
            return _every(formula.of)
        if formula.op == "eventually":
            return Scope.SOME, formula.of
    return Scope.FIRST, formula


def _every(formula: Any) -> tuple[Scope, Any]:
    """At every instant always[0, b](f) is f at every instant: a violation is known when it is seen, not when a window ends."""
    while isinstance(formula, Unary) and formula.op == "always":
        if formula.within is not None and formula.within.after.value != 0:
            break
        formula = formula.of
    return Scope.EVERY, formula
