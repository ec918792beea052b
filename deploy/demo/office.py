"""The accountant's office of the demonstration: publishes state model, tariff and voucher, draws up the invoices and asks for proof, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.demo.asking import Document, Service
from deploy.demo.configuration import STATE_MODEL, TARIFF
from deploy.demo.plan import CUSTOMERS, LINE, PLATFORM, TARIFF_ID

PERIOD = {"from": "2026-03-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00"}
VOUCHER = {
    "platform": PLATFORM,
    "id": "hz-voucher-2026-0117",
    "customer": CUSTOMERS[0],
    "scheme": "innovation voucher 2026 (invented)",
    "kind": "voucher",
    "priority": 1,
    "percent": "30",
    "cap": "80000.00",
    "service_codes": ["reactor-hours", "separation-hours", "analysis-hours"],
    "valid_from": "2026-01-01",
    "valid_to": "2027-01-01",
}


@dataclass(frozen=True, slots=True)
class Billed:
    """One final invoice with its lines, the explanation of each line, and what rating it again from the ledger gave."""

    invoice: Document
    lines: Sequence[Document]
    explanations: Sequence[Document]
    verification: Document


class Office:
    """Speaks to the billing service with an accountant's key."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def publish_rules(self) -> None:
        """State model, tariff and voucher; again, nothing changes."""
        await self._service.ask("POST", "/v1/state-models", content=STATE_MODEL.read_bytes())
        await self._service.ask("POST", "/v1/tariffs", params={"platform": PLATFORM}, content=TARIFF.read_bytes())
        await self._service.ask("POST", "/v1/vouchers", json=VOUCHER)

    async def close(self, customer: str) -> Billed:
        """The customer's invoice of the period: drafted, made final, rated again, every line explained."""
        wanted = {
            "platform": PLATFORM,
            "customer": customer,
            "tariff": {"id": TARIFF_ID, "version": 1},
            "period": PERIOD,
            "issuer": PLATFORM,
        }
        draft = await self._service.ask("POST", "/v1/invoices", json=wanted)
        place = f"/v1/invoices/{draft['id']}"
        invoice = await self._service.ask("POST", f"{place}/finalise")
        lines = (await self._service.ask("GET", f"{place}/lines"))["items"]
        explanations = await asyncio.gather(*(self._explained(invoice, line) for line in lines))
        return Billed(invoice, lines, explanations, await self._service.ask("POST", f"{place}/verify"))

    async def _explained(self, invoice: Document, line: Document) -> Document:
        return await self._service.ask("GET", f"/v1/lines/{line['id']}/explain", params={"invoice": invoice["id"]})

    async def metered(self) -> bool:
        """Whether everything the meter has seen of the line is in the ledger."""
        return bool((await self._service.ask("GET", f"/v1/meters/{LINE}"))["settled"])

    async def hours(self, run: str) -> list[Document]:
        """Hours by instrument and state."""
        return await self._service.every("/v1/usage/hours", platform=PLATFORM, run=run)

    async def quantities(self, run: str) -> list[Document]:
        return await self._service.every("/v1/usage/quantities", platform=PLATFORM, run=run)

    async def segments(self, run: str) -> list[Document]:
        """The segments in force, with evidence."""
        return await self._service.every("/v1/usage/segments", platform=PLATFORM, run=run)

    async def counts(self) -> list[Document]:
        return await self._service.every("/v1/usage/counts")

    async def voucher(self) -> Document:
        """The voucher with what is consumed and left of it."""
        found = await self._service.every("/v1/vouchers", platform=PLATFORM, customer=CUSTOMERS[0])
        return next(item for item in found if item["id"] == VOUCHER["id"])
