"""Formulas: signal temporal logic over signals, the core under the criteria (V-7).

A formula without temporal operators (always … since, rise, fall) is a *condition*: it has a value at every instant of its signals.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from services.verification.domain.criteria.parts import Model, Quantity, Signal


class Compare(Model):
    """`left` against a quantity or another signal. Equality satisfies `<=` and `>=` and violates `<` and `>`.

    `scale` is the difference that counts as 1 where a formula mixes quantities of different dimension; default: the size of `right`.
    """

    op: Literal["<=", "<", ">=", ">"]
    left: Signal
    right: Quantity | Signal
    scale: Quantity | None = None


class Is(Model):
    """A boolean or enumeration channel has this value: `true`, `false`, a code's name or its number."""

    op: Literal["is"]
    channel: str = Field(min_length=3, max_length=200)
    code: StrictBool | StrictInt | str


class Not(Model):
    op: Literal["not"]
    of: Formula


class And(Model):
    op: Literal["and"]
    of: tuple[Formula, ...] = Field(min_length=2, max_length=32)


class Or(Model):
    op: Literal["or"]
    of: tuple[Formula, ...] = Field(min_length=2, max_length=32)


class Implies(Model):
    op: Literal["implies"]
    of: tuple[Formula, Formula]


class Edge(Model):
    """True at the instant at which `of` becomes true (rise) or false (fall); at the first instant of all there is no edge."""

    op: Literal["rise", "fall"]
    of: Formula


class Interval(Model):
    """[t + after, t + upto] for future operators, [t - upto, t - after] for past ones; closed at both ends."""

    after: Quantity
    upto: Quantity


class Unary(Model):
    """Without `within`: to the end of the phase (always, eventually), or back to its start (historically, once)."""

    op: Literal["always", "eventually", "historically", "once"]
    of: Formula
    within: Interval | None = None


class Binary(Model):
    """first until second: the second comes true within, and the first holds at every instant before it. Since is its mirror."""

    op: Literal["until", "since"]
    of: tuple[Formula, Formula]
    within: Interval | None = None


Formula = Annotated[Compare | Is | Not | And | Or | Implies | Edge | Unary | Binary, Field(discriminator="op")]
