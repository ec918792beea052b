"""`pilotline criteria …`: check, explain, convert, preview and publish criteria sets. check and explain work without any server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.standard_store import StandardStore
from services.verification.adapters.what_if import Tables, judge_run
from services.verification.criteria_handlers import check_criteria, save_criteria, streams_of_line
from services.verification.domain.check import CheckReport, check
from services.verification.domain.compiled_text import compiled_text, entered_text
from services.verification.domain.criteria.expanding import expansion
from services.verification.domain.criteria.marks import Marked
from services.verification.domain.criteria.writing import kind_text, set_text, set_yaml
from services.verification.domain.criteria_model import CriteriaSet, read_criteria
from services.verification.domain.entries import ENTERED, compile_entered
from services.verification.domain.plan import compile_criterion
from services.verification.domain.signals import channels_of
from services.verification.entrypoints.reference_cli import reference
from services.verification.ports import StoredCriteria
from shared.contracts.registry import Stream
from shared.contracts.registry_document import draft, read_yaml
from shared.kernel.errors import Invalid, Malformed, Problem
from shared.storage.pool import Connection, connect
from shared.storage.registry import read_registry

T = TypeVar("T")
_database = click.option(
    "--database-url",
    envvar="PILOTLINE_DATABASE_URL",
    help="TimescaleDB; default $PILOTLINE_DATABASE_URL",
)
_line = click.option("--line", required=True, help="the line whose channels the set is checked against")
_registry = click.option(
    "--registry",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a registry file to check against, instead of the one in the database: no server is needed",
)
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))

_LONGEST = 1000
"""Characters of a criterion that `explain` shows."""


@click.group("criteria")
def criteria() -> None:
    """Criteria sets in YAML, JSON or the text form: check, explain, convert, preview, publish."""


criteria.add_command(reference)


@criteria.command("check")
@_file
@_line
@_registry
@_database
def check_command(file: Path, line: str, registry: Path | None, database_url: str | None) -> None:
    """Say everything that is wrong with FILE, with line and column, and how much memory its windows need.

    Exit code 1 when something is wrong.
    """
    wanted, marks = _read(file)
    report = _report(wanted, marks, line, registry, database_url)
    click.echo(report.text())
    if report.findings:
        raise click.exceptions.Exit(1)


@criteria.command("explain")
@_file
@_line
@_registry
@_database
def explain(file: Path, line: str, registry: Path | None, database_url: str | None) -> None:
    """Say what each criterion of FILE stands for: its expansion, its limits as compiled, the decision rule with its uncertainty, what it demands
    of its data, what it waits for, its memory."""
    wanted, marks = _read(file)
    streams = _streams(line, registry, database_url)
    report = check(wanted, streams, marks)
    memory = dict(report.memory)
    channels, phases = channels_of(streams), {phase.id: phase for phase in wanted.phases}
    for index, criterion in enumerate(wanted.criteria):
        where = f"criteria[{index}]"
        clause = f"  clause {criterion.clause}" if criterion.clause else ""
        click.echo(f"{criterion.id}  [{criterion.phase}]{clause}  {criterion.title.en} / {criterion.title.zh}")
        click.echo(f"    {_shortened(kind_text(criterion))}")
        click.echo(f"    means    {expansion(criterion)}")
        if criterion.id in memory:
            plan = compile_criterion(criterion, channels, phases, None, where)
            for label, text in compiled_text(criterion, plan):
                click.echo(f"    {label:8} {text}")
            click.echo(f"    margin   in {plan.lane.unit}; waits for {', '.join(plan.signal.streams)}")
            click.echo(f"    memory   at most {memory[criterion.id] / 1024:.1f} KiB")
        elif criterion.kind in ENTERED and not any(found.field.startswith(where) for found in report.findings):
            for label, text in entered_text(compile_entered(criterion, where)):
                click.echo(f"    {label:8} {text}")
        click.echo("")
    for finding in report.findings:
        click.echo(
            f"line {finding.line}: {finding.field}: {finding.code}: {finding.detail}; {finding.remedy}", err=True
        )
    if report.findings:
        raise click.exceptions.Exit(1)


@criteria.command("convert")
@_file
@click.option("--to", "form", required=True, type=click.Choice(["text", "yaml", "json"]))
def convert(file: Path, form: str) -> None:
    """Print FILE in another form. Nothing is lost: the digest stays the same."""
    wanted, _ = _read(file)
    if form == "text":
        click.echo(set_text(wanted), nl=False)
    elif form == "json":
        click.echo(json.dumps(wanted.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, indent=2))
    else:
        click.echo(set_yaml(wanted), nl=False)


@criteria.command("preview")
@_file
@click.option("--run", required=True, help="a run that is over; FILE is judged on its stored frames")
@_database
def preview(file: Path, run: str, database_url: str | None) -> None:
    """Judge a stored run by FILE and print outcomes and margins. Nothing is stored."""
    wanted, _ = _read(file)
    url = _needed(database_url)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(run, total=1.0)

        async def judged() -> Tables:
            return await judge_run(url, run, [wanted], lambda _run, share: bar.update(task, completed=share))

        tables = _explained(lambda: asyncio.run(judged()))
    shown = Table(box=None, pad_edge=False)
    for column in ("criterion", "outcome", "margin", "unit", "reason", "of record"):
        shown.add_column(column, justify="right" if column == "margin" else "left")
    for flip in tables.tables[0].flips:
        if flip.after is not None:
            margin = "" if flip.after.margin is None else f"{flip.after.margin:.6g}"
            before = "" if flip.before is None else flip.before.outcome
            shown.add_row(flip.criterion, flip.after.outcome, margin, flip.after.unit, flip.after.reason or "", before)
    Console().print(shown)
    click.echo(f"together: {tables.tables[0].verdict.after}")


@criteria.command("apply")
@_file
@_line
@click.option("--draft", is_flag=True, help="keep it as a draft instead of publishing it")
@_database
def apply(file: Path, line: str, draft: bool, database_url: str | None) -> None:
    """Publish FILE. The same content again changes nothing; other content under a published version is refused."""
    wanted, marks = _read(file)

    async def work(connection: Connection) -> StoredCriteria:
        registry = await read_registry(connection)
        store = CriteriaStore(connection)
        return await save_criteria(
            wanted,
            line=line,
            publish=not draft,
            who="cli",
            registry=registry,
            store=store,
            standards=StandardStore(connection),
            marks=marks,
        )

    stored = _run(database_url, work)
    state = "published" if stored.published else "draft"
    click.echo(f"{stored.criteria.id} version {stored.criteria.version}: {state}, digest {stored.digest}")


def _shortened(text: str) -> str:
    """A reference of thousands of points is nothing to read."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... ({len(text)} characters)"


