"""Standards over HTTP: drafts, steps of their life, adoptions."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.verification.adapters.standard_store import StandardStore
from services.verification.domain.standards import Action, Step, load_standard, state_on
from services.verification.entrypoints.context import Operator, Parts, Reader
from services.verification.ports import StoredStandard
from services.verification.standard_handlers import adopt, save_draft, take_step
from shared.http.keys import check_scope
from shared.kernel.errors import NotFound
from shared.kernel.times import to_rfc3339

router = APIRouter(prefix="/v1/standards", tags=["standards"])


class _NewStep(BaseModel):
    model_config = ConfigDict(extra="forbid")
    action: Literal["submit", "return", "approve", "effect", "withdraw"]
    why: Annotated[str, Field(max_length=2000)] = ""


class _NewAdoption(BaseModel):
    model_config = ConfigDict(extra="forbid")
    platform: Annotated[str, Field(min_length=1, max_length=60)]


@router.put("", status_code=200)
async def keep_draft(request: Request, parts: Parts, caller: Operator) -> dict[str, Any]:
    """Keep the standard in the body (YAML or JSON) as a draft. The same content again changes nothing. Standards belong to the whole
    installation: a key bound to a part of it does not change them."""
    check_scope(caller)
    standard = load_standard(await request.body())
    async with parts.pool.connection() as connection, connection.transaction():
        store = StandardStore(connection)
        return _document(await save_draft(standard, who=caller.person, store=store), await store.today())


@router.get("")
async def index(
    parts: Parts,
    _caller: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    """Every version, by id and then newest first."""
    async with parts.pool.connection() as connection:
        store = StandardStore(connection)
        found, today = await store.list(), await store.today()
    more = offset + limit < len(found)
    shown = [_document(item, today, whole=False) for item in found[offset : offset + limit]]
    return {"items": shown, "next": offset + limit if more else None}


@router.get("/{standard}/versions/{version}")
async def show(standard: str, version: str, parts: Parts, _caller: Reader) -> dict[str, Any]:
    """One version with its content, its history and who has adopted it."""
    async with parts.pool.connection() as connection:
        store = StandardStore(connection)
        stored = await store.find(standard, version)
        if stored is None:
            raise NotFound("standard_unknown", f"there is no standard {standard} {version}", field="version")
        adoptions = [
            {"platform": item.platform, "who": item.who, "at": to_rfc3339(item.at)}
            for item in await store.adoptions(standard, version)
        ]
        return {**_document(stored, await store.today()), "adoptions": adoptions}


@router.post("/{standard}/versions/{version}/steps")
async def step(standard: str, version: str, body: _NewStep, parts: Parts, caller: Operator) -> dict[str, Any]:
    """Submit, return, approve (two other people, whatever keys they have), bring into effect, withdraw. Not with a key bound to a part of
    the installation."""
    check_scope(caller)
    wanted = Step(Action(body.action), caller.person, body.why)
    async with parts.pool.connection() as connection, connection.transaction():
        store = StandardStore(connection)
        return _document(await take_step(standard, version, wanted, store=store), await store.today())


@router.post("/{standard}/versions/{version}/adoptions")
async def adoption(standard: str, version: str, body: _NewAdoption, parts: Parts, caller: Operator) -> dict[str, Any]:
    """A platform adopts a version that is in effect: its criteria sets may then name it."""
    check_scope(caller, platform=body.platform)
    registry = await parts.registry.refresh()
    async with parts.pool.connection() as connection, connection.transaction():
        store = StandardStore(connection)
        stored = await adopt(standard, version, body.platform, who=caller.person, registry=registry, store=store)
    return {"standard": standard, "version": version, "digest": stored.digest, "platform": body.platform}


def _document(stored: StoredStandard, today: date, *, whole: bool = True) -> dict[str, Any]:
    standard, now = stored.standard, stored.standing
    facts: dict[str, Any] = {
        "id": standard.id,
        "version": standard.version,
        "digest": stored.digest,
        "state": str(state_on(standard, now, today)),
        "author": now.author,
        "approved_by": list(now.approved_by),
        "body": standard.body,
        "number": standard.number,
        "year": standard.year,
        "title": standard.title.model_dump(),
        "effective_from": standard.effective_from.isoformat(),
        "effective_to": None if standard.effective_to is None else standard.effective_to.isoformat(),
    }
    if whole:
        facts["history"] = [
            {"action": str(item.step.action), "who": item.step.who, "why": item.step.why, "at": to_rfc3339(item.at)}
            for item in stored.history
        ]
        facts["document"] = standard.model_dump(mode="json")
    return facts
