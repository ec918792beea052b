"""Why a line costs what it costs: a tree whose leaves are prices and ledger rows, and whose re-evaluation gives the amount (B-14).

    doc = document(line.tree)            # JSON values, every node with its op and its value
    evaluate_tree(doc) == line.amount    # computes from the leaves alone; inner values are not read

| op | value |
| --- | --- |
| segment | leaf: seconds or units of one ledger row; names key, ledger_seq, run, instrument, state and evidence (stream, boot, seq, offsets) |
| constant | leaf: a price or a factor |
| sum, product | of its parts |
| quotient | of the part, divided by `by` |
| graduated | each tier's price for the units inside it |
| volume | the price of the tier reached, times the units |
| package | started packages of `size`, times the price |
| top_up | what is missing to `minimum`, then to a multiple of `step`; 0 for nothing used |
| round | to 0.01, half up: once, at the root |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from services.billing.domain.ledger import LedgerRow
from services.billing.domain.tariff import Tier
from services.billing.domain.usage import annotation_document, evidence_document
from shared.kernel.canonical import decimal_text
from shared.kernel.errors import Invalid
from shared.kernel.money import CONTEXT, add, multiply, round_to_fen, total
from shared.kernel.times import to_rfc3339

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TimeOf:
    """Billable seconds of rows."""

    rows: Sequence[LedgerRow]


@dataclass(frozen=True, slots=True)
class QuantityOf:
    """One quantity of each row, in `unit`."""

    rows: Sequence[LedgerRow]
    values: Sequence[Decimal]
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Constant:
    value: Decimal
    unit: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Sum:
    of: tuple[Node, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    of: tuple[Node, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Quotient:
    of: Node
    by: Decimal


@dataclass(frozen=True, slots=True)
class Graduated:
    of: Node
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    of: Node
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Package:
    of: Node
    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class TopUp:
    """Seconds to add to the session `of`: up to `minimum`, then up to a multiple of `step` (0: none)."""

    of: Node
    minimum: Decimal
    step: Decimal


@dataclass(frozen=True, slots=True)
class Round:
    of: Node


Node = TimeOf | QuantityOf | Constant | Sum | Product | Quotient | Graduated | Volume | Package | TopUp | Round


def value_of(node: Node) -> Decimal:
    """The value of a node, in the money context."""
    if isinstance(node, TimeOf):
        return seconds(sum(row.measured + row.inferred for row in node.rows))
    if isinstance(node, QuantityOf):
        return total(node.values)
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Sum | Product):
        return _combine("sum" if isinstance(node, Sum) else "product", [value_of(part) for part in node.of])
    inner = value_of(node.of)
    if isinstance(node, Quotient):
        return CONTEXT.divide(inner, node.by)
    if isinstance(node, Graduated):
        return graduated(inner, [(tier.up_to, tier.price) for tier in node.tiers])
    if isinstance(node, Volume):
        return volume(inner, [(tier.up_to, tier.price) for tier in node.tiers])
    if isinstance(node, Package):
        return package(inner, node.size, node.price)
    if isinstance(node, TopUp):
        return top_up(inner, node.minimum, node.step)
    return round_to_fen(inner)


def document(node: Node) -> dict[str, Any]:
    """The tree as JSON values."""
    head: dict[str, Any] = {"op": _op(node), "value": decimal_text(value_of(node))}
    if isinstance(node, TimeOf):
        return head | {
            "unit": "s",
            "of": [_leaf(row, seconds(row.measured + row.inferred), "s") for row in node.rows],
        }
    if isinstance(node, QuantityOf):
        leaves = [_leaf(row, value, node.unit) for row, value in zip(node.rows, node.values, strict=True)]
        return head | {"quantity": node.name, "unit": node.unit, "of": leaves}
    if isinstance(node, Constant):
        return head | {"unit": node.unit, "label": node.label}
    if isinstance(node, Sum | Product):
        return head | {"label": node.label, "of": [document(part) for part in node.of]}
    head["of"] = [document(node.of)]
    if isinstance(node, Quotient):
        head["by"] = decimal_text(node.by)
    elif isinstance(node, Graduated | Volume):
        head["tiers"] = [
            {"up_to": None if tier.up_to is None else decimal_text(tier.up_to), "price": decimal_text(tier.price)}
            for tier in node.tiers
        ]
    elif isinstance(node, Package):
        head |= {"size": decimal_text(node.size), "price": decimal_text(node.price)}
    elif isinstance(node, TopUp):
        head |= {"minimum": decimal_text(node.minimum), "step": decimal_text(node.step)}
    return head


def evaluate_tree(doc: Mapping[str, Any]) -> Decimal:
    """The value of a tree in JSON, from its leaves alone. Raises Invalid(explain_op) for an operation there is none of."""
    op = doc["op"]
    if op in ("segment", "constant"):
        return Decimal(doc["value"])
    parts = [evaluate_tree(part) for part in doc["of"]]
    if op in ("sum", "product"):
        return _combine(op, parts)
    if op == "quotient":
        return CONTEXT.divide(parts[0], Decimal(doc["by"]))
    if op in ("graduated", "volume"):
        tiers = [(None if t["up_to"] is None else Decimal(t["up_to"]), Decimal(t["price"])) for t in doc["tiers"]]
        return graduated(parts[0], tiers) if op == "graduated" else volume(parts[0], tiers)
    if op == "package":
        return package(parts[0], Decimal(doc["size"]), Decimal(doc["price"]))
    if op == "top_up":
        return top_up(parts[0], Decimal(doc["minimum"]), Decimal(doc["step"]))
    if op == "round":
        return round_to_fen(parts[0])
    raise Invalid(
        "explain_op", f"there is no operation '{op}'", field="op", remedy="read the tree with its own version"
    )


def seconds(duration: int) -> Decimal:
    """µs as decimal seconds, exact."""
    return CONTEXT.scaleb(Decimal(duration), -6)


def graduated(units: Decimal, tiers: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal:
    """Each tier's price for the units inside it."""
    result, below = ZERO, ZERO
    for up_to, price in tiers:
        reached = units if up_to is None else min(units, up_to)
        if reached <= below:
            break
        result = add(result, multiply(CONTEXT.subtract(reached, below), price))
        below = reached
    return result