def _report(
    wanted: CriteriaSet, marks: Marked, line: str, registry: Path | None, database_url: str | None
) -> CheckReport:
    if registry is not None:
        return check(wanted, _streams(line, registry, database_url), marks)

    async def work(connection: Connection) -> CheckReport:
        return check_criteria(wanted, line, await read_registry(connection), marks)

    return _run(database_url, work)


def _streams(line: str, registry: Path | None, database_url: str | None) -> tuple[Stream, ...]:
    """The line's streams, from the file or from the database."""
    if registry is not None:
        return _explained(lambda: _of_file(_registry_text(registry), line))

    async def work(connection: Connection) -> tuple[Stream, ...]:
        return streams_of_line(await read_registry(connection), line)

    return _run(database_url, work)


def _registry_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(
            "yaml_malformed",
            f"not UTF-8: {error.reason} at byte {error.start}",
            field="--registry",
            remedy="save the registry file as UTF-8",
        ) from error


def _of_file(text: str, line: str) -> tuple[Stream, ...]:
    found = draft(read_yaml(text), lambda _line: None)
    if line not in found.lines:
        raise Invalid(
            "line_unknown", f"the file has no line {line}", field="--line", remedy=f"use {', '.join(found.lines)}"
        )
    return tuple(found.streams[key] for key in sorted(found.streams) if found.streams[key].line == line)


def _read(file: Path) -> tuple[CriteriaSet, Marked]:
    return _explained(lambda: read_criteria(file.read_bytes()))


def _run(database_url: str | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    url = _needed(database_url)

    async def connected() -> T:
        async with connect(url, name="pilotline-cli") as connection:
            return await work(connection)

    return _explained(lambda: asyncio.run(connected()))


def _needed(database_url: str | None) -> str:
    if not database_url:
        raise click.UsageError(
            "no database: set PILOTLINE_DATABASE_URL, start one with `pilotline up`, or use --registry"
        )
    return database_url


def _explained(work: Callable[[], T]) -> T:
    """What a person can mend is told in sentences, every error in one of its own."""
    try:
        return work()
    except Problem as problem:
        errors = problem.extra.get("errors")
        place = {name: problem.extra.get(name) for name in ("line", "column")}
        field = None if str(problem.field).startswith("line ") else problem.field
        listed = errors if isinstance(errors, list) else [{"field": field, "detail": problem.detail, **place}]
        lines = [
            "".join(
                [
                    f"line {item['line']}, column {item['column']}: " if item.get("line") else "",
                    f"{item['field']}: " if item.get("field") else "",
                    f"{problem.code}: {item['detail']}",
                ]
            )
            for item in listed
        ]
        if problem.remedy:
            lines.append(problem.remedy)
        raise click.ClickException("\n".join(lines)) from problem
