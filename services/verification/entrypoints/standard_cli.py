"""`pilotline standards …`: drafts, reviews, approvals, adoption; and, without a server, whether criteria keep a standard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from services.verification.adapters.standard_store import StandardStore
from services.verification.domain.criteria_model import load_criteria
from services.verification.domain.standards import Action, Step, load_standard
from services.verification.domain.tightening import loosened
from services.verification.ports import StoredStandard
from services.verification.standard_handlers import adopt as adopt_version
from services.verification.standard_handlers import save_draft, take_step
from shared.kernel.errors import Problem
from shared.kernel.times import to_rfc3339
from shared.storage.pool import connect
from shared.storage.registry import read_registry

T = TypeVar("T")
_database = click.option(
    "--database-url", envvar="PILOTLINE_DATABASE_URL", required=True, help="default $PILOTLINE_DATABASE_URL"
)
_who = click.option("--who", required=True, help="who does it: the record names this person")
_why = click.option("--why", default="", help="what the record says about the reason")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("standards")
def standards() -> None:
    """Standards: clauses and criteria that platforms adopt and may tighten, never loosen."""


@standards.command("import")
@click.argument("file", type=_file)
@_who
@_database
def import_(file: Path, who: str, database_url: str) -> None:
    """Keep FILE as a draft. The same content again changes nothing."""
    standard = _explained(lambda: load_standard(file.read_bytes()))
    stored = _run(database_url, lambda store: save_draft(standard, who=who, store=store))
    _say(stored)


def _step_command(action: Action, text: str) -> None:
    @standards.command(action.value, help=text)
    @click.argument("standard")
    @click.argument("version")
    @_who
    @_why
    @_database
    def command(standard: str, version: str, who: str, why: str, database_url: str) -> None:
        today = datetime.now(UTC).date()
        step = Step(action, who, why)
        _say(_run(database_url, lambda store: take_step(standard, version, step, today=today, store=store)))


_step_command(Action.SUBMIT, "Hand the draft over for review: nothing of it changes from then on.")
_step_command(Action.RETURN, "Give it back to be changed.")
_step_command(Action.APPROVE, "Approve it; the second approval, of two other people than its author, counts.")
_step_command(Action.EFFECT, "Bring an approved version into effect; it supersedes the one that was.")
_step_command(Action.WITHDRAW, "Withdraw it; sets that name it cannot be published any more.")


@standards.command("adopt")
@click.argument("standard")
@click.argument("version")
@click.option("--platform", required=True)
@_who
@_database
def adopt(standard: str, version: str, platform: str, who: str, database_url: str) -> None:
    """A platform adopts VERSION of STANDARD: its criteria sets may name it, and keep to it."""

    async def work(store: StandardStore) -> StoredStandard:
        registry = await read_registry(store.connection)
        return await adopt_version(standard, version, platform, who=who, registry=registry, store=store)

    stored = _run(database_url, work)
    click.echo(f"{platform} has adopted {standard} {version}, digest {stored.digest}")


@standards.command("list")
@_database
def list_(database_url: str) -> None:
    """Every version with its state."""

    async def work(store: StandardStore) -> list[StoredStandard]:
        return list(await store.list())

    shown = Table(box=None, pad_edge=False)
    for column in ("standard", "version", "state", "number", "effective from", "title"):
        shown.add_column(column)
    for item in _run(database_url, work):
        one = item.standard
        number = f"{one.number}-{one.year}"
        shown.add_row(
            one.id,
            one.version,
            item.standing.state,
            number,
            str(one.effective_from),
            f"{one.title.en} / {one.title.zh}",
        )
    Console().print(shown)


@standards.command("show")
@click.argument("standard")
@click.argument("version")
@_database
def show(standard: str, version: str, database_url: str) -> None:
    """One version: what was done to it and by whom, its clauses, who has adopted it."""

    async def work(store: StandardStore) -> tuple[StoredStandard | None, list[str]]:
        return await store.find(standard, version), [a.platform for a in await store.adoptions(standard, version)]

    stored, platforms = _run(database_url, work)
    if stored is None:
        raise click.ClickException(f"there is no standard {standard} {version}")
    _say(stored)
    for item in stored.history:
        why = f": {item.step.why}" if item.step.why else ""
        click.echo(f"  {to_rfc3339(item.at)}  {item.step.action} by {item.step.who}{why}")
    for clause in stored.standard.clauses:
        names = ", ".join(c.id for c in stored.standard.criteria if c.clause == clause.id)
        click.echo(f"  {clause.id}  {clause.title.en} / {clause.title.zh}  [{names}]")
    click.echo(f"  adopted by: {', '.join(platforms) or 'nobody'}")


@standards.command("compare")
@click.argument("standard", type=_file)
@click.argument("criteria", type=_file)
def compare(standard: Path, criteria: Path) -> None:
    """Say where the file CRITERIA is looser than the file STANDARD; no server is needed. Exit code 1 when it is."""
    asked = _explained(lambda: load_standard(standard.read_bytes()))
    given = _explained(lambda: load_criteria(criteria.read_bytes()))
    found = loosened(asked, given)
    for item in found:
        field = f".{item.field}" if item.criterion and item.field else item.field
        click.echo(f"{item.criterion}{field}: {item.detail}")
    if found:
        raise click.exceptions.Exit(1)
    click.echo(f"{given.id} version {given.version} keeps {asked.id} {asked.version}; digest of it: {asked.digest()}")


def _say(stored: StoredStandard) -> None:
    now = stored.standing
    approvals = f", approved by {' and '.join(now.approved_by)}" if now.approved_by else ""
    click.echo(f"{stored.standard.id} {stored.standard.version}: {now.state}{approvals}, digest {stored.digest}")


def _run(database_url: str, work: Callable[[StandardStore], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with connect(database_url, name="pilotline-cli") as connection:
            return await work(StandardStore(connection))

    return _explained(lambda: asyncio.run(connected()))


def _explained(work: Callable[[], T]) -> T:
    try:
        return work()
    except Problem as problem:
        where = f"{problem.field}: " if problem.field else ""
        remedy = f"; {problem.remedy}" if problem.remedy else ""
        raise click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}") from problem
