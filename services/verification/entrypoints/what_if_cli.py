"""`pilotline what-if`: what drafts of a criteria set would have said about stored runs."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.verification.adapters.what_if import Tables, judge_runs
from services.verification.domain.criteria_model import CriteriaSet, load_criteria
from services.verification.domain.what_if import Flip, FlipTable, Judged, check_names
from shared.kernel.errors import Problem


@click.command("what-if")
@click.option("--runs", required=True, help="ids of runs that are over, separated by commas")
@click.option(
    "--criteria",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a draft as a file; more than once to try several, at no more reading",
)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--all", "everything", is_flag=True, help="also the criteria whose outcome stays")
@click.option("--processes", type=click.IntRange(min=1), help="how many runs are read at a time; default: the cores")
@click.option("--database-url", envvar="PILOTLINE_DATABASE_URL", required=True, help="default $PILOTLINE_DATABASE_URL")
def what_if(
    runs: str, files: tuple[Path, ...], form: str, everything: bool, processes: int | None, database_url: str
) -> None:
    """Judge stored runs by drafts and show which verdicts change, and by how much the margins do.

    Nothing is stored: the verdicts of record stay what they are. Exit code 0 also when verdicts change.
    """
    names = list(dict.fromkeys(name.strip() for name in runs.split(",") if name.strip()))
    if not names:
        raise click.UsageError("--runs names no run")
    try:
        drafts = [load_criteria(file.read_bytes()) for file in files]
        check_names([(str(file), draft) for file, draft in zip(files, drafts, strict=True)])
        tables = asyncio.run(_judged(database_url, names, drafts, processes))
    except Problem as problem:
        remedy = f"; {problem.remedy}" if problem.remedy else ""
        where = f"{problem.field}: " if problem.field else ""
        raise click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}") from problem
    {"table": _table, "json": _json, "csv": _csv}[form](tables, everything)


async def _judged(
    database_url: str, runs: Sequence[str], drafts: Sequence[CriteriaSet], processes: int | None
) -> list[Tables]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    with bar:
        tasks = {run: bar.add_task(run, total=1.0) for run in runs}
        found = [
            tables
            async for tables in judge_runs(
                database_url, runs, drafts, lambda run, share: bar.update(tasks[run], completed=share), most=processes
            )
        ]
    return sorted(found, key=lambda tables: runs.index(tables.run))


def _shown(tables: Sequence[Tables], everything: bool) -> list[tuple[FlipTable, list[Flip]]]:
    return [
        (table, [flip for flip in table.flips if everything or flip.flipped])
        for each in tables
        for table in each.tables
    ]


def _table(tables: Sequence[Tables], everything: bool) -> None:
    shown = Table(title=None, box=None, pad_edge=False)
    for name, justify in (("run", "left"), ("draft", "left"), ("criterion", "left"), ("of record", "left"), ("draft says", "left"),
                          ("margin", "right"), ("draft's", "right"), ("delta", "right"), ("unit", "left")):  # fmt: skip
        shown.add_column(name, justify="right" if justify == "right" else "left", no_wrap=name in ("run", "criterion"))
    for table, flips in _shown(tables, everything):
        verdict = table.verdict
        shown.add_row(verdict.run, verdict.draft, "(the run)", verdict.before, _marked(verdict.before, verdict.after))
        for flip in flips:
            before, after = _word(flip.before), _word(flip.after)
            unit = (flip.after or flip.before or Judged("", None, "", None)).unit
            shown.add_row(
                "", "", flip.criterion, before, _marked(before, after), _number(flip.before), _number(flip.after),
                "" if flip.delta is None else f"{flip.delta:+.6g}", unit,
            )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 160).print(shown)


def _json(tables: Sequence[Tables], everything: bool) -> None:
    click.echo(
        json.dumps(
            [
                asdict(table.verdict) | {"criteria": [asdict(flip) | {"flipped": flip.flipped} for flip in flips]}
                for table, flips in _shown(tables, everything)
            ],
            ensure_ascii=False,
            indent=2,
        )
    )


def _csv(tables: Sequence[Tables], everything: bool) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["run", "draft", "criterion", "before", "after", "margin_before", "margin_after", "delta", "unit"])
    for _, flips in _shown(tables, everything):
        for flip in flips:
            before, after = flip.before, flip.after
            writer.writerow(
                [
                    flip.run,
                    flip.draft,
                    flip.criterion,
                    _word(before),
                    _word(after),
                    "" if before is None else before.margin,
                    "" if after is None else after.margin,
                    flip.delta,
                    (after or before or Judged("", None, "", None)).unit,
                ]
            )


def _word(judged: Judged | None) -> str:
    return "-" if judged is None else judged.outcome


def _marked(before: str, after: str) -> str:
    return after if before == after else f"{after}  *"


def _number(judged: Judged | None) -> str:
    return "" if judged is None or judged.margin is None else f"{judged.margin:.6g}"
