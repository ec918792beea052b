"""Stretches of time that may overlap, and which of them is in force at an instant: a function of the set, not of the order it came in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class Stretch:
    """[start, end) under a name. Of several at an instant the one with the highest (`rank`, `id`) is in force."""

    id: str
    start: Micros
    end: Micros
    rank: int


class Stretches:
    """An index over stretches; immutable."""

    def __init__(self, stretches: Iterable[Stretch] = ()) -> None:
        known = sorted(stretches, key=lambda stretch: (stretch.rank, stretch.id), reverse=True)
        self._borders = sorted({border for stretch in known for border in (stretch.start, stretch.end)})
        self._in_force = [
            next((stretch.id for stretch in known if stretch.start <= border < stretch.end), "")
            for border in self._borders
        ]

    def at(self, instant: Micros) -> str:
        """Name of what is in force, '' for nothing. A change at exactly this instant has happened."""
        index = bisect_right(self._borders, instant) - 1
        return self._in_force[index] if index >= 0 else ""

    def next_change(self, instant: Micros) -> Micros | None:
        """The first instant later than this one at which something else may be in force."""
        index = bisect_right(self._borders, instant)
        return self._borders[index] if index < len(self._borders) else None
