"""The gateway: `POST /v1/telemetry`, the registry and what is stored, over HTTP."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from services.ingest.bootstrap import build_gateway
from services.ingest.config import GatewaySettings
from services.ingest.entrypoints import frames, quarantine, registry, telemetry
from shared.observability.health import serving
from shared.observability.process import run_process


def add_routes(app: FastAPI) -> FastAPI:
    """Every route of ingest. `app.state.gateway` is the `Gateway` they work with."""
    for part in (telemetry, registry, frames, quarantine):
        app.include_router(part.router)
    return app


async def main(settings: GatewaySettings, stop: asyncio.Event) -> None:
    async with build_gateway(settings) as app, serving(add_routes(app), settings.bind_host, settings.bind_port):
        await stop.wait()


if __name__ == "__main__":
    run_process("ingest-http", main, GatewaySettings)
