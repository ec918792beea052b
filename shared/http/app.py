"""The FastAPI application every service starts from: problems, bounded bodies, keys, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from shared.http.body import BodyLimits, InflatedBody, InFlight
from shared.http.problems import LastResort, answer_problems
from shared.storage.api_keys import ApiKeys

Check = Callable[[], Awaitable[None]]
"""Returns when a dependency answers, raises when it does not."""

_check_patience = 2.0


def create_app(
    title: str,
    *,
    keys: ApiKeys,
    checks: Mapping[str, Check],
    limits: BodyLimits | None = None,
    in_flight: InFlight | None = None,
    lifespan: Any = None,
) -> FastAPI:
    """An application without routes of its own but `/livez` (the process runs), `/readyz` (every check passes) and `/metrics`.

    `lifespan` is FastAPI's: it opens and closes pool and producer. Routes use `require` from shared.http.keys.
    """
    app = FastAPI(title=title, version="1", lifespan=lifespan, redoc_url=None)
    app.state.keys = keys
    answer_problems(app)
    app.add_middleware(InflatedBody, limits=limits or BodyLimits(), in_flight=in_flight or InFlight(256 * 1024 * 1024))
    app.add_middleware(LastResort)
    _add_health(app, checks)
    return app


def _add_health(app: FastAPI, checks: Mapping[str, Check]) -> None:
    @app.get("/livez", tags=["health"])
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz", tags=["health"])
    async def ready() -> JSONResponse:
        states = dict(zip(checks, await asyncio.gather(*(_state(check) for check in checks.values())), strict=True))
        well = all(state == "ok" for state in states.values())
        return JSONResponse({"status": "ready" if well else "not ready", "checks": states}, 200 if well else 503)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(_check_patience):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever fails here is the answer
        return type(error).__name__
    return "ok"
