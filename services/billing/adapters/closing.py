"""Drafting, closing and verifying an invoice, each in one transaction (B-14, B-15, B-16). Lock order: customer, invoice, vouchers, number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.billing.adapters import invoice_tables as tables
from services.billing.adapters import payers as payer_tables
from services.billing.adapters.ledger_reader import customer_slice, last_sequence
from services.billing.adapters.tariffs import read_tariff, resolve
from services.billing.domain.allocation import Payable, allocate
from services.billing.domain.explain import evaluate_tree
from services.billing.domain.invoice import differences, draft_invoice
from services.billing.domain.local_hours import LocalHours
from services.billing.domain.rating import ENGINE, RatedLines, RatingContext, rate
from services.billing.domain.tariff import Tariff
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import Invalid, NotAllowed
from shared.kernel.money import total
from shared.kernel.times import Micros, micros, utc
from shared.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """Whom to bill for [start, end), under which tariff, from the ledger up to `ledger_seq` (None: all of it now)."""

    platform: str
    customer: str
    tariff_id: str
    tariff_version: int
    start: Micros
    end: Micros
    issuer: str
    ledger_seq: int | None = None


async def draft(connection: Connection, request: DraftRequest) -> UUID:
    """Rate the period and store a draft; the same request over the same ledger gives the same invoice, also when that is final already.

    Raises NotFound(customer_unknown | tariff_unknown), Invalid(ledger_seq_unknown | tariff_not_pinned | period_empty | nothing_used and what
    `rate` and `allocate` raise) and NotAllowed(period_billed).
    """
    _check_period(request)
    tariff = resolve(await read_tariff(connection, request.platform, request.tariff_id, request.tariff_version))
    class_ = await payer_tables.lock_customer(connection, request.platform, request.customer)
    cut_off = await _cut_off(connection, request)
    context = RatingContext(request.platform, request.customer, class_, request.start, request.end)
    rated = await _rated(connection, context, tariff, cut_off)
    if not rated.lines:
        raise Invalid(
            "nothing_used",
            f"{request.customer} used nothing in this period",
            field="period",
            remedy="see GET /v1/usage/segments",
        )
    day = LocalHours(tariff.time_zone).cell(request.start).day
    vouchers = await payer_tables.lock_vouchers(connection, request.platform, request.customer, day)
    used = await payer_tables.consumed(connection, request.platform, [voucher.id for voucher in vouchers])
    invoice = draft_invoice(
        rated, context, tariff, [voucher.payer() for voucher in vouchers], used, request.issuer, cut_off
    )
    if await _is_final(connection, invoice.id):
        return invoice.id
    await _refuse_billed(
        connection,
        {
            "tenant": request.platform,
            "customer_id": request.customer,
            "invoice_id": invoice.id,
            "period_start": utc(request.start),
            "period_end": utc(request.end),
        },
    )
    await tables.save_draft(connection, invoice, tariff)
    return invoice.id


async def finalise(connection: Connection, invoice_id: UUID, *, by: str) -> None:
    """Number, shares and voucher consumption at once; a final invoice stays as it is. Shares are cut anew against what is left of the
    vouchers now. Raises NotFound(invoice_unknown), NotAllowed(invoice_state | period_billed)."""
    found = await tables.read_invoice(connection, invoice_id)
    platform, customer = found["tenant"], found["customer_id"]
    await payer_tables.lock_customer(connection, platform, customer)
    found = await tables.read_invoice(connection, invoice_id, lock=True)
    if found["state"] == "final":
        return
    if found["state"] == "cancelled":
        raise NotAllowed(
            "invoice_state", "a cancelled invoice cannot become final", field="state", remedy="draft again"
        )
    await _refuse_billed(connection, found)
    consumed = await _allocate(connection, found)
    number = await tables.take_number(connection, found["issuer"])
    for voucher, amount in consumed.items():
        await connection.execute(
            "insert into billing.voucher_consumption (tenant, voucher_id, invoice_id, amount) values (%s, %s, %s, %s)",
            (platform, voucher, invoice_id, amount),
        )
    await connection.execute(
        """update billing.invoice set state = 'final', number = %s, finalised_at = clock_timestamp(), finalised_by = %s
           where invoice_id = %s""",
        (number, by, invoice_id),
    )


async def verify(connection: Connection, invoice_id: UUID) -> dict[str, Any]:
    """Rate again from the ledger up to the invoice's cut-off and compare everything: digests, trees, amounts, shares. Changes nothing."""
    found = await tables.read_invoice(connection, invoice_id)
    lines = await tables.read_lines(connection, invoice_id, explained=True)
    tariff = resolve(await read_tariff(connection, found["tenant"], found["tariff_id"], found["tariff_version"]))
    context = RatingContext(
        found["tenant"],
        found["customer_id"],
        CustomerClass(found["customer_class"]),
        micros(found["period_start"]),
        micros(found["period_end"]),
    )
    again = await _rated(connection, context, tariff, found["ledger_seq"])
    problems = [
        *differences(found["digest"], {line["line_id"]: line["digest"] for line in lines}, again),
        *_sums(found, lines),
    ]
    now = {line.id: line for line in again.lines}
    return {
        "ok": not problems,
        "engine": ENGINE,
        "ledger_seq": found["ledger_seq"],
        "digest": {"stored": found["digest"], "computed": again.digest},
        "lines": [
            {
                "line": str(line["line_id"]),
                "charge": line["charge"],
                "stored": line["digest"],
                "computed": now[line["line_id"]].digest if line["line_id"] in now else None,
                "ok": line["line_id"] in now and now[line["line_id"]].digest == line["digest"],
            }
            for line in lines
        ],
        "differences": problems,
    }


