"""Compiling a criterion to hear everything that is wrong with it, not only the first thing (V-8)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from services.verification.domain.kinds.lanes import Measures
from shared.kernel.errors import Invalid
from shared.kernel.times import SECOND, Micros

T = TypeVar("T")


class Surveyed:
    """`Measures` that go on: what the criterion's own measures refuse is kept in `found`, and something harmless stands in for it."""

    def __init__(self, measures: Measures, found: list[Invalid]) -> None:
        self._measures = measures
        self._found = found
        self.unit = measures.unit
        self.gap = measures.gap

    def limit(self, quantity: Any, field: str) -> float:
        return self._or(lambda: self._measures.limit(quantity, field), 1.0)

    def span(self, quantity: Any, field: str) -> float:
        return self._or(lambda: self._measures.span(quantity, field), 1.0)

    def duration(self, quantity: Any, field: str) -> Micros:
        return self._or(lambda: self._measures.duration(quantity, field), SECOND)

    def guard(self, **given: Any) -> float:
        return self._or(lambda: self._measures.guard(**given), 0.0)

    def factor(self, unit: str, per_second: bool, field: str) -> float:
        return self._or(lambda: self._measures.factor(unit, per_second, field), 1.0)

    def integral_factor(self, unit: str, field: str) -> float:
        return self._or(lambda: self._measures.integral_factor(unit, field), 1.0)

    def demand_true_zero(self, what: str, field: str, remedy: str) -> None:
        self._or(lambda: self._measures.demand_true_zero(what, field, remedy), None)

    def total(self, quantity: Any, unit: str, field: str) -> float:
        return self._or(lambda: self._measures.total(quantity, unit, field), 1.0)

    def range(self, field: str) -> tuple[float, float]:
        return self._or(lambda: self._measures.range(field), (-math.inf, math.inf))

    def place(self, field: str) -> str:
        return self._measures.place(field)

    def planned(self, field: str) -> Micros:
        return self._or(lambda: self._measures.planned(field), SECOND)

    def planned_length(self) -> Micros | None:
        return self._or(self._measures.planned_length, None)

    def baseline(self, *, difference: bool) -> float | None:
        return self._or(lambda: self._measures.baseline(difference=difference), None)

    def ratio(self, quantity: Any, field: str) -> float:
        return self._or(lambda: self._measures.ratio(quantity, field), 1.0)

    def slots(self, window: Micros) -> int:
        return self._measures.slots(window)

    def _or(self, work: Callable[[], T], instead: T) -> T:
        try:
            return work()
        except Invalid as problem:
            self._found.append(problem)
            return instead


def out_of_range(where: str) -> Invalid:
    """The refusal of numbers that leave the range of a double when they are brought to the signal's unit."""
    return Invalid(
        "criteria_unit",
        "the number is more than 64 bits can hold in the unit of the signal",
        field=where,
        remedy="give a value that can be measured",
    )
