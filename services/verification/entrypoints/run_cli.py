"""`pilotline runs …`: create, command and read runs, through the API. Commands record what has happened on the line, they never move anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson
import yaml

from services.verification.domain.run_state import Command
from services.verification.entrypoints.asking import api_option, ask, key_option
from shared.kernel.yaml_text import read_yaml_text

_at = click.option("--at", help="event time, RFC 3339 with its offset; default: this moment")
_reason = click.option("--reason", default="", help="what the record says about the reason")
_command_key = click.option("--command-key", help="makes a repetition harmless")


@click.group("runs")
def runs() -> None:
    """Verification runs: create, start, command, enter a phase, list, show."""


@runs.command("create")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@api_option
@key_option
def create(file: Path, api: str, key: str) -> None:
    """Create an idle run from FILE (YAML or JSON) and print its id. With `run` in it, the same file again changes nothing.

    \b
    run: r-1                      # made up when it is left out
    project: acceptance
    customer: acme
    line: l1
    scene: replica                # bench, replica, live_line, field
    verification_kind: process    # design, functional_performance, process, adaptation, production
    item: Reactor R-1
    criteria: {set: own, version: 1}

    The other fields are those of POST /v1/runs: item_revision, iteration, previous_run, equipment, tariff, service_code, planned_end.
    """
    try:
        wanted = orjson.dumps(read_yaml_text(file.read_bytes()))
    except (yaml.YAMLError, TypeError) as error:
        raise click.ClickException(f"{file} is not YAML or JSON: {error}") from error
    made = ask(api, key, "POST", "runs", content=wanted, headers={"content-type": "application/json"})
    click.echo(made["run"])


def _commanding(work: Callable[..., None]) -> Callable[..., None]:
    for option in (key_option, api_option, _command_key, _reason, _at):
        work = option(work)
    return work


@runs.command("start")
@click.argument("run")
@_commanding
def start(run: str, at: str | None, reason: str, command_key: str | None, api: str, key: str) -> None:
    """Start RUN: its registry versions are pinned, its criteria are judged from now on."""
    body = {"command": Command.START.value, "at": at, "reason": reason, "key": command_key}
    _say(ask(api, key, "POST", "runs", run, "commands", json=body))


@runs.command("command")
@click.argument("run")
@click.argument("command", type=click.Choice([item.value for item in Command]))
@_commanding
def command(run: str, command: str, at: str | None, reason: str, command_key: str | None, api: str, key: str) -> None:
    """Record COMMAND for RUN. One that its state does not take is refused, with what it takes."""
    body = {"command": command, "at": at, "reason": reason, "key": command_key}
    _say(ask(api, key, "POST", "runs", run, "commands", json=body))


@runs.command("phase")
@click.argument("run")
@click.argument("phase")
@_commanding
def phase(run: str, phase: str, at: str | None, reason: str, command_key: str | None, api: str, key: str) -> None:
    """PHASE of RUN begins; the one before ends."""
    body = {"phase": phase, "at": at, "reason": reason, "key": command_key}
    _say(ask(api, key, "POST", "runs", run, "phases", json=body))


@runs.command("list")
@click.option("--line", help="only runs on this line")
@click.option("--project", help="only runs of this project")
@click.option("--only", type=click.Choice(["running", "ended"]))
@api_option
@key_option
def list_(line: str | None, project: str | None, only: str | None, api: str, key: str) -> None:
    """Runs in progress first, then the newest."""
    query = {name: value for name, value in (("line", line), ("project", project), ("only", only)) if value}
    after: str | None = None
    while True:
        page = ask(api, key, "GET", "runs", params=query | ({} if after is None else {"after": after}))
        for item in page["items"]:
            click.echo(f"{item['run']}  {item['state']}  {item['verdict']}  {item['line']}  {item['item']}")
        after = page["next"]
        if after is None:
            return


@runs.command("show")
@click.argument("run")
@api_option
@key_option
def show(run: str, api: str, key: str) -> None:
    """State and verdict of RUN, and every criterion as it stands."""
    found = ask(api, key, "GET", "runs", run)
    click.echo(f"{found['run']}  {found['state']}  {found['head']['verdict']}  {found['line']}  {found['item']}")
    if (standard := found["standard"]) is not None:
        click.echo(f"  standard {standard['id']} {standard['version']}: {standard['state']}")
    for item in found["criteria"]:
        click.echo(f"  {item['criterion']}  {item['word']}")


def _say(done: dict[str, Any]) -> None:
    about = done["phase"] or done["command"]
    click.echo(f"{done['run']}: {about} at {done['at']}, {done['state']}")
