"""What-if over HTTP: a job over stored runs and drafts, and its flip table."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.what_if import check_final
from services.verification.adapters.what_if_jobs import Job, WhatIfJobs
from services.verification.domain.criteria_model import CriteriaSet, validated
from services.verification.domain.what_if import check_names
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_run
from services.verification.entrypoints.documents import json_of
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.storage.api_keys import Caller
from shared.storage.pool import Connection

router = APIRouter(prefix="/v1/what-ifs", tags=["what-if"])


class _Reference(BaseModel):
    model_config = ConfigDict(extra="forbid")
    set: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[int, Field(ge=1)]


class _Ask(BaseModel):
    """Runs that are over, and drafts: kept ones by reference, or whole documents."""

    model_config = ConfigDict(extra="forbid")
    runs: Annotated[list[str], Field(min_length=1, max_length=200)]
    criteria: Annotated[list[_Reference], Field(max_length=8)] = []
    drafts: Annotated[list[dict[str, Any]], Field(max_length=8)] = []


@router.post("", status_code=202)
async def ask(body: _Ask, response: Response, parts: Parts, caller: Operator) -> dict[str, Any]:
    """Queue a job. 409 for runs without a final verdict, 429 when enough wait already."""
    runs = list(dict.fromkeys(body.runs))
    for run in runs:
        await reach_run(parts, caller, run)
    drafts = [(f"drafts[{k}]", validated(document, f"drafts[{k}]")) for k, document in enumerate(body.drafts)]
    job = uuid4()
    async with parts.pool.connection() as connection, connection.transaction():
        drafts += [(f"criteria[{k}]", await _kept(connection, kept)) for k, kept in enumerate(body.criteria)]
        if not drafts:
            raise Invalid(
                "what_if_empty",
                "neither criteria nor drafts are given",
                field="criteria",
                remedy="name criteria that are kept, or give drafts as documents",
            )
        check_names(drafts)
        await check_final(connection, runs)
        await WhatIfJobs(connection).add(job, caller.prefix, runs, [draft for _, draft in drafts])
    response.headers["location"] = f"/v1/what-ifs/{job}"
    return {"job": str(job), "state": "queued"}


@router.get("")
async def index(
    parts: Parts,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: UUID | None = None,
) -> dict[str, Any]:
    """The jobs of the last 30 days whose runs are all within the key's scope, newest first, without their tables; `next` goes into `after`."""
    async with parts.pool.connection() as connection:
        found = await WhatIfJobs(connection).page(limit=limit + 1, after=after)
        shown = found[:limit]
        hidden = await _hidden(connection, caller, {run for job in shown for run in job.runs})
    return {
        "items": [
            {name: value for name, value in _document(job).items() if name != "tables"}
            for job in shown
            if hidden.isdisjoint(job.runs)
        ],
        "next": str(shown[-1].job) if len(found) > limit else None,
    }


@router.get("/{job}")
async def show(job: UUID, parts: Parts, caller: Reader) -> dict[str, Any]:
    """The job's state, its progress (0 … 1), and its tables when it is done."""
    return _document(await _reached(parts, caller, job))


@router.post("/{job}/cancel")
async def cancel(job: UUID, parts: Parts, caller: Operator) -> dict[str, Any]:
    """A job that waits or is worked on ends as failed with the problem `what_if_cancelled`. 409 for one that is over."""
    await _reached(parts, caller, job)
    async with parts.pool.connection() as connection, connection.transaction():
        if not await WhatIfJobs(connection).cancel(job, caller.prefix):
            raise NotAllowed("what_if_over", "the job is over", field="job", remedy=f"see GET /v1/what-ifs/{job}")
    return _document(await _reached(parts, caller, job))


async def _reached(parts: Parts, caller: Caller, job: UUID) -> Job:
    async with parts.pool.connection() as connection:
        found = await WhatIfJobs(connection).find(job)
    if found is None:
        raise NotFound("what_if_unknown", f"there is no job {job}", field="job")
    for run in found.runs:
        await reach_run(parts, caller, run)
    return found


async def _hidden(connection: Connection, caller: Caller, runs: Collection[str]) -> set[str]:
    """The runs outside of the key's scope."""
    cursor = await connection.execute(
        "select run_id, platform_id, line_id from verification.run where run_id = any(%s)", (list(runs),)
    )
    return {
        run
        for run, platform, line in await cursor.fetchall()
        if not caller.scope.covers_line(platform=platform, line=line)
    }


async def _kept(connection: Connection, reference: _Reference) -> CriteriaSet:
    stored = await CriteriaStore(connection).find(reference.set, reference.version)
    if stored is None:
        raise NotFound(
            "criteria_unknown", f"there are no criteria {reference.set} version {reference.version}", field="criteria"
        )
    return stored.criteria


def _document(job: Job) -> dict[str, Any]:
    document: dict[str, Any] = json_of(job)
    document["job"] = str(job.job)
    return document
