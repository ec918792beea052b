"""`pilotline verification results …` and `… deviations …`: through the API, under the key of the person who acts."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

import click

from services.verification.entry_handlers import DEVIATION_KINDS
from services.verification.entrypoints.asking import Number, api_option, ask, key_option

_run = click.argument("run")


@click.group("results")
def results() -> None:
    """Results of the laboratory and of inspections: enter, confirm, list."""


@results.command("list")
@_run
@api_option
@key_option
def list_results(run: str, api: str, key: str) -> None:
    """What was entered for RUN, and what is awaited."""
    page = ask(api, key, "GET", "runs", run, "results")
    for item in page["items"]:
        said = f"{item['value']['value']:g} {item['value']['unit']}" if item["value"] else _passed(item["passed"])
        second = f", confirmed by {item['confirmed_by']}" if item["confirmed_by"] else ""
        click.echo(f"{item['entry']}  {item['criterion']}  {said}  entered by {item['entered_by']}{second}")
    for item in page["awaited"]:
        click.echo(f"awaited: {item['criterion']} ({item['reason']})")


@results.command("enter")
@_run
@click.argument("criterion")
@click.option("--value", type=Number(), help="a laboratory's value")
@click.option("--unit", default="", help="its UCUM unit")
@click.option("--uncertainty", type=Number(low=0), help="its expanded uncertainty, in the same unit")
@click.option("--passed/--failed", default=None, help="what an inspection has found")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="photograph or protocol")
@click.option("--sampled-at", help="when the sample was taken, RFC 3339")
@click.option("--corrects", help="the entry that this one replaces")
@click.option("--note", default="")
@click.option("--entry-key", help="makes a repetition harmless")
@api_option
@key_option
def enter(run: str, criterion: str, value: float | None, unit: str, uncertainty: float | None, passed: bool | None, file: Path | None,
          sampled_at: str | None, corrects: str | None, note: str, entry_key: str | None, api: str, key: str) -> None:  # fmt: skip
    """Enter a result for CRITERION of RUN."""
    body: dict[str, Any] = {
        "criterion": criterion,
        "value": None if value is None else {"value": value, "unit": unit},
        "uncertainty": uncertainty,
        "passed": passed,
        "attachment": None if file is None else _send(api, key, run, file),
        "sampled_at": sampled_at,
        "corrects": corrects,
        "note": note,
        "key": entry_key,
    }
    made = ask(api, key, "POST", "runs", run, "results", json=body)
    click.echo(made["entry"])


@results.command("confirm")
@_run
@click.argument("entry")
@api_option
@key_option
def confirm(run: str, entry: str, api: str, key: str) -> None:
    """Confirm ENTRY as the second person."""
    made = ask(api, key, "POST", "runs", run, "results", entry, "confirm")
    click.echo(f"{made['criterion']}: confirmed by {made['confirmed_by']}")


@click.group("deviations")
def deviations() -> None:
    """Departures from what was agreed: record, accept, list."""


@deviations.command("list")
@_run
@api_option
@key_option
def list_deviations(run: str, api: str, key: str) -> None:
    """The deviations of RUN."""
    for item in ask(api, key, "GET", "runs", run, "deviations")["items"]:
        state = f"accepted by {item['accepted_by']}" if item["accepted_by"] else "not accepted"
        about = item["criterion"] or "run"
        click.echo(f"{item['deviation']}  {item['kind']}  {about}  {state}  {item['recorded_by']}: {item['reason']}")


@deviations.command("record")
@_run
@click.argument("kind", type=click.Choice(DEVIATION_KINDS))
@click.option("--reason", required=True)
@click.option("--criterion", help="the criterion it concerns; without one the whole run (kind procedure)")
@click.option("--entry-key", help="makes a repetition harmless")
@api_option
@key_option
def record(run: str, kind: str, reason: str, criterion: str | None, entry_key: str | None, api: str, key: str) -> None:
    """Record a deviation of RUN. It counts once somebody else has accepted it."""
    body = {"kind": kind, "reason": reason, "criterion": criterion, "key": entry_key}
    click.echo(ask(api, key, "POST", "runs", run, "deviations", json=body)["deviation"])


@deviations.command("accept")
@_run
@click.argument("deviation")
@api_option
@key_option
def accept(run: str, deviation: str, api: str, key: str) -> None:
    """Accept DEVIATION, which somebody else has recorded."""
    made = ask(api, key, "POST", "runs", run, "deviations", deviation, "accept")
    click.echo(f"{made['kind']}: accepted by {made['accepted_by']}")


def _send(api: str, key: str, run: str, file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    made = ask(api, key, "POST", "runs", run, "attachments", content=file.read_bytes(), headers={"content-type": kind})
    return str(made["sha256"])


def _passed(passed: bool) -> str:
    return "passed" if passed else "failed"
