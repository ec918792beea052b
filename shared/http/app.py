"""The FastAPI application every service starts from: problems, bounded bodies, keys, health and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

from shared.http.body import BodyLimits, InflatedBody, InFlight
from shared.http.plain_text import PlainAddress
from shared.http.problems import Outermost, answer_problems
from shared.observability.health import Check, alive_response, metrics_response, ready_response
from shared.storage.api_keys import ApiKeys


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
    app.add_middleware(PlainAddress)
    app.add_middleware(Outermost)
    _add_health(app, checks)
    return app


def _add_health(app: FastAPI, checks: Mapping[str, Check]) -> None:
    @app.get("/livez", tags=["health"])
    async def alive() -> Response:
        return alive_response()

    @app.get("/readyz", tags=["health"])
    async def ready() -> Response:
        return await ready_response(checks)

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        return metrics_response()
