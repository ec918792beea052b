"""Where a reading stops being a float: the one stated point of the metering.

A reading becomes an integer number of nano-units of its channel, rounded half-even from its exact binary value. From there on everything is
integer arithmetic: a reading that holds for d µs adds `nano * d` to a register. A register runs from the start of a clock hour; what a
segment says is the difference of the register's readings at its ends, each rounded to 1e-9 of the quantity's unit. Differences telescope, so
cutting [a, c) at any b gives parts that sum to the whole exactly (B-3), and no rounding of a segment ever reaches another one.
"""

from __future__ import annotations

from decimal import Decimal

from shared.kernel.money import CONTEXT
from shared.kernel.times import HOUR

NANO = 1_000_000_000


def nano(reading: float) -> int:
    """A finite reading in nano-units, half-even. Exact: no floating point is involved."""
    numerator, denominator = reading.as_integer_ratio()
    return divide_half_even(numerator * NANO, denominator)


def divide_half_even(numerator: int, denominator: int) -> int:
    """The nearest integer to numerator / denominator (denominator > 0), ties to the even one."""
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def register_reading(raw: int, numerator: int, denominator: int) -> int:
    """What a register of `raw` nano-(channel unit)-µs shows, in nano-units of the quantity.

    One (channel unit x hour) is numerator / denominator of the quantity's unit.
    """
    return divide_half_even(raw * numerator, denominator * HOUR)


def decimal_of_nano(value: int) -> Decimal:
    """The decimal with 9 places, exact."""
    return CONTEXT.scaleb(Decimal(value), -9)
