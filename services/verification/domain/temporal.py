"""Formulas compiled: the conditions in them as one signal of several values, the operators over them as a table of nodes (V-7).

The largest parts without temporal operators are the leaves. Negations stay where they are: every node carries an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.verification.domain.conditions import condition_node, margin_unit
from services.verification.domain.criteria import formulas
from services.verification.domain.criteria.temporal import core_of
from services.verification.domain.signals import Channels, Draft, Node, SignalPlan, plan_of
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros

LEAF, NOT, AND, OR, IMPLIES, RISE, FALL, ALWAYS, EVENTUALLY, HISTORICALLY, ONCE, UNTIL, SINCE = range(13)
"""Operations of nodes."""

MOST_NODES = 32

_ONES = {"not": NOT, "rise": RISE, "fall": FALL}
_TWOS = {"and": AND, "or": OR, "implies": IMPLIES}
_WINDOWS = {
    "always": ALWAYS,
    "eventually": EVENTUALLY,
    "historically": HISTORICALLY,
    "once": ONCE,
    "until": UNTIL,
    "since": SINCE,
}
_FUTURE = {ALWAYS, EVENTUALLY, UNTIL}
Duration = Callable[[Any, str], Micros]
"""µs of a quantity at a field of the criterion; zero is allowed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node: its operation, its operands (numbers of steps before it; for LEAF the number of its value), its window in µs.

    `upto` is None for a window to the phase's border. `once` says that its value is wanted at the phase's first instant alone.
    """

    op: int
    left: int = -1
    right: int = -1
    after: Micros = 0
    upto: Micros | None = None
    once: bool = False

    @property
    def future(self) -> bool:
        return self.op in _FUTURE

    @property
    def windowed(self) -> bool:
        return self.op >= ALWAYS


def formula_signal(criterion: Any, channels: Channels, where: str) -> SignalPlan:
    """The margins of the formula's leaves, one value each. Raises Invalid as `compile_condition` does."""
    _, formula = core_of(criterion)
    unit = margin_unit(formula, channels, where)
    draft = Draft(channels)
    nodes = [condition_node(leaf, draft, unit, where) for leaf in leaves(formula, f"{where}.of")]
    program = tuple(operation for node in nodes for operation in node.program)
    key = canonical_json({"formula": formula.model_dump(mode="json")}).decode()
    plan = plan_of(key, Node(program, unit, 0.0), draft, plain=False)
    return replace(plan, outputs=len(nodes), instants=True)


def leaves(formula: Any, where: str) -> list[Any]:
    """The largest parts without temporal operators, left to right; equal ones once. Raises Invalid(criteria_formula)."""
    found: list[Any] = []
    _gather(formula, found, where)
    return found


def _gather(formula: Any, found: list[Any], where: str) -> None:
    if not _temporal(formula):
        if formula not in found:
            _room(found, where)
            found.append(formula)
        return
    for part in _parts(formula):
        _gather(part, found, where)


def _room(found: Sequence[Any], where: str) -> None:
    """Raises Invalid(criteria_formula) where nothing more may be added: asked before it is, because each is compared with all."""
    if len(found) >= MOST_NODES:
        raise Invalid(
            "criteria_formula",
            f"more than {MOST_NODES} conditions and operators over them",
            field=where,
            remedy="split it into several criteria",
        )


def _parts(formula: Any) -> tuple[Any, ...]:
    return formula.of if isinstance(formula.of, tuple) else (formula.of,)


def _temporal(formula: Any) -> bool:
    if isinstance(formula, formulas.Unary | formulas.Binary | formulas.Edge):
        return True
    if isinstance(formula, formulas.Compare | formulas.Is):
        return False
    return any(_temporal(part) for part in _parts(formula))


