"""What a run has cost so far, over HTTP (B-13)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from services.billing.adapters.live_costs import RunCost, owner_of, run_cost
from services.billing.domain.live_bill import LABEL, Amounts, LiveLine
from services.billing.entrypoints.asking import Place, Reader, money, office, whole_platform
from shared.kernel.canonical import decimal_text
from shared.kernel.times import to_rfc3339

router = APIRouter(prefix="/v1", tags=["costs"])


@router.get("/runs/{run}/cost")
async def cost(request: Request, caller: Reader, run: Place) -> dict[str, Any]:
    """Settled by the ledger and provisional by the meter. No invoice: what is late may still change it."""
    desk = office(request)
    async with desk.pool.connection() as connection:
        platform, _ = await owner_of(connection, run)
        whole_platform(caller, platform)
    async with desk.pool.connection() as connection:
        return document(await run_cost(connection, run))


def document(found: RunCost) -> dict[str, Any]:
    """`settled` + `provisional` = `total`, each net, tax and gross."""
    bill = found.bill
    return {
        "run": found.run,
        "line": found.line,
        "platform": found.platform,
        "customer": found.customer,
        "customer_class": found.customer_class.value,
        "status": "provisional",
        "label": {"en": LABEL.en, "zh": LABEL.zh},
        "tariff": {"id": found.tariff.id, "version": found.tariff.version, "digest": found.tariff.digest},
        "currency": found.tariff.currency,
        "ledger_seq": found.ledger_seq,
        "metered_until": None if bill.metered_until is None else to_rfc3339(bill.metered_until),
        "settled": _amounts(bill.settled),
        "provisional": _amounts(bill.provisional),
        "total": _amounts(bill.total),
        "lines": [_line(line) for line in bill.lines],
    }


def _amounts(amounts: Amounts) -> dict[str, str]:
    return {"net": money(amounts.net), "tax": money(amounts.tax), "gross": money(amounts.gross)}


def _line(live: LiveLine) -> dict[str, Any]:
    line = live.line
    return {
        "charge": line.charge,
        "name": {"en": line.name.en, "zh": line.name.zh},
        "quantity": decimal_text(line.quantity),
        "unit": line.unit,
        "settled": money(live.settled),
        "provisional": money(line.amount - live.settled),
        "amount": money(line.amount),
        "sentence": {"en": line.sentence.en, "zh": line.sentence.zh},
    }
