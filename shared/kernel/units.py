"""UCUM units: parsed by `ucumvert`, converted by Pint in rational numbers, never with an offset for differences.

A quantity kind that ends in `_difference` or `_rate` (and every compound unit) is an interval: 5 Cel of difference are 5 K.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from shared.kernel.errors import Invalid

MOST_EXPONENT = 99
"""Of a unit and of 10*: more is no unit of anything, and working it out would not end."""

_TINIEST, _HUGEST = 1e-200, 1e200  # of a unit in base units: beyond them values leave the range of a double
_NAMED = re.compile(r"\{[^}]*\}|\[[^\]]*\]")  # annotations and bracketed names may hold any digits
_EXPONENT = re.compile(r"(?<=[A-Za-z*^%'\"_])[+-]?([0-9]+)")


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value_in_target = value * factor + offset`, in binary64, one multiplication and one addition. `ratio` and `zero` are the two
    before they were rounded."""

    ratio: Fraction
    zero: Fraction
    factor: float
    offset: float

    @property
    def is_identity(self) -> bool:
        return self.factor == 1.0 and self.offset == 0.0

    def of(self, value: float) -> float:
        """A written number, converted exactly and rounded once: 4.35 bar are 435 kPa, not a little less. Infinite where it is too large."""
        return _rounded(Fraction(repr(value)) * self.ratio + self.zero)


@lru_cache(maxsize=1)
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry(non_int_type=Fraction)


@lru_cache(maxsize=4096)
def _quantity(code: str) -> Any:
    from lark.exceptions import VisitError
    from ucumvert import InvalidUcumError

    if any(int(digits[:9]) > MOST_EXPONENT for digits in _EXPONENT.findall(_NAMED.sub("_", code))):
        raise Invalid(
            "unit_unknown",
            f"'{code}' has an exponent above {MOST_EXPONENT}",
            field="unit",
            remedy="write a unit that values are measured in, for example kPa, 10*3.m3, m3/h",
        )
    try:
        quantity = _registry().from_ucum(code)
    # VisitError: well-formed, but Pint has no such unit ([pH]) or cannot compute with it (Cel2).
    except (InvalidUcumError, VisitError, ValueError, KeyError) as error:
        raise Invalid(
            "unit_unknown",
            f"'{code}' is not a UCUM unit",
            field="unit",
            remedy="write a UCUM code, for example kPa, Cel, m3/h",
        ) from error
    if not _is_sizeable(quantity):
        raise Invalid(
            "unit_unknown",
            f"'{code}' is too large or too small for numbers of 64 bits",
            field="unit",
            remedy="write a unit that values are measured in, for example kPa, 10*3.m3, m3/h",
        )
    return quantity


def _is_sizeable(quantity: Any) -> bool:
    if not quantity._is_multiplicative:
        return True
    try:
        return _TINIEST < abs(float(quantity.to_base_units().magnitude)) < _HUGEST
    except OverflowError:
        return False


def check_unit(code: str) -> None:
    """Raises Invalid(unit_unknown) unless `code` is a UCUM unit."""
    _quantity(code)


@lru_cache(maxsize=4096)
def commensurable(left: str, right: str) -> bool:
    """Whether both units measure the same dimension. Raises Invalid(unit_unknown)."""
    return bool(_quantity(left).dimensionality == _quantity(right).dimensionality)


def dimension(code: str) -> str:
    """The dimension as Pint writes it, for messages. Raises Invalid(unit_unknown)."""
    return str(_quantity(code).dimensionality)


@lru_cache(maxsize=4096)
def is_logarithmic(code: str) -> bool:
    """Whether the unit counts in a logarithm, as dB and Np do: its values have no differences, means or factors. Raises Invalid(unit_unknown)."""
    return not _quantity(code)._is_multiplicative and not commensurable(code, "K")


def is_difference(quantity_kind: str) -> bool:
    return quantity_kind.endswith(("_difference", "_rate", "_uncertainty"))


@lru_cache(maxsize=4096)
def conversion(source: str, target: str, *, difference: bool = False) -> Conversion:
    """How to bring a value from `source` to `target` (UCUM codes).

    `difference` treats both as intervals, so that Cel to K has no offset. Raises Invalid(unit_unknown) for a code that does not
    parse and Invalid(unit_incommensurable) for units of different dimensions, or where no factor leads from one to the other (dB).
    """
    if source == target:
        return Conversion(Fraction(1), Fraction(0), 1.0, 0.0)
    if not commensurable(source, target):
        raise Invalid(
            "unit_incommensurable",
            f"{source} ({dimension(source)}) cannot be converted to {target} ({dimension(target)})",
            field="unit",
            remedy=f"send the values in {target} or in a unit of the same dimension",
        )
    try:
        zero = _convert(0, source, target)
        ratio = _convert(1, source, target) - zero
    except TypeError as error:  # a logarithm has no rational value
        raise Invalid(
            "unit_incommensurable",
            f"{source} and {target} are not proportional: one of them is logarithmic",
            field="unit",
            remedy=f"send the values in {target}",
        ) from error
    zero = Fraction(0) if difference else zero
    return Conversion(ratio, zero, _rounded(ratio), _rounded(zero))


def _convert(value: int, source: str, target: str) -> Fraction:
    from_, to = _quantity(source), _quantity(target)
    quantity = _registry().Quantity(value * Fraction(from_.magnitude), from_.units)
    return Fraction(quantity.to(to.units).magnitude) / Fraction(to.magnitude)


def _rounded(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
