"""Runs over HTTP: create, command, read. Commands record what has happened on the line; they never command equipment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import uuid4

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.run_store import RunStore
from services.verification.bootstrap import Verification, now
from services.verification.domain.run_state import Command
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_line, reach_run
from services.verification.entrypoints.documents import command_document, json_of, run_document
from services.verification.handlers import PHASE, Clock, Order, carry_out, create_run, refusal
from services.verification.ports import CommandRecord, Run, Scene, VerificationKind
from shared.http.fields import INT4_MAX, Instant
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.ids import stable_id
from shared.kernel.times import FIRST, LAST, from_rfc3339
from shared.storage.api_keys import Caller

router = APIRouter(prefix="/v1/runs", tags=["runs"])

Name = Annotated[str, Field(min_length=1, max_length=200)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Wait = Annotated[float, Query(ge=0, le=30, description="seconds to wait for Kafka to acknowledge the record")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CriteriaReference(_Body):
    set: Name
    version: Annotated[int, Field(ge=1, le=INT4_MAX)]


class NewRun(_Body):
    """What a run is (V-1). Without `run` an id is made up; with it, the same request again changes nothing."""

    run: Identifier | None = None
    project: Name
    customer: Name
    line: Name
    scene: Scene
    verification_kind: VerificationKind
    item: Name
    item_revision: Annotated[str, Field(max_length=80)] = "1"
    iteration: Annotated[int, Field(ge=1, le=INT4_MAX)] = 1
    previous_run: Name | None = None
    equipment: Annotated[list[Name], Field(max_length=100)] = []
    criteria: CriteriaReference
    tariff: Annotated[str, Field(max_length=200)] = ""
    service_code: Annotated[str, Field(max_length=200)] = ""
    planned_end: Instant | None = None


class NewCommand(_Body):
    """`at` is event time, by default this moment. `key` makes a repetition harmless; without one every request is a new command."""

    command: Command
    at: Instant | None = None
    reason: Annotated[str, Field(max_length=1000)] = ""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class NewPhase(_Body):
    phase: Name
    at: Instant | None = None
    reason: Annotated[str, Field(max_length=1000)] = ""
    key: Annotated[str, Field(min_length=1, max_length=200)] | None = None


@router.post("")
async def create(parts: Parts, caller: Operator, wanted: NewRun, response: Response) -> dict[str, Any]:
    """An idle run. Its criteria must be published and fit the line."""
    await reach_line(parts, caller, wanted.line)
    registry = await parts.registry.refresh()
    async with parts.pool.connection() as connection, connection.transaction():
        run, new = await create_run(
            _run(wanted, caller.person),
            now=now(),
            registry=registry,
            criteria=CriteriaStore(connection),
            runs=RunStore(connection, parts.topics),
        )
    response.status_code = 201 if new else 200
    response.headers["location"] = f"/v1/runs/{run.run}"
    return run_document(run)


@router.post("/{run}/commands")
async def command(parts: Parts, caller: Operator, run: str, given: NewCommand, wait: Wait = 0.0) -> dict[str, Any]:
    """start, hold, restart, stop, abort or complete (V-2). Refused with `run_command_not_allowed`, which names what is allowed."""
    return await _carry_out(parts, caller, _order(run, caller, given, given.command), wait=wait)


@router.post("/{run}/phases")
async def phase(parts: Parts, caller: Operator, run: str, given: NewPhase, wait: Wait = 0.0) -> dict[str, Any]:
    """A phase of the criteria set begins; the one before ends."""
    return await _carry_out(parts, caller, _order(run, caller, given, PHASE, given.phase), wait=wait)


@router.get("")
async def index(
    parts: Parts,
    caller: Reader,
    line: Annotated[str | None, Query(max_length=200)] = None,
    project: Annotated[str | None, Query(max_length=200)] = None,
    only: Literal["running", "ended"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=40)] = None,
) -> dict[str, Any]:
    """Runs in progress first, then the newest."""
    if line is not None:
        await reach_line(parts, caller, line)
    page = await parts.read_model.board(only=only, line=line, project=project, limit=limit, after=after)
    lines = (await parts.registry.current()).lines
    rows = [
        row
        for row in page.rows
        if row.line in lines and caller.scope.covers_line(platform=lines[row.line].platform, line=row.line)
    ]
    return {"items": json_of(rows), "next": page.after, "cursor": page.cursor}


@router.get("/{run}")
async def show(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """The run with every criterion as it stands: state, margin, bounds, evidence."""
    await reach_run(parts, caller, run)
    view = await parts.read_model.run(run)
    async with parts.pool.connection() as connection:
        facts = await RunStore(connection, parts.topics).find(run)
    assert view is not None
    assert facts is not None
    return {**run_document(facts), **json_of(view)}


@router.get("/{run}/evaluations")
async def evaluations(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """Every evaluation of the run, oldest first, with cause, digest and what each changed."""
    await reach_run(parts, caller, run)
    view = await parts.read_model.run(run)
    return {"items": [] if view is None else json_of(view.evaluations)}


@router.get("/{run}/commands")
async def commands(parts: Parts, caller: Reader, run: str) -> dict[str, Any]:
    """Every command given so far, refused ones too, oldest first."""
    await reach_run(parts, caller, run)
    async with parts.pool.connection() as connection:
        given = await RunStore(connection, parts.topics).commands(run)
    return {"items": [{**command_document(item, in_log=True), "problem": item.problem} for item in given]}


@router.get("/{run}/criteria/{criterion}")
async def criterion_detail(parts: Parts, caller: Reader, run: str, criterion: str) -> dict[str, Any]:
    """A criterion with its evidence, the places of its samples in the log, and every outcome it has had."""
    await reach_run(parts, caller, run)
    detail = await parts.read_model.criterion(run, criterion)
    if detail is None:
        raise NotFound("criterion_unknown", f"run {run} shows no criterion {criterion}", field="criterion")
    document: dict[str, Any] = json_of(detail)
    return document


@router.get("/{run}/documents")
async def documents(parts: Parts, caller: Reader, run: str) -> StreamingResponse:
    """run_start, descriptors, events and run_stop as one JSON object per line (V-4)."""
    await reach_run(parts, caller, run)
    return StreamingResponse(_document_lines(parts, run), media_type="application/x-ndjson")


@router.get("/{run}/curve")
async def curve(
    parts: Parts,
    caller: Reader,
    run: str,
    channel: Annotated[str | None, Query(max_length=200)] = None,
    criterion: Annotated[str | None, Query(max_length=80)] = None,
    from_: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to: Annotated[str | None, Query(max_length=40)] = None,
    points: Annotated[int, Query(ge=10, le=4000)] = 800,
) -> dict[str, Any]:
    """Minimum and maximum per bucket of a channel, or of a criterion's signal with its limits; null at gaps."""
    if (channel is None) == (criterion is None):
        raise Invalid(
            "curve_subject", "name a channel or a criterion", field="channel", remedy="give exactly one of them"
        )
    await reach_run(parts, caller, run)
    data = await parts.read_model.curve(
        run, criterion=criterion, channel=channel, from_=_instant(from_, "from"), to=_instant(to, "to"), points=points
    )
    if data is None:
        raise NotFound("run_not_started", f"run {run} has not started", field="run")
    document: dict[str, Any] = json_of(data)
    return document


