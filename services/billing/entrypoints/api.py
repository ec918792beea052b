"""The billing API: rules, usage and invoices over HTTP; its relay stands by for the meter's."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from services.billing.bootstrap import build_api
from services.billing.config import ApiSettings
from services.billing.entrypoints import costs, invoices, notes, rules, slots, usage
from shared.observability.health import serving
from shared.observability.process import run_process


def add_routes(app: FastAPI) -> FastAPI:
    """Every route of billing. `app.state.office` is the `Office` they work with."""
    for part in (rules, usage, notes, slots, costs, invoices):
        app.include_router(part.router)
    return app


async def main(settings: ApiSettings, stop: asyncio.Event) -> None:
    """Returns after `stop`, open requests answered."""
    async with (
        build_api(settings) as (app, relay),
        serving(add_routes(app), settings.bind_host, settings.bind_port),
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(relay.run(stop))
        await stop.wait()


if __name__ == "__main__":
    run_process("billing-api", main, ApiSettings)
