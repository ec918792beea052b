"""Reckons an explain tree again as a stranger would: exact fractions from its leaves, one rounding at the root, nothing of the service used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

Tree = Mapping[str, Any]


def reckon(tree: Tree) -> Fraction:
    """The value of a node from its leaves. Raises KeyError for an operation that is not in the description of trees."""
    if tree["op"] in ("segment", "constant"):
        return Fraction(tree["value"])
    parts = [reckon(part) for part in tree["of"]]
    match tree["op"]:
        case "sum":
            return sum(parts, Fraction(0))
        case "product":
            return math.prod(parts, start=Fraction(1))
        case "quotient":
            return parts[0] / Fraction(tree["by"])
        case "graduated":
            return _graduated(parts[0], tree["tiers"])
        case "volume":
            price = next(t["price"] for t in tree["tiers"] if t["up_to"] is None or parts[0] <= Fraction(t["up_to"]))
            return parts[0] * Fraction(price)
        case "package":
            return math.ceil(parts[0] / Fraction(tree["size"])) * Fraction(tree["price"])
        case "top_up":
            return _top_up(parts[0], Fraction(tree["minimum"]), Fraction(tree["step"]))
        case "round":
            return Fraction(fen(parts[0]))
    raise KeyError(tree["op"])


def fen(amount: Fraction) -> Decimal:
    """Rounded half up to 0.01."""
    exact = Decimal(amount.numerator * 1000 // amount.denominator) / 1000
    return exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def segments(tree: Tree) -> Iterator[Tree]:
    """The ledger rows at the leaves."""
    if tree["op"] == "segment":
        yield tree
    for part in tree.get("of", ()):
        yield from segments(part)


def reaches_the_log(segment: Tree) -> bool:
    """Whether a leaf names stream, boot and sequence numbers of its frames, and where they lie in Kafka."""
    evidence = segment["evidence"]
    ranges = evidence["ranges"]
    named = all(r["stream"] and r["boot"] and r["seq_from"] <= r["seq_to"] for r in ranges)
    return bool(ranges) and named and evidence["offsets"] is not None and evidence["frames"] > 0


def _graduated(units: Fraction, tiers: list[Mapping[str, str | None]]) -> Fraction:
    result, below = Fraction(0), Fraction(0)
    for tier in tiers:
        reached = units if tier["up_to"] is None else min(units, Fraction(tier["up_to"]))
        result += max(reached - below, Fraction(0)) * Fraction(str(tier["price"]))
        below = max(reached, below)
    return result


def _top_up(used: Fraction, minimum: Fraction, step: Fraction) -> Fraction:
    if used == 0:
        return Fraction(0)
    billed = max(used, minimum)
    return (math.ceil(billed / step) * step if step else billed) - used
