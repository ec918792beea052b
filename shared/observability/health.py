"""`/livez`, `/readyz` and `/metrics`: the same answers from an HTTP service and from a process that has no other HTTP (O-4)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

Check = Callable[[], Awaitable[None]]
"""Returns when a dependency answers, raises when it does not."""

_check_patience = 2.0


async def readiness(checks: Mapping[str, Check]) -> tuple[bool, dict[str, str]]:
    """Whether every dependency answers within 2 s, and per dependency `ok` or what it failed with."""
    states = dict(zip(checks, await asyncio.gather(*(_state(check) for check in checks.values())), strict=True))
    return all(state == "ok" for state in states.values()), states


def alive_response() -> Response:
    return JSONResponse({"status": "alive"})


async def ready_response(checks: Mapping[str, Check]) -> Response:
    """200 when ready, else 503; either way it says which dependency is missing."""
    well, states = await readiness(checks)
    return JSONResponse({"status": "ready" if well else "not ready", "checks": states}, 200 if well else 503)


def metrics_response() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def health_app(checks: Mapping[str, Check]) -> Starlette:
    """The ASGI application of a process without HTTP of its own."""

    async def alive(_request: Request) -> Response:
        return alive_response()

    async def ready(_request: Request) -> Response:
        return await ready_response(checks)

    async def metrics(_request: Request) -> Response:
        return metrics_response()

    return Starlette(routes=[Route("/livez", alive), Route("/readyz", ready), Route("/metrics", metrics)])


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers of its own: the process decides the order in which things stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int, *, patience: float = 10.0) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port. On leaving, open requests have `patience` seconds to end."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="auto",
        timeout_graceful_shutdown=int(patience),
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(), name="http")
    try:
        while not server.started:
            if task.done():
                raise OSError(f"HTTP did not start on {host}:{port}") from task.exception()
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(_check_patience):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever fails here is the answer
        return type(error).__name__
    return "ok"
