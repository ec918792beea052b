"""Rating: a slice of the ledger and a tariff give lines; a pure function, the same digest today and in five years (B-12).

    rated = rate(rows, tariff, RatingContext(tenant, customer, class_, period_start, period_end))
    rated.lines[0].amount, .tree, .sentence, .digest        # net of tax; rated.total is the sum of the lines
    document(rated.lines[0].tree)                           # explain.document: JSON for storage and for `evaluate_tree`

`rows` may hold superseded and void revisions and other customers' rows: what counts is found here (`ledger.effective`, then tenant, customer,
run or reservation, and period by the row's start). Take every revision of a segment or none: a slice by customer alone would miss a revision
that moved a segment to nobody. One rounding per line, HALF_UP; every product before it is exact, the division of seconds by 3600 comes last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from services.billing.domain.charge_lines import LinePlan, flat_plans, quantity_plans, time_plans
from services.billing.domain.explain import Node, value_of
from services.billing.domain.ledger import LedgerRow, effective, slice_digest
from services.billing.domain.local_hours import LocalHours, local_hours
from services.billing.domain.sentences import Sentence, sentence_of
from services.billing.domain.tariff import Charge, FlatCharge, QuantityCharge, Tariff, TimeCharge
from shared.contracts.registry import CustomerClass, Name
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid
from shared.kernel.ids import stable_id
from shared.kernel.money import FEN, largest_remainder, multiply, round_to_fen, total
from shared.kernel.times import Micros

ENGINE = "rating/1"
"""Version of the arithmetic. It is part of every digest: another engine is another line."""


@dataclass(frozen=True, slots=True)
class RatingContext:
    """Whose usage, and the period [start, end) in which a segment has to begin."""

    tenant: str
    customer: str
    class_: CustomerClass
    period_start: Micros
    period_end: Micros


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One line, net of tax. `scope` is the run, or '' for a line over the whole period. `quantity` is what was billed, before any price.

    `tax` is the line's part of its tax group: it depends on the other lines and is not in `digest`.
    """

    id: UUID
    charge: str
    scope: str
    name: Name
    quantity: Decimal
    unit: str
    amount: Decimal
    tax_code: str
    tax_rate: Decimal
    tax: Decimal
    tree: Node
    sentence: Sentence
    slice_digest: str
    digest: str


@dataclass(frozen=True, slots=True)
class TaxGroup:
    code: str
    rate: Decimal
    base: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class RatedLines:
    """Lines in the tariff's order, then by scope. `digest` covers lines, taxes, tariff and engine."""

    lines: tuple[RatedLine, ...]
    taxes: tuple[TaxGroup, ...]
    net: Decimal
    tax: Decimal
    slice_digest: str
    tariff_digest: str
    engine: str
    digest: str

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


def rate(rows: Iterable[LedgerRow], tariff: Tariff, context: RatingContext) -> RatedLines:
    """The lines of a customer's period.

    Raises Invalid(tariff_not_effective | tariff_state_not_covered | tariff_unit | usage_crosses_hour | ledger_conflict).
    """
    hours = local_hours(tariff.time_zone)
    counted = _counted(rows, context)
    _check_effective(counted, tariff, hours)
    lines: list[RatedLine] = []
    for charge in tariff.charges:
        for plan in _plans(charge, counted, tariff, context, hours):
            lines.append(_line(charge, plan, tariff, context))
    groups, taxes = _taxes(lines, tariff)
    taxed = tuple(replace(line, tax=tax) for line, tax in zip(lines, taxes, strict=True))
    net, tax = total([line.amount for line in taxed]), total([group.tax for group in groups])
    whole = slice_digest(counted)
    return RatedLines(
        lines=taxed,
        taxes=groups,
        net=net,
        tax=tax,
        slice_digest=whole,
        tariff_digest=tariff.digest,
        engine=ENGINE,
        digest=digest(
            [
                ENGINE,
                tariff.digest,
                whole,
                [[line.digest, line.tax] for line in taxed],
                [[group.code, group.rate, group.base, group.tax] for group in groups],
                [net, tax],
            ]
        ),
    )


