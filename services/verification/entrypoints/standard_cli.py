"""`pilotline standards …`: through the API, under the key of the person who acts; and, without a server, whether criteria keep a standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from services.verification.domain.criteria_model import load_criteria
from services.verification.domain.standards import Action, load_standard
from services.verification.domain.tightening import loosened
from services.verification.entrypoints.asking import api_option, ask, explaining, key_option

_why = click.option("--why", default="", help="what the record says about the reason")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("standards")
def standards() -> None:
    """Standards: clauses and criteria that platforms adopt and may tighten, never loosen.

    The record names the person whose key it is (`pilotline keys create --person`).
    """


@standards.command("import")
@click.argument("file", type=_file)
@api_option
@key_option
def import_(file: Path, api: str, key: str) -> None:
    """Keep FILE as a draft. The same content again changes nothing."""
    content = file.read_bytes()
    explaining(lambda: load_standard(content))
    _say(ask(api, key, "PUT", "standards", content=content))


def _step_command(action: Action, text: str) -> None:
    @standards.command(action.value, help=text)
    @click.argument("standard")
    @click.argument("version")
    @_why
    @api_option
    @key_option
    def command(standard: str, version: str, why: str, api: str, key: str) -> None:
        body = {"action": action.value, "why": why}
        _say(ask(api, key, "POST", "standards", standard, "versions", version, "steps", json=body))


_step_command(
    Action.SUBMIT,
    "Hand the draft over for review: nothing of it changes from then on. Its number must say what has changed.",
)
_step_command(Action.RETURN, "Give it back to be changed.")
_step_command(Action.APPROVE, "Approve it; the second approval, of two other people than its author, counts.")
_step_command(Action.EFFECT, "Bring an approved version into effect; it supersedes the older one that was.")
_step_command(Action.WITHDRAW, "Withdraw it; sets that name it cannot be published any more.")


@standards.command("adopt")
@click.argument("standard")
@click.argument("version")
@click.option("--platform", required=True)
@api_option
@key_option
def adopt(standard: str, version: str, platform: str, api: str, key: str) -> None:
    """A platform adopts VERSION of STANDARD: its criteria sets may name it, and keep to it."""
    made = ask(api, key, "POST", "standards", standard, "versions", version, "adoptions", json={"platform": platform})
    click.echo(f"{platform} has adopted {standard} {version}, digest {made['digest']}")


@standards.command("list")
@api_option
@key_option
def list_(api: str, key: str) -> None:
    """Every version with its state."""
    shown = Table(box=None, pad_edge=False)
    for column in ("standard", "version", "state", "number", "effective from", "title"):
        shown.add_column(column)
    offset: int | None = 0
    while offset is not None:
        page = ask(api, key, "GET", "standards", params={"offset": offset, "limit": 500})
        for item in page["items"]:
            number, title = f"{item['number']}-{item['year']}", f"{item['title']['en']} / {item['title']['zh']}"
            shown.add_row(item["id"], item["version"], item["state"], number, item["effective_from"], title)
        offset = page["next"]
    Console().print(shown)


@standards.command("show")
@click.argument("standard")
@click.argument("version")
@api_option
@key_option
def show(standard: str, version: str, api: str, key: str) -> None:
    """One version: what was done to it and by whom, its clauses, who has adopted it."""
    found = ask(api, key, "GET", "standards", standard, "versions", version)
    _say(found)
    for item in found["history"]:
        why = f": {item['why']}" if item["why"] else ""
        click.echo(f"  {item['at']}  {item['action']} by {item['who']}{why}")
    document = found["document"]
    for clause in document["clauses"]:
        names = ", ".join(item["id"] for item in document["criteria"] if item["clause"] == clause["id"])
        click.echo(f"  {clause['id']}  {clause['title']['en']} / {clause['title']['zh']}  [{names}]")
    click.echo(f"  adopted by: {', '.join(item['platform'] for item in found['adoptions']) or 'nobody'}")


@standards.command("compare")
@click.argument("standard", type=_file)
@click.argument("criteria", type=_file)
def compare(standard: Path, criteria: Path) -> None:
    """Say where the file CRITERIA is looser than the file STANDARD; no server is needed. Exit code 1 when it is."""
    asked = explaining(lambda: load_standard(standard.read_bytes()))
    given = explaining(lambda: load_criteria(criteria.read_bytes()))
    found = loosened(asked, given)
    for item in found:
        field = f".{item.field}" if item.criterion and item.field else item.field
        click.echo(f"{item.criterion}{field}: {item.detail}")
    if found:
        raise click.exceptions.Exit(1)
    click.echo(f"{given.id} version {given.version} keeps {asked.id} {asked.version}; digest of it: {asked.digest()}")


def _say(stored: dict[str, Any]) -> None:
    approvals = f", approved by {' and '.join(stored['approved_by'])}" if stored["approved_by"] else ""
    click.echo(f"{stored['id']} {stored['version']}: {stored['state']}{approvals}, digest {stored['digest']}")