def volume(units: Decimal, tiers: Sequence[tuple[Decimal | None, Decimal]]) -> Decimal:
    """Every unit at the price of the tier that the whole quantity reaches."""
    for up_to, price in tiers:
        if up_to is None or units <= up_to:
            return multiply(units, price)
    raise ValueError("the last tier has no end")


def package(units: Decimal, size: Decimal, price: Decimal) -> Decimal:
    """Every started package at its price."""
    started = CONTEXT.divide(units, size).to_integral_value(rounding=ROUND_CEILING)
    return multiply(started, price)


def top_up(used: Decimal, minimum: Decimal, step: Decimal) -> Decimal:
    """What is missing to the minimum and then to the next multiple of the step; nothing for nothing used."""
    if used == 0:
        return ZERO
    billed = max(used, minimum)
    if step:
        billed = multiply(CONTEXT.divide(billed, step).to_integral_value(rounding=ROUND_CEILING), step)
    return CONTEXT.subtract(billed, used)


def _combine(op: str, values: Sequence[Decimal]) -> Decimal:
    if op == "sum":
        return total(values)
    result = Decimal(1)
    for value in values:
        result = multiply(result, value)
    return result


_OPS: dict[type, str] = {
    TimeOf: "sum",
    QuantityOf: "sum",
    Constant: "constant",
    Sum: "sum",
    Product: "product",
    Quotient: "quotient",
    Graduated: "graduated",
    Volume: "volume",
    Package: "package",
    TopUp: "top_up",
    Round: "round",
}


def _op(node: Node) -> str:
    return _OPS[type(node)]


def _leaf(row: LedgerRow, value: Decimal, unit: str) -> dict[str, Any]:
    noted = {} if row.annotation is None else {"annotation": annotation_document(row.annotation)}
    reserved = {"reservation": row.reservation} if row.reservation else {}
    return (
        noted
        | reserved
        | {
            "op": "segment",
            "value": decimal_text(value),
            "unit": unit,
            "key": str(row.key),
            "revision": row.revision,
            "ledger_seq": row.ledger_seq,
            "run": row.run,
            "phase": row.phase,
            "instrument": row.instrument,
            "state": row.state,
            "reason": row.reason,
            "responsible": row.responsible,
            "start": to_rfc3339(row.start),
            "end": to_rfc3339(row.end),
            "measured": decimal_text(seconds(row.measured)),
            "inferred": decimal_text(seconds(row.inferred)),
            "unknown": decimal_text(seconds(row.unknown)),
            "evidence": evidence_document(row.evidence),
        }
    )
