"""Whether a platform's criteria are at least as strict as a standard's: tighten, never loosen (V-19).

Said of two criteria of one kind by their fields alone: whoever passes the platform's passes the standard's, whatever the samples. What
cannot be proven so counts as loosened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from services.verification.domain.criteria.parts import Decision, Quantity
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.signals import conversion_between, convert
from services.verification.domain.standards import Standard
from shared.kernel.errors import Problem

Direction = Literal["smaller", "larger"]

_STRICTER: dict[str, dict[str, Direction]] = {
    "longest_excursion": {"at_most": "smaller"},
    "cumulative_time_out": {"at_most": "smaller"},
    "hold": {"duration": "larger"},
    "settle": {"tolerance": "smaller", "overshoot": "smaller"},
    "balance": {"limit": "smaller", "fraction": "smaller"},
    "data_quality": {
        "min_coverage": "larger",
        "max_gap": "smaller",
        "max_stuck": "smaller",
        "max_nan": "smaller",
        "max_saturated": "smaller",
        "max_clock_suspect": "smaller",
    },
    "setpoint_band": {"within": "smaller", "fraction": "smaller"},
    "fraction_in_band": {"at_least": "larger"},
    "ramp": {"tolerance": "smaller"},
    "steady_state": {"gradient": "smaller", "windows": "larger"},
    "uniformity": {"at_most": "smaller"},
    "envelope": {"sigmas": "smaller", "floor": "smaller", "at_most": "smaller"},
    "count": {"at_least": "larger", "at_most": "smaller"},
    "success_rate": {"at_least": "larger", "confidence": "larger", "min_trials": "larger"},
    "mtbf": {"at_least": "larger", "confidence": "larger"},
    "response": {"after": "larger", "within": "smaller"},
    "until": {"within": "smaller"},
    "since": {"within": "smaller"},
}
"""Beside `low` (larger is stricter) and `high` (smaller is), which mean the same in every kind that has them."""

_ALLOWANCES = {("envelope", "floor"), ("envelope", "at_most")}
"""What is not there allows nothing; everywhere else a limit that is not there is the loosest of all."""

_LIMITS: dict[str, Direction] = {"low": "larger", "high": "smaller"}
_SPANS = {
    "at_most",
    "duration",
    "tolerance",
    "overshoot",
    "limit",
    "within",
    "gradient",
    "after",
    "max_gap",
    "floor",
}
_QUALITY: dict[str, Direction] = {"min_coverage": "larger", "max_gap": "smaller", "idle": "smaller"}
_ON_BAD = ("exclude", "inconclusive", "fail")
_NAMES = {"id", "title", "clause"}


@dataclass(frozen=True, slots=True)
class Loosened:
    """A criterion of the standard that the platform's set does not keep. `field` is empty when the criterion is missing."""

    criterion: str
    field: str
    detail: str


def loosened(standard: Standard, adopted: CriteriaSet) -> tuple[Loosened, ...]:
    """Everything in which the set is not at least as strict, in the standard's order. More criteria are always allowed."""
    own = {criterion.id: criterion for criterion in adopted.criteria}
    found = [Loosened("", f"phases[{phase.id}]", detail) for phase, detail in _phases(standard, adopted)]
    for asked in standard.criteria:
        given = own.get(asked.id)
        if given is None:
            found.append(Loosened(asked.id, "", "the criterion is missing"))
        else:
            found += [Loosened(asked.id, field, detail) for field, detail in weaker(asked, given)]
    return tuple(found)


def _phases(standard: Standard, adopted: CriteriaSet) -> Iterator[tuple[Any, str]]:
    """Where a phase begins and ends is part of what is judged; its title and planned length are not.

    A further phase cuts the one before it short when it begins, and arms the conditions of the one behind it: none is allowed.
    """
    own = {phase.id: phase for phase in adopted.phases}
    names = [phase.id for phase in standard.phases]
    for asked in standard.phases:
        given = own.get(asked.id)
        if given is None:
            yield asked, "the phase is missing"
        elif _facts(asked, {"title", "planned"}) != _facts(given, {"title", "planned"}):
            yield asked, "the phase begins or ends otherwise"
    for phase in adopted.phases:
        if phase.id not in names:
            yield phase, "the standard has no such phase; it could begin or end the others otherwise"
    kept = [phase for phase in adopted.phases if phase.id in names]
    order = [name for name in names if name in own]
    for phase, name in zip(kept, order, strict=True):
        if phase.id != name:
            yield phase, f"the phases are in another order: the standard has {name} here"
            return


