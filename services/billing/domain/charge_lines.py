"""From a charge and the rows that count to the trees of its lines: time by state, class and band; quantities by price model; flat prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.billing.domain.explain import (
    Constant,
    Graduated,
    Node,
    Package,
    Product,
    QuantityOf,
    Quotient,
    Round,
    Sum,
    TimeOf,
    TopUp,
    Volume,
    seconds,
    value_of,
)
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.local_hours import LocalHours
from services.billing.domain.segment import QuantityKind
from services.billing.domain.tariff import (
    FlatCharge,
    PriceModel,
    QuantityCharge,
    Scope,
    Tariff,
    TimeCharge,
)
from services.billing.domain.tariff_checks import fitting_rate
from shared.contracts.registry import CustomerClass, Name
from shared.kernel.errors import Invalid
from shared.kernel.money import total

PER_HOUR = Decimal(3600)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class LinePart:
    """What a sentence says: so much of this at that price. `waived` names why the price is 0. `states` and `band` are codes, '' for none."""

    quantity: Decimal
    unit: str
    price: Decimal | None
    states: tuple[str, ...] = ()
    band: str = ""
    waived: Name | None = None
    topped_up: bool = False
    unknown: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class LinePlan:
    """A line before its name and number: `tree` ends in the one rounding; `rows` are what it is a function of."""

    scope: str
    rows: Sequence[LedgerRow]
    quantity: Decimal
    unit: str
    tree: Node
    parts: tuple[LinePart, ...]


@dataclass(slots=True)
class _RunTime:
    """Rows of a run, all and by (position of the waiver or rate, band), each in the ledger's order."""

    rows: list[LedgerRow]
    shares: dict[tuple[int, str], list[LedgerRow]]


@dataclass(slots=True)
class _Metered:
    """Rows of a scope with their values: charged, and by the position of the waiver that frees them."""

    rows: list[LedgerRow]
    charged: tuple[list[LedgerRow], list[Decimal]]
    waived: dict[int, tuple[list[LedgerRow], list[Decimal]]]


def time_plans(
    charge: TimeCharge, rows: Sequence[LedgerRow], tariff: Tariff, class_: CustomerClass, hours: LocalHours
) -> list[LinePlan]:
    """One line per run. Time that is unknown beyond the cap is in the evidence and never in the price."""
    week = _week(tariff)
    chosen: dict[tuple[str, str, str, str], tuple[int, str]] = {}
    runs: dict[str, _RunTime] = {}
    for row in _of_instruments(rows, charge.instruments):
        cell = hours.cell(row.start)
        if row.end > cell.end and tariff.bands:
            raise _crosses_hour(row)
        band = week[cell.weekday * 24 + cell.hour]
        key = (row.state, row.sub_state, row.responsible, band)
        choice = chosen.get(key)
        if choice is None:
            choice = chosen[key] = (_choose(charge, row, class_, band), band)
        run = runs.get(row.run)
        if run is None:
            run = runs[row.run] = _RunTime([], {})
        run.rows.append(row)
        share = run.shares.get(choice)
        if share is None:
            share = run.shares[choice] = []
        share.append(row)
    return [_time_plan(charge, name, run, tariff.currency) for name, run in sorted(runs.items())]


def quantity_plans(charge: QuantityCharge, rows: Sequence[LedgerRow], currency: str) -> list[LinePlan]:
    """One line per run (per reservation where no run was) or one for the period; none where nothing was metered. Time that was only reserved
    has nothing else to bill: what the line itself drew meanwhile is nobody's."""
    scopes: dict[str, _Metered] = {}
    waivers = _waivers(charge)
    by_run = charge.scope is Scope.RUN
    for row in _of_instruments(rows, charge.instruments):
        for quantity in row.quantities:
            if quantity.name != charge.quantity or not (row.run or quantity.kind is QuantityKind.RESERVED):
                continue
            if quantity.unit != charge.unit:
                raise _other_unit(charge, row, quantity.unit)
            scope = (row.run or row.reservation) if by_run else ""
            metered = scopes.get(scope)
            if metered is None:
                metered = scopes[scope] = _Metered([], ([], []), {})
            waiver = waivers.get((row.state, row.responsible)) if waivers else None
            members = metered.charged if waiver is None else metered.waived.setdefault(waiver, ([], []))
            metered.rows.append(row)
            members[0].append(row)
            members[1].append(quantity.value)
    return [_quantity_plan(charge, scope, metered, currency) for scope, metered in sorted(scopes.items())]


def flat_plans(charge: FlatCharge, rows: Sequence[LedgerRow], currency: str) -> list[LinePlan]:
    """One line per run, or one for a period in which anything was used."""
    scopes: dict[str, list[LedgerRow]] = {}
    for row in rows:
        scopes.setdefault(row.run if charge.scope is Scope.RUN else "", []).append(row)
    unit = "{run}" if charge.scope is Scope.RUN else "{period}"
    part = LinePart(Decimal(1), unit, charge.price)
    tree = Round(Constant(charge.price, f"{currency}/{unit}", "flat"))
    return [LinePlan(scope, members, Decimal(1), unit, tree, (part,)) for scope, members in sorted(scopes.items())]