async def _rated(connection: Connection, context: RatingContext, tariff: Tariff, up_to: int) -> RatedLines:
    rows, pinned = await customer_slice(
        connection, context.tenant, context.customer, context.period_start, context.period_end, up_to
    )
    if others := sorted(pinned - {tariff.id, f"{tariff.id}@{tariff.version}"}):
        raise Invalid(
            "tariff_not_pinned",
            f"runs of this period pinned {', '.join(others)}",
            field="tariff",
            remedy="draft with the tariff the runs were started under, or split the period",
        )
    return rate(rows, tariff, context)


async def _allocate(connection: Connection, found: tables.Row) -> dict[str, Decimal]:
    """Cut the shares against the vouchers as they are now; what each gives."""
    platform, customer = found["tenant"], found["customer_id"]
    tariff = resolve(await read_tariff(connection, platform, found["tariff_id"], found["tariff_version"]))
    day = LocalHours(tariff.time_zone).cell(micros(found["period_start"])).day
    vouchers = await payer_tables.lock_vouchers(connection, platform, customer, day)
    before = await payer_tables.consumed(connection, platform, [voucher.id for voucher in vouchers])
    lines = await tables.read_lines(connection, found["invoice_id"])
    payables = [Payable(line["line_id"], line["charge"], line["amount"] + line["tax"]) for line in lines]
    result = allocate(payables, [voucher.payer() for voucher in vouchers], before, customer)
    await tables.save_shares(connection, found["invoice_id"], result.shares)
    given = {
        voucher.id: result.consumed.get(voucher.id, Decimal(0)) - before.get(voucher.id, Decimal(0))
        for voucher in vouchers
    }
    return {voucher: amount for voucher, amount in given.items() if amount}


async def _cut_off(connection: Connection, request: DraftRequest) -> int:
    last = await last_sequence(connection)
    if request.ledger_seq is not None and request.ledger_seq > last:
        raise Invalid(
            "ledger_seq_unknown",
            f"the ledger ends at {last}",
            field="ledger_seq",
            remedy="leave it out to rate the whole ledger",
        )
    return last if request.ledger_seq is None else request.ledger_seq


async def _is_final(connection: Connection, invoice_id: UUID) -> bool:
    cursor = await connection.execute(
        "select from billing.invoice where invoice_id = %s and state = 'final'", (invoice_id,)
    )
    return await cursor.fetchone() is not None


async def _refuse_billed(connection: Connection, invoice: tables.Row) -> None:
    """Two final invoices must not bill the same time. The customer's lock makes this a fact and not a guess."""
    other = await tables.billed_period(connection, invoice)
    if other is not None:
        raise NotAllowed(
            "period_billed",
            f"invoice {other['number']} is final for a part of this period",
            field="period",
            remedy="choose a period that begins where that one ends",
        )


def _check_period(request: DraftRequest) -> None:
    if request.start >= request.end:
        raise Invalid("period_empty", "`from` must lie before `to`", field="period", remedy="the period is [from, to)")


def _sums(found: tables.Row, lines: Sequence[tables.Row]) -> list[str]:
    problems = []
    for line in lines:
        if evaluate_tree(line["explain"]) != line["amount"]:
            problems.append(f"line {line['line_id']}: its tree does not give its amount")
        if total([Decimal(share["amount"]) for share in line["shares"]]) != line["amount"] + line["tax"]:
            problems.append(f"line {line['line_id']}: its shares do not sum to it")
    if (total([line["amount"] for line in lines]), total([line["tax"] for line in lines])) != (
        found["net"],
        found["tax"],
    ):
        problems.append("the lines do not sum to the invoice")
    return problems
