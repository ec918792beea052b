"""Usage over HTTP: what the meters and the ledger say, and usage that others measured (B-5)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from services.billing.adapters import usage_queries
from services.billing.adapters.meter_status import meters
from services.billing.domain.usage import Usage
from services.billing.entrypoints.asking import Accountant, Limit, Place, Reader, Text, instant, office, plain, reach
from shared.contracts.events import BATCH_CONTENT_TYPE
from shared.http.keys import check_scope
from shared.kernel.errors import Invalid, Malformed, NotFound, TooLarge
from shared.kernel.times import Micros
from shared.storage.api_keys import Caller

router = APIRouter(prefix="/v1", tags=["usage"])
_events = msgspec.json.Decoder(list[msgspec.Raw])
_event = msgspec.json.Decoder(msgspec.Raw)


def wanted(
    caller: Reader,
    platform: Text = None,
    line: Text = None,
    instrument: Text = None,
    run: Text = None,
    customer: Text = None,
    from_: Annotated[str | None, Query(alias="from", max_length=60)] = None,
    to: Annotated[str | None, Query(max_length=60)] = None,
) -> usage_queries.UsageFilter:
    """The filter of a query, narrowed to the key's scope."""
    start: Micros | None = None if from_ is None else instant("from", from_)
    end: Micros | None = None if to is None else instant("to", to)
    if start is not None and end is not None and start >= end:
        raise Invalid("range_empty", "`from` must lie before `to`", field="to", remedy="the range is [from, to)")
    seen = reach(caller, platform, line, instrument)
    return usage_queries.UsageFilter(seen.platform, seen.line, seen.instrument, run, customer, start, end)


Wanted = Annotated[usage_queries.UsageFilter, Depends(wanted)]


@router.get("/meters")
async def all_meters(request: Request, caller: Reader, platform: Text = None) -> dict[str, Any]:
    """How far the metering of every line is."""
    seen = reach(caller, platform)
    async with office(request).pool.connection() as connection:
        found = await meters(connection, office(request).topics, platform=seen.platform, line=seen.line)
    return {"items": found, "next": None}


@router.get("/meters/{line}")
async def meter(request: Request, caller: Reader, line: Place) -> dict[str, Any]:
    seen = reach(caller, None, line)
    async with office(request).pool.connection() as connection:
        found = await meters(connection, office(request).topics, platform=seen.platform, line=line)
    if not found:
        raise NotFound("meter_unknown", f"{line} is not metered", field="line", remedy="publish a state model for it")
    return found[0]


@router.get("/usage/segments")
async def segments(
    request: Request,
    of: Wanted,
    limit: Limit = 200,
    cursor: Annotated[str | None, Query(max_length=60)] = None,
) -> dict[str, Any]:
    """Segments in force, by start, with quantities and evidence."""
    async with office(request).pool.connection() as connection:
        items, following = await usage_queries.segments(connection, of, limit=limit, cursor=cursor)
    return {"items": items, "next": following}


@router.get("/usage/hours")
async def hours(request: Request, of: Wanted) -> dict[str, Any]:
    """Hours by instrument, state, sub-state and responsible party."""
    async with office(request).pool.connection() as connection:
        return {"items": await usage_queries.hours(connection, of), "next": None}


@router.get("/usage/quantities")
async def quantities(request: Request, of: Wanted) -> dict[str, Any]:
    """Metered quantities by instrument."""
    async with office(request).pool.connection() as connection:
        return {"items": await usage_queries.quantities(connection, of), "next": None}


@router.get("/usage/counts")
async def counts(request: Request, caller: Reader, platform: Text = None) -> dict[str, Any]:
    """received = recorded + duplicate + conflict + quarantined."""
    async with office(request).pool.connection() as connection:
        found = await usage_queries.counts(connection, reach(caller, platform).platform)
    return {"items": [plain(row) for row in found], "next": None}


@router.post("/usage/events", status_code=202)
async def submit(request: Request, caller: Accountant) -> dict[str, Any]:
    """One CloudEvent, or a list of them. Answered when every event is durable; the recorder enters them in the books."""
    events = _split(await request.body(), request.headers.get("content-type", ""))
    most = office(request).settings.events_per_request
    if len(events) > most:
        raise TooLarge(
            "events_too_many", f"{len(events)} events are more than {most}", field="body", remedy="send fewer at once"
        )
    results = await office(request).submission.submit(events, _permit(caller))
    return {"results": [_without_none(asdict(result)) for result in results]}


def _split(body: bytes, content_type: str) -> list[bytes]:
    """Each event as its own bytes, unchanged."""
    try:
        if content_type.startswith(BATCH_CONTENT_TYPE) or body.lstrip()[:1] == b"[":
            return [bytes(event) for event in _events.decode(body)]
        return [bytes(_event.decode(body))]
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Malformed("json_malformed", str(error), field="body", remedy="send one CloudEvent or a list") from error


def _permit(caller: Caller) -> Any:
    def permit(usage: Usage) -> None:
        segment = usage.segment
        check_scope(caller, platform=usage.tenant, line=segment.line, instrument=segment.instrument, field="body")

    return permit


def _without_none(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if value is not None}
