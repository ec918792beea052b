"""Invoices over HTTP: drafted from a slice of the ledger, closed once, explained and verified for ever (B-14, B-16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.billing.adapters import closing
from services.billing.adapters import invoice_tables as tables
from services.billing.domain.explain import evaluate_tree
from services.billing.entrypoints.asking import (
    Accountant,
    Limit,
    Reader,
    Text,
    instant,
    money,
    office,
    plain,
    reach,
    whole_platform,
)
from services.billing.entrypoints.rules import Identifier
from shared.storage.api_keys import Caller
from shared.storage.pool import Connection

router = APIRouter(prefix="/v1", tags=["invoices"])


class TariffName(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Identifier
    version: int = Field(ge=1, le=2**31 - 1)


class Period(BaseModel):
    """[from, to) in event time; a segment belongs to the period it starts in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_: str = Field(alias="from", max_length=60)
    to: str = Field(max_length=60)


class DraftBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: Identifier
    customer: Identifier
    tariff: TariffName
    period: Period
    issuer: Identifier
    ledger_seq: int | None = Field(default=None, ge=1, le=2**62)

    def request(self) -> closing.DraftRequest:
        return closing.DraftRequest(
            platform=self.platform,
            customer=self.customer,
            tariff_id=self.tariff.id,
            tariff_version=self.tariff.version,
            start=instant("period.from", self.period.from_),
            end=instant("period.to", self.period.to),
            issuer=self.issuer,
            ledger_seq=self.ledger_seq,
        )


@router.post("/invoices", status_code=201)
async def draft(request: Request, caller: Accountant, body: DraftBody) -> dict[str, Any]:
    """Rate a period into a draft. The same request over the same ledger gives the same invoice."""
    whole_platform(caller, body.platform)
    async with office(request).pool.connection() as connection:
        return await document(connection, await closing.draft(connection, body.request()))


@router.get("/invoices")
async def invoices(
    request: Request,
    caller: Reader,
    platform: Text = None,
    customer: Text = None,
    state: Literal["draft", "review", "final", "cancelled"] | None = None,
    limit: Limit = 100,
    cursor: UUID | None = None,
) -> dict[str, Any]:
    """Newest first."""
    seen = reach(caller, platform)
    async with office(request).pool.connection() as connection:
        rows = await tables.list_invoices(
            connection, platform=seen.platform, customer=customer, state=state, limit=limit + 1, after=cursor
        )
    page = rows[:limit]
    following = str(page[-1]["invoice_id"]) if len(rows) > limit else None
    return {"items": [_head(row) for row in page], "next": following}


@router.get("/invoices/{invoice_id}")
async def invoice(request: Request, caller: Reader, invoice_id: UUID) -> dict[str, Any]:
    async with office(request).pool.connection() as connection:
        await _reachable(connection, caller, invoice_id)
        return await document(connection, invoice_id)


@router.get("/invoices/{invoice_id}/lines")
async def lines(request: Request, caller: Reader, invoice_id: UUID) -> dict[str, Any]:
    async with office(request).pool.connection() as connection:
        await _reachable(connection, caller, invoice_id)
        found = await tables.read_lines(connection, invoice_id)
    return {"items": [_line(row) for row in found], "next": None}


@router.post("/invoices/{invoice_id}/finalise")
async def finalise(request: Request, caller: Accountant, invoice_id: UUID) -> dict[str, Any]:
    """Number, shares and voucher consumption in one transaction. A final invoice stays as it is."""
    async with office(request).pool.connection() as connection:
        await _reachable(connection, caller, invoice_id)
        await closing.finalise(connection, invoice_id, by=caller.label)
        return await document(connection, invoice_id)


@router.post("/invoices/{invoice_id}/verify")
async def verify(request: Request, caller: Reader, invoice_id: UUID) -> dict[str, Any]:
    """Rate again from the ledger and compare. Changes nothing."""
    async with office(request).pool.connection() as connection:
        await _reachable(connection, caller, invoice_id)
        return await closing.verify(connection, invoice_id)


@router.get("/lines/{line_id}/explain")
async def explain(
    request: Request, caller: Reader, line_id: UUID, invoice: Annotated[UUID | None, Query()] = None
) -> dict[str, Any]:
    """Why the line costs what it costs: a sentence, and a tree down to run, stream, boot, sequence numbers and Kafka offsets."""
    async with office(request).pool.connection() as connection:
        row, invoice_id = await tables.find_line(connection, line_id, invoice)
        await _reachable(connection, caller, invoice_id)
    return {
        "line": str(line_id),
        "invoice": str(invoice_id),
        "charge": row["charge"],
        "scope": row["scope"],
        "amount": money(row["amount"]),
        "sentence": row["sentence"],
        "tree": row["explain"],
        "evaluated": money(evaluate_tree(row["explain"])),
        "digest": row["digest"],
    }


async def document(connection: Connection, invoice_id: UUID) -> dict[str, Any]:
    """The invoice with taxes per group and what each payer pays."""
    row = await tables.read_invoice(connection, invoice_id)
    found = await tables.read_lines(connection, invoice_id)
    return _head(row) | {"lines": len(found), "taxes": _taxes(found), "shares": _shares(found)}


async def _reachable(connection: Connection, caller: Caller, invoice_id: UUID) -> None:
    """Raises NotFound(invoice_unknown), Forbidden(key_scope)."""
    whole_platform(caller, (await tables.read_invoice(connection, invoice_id))["tenant"])


def _head(row: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {name: money(row[name]) for name in ("net", "tax", "gross")}
    kept = (
        *("number", "state", "issuer", "currency", "ledger_seq", "engine", "slice_digest", "digest"),
        *("created_at", "finalised_at", "finalised_by"),
    )
    return (
        {"id": str(row["invoice_id"]), "platform": row["tenant"], "customer": row["customer_id"]}
        | plain({name: row[name] for name in kept})
        | {
            "customer_class": row["customer_class"],
            "tariff": {"id": row["tariff_id"], "version": row["tariff_version"], "digest": row["tariff_digest"]},
            "period": plain({"from": row["period_start"], "to": row["period_end"]}),
        }
        | amounts
    )


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    return plain(
        {
            "id": row["line_id"],
            **{name: row[name] for name in ("position", "charge", "scope", "name", "quantity", "unit", "tax_code")},
            "tax_rate": row["tax_rate"],
            "amount": money(row["amount"]),
            "tax": money(row["tax"]),
            "gross": money(row["amount"] + row["tax"]),
            **{name: row[name] for name in ("shares", "sentence", "slice_digest", "digest")},
        }
    )


def _taxes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, Decimal], list[Decimal]] = {}
    for row in rows:
        sums = groups.setdefault((row["tax_code"], row["tax_rate"]), [Decimal(0), Decimal(0)])
        sums[0] += row["amount"]
        sums[1] += row["tax"]
    return [
        plain({"code": code, "rate": rate, "base": money(base), "tax": money(tax)})
        for (code, rate), (base, tax) in groups.items()
    ]


def _shares(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    payers: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        for share in row["shares"] or ():
            payer = (share["payer"], share["kind"])
            payers[payer] = payers.get(payer, Decimal(0)) + Decimal(share["amount"])
    return [{"payer": payer, "kind": kind, "amount": money(amount)} for (payer, kind), amount in payers.items()]
