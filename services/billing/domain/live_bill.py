"""What a run has cost so far: settled by the ledger, and provisional with what is metered and not recorded yet (B-13).

Both are the same rating of the same run: of the ledger's rows alone, and of these together with the meter's segments, open ones included. When
everything has closed and reached the ledger, both are equal, and equal to the run's lines on an invoice, but for charges per period: tiers,
packages and prices of a period are applied as if the run were all that was used in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from services.billing.domain.ledger import LedgerRow, effective, ledger_row
from services.billing.domain.rating import RatedLine, RatedLines, RatingContext, rate
from services.billing.domain.segment import Segment
from services.billing.domain.tariff import Tariff
from services.billing.domain.usage import Usage, event_id, usage_source
from shared.contracts.registry import Name
from shared.kernel.times import Micros

LABEL = Name("provisional amount, not an invoice", "暂估金额,非结算凭据")


@dataclass(frozen=True, slots=True)
class Amounts:
    """Net of tax, tax, and both."""

    net: Decimal
    tax: Decimal

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class LiveLine:
    """A line so far, and the part of its amount that is settled."""

    line: RatedLine
    settled: Decimal


@dataclass(frozen=True, slots=True)
class LiveBill:
    """`settled + provisional = total`. The provisional part may be negative: what was recorded is about to be corrected."""

    settled: Amounts
    total: Amounts
    lines: tuple[LiveLine, ...]
    metered_until: Micros | None

    @property
    def provisional(self) -> Amounts:
        return Amounts(self.total.net - self.settled.net, self.total.tax - self.settled.tax)


def live_bill(
    run: str, recorded: Iterable[LedgerRow], metered: Iterable[Segment], tariff: Tariff, context: RatingContext
) -> LiveBill:
    """`recorded`: ledger rows of every segment that was ever the run's. `metered`: the meter's closed and open segments of it, every revision.

    Raises what `rate` raises.
    """
    ledger = list(recorded)
    everything = _of_run(run, [*ledger, *(_provisional_row(segment) for segment in metered)])
    settled, so_far = rate(_of_run(run, ledger), tariff, context), rate(everything, tariff, context)
    before = {line.id: line.amount for line in settled.lines}
    return LiveBill(
        settled=_amounts(settled),
        total=_amounts(so_far),
        lines=tuple(LiveLine(line, before.get(line.id, Decimal(0))) for line in so_far.lines),
        metered_until=max((row.end for row in everything), default=None),
    )


def _of_run(run: str, rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    return [row for row in effective(rows) if row.run == run]


def _amounts(rated: RatedLines) -> Amounts:
    return Amounts(rated.net, rated.tax)


def _provisional_row(segment: Segment) -> LedgerRow:
    """The row that the recorder would append, with the number 0."""
    usage = Usage(
        tenant=segment.platform,
        source=usage_source(segment),
        id=str(event_id(segment.key, segment.revision)),
        supersedes=None,
        segment=segment,
        content_hash=segment.content_digest(),
    )
    return ledger_row(usage, 0)
