"""Notes of people on an instrument's time over HTTP (B-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.billing.adapters import annotations as tables
from services.billing.domain.e10 import Responsible
from services.billing.entrypoints.asking import NO_NUL, Limit, Text, instant, office, plain, reach
from shared.http.keys import check_scope, require
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros
from shared.storage.api_keys import Caller, Role
from shared.storage.pool import Connection

router = APIRouter(prefix="/v1", tags=["annotations"])
Noter = Annotated[Caller, Depends(require(Role.OPERATOR, Role.ACCOUNTANT))]
NoteReader = Annotated[Caller, Depends(require(Role.OPERATOR, Role.ACCOUNTANT, Role.VIEWER))]
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]


class NoteBody(BaseModel):
    """[from, to) in event time. `id` makes sending it again harmless; left out, every request is a new note."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID = Field(default_factory=uuid4)
    line: str = Field(min_length=1, max_length=80, pattern=NO_NUL)
    instrument: str = Field(min_length=1, max_length=120, pattern=NO_NUL)
    from_: str = Field(alias="from", max_length=60)
    to: str = Field(max_length=60)
    reason: Reason
    responsible: Responsible | None = None

    def note(self, who: str) -> tables.Note:
        return tables.Note(
            id=self.id,
            line=self.line,
            instrument=self.instrument,
            start=instant("from", self.from_),
            end=instant("to", self.to),
            reason=self.reason,
            responsible=self.responsible,
            who=who,
        )


class WithdrawBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Reason


@router.post("/annotations")
async def annotate(request: Request, caller: Noter, body: NoteBody) -> dict[str, Any]:
    """Explain a stretch of an instrument's time. The meter takes it in with the line's records and revises what it had said."""
    desk = office(request)
    registry = await desk.registry.current()
    if body.line not in registry.lines:
        registry = await desk.registry.refresh(unless_younger=1.0)
    platform = registry.lines[body.line].platform if body.line in registry.lines else None
    check_scope(caller, platform=platform, line=body.line, instrument=body.instrument, field="instrument")
    async with desk.pool.connection() as connection:
        found, added = await tables.annotate(connection, desk.topics.line_records, body.note(signature(caller)))
    return document(found) | {"added": added}


@router.post("/annotations/{annotation}/withdraw")
async def withdraw(request: Request, caller: Noter, annotation: UUID, body: WithdrawBody) -> dict[str, Any]:
    """Take a note back: what it covered is as if it had never been said. A second time changes nothing."""
    desk = office(request)
    async with desk.pool.connection() as connection:
        await _reachable(connection, caller, annotation)
        found, withdrawn = await tables.withdraw(
            connection, desk.topics.line_records, annotation, reason=body.reason, who=signature(caller)
        )
    return document(found) | {"withdrawn": withdrawn}


@router.get("/annotations")
async def every(
    request: Request,
    caller: NoteReader,
    platform: Text = None,
    line: Text = None,
    instrument: Text = None,
    from_: Annotated[str | None, Query(alias="from", max_length=60)] = None,
    to: Annotated[str | None, Query(max_length=60)] = None,
    limit: Limit = 200,
    cursor: Annotated[str | None, Query(max_length=80)] = None,
) -> dict[str, Any]:
    """Notes by start, those that were withdrawn too. `from` and `to`: notes that touch this time."""
    start: Micros | None = None if from_ is None else instant("from", from_)
    end: Micros | None = None if to is None else instant("to", to)
    if start is not None and end is not None and start >= end:
        raise Invalid("range_empty", "`from` must lie before `to`", field="to", remedy="the range is [from, to)")
    seen = reach(caller, platform, line, instrument)
    wanted = tables.NoteFilter(seen.platform, seen.line, seen.instrument, start, end)
    async with office(request).pool.connection() as connection:
        found, following = await tables.list_annotations(connection, wanted, limit=limit, cursor=cursor)
    return {"items": [document(row) for row in found], "next": following}


@router.get("/annotations/{annotation}")
async def one(request: Request, caller: NoteReader, annotation: UUID) -> dict[str, Any]:
    async with office(request).pool.connection() as connection:
        return document(await _reachable(connection, caller, annotation))


async def _reachable(connection: Connection, caller: Caller, annotation: UUID) -> tables.Row:
    found = await tables.read_annotation(connection, annotation)
    check_scope(
        caller, platform=found["platform"], line=found["line"], instrument=found["instrument"], field="annotation"
    )
    return found


def signature(caller: Caller) -> str:
    """Who it was, as long as a usage event can say it."""
    return caller.label[:200] or caller.prefix


def document(row: Mapping[str, Any]) -> dict[str, Any]:
    """A note as JSON values; `withdrawal` is null while it is in force."""
    values = plain(row)
    withdrawn_at = values.pop("withdrawn_at")
    who, reason = values.pop("withdrawn_by"), values.pop("withdrawn_reason")
    return {
        "id": values.pop("annotation_id"),
        **{name: values[name] for name in ("platform", "line", "instrument")},
        "from": values["from_at"],
        "to": values["to_at"],
        "reason": values["reason"],
        "responsible": values["responsible"] or None,
        "who": values["who"],
        "noted_at": values["noted_at"],
        "withdrawal": None if withdrawn_at is None else {"at": withdrawn_at, "who": who, "reason": reason},
    }
