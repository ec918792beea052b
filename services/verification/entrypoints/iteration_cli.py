"""`pilotline iterations …`: a run beside the one before it and a baseline, and the issues between them; through the API."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from rich.table import Table

from services.verification.domain.issues import Action
from services.verification.entrypoints.asking import api_option, ask, key_option

_baseline = click.option("--baseline", help="the run to compare with; default: the first of the chain")
_WIDTH = 160


@click.group("iterations")
def iterations() -> None:
    """Runs of one item compared, and the issues found in one and closed in another."""


@iterations.command("compare")
@click.argument("run")
@_baseline
@api_option
@key_option
def compare(run: str, baseline: str | None, api: str, key: str) -> None:
    """Every criterion of RUN beside the run before it and the baseline: verdicts, margins, what changed."""
    page = ask(api, key, "GET", "runs", run, "comparison", params=_given(baseline=baseline))
    runs = [column["run"] for column in page["columns"]]
    table = Table(box=None, pad_edge=False)
    table.add_column("criterion", no_wrap=True)
    for column in page["columns"]:
        table.add_column(f"{column['run']} ({', '.join(column['roles'])})")
    for before in runs[:-1]:
        table.add_column(f"since {before}")
    for item in page["criteria"]:
        cells = [_side(item["standings"].get(name)) for name in runs]
        table.add_row(item["criterion"], *cells, *(_step(item["steps"][name]) for name in runs[:-1]))
    Console(width=_WIDTH).print(table)


@iterations.command("statistics")
@click.argument("run")
@_baseline
@click.option("--channel", "channels", multiple=True, help="<stream>.<channel>; default: those that the criteria read")
@click.option("--phase", help="default: every phase")
@api_option
@key_option
def statistics(
    run: str, baseline: str | None, channels: tuple[str, ...], phase: str | None, api: str, key: str
) -> None:
    """Count, mean, standard deviation, extremes and median per channel and phase, for RUN and what it is compared with."""
    query = _given(baseline=baseline, phase=phase, channel=list(channels) or None)
    page = ask(api, key, "GET", "runs", run, "comparison", "statistics", params=query)
    table = Table(box=None, pad_edge=False)
    for name in ("channel", "phase", "run"):
        table.add_column(name, no_wrap=True)
    for name in ("count", "mean", "sd", "min", "median", "max"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for item in page["items"]:
        for name, seen in item["runs"].items():
            median = seen["percentiles"][2] if seen["percentiles"] else None
            numbers = [seen["mean"], seen["sd"], seen["minimum"], median, seen["maximum"]]
            table.add_row(
                item["channel"], item["phase"], name, str(seen["count"]), *(_number(n) for n in numbers), item["unit"]
            )
    Console(width=_WIDTH).print(table)


@iterations.command("issues")
@click.argument("run")
@api_option
@key_option
def list_issues(run: str, api: str, key: str) -> None:
    """The issues of RUN's item in all its iterations."""
    for item in ask(api, key, "GET", "runs", run, "issues")["items"]:
        about = item["criterion"] or "run"
        again = f", failed again in {item['failed_in']}" if item["failed_in"] else ""
        closed = f", closed in {item['closed_in']}" if item["closed_in"] else ""
        click.echo(f"{item['issue']}  {item['state']}{again}{closed}  {about}  found in {item['run']}: {item['title']}")
        for entry in item["history"]:
            where = f" ({entry['run']})" if entry["run"] else ""
            click.echo(f"    {entry['at']}  {entry['action']}{where}  {entry['who']}  {entry['text']}".rstrip())


@iterations.command("find")
@click.argument("run")
@click.argument("title")
@click.option("--criterion", help="the criterion that shows it")
@click.option("--entry-key", help="makes a repetition harmless")
@api_option
@key_option
def find(run: str, title: str, criterion: str | None, entry_key: str | None, api: str, key: str) -> None:
    """Record an issue that was found in RUN."""
    body = {"title": title, "criterion": criterion, "key": entry_key}
    click.echo(ask(api, key, "POST", "runs", run, "issues", json=body)["issue"])


@iterations.command("act")
@click.argument("issue")
@click.argument("action", type=click.Choice([str(action) for action in Action]))
@click.option("--text", default="", help="what was found or done")
@click.option("--in", "run", help="with fix: the first run that has it; with verify: the run that shows it at work")
@click.option("--entry-key", help="makes a repetition harmless")
@api_option
@key_option
def act(issue: str, action: str, text: str, run: str | None, entry_key: str | None, api: str, key: str) -> None:
    """Add to ISSUE: cause, note, fix, verify, close, reopen."""
    body = {"action": action, "text": text, "run": run, "key": entry_key or str(uuid4())}
    made = ask(api, key, "POST", "issues", issue, "actions", json=body)
    click.echo(f"{made['state']}; possible now: {', '.join(made['allowed'])}")


def _given(**query: Any) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _side(standing: dict[str, Any] | None) -> str:
    if standing is None:
        return "-"
    margin = "" if standing["margin"] is None else f" {standing['margin']:.6g} {standing['unit']}"
    return f"{standing['verdict']}{margin}"


def _step(step: dict[str, Any]) -> str:
    delta = "" if step["delta"] is None else f" {step['delta']:+.6g}"
    return f"{step['change']}{delta}{' (other text)' if step['text_differs'] else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
