"""`pilotline ingest …`, `pilotline registry …` and `pilotline keys …`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
import yaml

from services.ingest.adapters.registry_store import apply_registry, plan_registry
from services.ingest.config import GatewaySettings, SinkSettings
from services.ingest.domain.registration import Plan
from services.ingest.entrypoints import http, sink
from services.ingest.entrypoints.registry import registry_document
from shared.contracts.registry_document import read_yaml
from shared.kernel.errors import Problem
from shared.kernel.times import micros, to_rfc3339
from shared.observability.process import run_process
from shared.storage.api_keys import Role, Scope, create_key, list_keys, revoke_key
from shared.storage.pool import Connection, connect
from shared.storage.registry import read_registry

T = TypeVar("T")
_database = click.option(
    "--database-url",
    envvar="PILOTLINE_DATABASE_URL",
    required=True,
    help="TimescaleDB; default $PILOTLINE_DATABASE_URL",
)


@click.group("ingest")
def group() -> None:
    """Accept telemetry and store it."""


@group.command("http")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def gateway_command(check: bool) -> None:
    """Run the gateway until SIGTERM."""
    run_process("ingest-http", http.main, GatewaySettings, ["--check"] if check else [])


@group.command("sink")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def sink_command(check: bool) -> None:
    """Run the sink until SIGTERM."""
    run_process("ingest-sink", sink.main, SinkSettings, ["--check"] if check else [])


@click.group("registry")
def registry() -> None:
    """What exists: platforms, lines, instruments, streams, channels, customers."""


@registry.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="only show what would change")
@_database
def apply(file: Path, dry_run: bool, database_url: str) -> None:
    """Register what FILE names. Shows the differences first; the same file again changes nothing."""

    text = file.read_text(encoding="utf-8")

    async def work(connection: Connection) -> Plan:
        document = read_yaml(text)
        found = await plan_registry(connection, document)
        _show(found)
        if found.differences and not dry_run:
            await apply_registry(connection, document)
        return found

    found = _run(database_url, work)
    if found.differences:
        click.echo("nothing written" if dry_run else f"{len(found.differences)} applied")


@registry.command("show")
@_database
def show(database_url: str) -> None:
    """Print what is registered, as YAML."""
    document = registry_document(_run(database_url, read_registry))
    click.echo(yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=140), nl=False)


@click.group("keys")
def keys() -> None:
    """API keys of gateways, people and services."""


@keys.command("create")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--label", required=True, help="what the key is for")
@click.option(
    "--person",
    help="whose key it is; operator and admin need it. Two people who must act (approvals of a standard) are two persons: "
    "two keys of one person count once, however the name's case and spaces are written",
)
@click.option("--platform", help="the key reaches only this platform")
@click.option("--line", help="… this line")
@click.option("--instrument", help="… this instrument")
@click.option("--days", type=click.IntRange(1, 36_500), help="expires after so many days; never by default")
@_database
def create(
    role: str,
    label: str,
    person: str | None,
    platform: str | None,
    line: str | None,
    instrument: str | None,
    days: int | None,
    database_url: str,
) -> None:
    """Print a new key. It is shown this once; only a hash is stored."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    scope = Scope(platform, line, instrument)

    async def work(connection: Connection) -> str:
        return await create_key(
            connection, label=label, role=Role(role), scope=scope, expires_at=expires_at, person=person
        )

    click.echo(_run(database_url, work))


@keys.command("list")
@_database
def show_keys(database_url: str) -> None:
    """Every key with role, scope, state, person and label; never its secret."""
    now = datetime.now(UTC)
    for key in _run(database_url, list_keys):
        expired = key.expires_at is not None and key.expires_at <= now
        state = "revoked" if key.revoked_at else "expired" if expired else "valid"
        reach = key.scope.instrument or key.scope.line or key.scope.platform or "everything"
        created = to_rfc3339(micros(key.created_at))
        click.echo(f"{key.prefix}  {state:8} {key.role.value:10} {reach:24} {created}  {key.person}  {key.label}")


@keys.command("revoke")
@click.argument("prefix")
@_database
def revoke(prefix: str, database_url: str) -> None:
    """Refuse the key with this PREFIX from now on, everywhere within 5 s."""

    async def work(connection: Connection) -> None:
        await revoke_key(connection, prefix)

    _run(database_url, work)
    click.echo(f"{prefix} revoked")


def _show(found: Plan) -> None:
    for difference in found.differences:
        click.echo(difference.line())
    if not found.differences:
        click.echo("nothing to change")


def _run(database_url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """One transaction; a problem becomes one line and exit code 1."""

    async def inside() -> T:
        async with connect(database_url, name="pilotline-cli") as connection:
            return await work(connection)

    try:
        return asyncio.run(inside())
    except Problem as problem:
        raise click.ClickException(f"{problem.code}: {problem.detail}" + _hint(problem)) from problem


def _hint(problem: Problem) -> str:
    return f" ({problem.remedy})" if problem.remedy else ""
