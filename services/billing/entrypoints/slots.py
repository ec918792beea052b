"""Reservations of instruments over HTTP (B-2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.billing.adapters import reservations as tables
from services.billing.adapters.annotations import NoteFilter, Row
from services.billing.entrypoints.asking import NO_NUL, Limit, Text, instant, office, plain, reach
from services.billing.entrypoints.notes import Noter, NoteReader, Reason, signature
from shared.http.keys import check_scope
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros
from shared.storage.api_keys import Caller
from shared.storage.pool import Connection

router = APIRouter(prefix="/v1", tags=["reservations"])
Word = Annotated[str, Field(max_length=120, pattern=NO_NUL)]


class ReservationBody(BaseModel):
    """[from, to) in event time. `id` makes sending it again harmless; left out, every request is a new reservation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID = Field(default_factory=uuid4)
    line: str = Field(min_length=1, max_length=80, pattern=NO_NUL)
    instrument: str = Field(min_length=1, max_length=120, pattern=NO_NUL)
    from_: str = Field(alias="from", max_length=60)
    to: str = Field(max_length=60)
    customer: str = Field(min_length=1, max_length=80, pattern=NO_NUL)
    project: Word = ""
    service_code: Word = ""
    tariff: Word = ""

    def booking(self, who: str) -> tables.Booking:
        return tables.Booking(
            id=self.id,
            line=self.line,
            instrument=self.instrument,
            start=instant("from", self.from_),
            end=instant("to", self.to),
            customer=self.customer,
            project=self.project,
            service_code=self.service_code,
            tariff=self.tariff,
            who=who,
        )


class CancelBody(BaseModel):
    """`at`: from when on the time is free; now by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Reason
    at: str | None = Field(default=None, max_length=60)


@router.post("/reservations")
async def reserve(request: Request, caller: Noter, body: ReservationBody) -> dict[str, Any]:
    """Keep an instrument's time for a customer. The meter counts the time it covers when the line comes to it."""
    desk = office(request)
    registry = await desk.registry.current()
    if body.line not in registry.lines:
        registry = await desk.registry.refresh(unless_younger=1.0)
    platform = registry.lines[body.line].platform if body.line in registry.lines else None
    check_scope(caller, platform=platform, line=body.line, instrument=body.instrument, field="instrument")
    async with desk.pool.connection() as connection:
        booking = body.booking(signature(caller))
        found, added = await tables.reserve(connection, desk.topics.line_records, booking)
    return document(found) | {"added": added}


@router.post("/reservations/{reservation}/cancel")
async def cancel(request: Request, caller: Noter, reservation: UUID, body: CancelBody) -> dict[str, Any]:
    """Free the time from an instant on. A second time changes nothing."""
    desk = office(request)
    at: Micros | None = None if body.at is None else instant("at", body.at)
    async with desk.pool.connection() as connection:
        await _reachable(connection, caller, reservation)
        found, cancelled = await tables.cancel(
            connection, desk.topics.line_records, reservation, at=at, reason=body.reason, who=signature(caller)
        )
    return document(found) | {"cancelled": cancelled}


@router.get("/reservations")
async def every(
    request: Request,
    caller: NoteReader,
    platform: Text = None,
    line: Text = None,
    instrument: Text = None,
    customer: Text = None,
    from_: Annotated[str | None, Query(alias="from", max_length=60)] = None,
    to: Annotated[str | None, Query(max_length=60)] = None,
    limit: Limit = 200,
    cursor: Annotated[str | None, Query(max_length=80)] = None,
) -> dict[str, Any]:
    """Reservations by start, cancelled ones too. `from` and `to`: those that touch this time."""
    start: Micros | None = None if from_ is None else instant("from", from_)
    end: Micros | None = None if to is None else instant("to", to)
    if start is not None and end is not None and start >= end:
        raise Invalid("range_empty", "`from` must lie before `to`", field="to", remedy="the range is [from, to)")
    seen = reach(caller, platform, line, instrument)
    wanted = NoteFilter(seen.platform, seen.line, seen.instrument, start, end)
    async with office(request).pool.connection() as connection:
        found, following = await tables.list_reservations(
            connection, wanted, customer=customer, limit=limit, cursor=cursor
        )
    return {"items": [document(row) for row in found], "next": following}


@router.get("/reservations/{reservation}")
async def one(request: Request, caller: NoteReader, reservation: UUID) -> dict[str, Any]:
    async with office(request).pool.connection() as connection:
        return document(await _reachable(connection, caller, reservation))


async def _reachable(connection: Connection, caller: Caller, reservation: UUID) -> Row:
    found = await tables.read_reservation(connection, reservation)
    check_scope(
        caller, platform=found["platform"], line=found["line"], instrument=found["instrument"], field="reservation"
    )
    return found


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A reservation as JSON values; `cancellation` is null while nobody cancelled it."""
    values = plain(row)
    cancelled_at = values["cancelled_at"]
    cancellation = {"at": cancelled_at, "who": values["cancelled_by"], "reason": values["cancelled_reason"]}
    return {
        "id": values["reservation_id"],
        **{name: values[name] for name in ("platform", "line", "instrument")},
        "from": values["from_at"],
        "to": values["to_at"],
        **{name: values[name] for name in ("customer", "project", "service_code", "tariff", "booked_by", "booked_at")},
        "cancellation": None if cancelled_at is None else cancellation,
    }
