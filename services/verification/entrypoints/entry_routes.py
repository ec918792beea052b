"""What people enter of a run, over HTTP: results with their files, confirmations, deviations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.entry_store import EntryStore
from services.verification.adapters.run_store import RunStore
from services.verification.bootstrap import Verification, now
from services.verification.entry_handlers import (
    Desk,
    accept_deviation,
    attach,
    confirm_result,
    enter_result,
    record_deviation,
)
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_run
from services.verification.entrypoints.documents import json_of
from services.verification.ports import Deviation, ResultEntry
from shared.http.fields import Instant
from shared.kernel.errors import NotFound

router = APIRouter(prefix="/v1/runs/{run}", tags=["entries"])

Name = Annotated[str, Field(min_length=1, max_length=200)]
Key = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Value(_Body):
    """A number with its UCUM unit."""

    value: float
    unit: Annotated[str, Field(min_length=1, max_length=60)]


class NewResult(_Body):
    """A laboratory's `value` with its expanded `uncertainty` (in the same unit), or whether an inspection has `passed`. `attachment`: the
    SHA-256 of a file sent before; `corrects`: the entry this one replaces. `key` makes a repetition harmless."""

    criterion: Name
    value: Value | None = None
    uncertainty: Annotated[float, Field(ge=0)] | None = None
    passed: bool | None = None
    sampled_at: Instant | None = None
    attachment: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    note: Annotated[str, Field(max_length=2000)] = ""
    corrects: UUID | None = None
    key: Key | None = None


class NewDeviation(_Body):
    """A departure from what was agreed, of a criterion or of the whole run. `key` makes a repetition harmless."""

    kind: Name
    reason: Annotated[str, Field(min_length=1, max_length=4000)]
    criterion: Name | None = None
    key: Key | None = None


@router.post("/attachments", status_code=201)
async def add_attachment(parts: Parts, caller: Operator, run: str, request: Request) -> dict[str, Any]:
    """Keep the body, at most 20 MiB, under the SHA-256 of its bytes; an inspection names it."""
    await reach_run(parts, caller, run)
    content = await request.body()
    kind = request.headers.get("content-type", "application/octet-stream")[:200]
    async with _desk(parts) as desk:
        kept = await attach(content, kind, who=caller.person, desk=desk)
    return {"sha256": kept.sha256, "content_type": kept.content_type, "size": len(content)}


@router.get("/attachments/{sha256}")
async def show_attachment(parts: Parts, caller: Reader, run: str, sha256: str) -> Response:
    """The bytes of a file that an entry of the run names."""
    await reach_run(parts, caller, run)
    async with parts.pool.connection() as connection:
        found = await EntryStore(connection).attachment(run, sha256)
    if found is None:
        raise NotFound("attachment_unknown", f"no entry of run {run} names {sha256}", field="sha256")
    headers = {"content-disposition": f'attachment; filename="{sha256[:16]}"', "x-content-type-options": "nosniff"}
    return Response(found.content, media_type=found.content_type, headers=headers)


@router.post("/results", status_code=201)
async def add_result(parts: Parts, caller: Operator, run: str, given: NewResult) -> dict[str, Any]:
    """Enter a result of a laboratory or an inspection. Where two people are asked for, it counts when another has confirmed it."""
    await reach_run(parts, caller, run)
    wanted = ResultEntry(
        entry=uuid4(),
        run=run,
        criterion=given.criterion,
        key=given.key or str(uuid4()),
        entered_by=caller.person,
        entered_at=now(),
        value=None if given.value is None else given.value.value,
        unit="" if given.value is None else given.value.unit,
        uncertainty=given.uncertainty,
        passed=given.passed,
        sampled_at=given.sampled_at,
        attachment=given.attachment,
        note=given.note,
        corrects=given.corrects,
    )
    async with _desk(parts) as desk:
        return result_document(await enter_result(wanted, desk))


@router.post("/results/{entry}/confirm")
async def confirm(parts: Parts, caller: Operator, run: str, entry: UUID) -> dict[str, Any]:
    """A second person confirms the newest entry of a criterion."""
    await reach_run(parts, caller, run)
    async with _desk(parts) as desk:
        return result_document(await confirm_result(run, entry, who=caller.person, at=now(), desk=desk))


@router.get("/results")
async def list_results(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """Every entry, oldest first, and the criteria that wait for one or for its confirmation."""
    await reach_run(parts, caller, run)
    view = await parts.read_model.run(run)
    awaited = [] if view is None else view.awaited
    async with parts.pool.connection() as connection:
        entries = await EntryStore(connection).results(run)
    return {"items": [result_document(entry) for entry in entries], "awaited": json_of(awaited)}


@router.post("/deviations", status_code=201)
async def add_deviation(parts: Parts, caller: Operator, run: str, given: NewDeviation) -> dict[str, Any]:
    """Record a departure from what was agreed. It counts once somebody else has accepted it."""
    await reach_run(parts, caller, run)
    wanted = Deviation(
        deviation=uuid4(),
        run=run,
        criterion=given.criterion,
        kind=given.kind,
        reason=given.reason,
        key=given.key or str(uuid4()),
        recorded_by=caller.person,
        recorded_at=now(),
    )
    async with _desk(parts) as desk:
        return deviation_document(await record_deviation(wanted, desk))


@router.post("/deviations/{deviation}/accept")
async def accept(parts: Parts, caller: Operator, run: str, deviation: UUID) -> dict[str, Any]:
    """Accept what somebody else has recorded. `calibration_expired` has its criterion judged in a new evaluation."""
    await reach_run(parts, caller, run)
    async with _desk(parts) as desk:
        return deviation_document(await accept_deviation(run, deviation, who=caller.person, at=now(), desk=desk))


@router.get("/deviations")
async def list_deviations(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """Every deviation of the run, oldest first."""
    await reach_run(parts, caller, run)
    async with parts.pool.connection() as connection:
        found = await EntryStore(connection).deviations(run)
    return {"items": [deviation_document(item) for item in found]}


@asynccontextmanager
async def _desk(parts: Verification) -> AsyncIterator[Desk]:
    """One transaction."""
    async with parts.pool.connection() as connection, connection.transaction():
        yield Desk(RunStore(connection, parts.topics), CriteriaStore(connection), EntryStore(connection))


def result_document(entry: ResultEntry) -> dict[str, Any]:
    document: dict[str, Any] = json_of(entry)
    value = None if entry.value is None else {"value": entry.value, "unit": entry.unit}
    del document["unit"]
    return {**document, "value": value, "entry": str(entry.entry), "corrects": _text(entry.corrects)}


def deviation_document(deviation: Deviation) -> dict[str, Any]:
    return {**json_of(deviation), "deviation": str(deviation.deviation)}


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
