"""`pilotline verification …`; its groups `criteria` and `webhooks` also stand alone, where the root command lists them."""

from __future__ import annotations

import click

from services.verification.config import ApiSettings, WorkerSettings
from services.verification.entrypoints.criteria_cli import criteria
from services.verification.entrypoints.entry_cli import deviations, results
from services.verification.entrypoints.webhook_cli import webhooks
from shared.observability.process import run_process


@click.group("verification")
def group() -> None:
    """Judge runs against agreed criteria."""


@group.command("api")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def api_command(check: bool) -> None:
    """Run the API with its pages until SIGTERM."""
    from services.verification.entrypoints import api

    run_process("verification-api", api.main, ApiSettings, ["--check"] if check else [])


@group.command("worker")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def worker_command(check: bool) -> None:
    """Run the worker until SIGTERM."""
    from services.verification.entrypoints import worker

    run_process("verification-worker", worker.main, WorkerSettings, ["--check"] if check else [])


group.add_command(criteria)
group.add_command(webhooks)
group.add_command(results)
group.add_command(deviations)
