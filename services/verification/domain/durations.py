"""Durations of a criteria set in µs: in a unit of time, and within what event time can hold."""

from __future__ import annotations

from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.signals import conversion_between, convert
from shared.kernel.errors import Invalid
from shared.kernel.times import DAY, Micros
from shared.kernel.units import commensurable

LONGEST: Micros = 365_250 * DAY
"""A thousand years."""


def micros_of(quantity: Quantity, where: str, *, least: Micros = 1) -> Micros:
    """The duration at field `where`, at least `least` (0 or 1). Raises Invalid(criteria_unit | criteria_horizon)."""
    if not _is_time(quantity.unit):
        raise Invalid("criteria_unit", f"{quantity.unit} is no unit of time", field=where, remedy="use s, min or h")
    if abs(quantity.value) > LONGEST / conversion_between(quantity.unit, "us", where, difference=True).factor:
        raise Invalid(
            "criteria_horizon",
            f"{quantity.value:g} {quantity.unit} is longer than a thousand years",
            field=where,
            remedy="give a shorter duration",
        )
    micros = round(convert(quantity, "us", where, difference=True))
    if micros < least:
        raise Invalid(
            "criteria_horizon",
            "a duration must be positive" if least else "a duration must not be negative",
            field=where,
            remedy="give at least 1 us" if least else "give 0 s or more",
        )
    return micros


def _is_time(unit: str) -> bool:
    try:
        return commensurable(unit, "s")
    except Invalid:
        return False
