"""UCUM units: parsed by `ucumvert`, converted by Pint, never with an offset for differences.

A quantity kind that ends in `_difference` or `_rate` (and every compound unit) is an interval: 5 Cel of difference are 5 K.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.kernel.errors import Invalid

_SPAN = 1e6  # a wide span, so that subtracting the offset costs no digits of the factor


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value_in_target = value * factor + offset`, in binary64, one multiplication and one addition."""

    factor: float
    offset: float

    @property
    def is_identity(self) -> bool:
        return self.factor == 1.0 and self.offset == 0.0


@lru_cache(maxsize=1)
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


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
    parse and Invalid(unit_incommensurable) for units of different dimensions.
    """
    if source == target:
        return Conversion(1.0, 0.0)
    if not commensurable(source, target):
        raise Invalid(
            "unit_incommensurable",
            f"{source} ({dimension(source)}) cannot be converted to {target} ({dimension(target)})",
            field="unit",
            remedy=f"send the values in {target} or in a unit of the same dimension",
        )
    zero = _convert(0.0, source, target)
    factor = (_convert(_SPAN, source, target) - zero) / _SPAN
    return Conversion(_tidy(factor), 0.0 if difference else _tidy(zero))


def _convert(value: float, source: str, target: str) -> float:
    from_, to = _quantity(source), _quantity(target)
    quantity = _registry().Quantity(value * from_.magnitude, from_.units)
    return float(quantity.to(to.units).magnitude) / float(to.magnitude)


def _tidy(value: float) -> float:
    """A factor of few digits found by floating point, so that kPa to Pa is 1000 and not 999.9999999999999."""
    for digits in range(1, 10):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= 1e-12 * abs(value):
            return rounded
    return value
