"""What waits in quarantine (I-19): list and inspect."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.adapters.quarantine_reader import read_one, read_page
from services.ingest.bootstrap import Gateway
from shared.http.fields import INT8_MAX
from shared.http.keys import require
from shared.storage.api_keys import Caller, Role

router = APIRouter(prefix="/v1/quarantine", tags=["quarantine"])
Record = Annotated[int, Path(ge=1, le=INT8_MAX)]
Reader = Annotated[Caller, Depends(require(Role.OPERATOR, Role.GATEWAY))]


@router.get("")
async def waiting(
    request: Request,
    caller: Reader,
    stream: Annotated[str | None, Query(max_length=200)] = None,
    code: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[int, Query(ge=0, le=INT8_MAX, description="`next` of the page before")] = 0,
) -> dict[str, Any]:
    """Records in quarantine, newest first, without their bytes. A key bound to a line sees that line's and those it sent itself."""
    gateway: Gateway = request.app.state.gateway
    async with gateway.pool.connection() as connection:
        records = await read_page(connection, caller, stream=stream, code=code, limit=limit, after=after)
    return {"records": records, "next": records[-1]["id"] if len(records) == limit else None}


@router.get("/{record_id}")
async def inspect(request: Request, caller: Reader, record_id: Record) -> dict[str, Any]:
    """One record with what is known about it; its bytes are at `…/raw`."""
    gateway: Gateway = request.app.state.gateway
    async with gateway.pool.connection() as connection:
        found, _raw = await read_one(connection, caller, record_id)
    return found


@router.get("/{record_id}/raw")
async def raw(request: Request, caller: Reader, record_id: Record) -> Response:
    """The record's bytes as they were received, inflated."""
    gateway: Gateway = request.app.state.gateway
    async with gateway.pool.connection() as connection:
        found, content = await read_one(connection, caller, record_id)
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return Response(content, 200, headers, found["content_type"])
