"""Who pays a line: vouchers, subsidies and the platform by percentage and cap, in order; the customer the rest (B-15).

    result = allocate(lines, payers, consumed, customer)
    result.shares[line_id]          # tuple of Share, sums to the line exactly
    result.consumed                 # scheme account -> amount, as it stands afterwards: input of the next allocation

Every payer's percentage is of the whole line; the parts are cut to 0.01 by largest remainder, so they sum exactly. A payer gives at most what is
left of its cap; what it cannot give falls to the customer. A credit (negative line) gives back in the same proportion and frees the cap,
never below nothing consumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from shared.kernel.errors import Invalid
from shared.kernel.money import add, largest_remainder, total

ZERO = Decimal(0)
HUNDRED = Decimal(100)


class PayerKind(StrEnum):
    CUSTOMER = "customer"
    VOUCHER = "voucher"
    DISTRICT_SUBSIDY = "district_subsidy"
    PROGRAMME = "programme"
    PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Payer:
    """`percent` of each line, at most `cap` over all lines (None: no cap). `charges` empty means every charge.

    `id` names the account whose consumption the cap bounds, for example a voucher of one firm and year.
    """

    id: str
    kind: PayerKind
    percent: Decimal
    cap: Decimal | None = None
    charges: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Payable:
    """An amount to split, in whole fen: a line with its tax, say."""

    line: UUID
    charge: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    payer: str
    kind: PayerKind
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Allocation:
    """`shares` by line, payers in their order and the customer last; `consumed` by payer id after this."""

    shares: Mapping[UUID, tuple[Share, ...]]
    consumed: Mapping[str, Decimal]


def allocate(
    lines: Sequence[Payable], payers: Sequence[Payer], consumed: Mapping[str, Decimal], customer: str
) -> Allocation:
    """Split every line, in the given order. `consumed` says what each capped payer has given before.

    Raises Invalid(allocation_percent | allocation_duplicate | allocation_cap) for payers that cannot be asked.
    """
    _check(payers, consumed)
    spent = dict(consumed)
    shares: dict[UUID, tuple[Share, ...]] = {}
    for line in lines:
        asked = [payer for payer in payers if not payer.charges or line.charge in payer.charges]
        own = HUNDRED - total([payer.percent for payer in asked])
        parts = largest_remainder(line.amount, [*(payer.percent for payer in asked), own])
        given: list[Share] = []
        for payer, part in zip(asked, parts, strict=False):
            amount = _within_cap(payer, part, spent.get(payer.id, ZERO))
            spent[payer.id] = add(spent.get(payer.id, ZERO), amount)
            given.append(Share(payer.id, payer.kind, amount))
        rest = line.amount - total([share.amount for share in given])
        shares[line.line] = (*given, Share(customer, PayerKind.CUSTOMER, rest))
    return Allocation(shares, spent)


def _within_cap(payer: Payer, part: Decimal, spent: Decimal) -> Decimal:
    """What the payer gives of `part`: never beyond the cap, never back more than it gave."""
    if part < 0:
        return max(part, -spent)
    return part if payer.cap is None else min(part, payer.cap - spent)


def _check(payers: Sequence[Payer], consumed: Mapping[str, Decimal]) -> None:
    ids = [payer.id for payer in payers]
    if len(set(ids)) != len(ids):
        raise Invalid("allocation_duplicate", "a payer is named twice", field="payers", remedy="name each payer once")
    if any(payer.percent <= 0 for payer in payers) or total([payer.percent for payer in payers]) > HUNDRED:
        raise Invalid(
            "allocation_percent",
            "percentages must be above 0 and sum to at most 100",
            field="payers",
            remedy="two subsidies may not cover the same cost twice: lower one of them",
        )
    for payer in payers:
        spent = consumed.get(payer.id, ZERO)
        if spent < 0 or (payer.cap is not None and spent > payer.cap):
            raise Invalid(
                "allocation_cap",
                f"{payer.id} has given {spent} of {payer.cap}",
                field="consumed",
                remedy="the consumption of a payer lies between 0 and its cap; look for a doubled invoice",
            )