def steps_of(formula: Any, duration: Duration, *, once: bool, where: str = "of") -> tuple[Step, ...]:
    """The nodes in an order in which operands come first; the last one is the formula's. Raises Invalid(criteria_formula); `where` is
    the formula's field."""
    building = _Building(leaves(formula, where), duration, [], where)
    building.add(formula, "of", once=once)
    return tuple(building.steps)


@dataclass(slots=True)
class _Building:
    leaves: list[Any]
    duration: Duration
    steps: list[Step]
    whole: str  # the field that the relative `of` stands for

    def add(self, formula: Any, where: str, *, once: bool) -> int:
        if not _temporal(formula):
            return self._put(Step(LEAF, self.leaves.index(formula), once=once))
        if isinstance(formula, formulas.Binary):
            return self._binary(formula, where, once=once)
        if isinstance(formula, formulas.Unary):
            inner = self.add(formula.of, f"{where}.of", once=False)
            return self._put(replace(self._window(formula, where), left=inner, once=once))
        if formula.op in _ONES:
            # An edge looks at the instant before, too: its operand is wanted at every instant.
            inner = self.add(formula.of, f"{where}.of", once=once and formula.op == "not")
            return self._put(Step(_ONES[formula.op], inner, once=once))
        first, *rest = formula.of
        left = self.add(first, f"{where}.of[0]", once=once)
        for k, part in enumerate(rest, 1):
            left = self._put(Step(_TWOS[formula.op], left, self.add(part, f"{where}.of[{k}]", once=once), once=once))
        return left

    def _binary(self, formula: formulas.Binary, where: str, *, once: bool) -> int:
        """f until[a, b] g is always[0, a)(f) and what is left of it from a on; since likewise."""
        left = self.add(formula.of[0], f"{where}.of[0]", once=False)
        right = self.add(formula.of[1], f"{where}.of[1]", once=False)
        window = self._window(formula, where)
        put = self._put(replace(window, left=left, right=right, once=once))
        if window.after == 0:
            return put
        before = ALWAYS if window.op == UNTIL else HISTORICALLY
        guard = self._put(Step(before, left, upto=window.after - 1, once=once))
        return self._put(Step(AND, put, guard, once=once))

    def _window(self, formula: Any, where: str) -> Step:
        op = _WINDOWS[formula.op]
        if formula.within is None:
            return Step(op)
        after = self.duration(formula.within.after, f"{where}.within.after")
        upto = self.duration(formula.within.upto, f"{where}.within.upto")
        ordered(after, upto, f"{self.whole}{where.removeprefix('of')}.within")
        return Step(op, after=after, upto=upto)

    def _put(self, step: Step) -> int:
        if step in self.steps:
            return self.steps.index(step)
        _room(self.steps, self.whole)
        self.steps.append(step)
        return len(self.steps) - 1


def ordered(after: Micros, upto: Micros, where: str) -> None:
    """Raises Invalid(criteria_formula) for an interval, at field `where`, that ends before it begins."""
    if upto < after:
        raise Invalid(
            "criteria_formula", "the interval ends before it begins", field=where, remedy="give after before upto"
        )


def spans(steps: tuple[Step, ...], whole: Micros | None) -> list[tuple[Micros, Micros]]:
    """How far into the past and the future each node looks (µs). A window to the phase's end looks `whole` far, unless its value is
    wanted once. Raises ValueError where it needs `whole` and has none."""
    found: list[tuple[Micros, Micros]] = []
    for step in steps:
        past = future = 0
        for operand in (step.left, step.right):
            if step.op != LEAF and operand >= 0:
                past, future = max(past, found[operand][0]), max(future, found[operand][1])
        if step.windowed and not step.once:
            if step.future:
                if step.upto is None and whole is None:
                    raise ValueError("a window to the end of a phase without a planned length")
                future += (whole or 0) if step.upto is None else step.upto
            elif step.upto is not None:
                past += step.upto
        elif step.windowed and step.upto is not None:
            past, future = (past, future + step.upto) if step.future else (past + step.upto, future)
        found.append((past, future))
    return found
