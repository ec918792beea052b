"""An invoice: rated lines, shares and a state (B-16). Draft → review → final; final is immutable and has a number.

    draft = draft_invoice(rated, context, tariff, payers, consumed, issuer, ledger_seq)
    final = finalise(draft, number)          # the adapter takes the number from the issuer's counter in the same transaction
    verify_invoice(final, rows, tariff)      # rates again: () or what differs

The adapter writes `consumption(invoice)` of a final invoice to the vouchers' ledger in that transaction too, after it has locked the vouchers
and allocated against what they have left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from services.billing.domain.allocation import Payable, Payer, PayerKind, Share, allocate
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.rating import RatedLines, RatingContext, rate
from services.billing.domain.tariff import Tariff
from shared.kernel.canonical import digest
from shared.kernel.errors import NotAllowed
from shared.kernel.ids import stable_id
from shared.kernel.money import add


class InvoiceState(StrEnum):
    DRAFT = "draft"
    REVIEW = "review"
    FINAL = "final"
    CANCELLED = "cancelled"


_MOVES: Mapping[InvoiceState, frozenset[InvoiceState]] = {
    InvoiceState.DRAFT: frozenset({InvoiceState.REVIEW, InvoiceState.FINAL, InvoiceState.CANCELLED}),
    InvoiceState.REVIEW: frozenset({InvoiceState.DRAFT, InvoiceState.FINAL, InvoiceState.CANCELLED}),
    InvoiceState.FINAL: frozenset(),
    InvoiceState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Invoice:
    """`ledger_seq` is the cut-off: rated were the rows up to and including it. `shares` by line id sum to the line with its tax."""

    id: UUID
    state: InvoiceState
    number: str | None
    issuer: str
    context: RatingContext
    currency: str
    ledger_seq: int
    rated: RatedLines
    shares: Mapping[UUID, tuple[Share, ...]]

    @property
    def digest(self) -> str:
        """SHA-256 over the rating's digest and the shares."""
        return digest(
            [
                self.rated.digest,
                [[line.id, [[s.payer, s.kind, s.amount] for s in self.shares[line.id]]] for line in self.rated.lines],
            ]
        )


def draft_invoice(
    rated: RatedLines,
    context: RatingContext,
    tariff: Tariff,
    payers: Sequence[Payer],
    consumed: Mapping[str, Decimal],
    issuer: str,
    ledger_seq: int,
) -> Invoice:
    """A draft over rated lines; shares are of each line with its tax. Raises as `allocate`."""
    payables = [Payable(line.id, line.charge, add(line.amount, line.tax)) for line in rated.lines]
    return Invoice(
        id=stable_id("invoice", context.tenant, context.customer, context.period_start, context.period_end, ledger_seq),
        state=InvoiceState.DRAFT,
        number=None,
        issuer=issuer,
        context=context,
        currency=tariff.currency,
        ledger_seq=ledger_seq,
        rated=rated,
        shares=allocate(payables, payers, consumed, context.customer).shares,
    )


def move(invoice: Invoice, to: InvoiceState) -> Invoice:
    """The invoice in another state that is not final. Raises NotAllowed(invoice_state)."""
    _check_move(invoice, to)
    if to is InvoiceState.FINAL:
        raise NotAllowed("invoice_state", "only a number makes an invoice final", field="state", remedy="use finalise")
    return replace(invoice, state=to)


def finalise(invoice: Invoice, number: str) -> Invoice:
    """The final invoice under its number. Raises NotAllowed(invoice_state) unless it is a draft or in review."""
    _check_move(invoice, InvoiceState.FINAL)
    return replace(invoice, state=InvoiceState.FINAL, number=number)


def consumption(invoice: Invoice) -> dict[str, Decimal]:
    """What each payer other than the customer gives on this invoice."""
    given: dict[str, Decimal] = {}
    for shares in invoice.shares.values():
        for share in shares:
            if share.kind is not PayerKind.CUSTOMER:
                given[share.payer] = add(given.get(share.payer, Decimal(0)), share.amount)
    return given


def payer_totals(invoice: Invoice) -> dict[str, Decimal]:
    """What each payer pays, the customer included; sums to the gross total."""
    totals: dict[str, Decimal] = {}
    for shares in invoice.shares.values():
        for share in shares:
            totals[share.payer] = add(totals.get(share.payer, Decimal(0)), share.amount)
    return totals


def verify_invoice(invoice: Invoice, rows: Iterable[LedgerRow], tariff: Tariff) -> tuple[str, ...]:
    """What is not as recorded when everything is rated again from the ledger up to the cut-off; () when all digests are equal."""
    again = rate((row for row in rows if row.ledger_seq <= invoice.ledger_seq), tariff, invoice.context)
    return differences(invoice.rated.digest, {line.id: line.digest for line in invoice.rated.lines}, again)


def differences(recorded: str, lines: Mapping[UUID, str], again: RatedLines) -> tuple[str, ...]:
    """Compare digests as stored with a rating; one text per difference."""
    found = [f"line {line.id} ({line.charge}) is new" for line in again.lines if line.id not in lines]
    now = {line.id: line.digest for line in again.lines}
    for line, before in lines.items():
        if line not in now:
            found.append(f"line {line} is gone")
        elif now[line] != before:
            found.append(f"line {line} has digest {now[line]}, recorded is {before}")
    if again.digest != recorded and not found:
        found.append(f"the rating has digest {again.digest}, recorded is {recorded}")
    return tuple(found)


def _check_move(invoice: Invoice, to: InvoiceState) -> None:
    if to not in _MOVES[invoice.state]:
        raise NotAllowed(
            "invoice_state",
            f"an invoice in state {invoice.state} cannot become {to}",
            field="state",
            remedy="a final invoice is corrected by an adjustment or a credit note, never changed",
        )
