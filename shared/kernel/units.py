"""UCUM units: parsed by `ucumvert`, converted by Pint in rational numbers, never with an offset for differences.

A quantity kind that ends in `_difference` or `_rate` (and every compound unit) is an interval: 5 Cel of difference are 5 K.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from shared.kernel.errors import Invalid


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

    try:
        return _registry().from_ucum(code)
    # VisitError: well-formed, but Pint has no such unit ([pH]) or cannot compute with it (Cel2).
    except (InvalidUcumError, VisitError, ValueError, KeyError) as error:
        raise Invalid(
            "unit_unknown",
            f"'{code}' is not a UCUM unit",
            field="unit",
            remedy="write a UCUM code, for example kPa, Cel, m3/h",
        ) from error


def check_unit(code: str) -> None:
    """Raises Invalid(unit_unknown) unless `code` is a UCUM unit."""
    _quantity(code)


def commensurable(left: str, right: str) -> bool:
    """Whether both units measure the same dimension. Raises Invalid(unit_unknown)."""
    return bool(_quantity(left).dimensionality == _quantity(right).dimensionality)


def dimension(code: str) -> str:
    """The dimension as Pint writes it, for messages. Raises Invalid(unit_unknown)."""
    return str(_quantity(code).dimensionality)


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
