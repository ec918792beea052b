"""Criteria sets over HTTP: check, keep a draft, publish, read."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from starlette.requests import Request

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.standard_store import StandardStore
from services.verification.criteria_handlers import check_criteria, save_criteria
from services.verification.domain.criteria_model import read_criteria
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_line
from services.verification.entrypoints.documents import criteria_document
from shared.http.fields import INT4_MAX
from shared.kernel.errors import Invalid, NotFound

router = APIRouter(prefix="/v1/criteria-sets", tags=["criteria"])
Line = Annotated[str, Query(max_length=200, description="the line whose channels the set is checked against")]


@router.post("/check")
async def check(request: Request, parts: Parts, caller: Reader, line: Line) -> dict[str, Any]:
    """Every static error of the set in the body (YAML, JSON or the text form), and the memory each criterion needs. Keeps nothing."""
    await reach_line(parts, caller, line)
    criteria, marks = await asyncio.to_thread(read_criteria, await request.body())
    report = check_criteria(criteria, line, await parts.registry.current(), marks)
    return {
        "ok": not report.findings,
        "digest": criteria.digest(),
        "findings": [asdict(finding) for finding in report.findings],
        "memory_bytes": dict(report.memory),
    }


@router.post("")
async def save(
    request: Request,
    response: Response,
    parts: Parts,
    caller: Operator,
    publish: bool = False,
    line: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """Keep the set in the body as a draft, or publish it. The same content again changes nothing (200 instead of 201). A draft that was saved
    with a key that reaches beyond this one is neither replaced nor published with it."""
    if line is not None:
        await reach_line(parts, caller, line)
    criteria, marks = await asyncio.to_thread(read_criteria, await request.body())
    registry = await parts.registry.refresh()
    async with parts.pool.connection() as connection, connection.transaction():
        store = CriteriaStore(connection)
        present = await store.find(criteria.id, criteria.version)
        stored = await save_criteria(
            criteria,
            line=line,
            publish=publish,
            who=caller.prefix,
            registry=registry,
            store=store,
            standards=StandardStore(connection),
            marks=marks,
            scope=caller.scope,
        )
    unchanged = present is not None and (present.digest, present.published) == (stored.digest, stored.published)
    response.status_code = 200 if unchanged else 201
    response.headers["location"] = f"/v1/criteria-sets/{criteria.id}/versions/{criteria.version}"
    return criteria_document(stored, whole=False)


@router.get("")
async def index(
    parts: Parts,
    _caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """By id and version; `next` is the token of the following page."""
    async with parts.pool.connection() as connection:
        found = await CriteriaStore(connection).list(limit=limit + 1, after=_key(after))
    last = found[limit - 1].criteria if len(found) > limit else None
    return {
        "items": [criteria_document(stored, whole=False) for stored in found[:limit]],
        "next": None if last is None else f"{last.id}@{last.version}",
    }


@router.get("/{set_id}/versions/{version}")
async def show(
    parts: Parts, _caller: Reader, set_id: str, version: Annotated[int, Path(ge=1, le=INT4_MAX)]
) -> dict[str, Any]:
    """One version with its document."""
    async with parts.pool.connection() as connection:
        stored = await CriteriaStore(connection).find(set_id, version)
    if stored is None:
        raise NotFound("criteria_unknown", f"there are no criteria {set_id} version {version}", field="version")
    return criteria_document(stored, whole=True)


def _key(token: str | None) -> tuple[str, int] | None:
    if token is None:
        return None
    name, _, version = token.rpartition("@")
    if not name or not version.isdecimal():
        raise Invalid(
            "page_token", "this is no token of this list", field="after", remedy="take `next` of the page before"
        )
    return name, int(version)