def _counted(rows: Iterable[LedgerRow], context: RatingContext) -> tuple[LedgerRow, ...]:
    of_tenant = (row for row in rows if row.tenant == context.tenant)
    return tuple(
        row
        for row in effective(of_tenant)
        if row.customer == context.customer
        and (row.run or row.reservation)
        and context.period_start <= row.start < context.period_end
    )


def _check_effective(rows: Sequence[LedgerRow], tariff: Tariff, hours: LocalHours) -> None:
    for row in (rows[0], rows[-1]) if rows else ():
        day = hours.cell(row.start).day
        if not tariff.effective_on(day):
            raise Invalid(
                "tariff_not_effective",
                f"tariff {tariff.id} version {tariff.version} does not hold on {day}",
                field="tariff",
                remedy="rate the days of each tariff separately",
            )


def _plans(
    charge: Charge, rows: Sequence[LedgerRow], tariff: Tariff, context: RatingContext, hours: LocalHours
) -> list[LinePlan]:
    if isinstance(charge, QuantityCharge):
        return quantity_plans(charge, rows, tariff.currency)
    occupied = [row for row in rows if row.run]
    if isinstance(charge, TimeCharge):
        return time_plans(charge, occupied, tariff, context.class_, hours)
    assert isinstance(charge, FlatCharge)
    return flat_plans(charge, occupied, tariff.currency)


def _line(charge: Charge, plan: LinePlan, tariff: Tariff, context: RatingContext) -> RatedLine:
    amount = value_of(plan.tree)
    facts = slice_digest(plan.rows)
    tax = next(tax for tax in tariff.taxes if tax.code == charge.tax)
    identity = [context.tenant, context.customer, context.period_start, context.period_end, charge.code, plan.scope]
    return RatedLine(
        id=stable_id("line", *identity),
        charge=charge.code,
        scope=plan.scope,
        name=charge.name,
        quantity=plan.quantity,
        unit=plan.unit,
        amount=amount,
        tax_code=tax.code,
        tax_rate=tax.rate,
        tax=Decimal(0),
        tree=plan.tree,
        sentence=sentence_of(charge.name, plan, amount, tariff.currency),
        slice_digest=facts,
        digest=digest([ENGINE, tariff.digest, context.class_, identity, facts, plan.quantity, plan.unit, amount]),
    )


def _taxes(lines: Sequence[RatedLine], tariff: Tariff) -> tuple[tuple[TaxGroup, ...], list[Decimal]]:
    """Tax once per group, spread over its lines by largest remainder: the lines' parts sum to the group's tax."""
    groups: list[TaxGroup] = []
    taxes: dict[int, Decimal] = {}
    for tax in tariff.taxes:
        members = [index for index, line in enumerate(lines) if line.tax_code == tax.code]
        if not members:
            continue
        base = total([lines[index].amount for index in members])
        whole = round_to_fen(multiply(base, tax.rate))
        weights = [abs(lines[index].amount) for index in members]
        parts = largest_remainder(whole, weights, FEN) if any(weights) else tuple(Decimal(0) for _ in members)
        taxes.update(zip(members, parts, strict=True))
        groups.append(TaxGroup(tax.code, tax.rate, base, whole))
    return tuple(groups), [taxes[index] for index in range(len(lines))]


def adjustments(now: RatedLines, invoiced: Mapping[UUID, Decimal]) -> dict[UUID, Decimal]:
    """What late usage changes: by line id, the amount now less what was invoiced so far (net), differences only.

    Lines that vanished are credited in full. Sums converge whatever was late: invoiced + adjustments = amounts now (G9).
    """
    amounts = {line.id: line.amount for line in now.lines}
    deltas = {
        line: amounts.get(line, Decimal(0)) - invoiced.get(line, Decimal(0)) for line in sorted({*amounts, *invoiced})
    }
    return {line: delta for line, delta in deltas.items() if delta}
