"""What a segment's quantities are, from the registers of its instrument at its two ends (B-2).

A register runs from the start of the clock hour. Per kind it holds: nano-(channel unit)-µs (integral, mean), nano-µs reserved (reserved),
rows (samples), bytes of rows (bytes). What a segment says is the difference of two readings, so parts sum to the whole exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.billing.domain.exact import NANO, decimal_of_nano, divide_half_even, register_reading
from services.billing.domain.meter_state import Tally
from services.billing.domain.readings import Row
from services.billing.domain.segment import MeteredQuantity, QuantityKind
from services.billing.domain.state_model import QuantityRule


def count_rows(rules: Sequence[QuantityRule], registers: list[int], rows: Iterable[tuple[str, Row]]) -> None:
    """Add the rows of an instant, by stream, to the registers of stored samples and bytes."""
    for position, rule in enumerate(rules):
        if rule.stream is None:
            continue
        sizes = [row.size for stream, row in rows if stream == rule.stream]
        registers[position] += len(sizes) if rule.kind is QuantityKind.SAMPLES else sum(sizes)


def quantities_of(
    rules: Sequence[QuantityRule], tallies: Sequence[Tally], registers: Sequence[int]
) -> tuple[MeteredQuantity, ...]:
    """A maximum or a mean of nothing is left out, and reserved time where nothing was reserved; an integral over nothing is
    0 with nothing covered, so the gap is visible."""
    found: list[MeteredQuantity] = []
    for rule, tally, raw in zip(rules, tallies, registers, strict=True):
        value = _nano(rule, tally, raw)
        if value is not None:
            found.append(MeteredQuantity(rule.name, rule.unit, rule.kind, decimal_of_nano(value), tally.covered))
    return tuple(found)


def _nano(rule: QuantityRule, tally: Tally, raw: int) -> int | None:
    """The value in nano-units of the quantity, None where the quantity is left out."""
    num, den = rule.numerator, rule.denominator
    if rule.kind is QuantityKind.RESERVED and not tally.covered:
        return None
    if rule.kind in (QuantityKind.INTEGRAL, QuantityKind.RESERVED):
        return register_reading(raw, num, den) - register_reading(tally.opened_at, num, den)
    if rule.kind in (QuantityKind.SAMPLES, QuantityKind.BYTES):
        return divide_half_even(raw * NANO * num, den) - divide_half_even(tally.opened_at * NANO * num, den)
    if rule.kind is QuantityKind.COUNT:
        return tally.count * NANO
    if rule.kind is QuantityKind.MEAN and tally.covered:
        return divide_half_even((raw - tally.opened_at) * num, tally.covered * den)
    if rule.kind is QuantityKind.MAXIMUM and tally.maximum is not None:
        return divide_half_even(tally.maximum * num, den)
    return None
