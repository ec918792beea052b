"""Units of a standard, before any platform with its channels is known: each is one, and what is compared can be (V-19)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from services.verification.domain.criteria.parts import Model, Quantity
from shared.kernel.errors import Invalid
from shared.kernel.units import check_unit, commensurable, dimension

_ONE_DIMENSION = (
    ("low", "high"),
    ("lower_spec", "upper_spec"),
    ("target", "tolerance", "overshoot"),
    ("from_level", "to_level", "tolerance"),
)
"""Fields of one criterion whose quantities are compared with the same values."""

_DURATIONS = {
    *("planned", "held_for", "duration", "by", "window", "max_gap", "idle", "max_stuck", "max_saturated"),
    *("after", "upto", "step"),
}
_DURATIONS_OF = {
    "longest_excursion": {"at_most"},
    "cumulative_time_out": {"at_most"},
    "response": {"within"},
    "until": {"within"},
    "since": {"within"},
}
_LEVELS = {"band", "hold", "longest_excursion", "cumulative_time_out", "fraction_in_band"}
"""Kinds whose `low` and `high` are values of the signal itself."""


def check_units(phases: Sequence[Model], criteria: Sequence[Any]) -> None:
    """Raises Invalid(unit_unknown | unit_incommensurable) with the field at fault."""
    for phase in phases:
        _check_each(phase, f"phases[{getattr(phase, 'id', '')}]", _DURATIONS)
    levels: dict[str, tuple[str, str]] = {}
    for criterion in criteria:
        where = f"criteria[{criterion.id}]"
        _check_each(criterion, where, _DURATIONS | _DURATIONS_OF.get(criterion.kind, set()))
        for names in _ONE_DIMENSION:
            given = [(name, getattr(criterion, name, None)) for name in names]
            units = [(f"{where}.{name}.unit", value.unit) for name, value in given if isinstance(value, Quantity)]
            for field, unit in units[1:]:
                _same_dimension(field, unit, *units[0])
        if criterion.kind in _LEVELS and isinstance(criterion.signal, str):
            side = "low" if criterion.low is not None else "high"
            field, unit = f"{where}.{side}.unit", getattr(criterion, side).unit
            _same_dimension(field, unit, *levels.setdefault(criterion.signal, (field, unit)))


def _check_each(model: Model, where: str, durations: set[str]) -> None:
    for field, name, unit in _units(model, where):
        try:
            check_unit(unit)
        except Invalid as problem:
            raise Invalid(problem.code, problem.detail, field=field, remedy=problem.remedy) from problem
        if name in durations and not commensurable(unit, "s"):
            raise Invalid("unit_incommensurable", f"{unit} is no unit of time", field=field, remedy="use s, min or h")


def _units(value: Any, where: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, name of the field that has the unit, unit: of everything inside that has one."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _units(item, f"{where}[{index}]", name)
    if not isinstance(value, Model):
        return
    for inner in type(value).model_fields:
        item = getattr(value, inner)
        if inner == "unit" and item:
            yield f"{where}.unit", name, item
        else:
            yield from _units(item, f"{where}.{inner}", inner)


def _same_dimension(field: str, unit: str, other: str, reference: str) -> None:
    if not commensurable(unit, reference):
        raise Invalid(
            "unit_incommensurable",
            f"{unit} ({dimension(unit)}) cannot be compared with the {reference} ({dimension(reference)}) of {other}",
            field=field,
            remedy=f"use {reference} or a unit of the same dimension",
        )
