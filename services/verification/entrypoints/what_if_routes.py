"""What-if over HTTP: a job over stored runs and drafts, and its flip table."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.what_if_jobs import Job, WhatIfJobs
from services.verification.domain.criteria_model import CriteriaSet, validated
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_run
from services.verification.entrypoints.documents import json_of
from shared.kernel.errors import NotFound

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
    """Queue a job. 429 when enough wait already."""
    runs = list(dict.fromkeys(body.runs))
    for run in runs:
        await reach_run(parts, caller, run)
    drafts = [validated(document, f"drafts[{k}]") for k, document in enumerate(body.drafts)]
    job = uuid4()
    async with parts.pool.connection() as connection, connection.transaction():
        drafts += [await _kept(connection, reference) for reference in body.criteria]
        if not drafts:
            raise NotFound("what_if_empty", "neither criteria nor drafts are given", field="criteria")
        await WhatIfJobs(connection).add(job, caller.prefix, runs, drafts)
    response.headers["location"] = f"/v1/what-ifs/{job}"
    return {"job": str(job), "state": "queued"}


@router.get("/{job}")
async def show(job: UUID, parts: Parts, caller: Reader) -> dict[str, Any]:
    """The job's state, its progress (0 … 1), and its tables when it is done."""
    async with parts.pool.connection() as connection:
        found = await WhatIfJobs(connection).find(job)
    if found is None:
        raise NotFound("what_if_unknown", f"there is no job {job}", field="job")
    for run in found.runs:
        await reach_run(parts, caller, run)
    return _document(found)


async def _kept(connection: Any, reference: _Reference) -> CriteriaSet:
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