def weaker(asked: Any, given: Any) -> Iterator[tuple[str, str]]:
    """The fields in which `given` is not provably at least as strict as `asked`, with what is wrong."""
    if asked.kind != given.kind:
        yield "kind", f"is {given.kind}, the standard has {asked.kind}"
        return
    directions = {**_STRICTER.get(asked.kind, {}), **_LIMITS}
    for name in type(asked).model_fields:
        if name in _NAMES or name in ("quality", "decision"):
            continue
        mine, theirs = getattr(given, name), getattr(asked, name)
        if name in directions and name != "kind":
            allowance = (asked.kind, name) in _ALLOWANCES
            if not _at_least_as_strict(mine, theirs, directions[name], span=_is_span(asked, name), allowance=allowance):
                yield name, f"is {_shown(mine)}, the standard has {_shown(theirs)}"
        elif name == "second_person":
            if theirs and not mine:
                yield name, "the standard asks for a second person"
        elif mine != theirs:
            yield name, f"is {_shown(mine)}, the standard has {_shown(theirs)}"
    if asked.clause != given.clause:
        yield "clause", f"is {given.clause!r}, the standard has {asked.clause!r}"
    yield from _weaker_quality(asked.quality, given.quality)
    yield from _weaker_decision(asked.decision, given.decision)


_SLOPES = {"rate_of_change", "drift", "integral", "totaliser", "compare_previous"}


def _is_span(criterion: Any, name: str) -> bool:
    """Whether a field is a difference of values whatever the signal. Of the others only the channels could tell."""
    return name in _SPANS or criterion.kind in _SLOPES or getattr(criterion, "statistic", "") == "sd"


def _weaker_quality(asked: Any, given: Any) -> Iterator[tuple[str, str]]:
    for name, direction in _QUALITY.items():
        if name not in type(asked).model_fields:
            continue
        mine, theirs = getattr(given, name), getattr(asked, name)
        if not _at_least_as_strict(mine, theirs, direction, span=True):
            yield f"quality.{name}", f"is {_shown(mine)}, the standard has {_shown(theirs)}"
    if _ON_BAD.index(given.on_bad_quality) < _ON_BAD.index(asked.on_bad_quality):
        yield "quality.on_bad_quality", f"is {given.on_bad_quality}, the standard has {asked.on_bad_quality}"


def _weaker_decision(asked: Decision, given: Decision) -> Iterator[tuple[str, str]]:
    """Simple acceptance passes at the limit; every other rule asks for that or more, and four levels for a zone as wide."""
    if given.rule != "simple" and given.uncertainty is not None and not given.uncertainty.value > 0:
        yield "decision.uncertainty", f"is {_shown(given.uncertainty)}, which would widen the limits"
        return
    if asked.rule == "simple":
        return
    if asked.rule != given.rule:
        yield "decision.rule", f"is {given.rule}, the standard has {asked.rule}"
        return
    if asked.rule != "min_probability" and given.multiplier < asked.multiplier:
        yield "decision.multiplier", f"is {given.multiplier:g}, the standard has {asked.multiplier:g}"
    if asked.rule == "min_probability" and given.probability < asked.probability:
        yield "decision.probability", f"is {given.probability:g}, the standard has {asked.probability:g}"
    if given.coverage_factor > asked.coverage_factor and asked.rule == "min_probability":
        yield "decision.coverage_factor", f"is {given.coverage_factor:g}, the standard has {asked.coverage_factor:g}"
    if (asked.uncertainty is None) != (given.uncertainty is None) or not _at_least_as_strict(
        given.uncertainty, asked.uncertainty, "larger", span=True
    ):
        yield "decision.uncertainty", f"is {_shown(given.uncertainty)}, the standard has {_shown(asked.uncertainty)}"


def _at_least_as_strict(mine: Any, theirs: Any, direction: Direction, *, span: bool, allowance: bool = False) -> bool:
    if mine is None or theirs is None:
        return mine is None if allowance else theirs is None
    ours, asked = _numbers(mine, theirs, span=span)
    if math.isnan(ours):
        return False
    return ours <= asked if direction == "smaller" else ours >= asked


def _numbers(mine: Any, theirs: Any, *, span: bool) -> tuple[float, float]:
    """Both in the standard's unit; NaN where they cannot be compared: also where the zeros of the units differ, unless it is a span. A limit
    of a difference and one of a level are then different numbers, and which of them it is follows from the channels, which a standard does
    not know."""
    if not isinstance(theirs, Quantity):
        return float(mine), float(theirs)
    if mine.unit == theirs.unit:
        return mine.value, theirs.value
    try:
        if not span and conversion_between(mine.unit, theirs.unit, "", difference=False).offset != 0.0:
            return math.nan, theirs.value
        return convert(mine, theirs.unit, "", difference=span), theirs.value
    except Problem:
        return math.nan, theirs.value


def _facts(model: Any, without: set[str]) -> dict[str, Any]:
    facts: dict[str, Any] = model.model_dump(mode="json", exclude=without)
    return facts


def _shown(value: Any) -> str:
    return (
        f"{value.value:g} {value.unit}" if isinstance(value, Quantity) else "nothing" if value is None else str(value)
    )