def _week(tariff: Tariff) -> list[str]:
    names = [""] * (7 * 24)
    for band in tariff.bands:
        for index in range(7 * 24):
            if band.holds(index // 24, index % 24):
                names[index] = band.name
    return names


def _of_instruments(rows: Sequence[LedgerRow], instruments: tuple[str, ...]) -> Sequence[LedgerRow]:
    return [row for row in rows if row.instrument in instruments] if instruments else rows


def _waivers(charge: TimeCharge | QuantityCharge) -> dict[tuple[str, str], int]:
    """Position of the first waiver by (state, responsible party)."""
    found: dict[tuple[str, str], int] = {}
    for index, waiver in enumerate(charge.waivers):
        for state in waiver.states:
            for party in waiver.responsible:
                found.setdefault((state.value, party.value), index)
    return found


def _choose(charge: TimeCharge, row: LedgerRow, class_: CustomerClass, band: str) -> int:
    """Position of what prices the row, in the charge's waivers followed by its rates."""
    waiver = _waivers(charge).get((row.state, row.responsible))
    if waiver is not None:
        return waiver
    rate = fitting_rate(charge.rates, row.state, row.sub_state, class_.value, band)
    if rate is None:
        raise Invalid(
            "tariff_state_not_covered",
            f"charge {charge.code} has no rate for {row.state}",
            field=f"charges.{charge.code}.rates",
            remedy="publish a version that covers the state",
            extra={"states": [row.state]},
        )
    return len(charge.waivers) + charge.rates.index(rate)


def _crosses_hour(row: LedgerRow) -> Invalid:
    return Invalid(
        "usage_crosses_hour",
        f"ledger row {row.ledger_seq} goes beyond the end of its local hour",
        field="ledger",
        remedy="meter in the zone of the tariff: bands are by full local hours",
    )


def _other_unit(charge: QuantityCharge, row: LedgerRow, unit: str) -> Invalid:
    return Invalid(
        "tariff_unit",
        f"charge {charge.code} prices {charge.unit}, ledger row {row.ledger_seq} counts {unit}",
        field=f"charges.{charge.code}.unit",
        remedy="price the unit that the state model meters",
    )


def _time_plan(charge: TimeCharge, name: str, run: _RunTime, currency: str) -> LinePlan:
    products: list[Node] = []
    parts: list[LinePart] = []
    for (index, band), rows in run.shares.items():
        waived = charge.waivers[index].reason if index < len(charge.waivers) else None
        price = ZERO if waived is not None else charge.rates[index - len(charge.waivers)].price
        time = TimeOf(rows)
        states = tuple(sorted({row.state for row in rows}))
        label = "waived: " + waived.en if waived is not None else " ".join([*states, band]).strip()
        products.append(Product((time, Constant(price, f"{currency}/h")), label))
        unknown = seconds(sum(row.unknown for row in rows))
        parts.append(LinePart(value_of(time), "s", price, states, band, waived, unknown=unknown))
    for product, part in _top_ups(charge, run.rows, currency):
        products.append(product)
        parts.append(part)
    return LinePlan(
        scope=name,
        rows=run.rows,
        quantity=total([part.quantity for part in parts if part.waived is None]),
        unit="s",
        tree=Round(Quotient(Sum(tuple(products)), PER_HOUR)),
        parts=tuple(parts),
    )


def _top_ups(charge: TimeCharge, rows: list[LedgerRow], currency: str) -> list[tuple[Node, LinePart]]:
    """What each session of the run lacks to the minimum and the rounding step."""
    rule = charge.session
    if rule is None:
        return []
    sessions: dict[str, list[LedgerRow]] = {}
    for row in rows:
        sessions.setdefault(row.instrument, []).append(row)
    added: list[tuple[Node, LinePart]] = []
    for _, members in sorted(sessions.items()):
        top = TopUp(TimeOf(members), seconds(rule.minimum), seconds(rule.step))
        extra = value_of(top)
        if extra:
            product = Product((top, Constant(rule.price, f"{currency}/h")), "minimum session and rounding up")
            added.append((product, LinePart(extra, "s", rule.price, topped_up=True)))
    return added


def _quantity_plan(charge: QuantityCharge, scope: str, metered: _Metered, currency: str) -> LinePlan:
    rows, values = metered.charged
    usage = QuantityOf(rows, values, charge.quantity, charge.unit)
    units = value_of(usage)
    terms: list[Node] = [_priced(charge, usage, currency)]
    parts = [LinePart(units, charge.unit, charge.tiers[0].price if len(charge.tiers) == 1 else None)]
    for index, (freed, amounts) in sorted(metered.waived.items()):
        reason = charge.waivers[index].reason
        free = QuantityOf(freed, amounts, charge.quantity, charge.unit)
        terms.append(Product((free, Constant(ZERO, f"{currency}/{charge.unit}")), "waived: " + reason.en))
        parts.append(LinePart(value_of(free), charge.unit, ZERO, waived=reason))
    return LinePlan(scope, metered.rows, units, charge.unit, Round(Sum(tuple(terms))), tuple(parts))


def _priced(charge: QuantityCharge, usage: Node, currency: str) -> Node:
    if charge.model is PriceModel.GRADUATED:
        return Graduated(usage, charge.tiers)
    if charge.model is PriceModel.VOLUME:
        return Volume(usage, charge.tiers)
    price = charge.tiers[0].price
    if charge.model is PriceModel.PACKAGE:
        return Package(usage, charge.package, price)
    return Product((usage, Constant(price, f"{currency}/{charge.unit}")))
