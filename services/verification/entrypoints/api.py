"""The verification API: criteria, runs, the live stream, webhooks, the pages; and the relay of verification's outbox.

The relay runs here because what people do (start, phase, stop) has to reach the line's topic within milliseconds. The worker runs one as a
stand-by: an advisory lock lets one of them publish at a time, and when this process is away the worker's events still go out.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from fastapi import FastAPI

from services.verification.adapters.what_if_jobs import WhatIfWorker
from services.verification.bootstrap import Verification, build_api, build_webhooks
from services.verification.config import ApiSettings
from services.verification.entrypoints import (
    criteria_routes,
    entry_routes,
    iteration_routes,
    report_routes,
    run_routes,
    sse,
    standard_routes,
    webhook_routes,
    what_if_routes,
)
from services.verification.entrypoints.web import router
from shared.messaging.relay import Relay
from shared.observability.health import serving
from shared.observability.process import run_process
from shared.storage.pool import Pool

_LIVE_PATIENCE = 5.0


def add_routes(app: FastAPI, pool: Pool) -> FastAPI:
    """Every route. `app.state.verification` is what they work with."""
    router.mount(app, pool)
    for part in (
        criteria_routes,
        entry_routes,
        iteration_routes,
        run_routes,
        report_routes,
        sse,
        standard_routes,
        webhook_routes,
        what_if_routes,
    ):
        app.include_router(part.router)
    return app


async def main(settings: ApiSettings, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as open_parts:
        app, producer = await open_parts.enter_async_context(build_api(settings))
        parts: Verification = app.state.verification
        add_routes(app, parts.pool)
        relay = Relay("verification", database_url=settings.database_url.get_secret_value(), producer=producer)
        webhooks = await open_parts.enter_async_context(build_webhooks(settings))
        address = (settings.bind_host, settings.port)
        await open_parts.enter_async_context(serving(app, *address, patience=_LIVE_PATIENCE))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay.run(stop))
            tasks.create_task(parts.feed.run(stop))
            tasks.create_task(webhooks.run(stop))
            tasks.create_task(WhatIfWorker(settings.database_url.get_secret_value()).run(stop))


if __name__ == "__main__":
    run_process("verification-api", main, ApiSettings)
