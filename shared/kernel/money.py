"""Money and metered quantities as `Decimal`: one context, one rounding, splits that always add up.

Unit prices have at most 12 decimals, quantities at most 9, amounts are whole fen (0.01 CNY).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import (
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)

CONTEXT = Context(prec=50, rounding=ROUND_HALF_EVEN, traps=[DivisionByZero, InvalidOperation, Overflow])
FEN = Decimal("0.01")
QUANTITY_STEP = Decimal("0.000000001")
PRICE_STEP = Decimal("0.000000000001")


def round_to_fen(amount: Decimal) -> Decimal:
    """The one rounding of an invoice line: to 0.01, HALF_UP (away from zero at the half)."""
    return amount.quantize(FEN, rounding=ROUND_HALF_UP, context=CONTEXT)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Exact for every price and quantity the limits allow (50 digits)."""
    return CONTEXT.multiply(left, right)


def add(left: Decimal, right: Decimal) -> Decimal:
    return CONTEXT.add(left, right)


def total(amounts: Sequence[Decimal]) -> Decimal:
    """The sum in the module's context; 0 for none."""
    result = Decimal(0)
    for amount in amounts:
        result = CONTEXT.add(result, amount)
    return result


def largest_remainder(whole: Decimal, weights: Sequence[Decimal], step: Decimal = FEN) -> tuple[Decimal, ...]:
    """Split `whole` by `weights` into multiples of `step` that sum to it exactly (Hamilton's method).

    The left-over steps go to the largest remainders, ties to the earlier weight. `whole` must itself be a multiple of `step`;
    it may be negative. Raises ValueError for negative weights, a zero sum of weights, or a `whole` that is no multiple of `step`.
    """
    if any(weight < 0 for weight in weights) or not any(weights):
        raise ValueError("weights must be non-negative and not all zero")
    units = CONTEXT.divide(abs(whole), step)
    if units != units.to_integral_value():
        raise ValueError(f"{whole} is not a multiple of {step}")
    weight_sum = total(weights)
    exact = [CONTEXT.divide(CONTEXT.multiply(units, weight), weight_sum) for weight in weights]
    floors = [value.to_integral_value(rounding=ROUND_FLOOR) for value in exact]
    left = int(units - total(floors))
    by_remainder = sorted(range(len(weights)), key=lambda i: (floors[i] - exact[i], i))
    for index in by_remainder[:left]:
        floors[index] += 1
    sign = -1 if whole < 0 else 1
    return tuple(CONTEXT.multiply(CONTEXT.multiply(floor, step), Decimal(sign)) for floor in floors)
