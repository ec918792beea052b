"""The registry over HTTP (I-2): read everything, apply a document. Nothing is deleted: versions are immutable and data refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query
from starlette.requests import Request

from services.ingest.adapters.registry_store import apply_registry, plan_registry
from services.ingest.bootstrap import Gateway
from services.ingest.domain.registration import Plan
from shared.contracts.registry import Stream
from shared.contracts.registry_document import RegistryDocument
from shared.http.fields import INT4_MAX
from shared.http.keys import require
from shared.kernel.errors import NotFound
from shared.storage.api_keys import Caller, Role
from shared.storage.registry import Registry

router = APIRouter(prefix="/v1", tags=["registry"])
Reader = Annotated[Caller, Depends(require())]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]


@router.get("/registry")
async def show(request: Request, caller: Reader) -> dict[str, Any]:
    """Everything the key reaches, in current versions."""
    registry = await _registry(request)
    lines = {
        key: line for key, line in registry.lines.items() if caller.scope.covers_line(platform=line.platform, line=key)
    }
    platforms = {line.platform for line in lines.values()}
    return {
        "platforms": _documents(p for key, p in registry.platforms.items() if key in platforms or caller.scope.whole),
        "lines": _documents(lines.values()),
        "instruments": _documents(item for item in registry.instruments.values() if item.line in lines),
        "customers": _documents(registry.customers.values() if caller.scope.whole else ()),
        "streams": [document(stream) for stream in registry.streams.values() if stream.line in lines],
    }


@router.get("/streams/{line}/{name}")
async def stream(
    request: Request,
    caller: Reader,
    line: str,
    name: str,
    version: Annotated[int | None, Query(ge=1, le=INT4_MAX)] = None,
) -> dict[str, Any]:
    """One stream: its channels, current or in an older version."""
    return document(reachable_stream(await _registry(request), caller, f"{line}/{name}", version))


@router.put("/registry")
async def apply(
    request: Request, _caller: Admin, wanted: Annotated[RegistryDocument, Body()], dry_run: bool = False
) -> dict[str, Any]:
    """Register what the document names; what it leaves out stays. The same document twice changes nothing. `dry_run` only compares."""
    gateway: Gateway = request.app.state.gateway
    async with gateway.pool.connection() as connection:
        if dry_run:
            return _changes(await plan_registry(connection, wanted), applied=False)
        found = await apply_registry(connection, wanted)
    await gateway.registry.refresh()
    return _changes(found, applied=True)


def reachable_stream(registry: Registry, caller: Caller, stream_id: str, version: int | None = None) -> Stream:
    """Raises NotFound(stream_unknown), also for a stream outside the key's scope: a key does not tell what else exists."""
    found = registry.streams.get(stream_id) if version is None else registry.versions.get((stream_id, version))
    if found is None or not caller.scope.covers(platform=found.platform, line=found.line, instrument=found.instrument):
        what = stream_id if version is None else f"{stream_id} version {version}"
        raise NotFound("stream_unknown", f"there is no stream {what}", field="stream", remedy="see GET /v1/registry")
    return found


def registry_document(registry: Registry) -> dict[str, Any]:
    """Everything, in the form of the HTTP answer."""
    return {
        "platforms": _documents(registry.platforms.values()),
        "lines": _documents(registry.lines.values()),
        "instruments": _documents(registry.instruments.values()),
        "customers": _documents(registry.customers.values()),
        "streams": [document(stream) for stream in registry.streams.values()],
    }


def document(found: Stream) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(found)
    return {**facts, "digest": found.digest()}


def _documents(items: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [msgspec.to_builtins(item) for item in items]


def _changes(found: Plan, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "differences": [msgspec.to_builtins(difference) for difference in found.differences],
    }


async def _registry(request: Request) -> Registry:
    gateway: Gateway = request.app.state.gateway
    return await gateway.registry.current()
