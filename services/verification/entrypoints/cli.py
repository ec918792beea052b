"""`pilotline verification …`; its `criteria` group also stands alone as `pilotline criteria …` where the root command lists it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.config import ApiSettings, WorkerSettings
from services.verification.domain.criteria_model import CriteriaSet, load_criteria
from services.verification.entrypoints.entry_cli import deviations, results
from services.verification.entrypoints.webhook_cli import webhooks
from services.verification.handlers import check_criteria, save_criteria
from services.verification.ports import StoredCriteria
from shared.kernel.errors import Problem
from shared.observability.process import run_process
from shared.storage.pool import Connection, connect
from shared.storage.registry import read_registry

T = TypeVar("T")
_database = click.option(
    "--database-url",
    envvar="PILOTLINE_DATABASE_URL",
    required=True,
    help="TimescaleDB; default $PILOTLINE_DATABASE_URL",
)
_line = click.option("--line", required=True, help="the line whose channels the set is checked against")
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


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


@click.group("criteria")
def criteria() -> None:
    """Criteria sets: check, publish."""


group.add_command(criteria)
group.add_command(webhooks)
group.add_command(results)
group.add_command(deviations)


@criteria.command("check")
@_file
@_line
@_database
def check(file: Path, line: str, database_url: str) -> None:
    """Say everything that is wrong with FILE, and how much memory its windows need. Exit code 1 when something is."""
    wanted = _read(file)

    async def work(connection: Connection) -> bool:
        report = check_criteria(wanted, line, await read_registry(connection))
        click.echo(report.text())
        return not report.findings

    if not _run(database_url, work):
        raise click.exceptions.Exit(1)


@criteria.command("apply")
@_file
@_line
@click.option("--draft", is_flag=True, help="keep it as a draft instead of publishing it")
@_database
def apply(file: Path, line: str, draft: bool, database_url: str) -> None:
    """Publish FILE. The same content again changes nothing; other content under a published version is refused."""
    wanted = _read(file)

    async def work(connection: Connection) -> StoredCriteria:
        registry = await read_registry(connection)
        store = CriteriaStore(connection)
        return await save_criteria(wanted, line=line, publish=not draft, who="cli", registry=registry, store=store)

    stored = _run(database_url, work)
    state = "published" if stored.published else "draft"
    click.echo(f"{stored.criteria.id} version {stored.criteria.version}: {state}, digest {stored.digest}")


def _read(file: Path) -> CriteriaSet:
    try:
        return load_criteria(file.read_bytes())
    except Problem as problem:
        raise _explained(problem) from problem


def _run(database_url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with connect(database_url, name="pilotline-cli") as connection:
            return await work(connection)

    try:
        return asyncio.run(connected())
    except Problem as problem:
        raise _explained(problem) from problem


def _explained(problem: Problem) -> click.ClickException:
    where = f"{problem.field}: " if problem.field else ""
    remedy = f"; {problem.remedy}" if problem.remedy else ""
    return click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}")