def _order(run: str, caller: Caller, given: NewCommand | NewPhase, command: str, phase: str | None = None) -> Order:
    return Order(
        run=run,
        key=given.key or str(uuid4()),
        command=command,
        at=now() if given.at is None else given.at,
        who=caller.person,
        reason=given.reason,
        phase=phase,
        at_once=given.at is None,
    )


async def _carry_out(parts: Verification, caller: Any, order: Order, *, wait: float) -> dict[str, Any]:
    await reach_run(parts, caller, order.run)
    registry = await parts.registry.refresh()
    async with parts.pool.connection() as connection, connection.transaction():
        record = await carry_out(
            order,
            clock=Clock(now(), parts.command_horizon),
            registry=registry,
            criteria=CriteriaStore(connection),
            runs=RunStore(connection, parts.topics),
        )
    # Behind the commit: the record of a refusal is kept, and only then answered.
    if problem := refusal(record):
        raise problem
    return command_document(record, in_log=await _in_log(parts, record, wait))


async def _in_log(parts: Verification, record: CommandRecord, wait: float) -> bool:
    """Whether Kafka has the command's record, after at most `wait` seconds; nothing is waited for where the command has none."""
    event = stable_id("run-command", record.run, record.key)
    deadline = time.monotonic() + wait
    while True:
        async with parts.pool.connection() as connection:
            cursor = await connection.execute(
                "select published_seq is not null from verification.outbox where event_id = %s", (event,)
            )
            row = await cursor.fetchone()
        if row is None or row[0]:
            return row is not None
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(0.02)


async def _document_lines(parts: Verification, run: str) -> AsyncIterator[bytes]:
    async with (
        parts.pool.connection() as connection,
        connection.transaction(),
        connection.cursor(name="documents") as cursor,
    ):
        await cursor.execute(
            """select document_id::text, kind, refers_to::text, body from verification.run_document
                   where run_id = %s order by (kind = 'run_stop'), number""",
            (run,),
        )
        async for document_id, kind, refers_to, body in cursor:
            yield orjson.dumps({"id": document_id, "kind": kind, "run_start": refers_to, "body": body}) + b"\n"


def _run(wanted: NewRun, who: str) -> Run:
    return Run(
        run=wanted.run or f"r-{uuid4().hex[:16]}",
        project=wanted.project,
        customer=wanted.customer,
        platform="",
        line=wanted.line,
        scene=wanted.scene,
        verification_kind=wanted.verification_kind,
        item=wanted.item,
        item_revision=wanted.item_revision,
        iteration=wanted.iteration,
        previous_run=wanted.previous_run,
        equipment=tuple(wanted.equipment),
        criteria_set=wanted.criteria.set,
        criteria_version=wanted.criteria.version,
        criteria_digest="",
        streams=(),
        tariff=wanted.tariff,
        service_code=wanted.service_code,
        planned_end=wanted.planned_end,
        created_by=who,
    )


def _instant(text: str | None, field: str) -> int | None:
    """RFC 3339, or µs since the epoch."""
    if text is None:
        return None
    try:
        instant = int(text) if text.lstrip("-").isdecimal() else from_rfc3339(text)
    except ValueError as error:
        raise Invalid("instant_malformed", str(error), field=field, remedy="write RFC 3339 with an offset") from error
    if not FIRST <= instant <= LAST:
        raise Invalid("instant_range", f"{text} lies outside the years 1 to 9999", field=field, remedy="write RFC 3339")
    return instant
