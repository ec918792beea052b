"""The `pilotline` command. What a command does is imported when it runs: `pilotline --help` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from services.processes import ADDRESS_OF, preferred_address

_DEFAULT = "default"

ELSEWHERE = {
    "demo": ("deploy.demo.cli", "demo", "Replay eleven recorded runs with trouble on purpose, and check every result."),
    "ingest": ("services.ingest.entrypoints.cli", "group", "Gateway, sink, quarantine."),
    "registry": (
        "services.ingest.entrypoints.cli",
        "registry",
        "What exists: lines, instruments, streams, channels, customers.",
    ),
    "keys": ("services.ingest.entrypoints.cli", "keys", "API keys of gateways, people and services."),
    "verification": ("services.verification.entrypoints.cli", "group", "Criteria, runs, verdicts."),
    "reports": (
        "services.verification.entrypoints.report_cli",
        "reports",
        "Verification reports: draft, sign, issue, amend; PDF, HTML, evidence pack.",
    ),
    "verify": (
        "services.verification.entrypoints.verify_cli",
        "verify",
        "Compute an evidence pack again, offline, and name what does not fit.",
    ),
    "criteria": (
        "services.verification.entrypoints.criteria_cli",
        "criteria",
        "Criteria sets: check, explain, convert, preview, publish.",
    ),
    "standards": (
        "services.verification.entrypoints.standard_cli",
        "standards",
        "Standards: drafts, reviews, approvals, adoption.",
    ),
    "what-if": (
        "services.verification.entrypoints.what_if_cli",
        "what_if",
        "What drafts of a criteria set would have said about stored runs.",
    ),
    "runs": (
        "services.verification.entrypoints.run_cli",
        "runs",
        "Runs: create, start, command, enter a phase, show.",
    ),
    "webhooks": (
        "services.verification.entrypoints.webhook_cli",
        "webhooks",
        "Endpoints that get decisions, verdicts and mismatches as signed requests.",
    ),
    "iterations": (
        "services.verification.entrypoints.iteration_cli",
        "iterations",
        "Compare runs of one item; issues found in one and closed in another.",
    ),
    "billing": ("services.billing.entrypoints.cli", "group", "Tariffs, usage, invoices."),
}
"""Commands that live beside what they command: module, attribute, help."""


class _Commands(click.Group):
    """The commands of this file and those of `ELSEWHERE`, which are imported only to run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, attribute, _ = ELSEWHERE[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = {name: command.get_short_help_str(110) for name, command in self.commands.items()}
        texts = own | {name: text for name, (_, _, text) in ELSEWHERE.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(texts.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--run", "name", default=_DEFAULT, show_default=True, help="which installation of this machine is meant")
@click.version_option(package_name="pilotline")
@click.pass_context
def main(ctx: click.Context, name: str) -> None:
    """Event-driven services for pilot testing platforms: telemetry, verification runs, metering, billing.

    Commands that need the servers use those of the installation that runs here (`pilotline up`), unless PILOTLINE_KAFKA and
    PILOTLINE_DATABASE_URL name others. Commands that ask the API ask that installation's, unless --api or PILOTLINE_API names another.
    """
    ctx.obj = name
    ctx.meta[ADDRESS_OF] = partial(_address, name)
    if ctx.invoked_subcommand in ELSEWHERE and ctx.invoked_subcommand not in ("demo", "verify"):
        _use_running(name)


def _use_running(name: str) -> None:
    """Let the commands of the services find the servers of the running installation."""
    if "PILOTLINE_DATABASE_URL" in os.environ:
        return
    if secret := os.environ.get("PILOTLINE_DATABASE_URL_FILE"):
        os.environ["PILOTLINE_DATABASE_URL"] = Path(secret).read_text(encoding="utf-8").rstrip("\n")
        return
    from deploy.local.installation import DATABASE_URL, KAFKA, TOPIC_PREFIX, find

    running = find(name)
    if running:
        os.environ[KAFKA] = running.endpoints.kafka_bootstrap
        os.environ[DATABASE_URL] = running.endpoints.database_url
        os.environ[TOPIC_PREFIX] = running.topic_prefix


def _address(name: str, process: str) -> str:
    """Where a process of the running installation listens. When none runs, the default one is looked for where containers publish it;
    asking there for an installation that was named would ask another one."""
    from deploy.local.installation import find

    running = find(name)
    if running is None and name == _DEFAULT:
        return preferred_address(process)
    port = next((item.port for item in running.processes if item.name == process), None) if running else None
    if port is None:
        raise click.ClickException(
            f"no {process} of the installation `{name}` runs here; start it with `pilotline --run {name} up`, or give --api"
        )
    return f"http://127.0.0.1:{port}"


@contextmanager
def _plain_failures() -> Iterator[None]:
    """What a person can mend is told in a sentence; everything else keeps its traceback."""
    import psycopg

    from deploy.local.apt import MissingTool
    from deploy.local.installation import AlreadyRunning, Misconfigured

    try:
        yield
    except (MissingTool, AlreadyRunning, Misconfigured, TimeoutError, RuntimeError, psycopg.OperationalError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option("--detach", is_flag=True, help="return when everything is ready; `pilotline down` ends it")
@click.option("--fresh", is_flag=True, help="begin without the data of earlier runs")
@click.option("--patience", default=120.0, show_default=True, help="seconds to wait for everything to be ready")
@click.pass_obj
def up(name: str, detach: bool, fresh: bool, patience: float) -> None:
    """Start the servers and all processes under a supervisor.

    Kafka and TimescaleDB are installed into the cache at the first time. With PILOTLINE_KAFKA and PILOTLINE_DATABASE_URL the
    servers named there are used instead. PILOTLINE_<PROCESS>_PORT (as PILOTLINE_HTTP_PORT) fixes a port.
    """
    from rich.console import Console

    from deploy.local import commands

    run = commands.up_detached if detach else commands.up
    with _plain_failures():
        run(name, Console(), fresh=fresh, patience=patience)


@main.command()
@click.pass_obj
def down(name: str) -> None:
    """End everything that `up` started, in order."""
    from rich.console import Console

    from deploy.local import commands

    with _plain_failures():
        ended = commands.down(name, Console())
    click.echo("ended" if ended else f"the installation `{name}` does not run")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="for programs")
@click.pass_obj
def status(name: str, as_json: bool) -> None:
    """Show the processes: ready or not, pid, uptime, restarts, address.

    Exit code 0: all ready; 1: something is not; 3: nothing runs.
    """
    from rich.console import Console

    from deploy.local import commands

    sys.exit(commands.status(name, Console(), as_json=as_json))


@main.command()
@click.argument("process", required=False)
@click.option("-f", "--follow", is_flag=True, help="go on with what is written from now on")
@click.option("-n", "--lines", default=30, show_default=True, help="how many of the last lines of each log")
@click.pass_obj
def logs(name: str, process: str | None, follow: bool, lines: int) -> None:
    """Show the logs of one PROCESS or of all, those of Kafka and PostgreSQL among them."""
    from deploy.local import commands

    files = commands.log_files(name)
    if process is not None:
        if process not in files:
            raise click.UsageError(f"no log of `{process}`; there are: {', '.join(files) or 'none'}")
        files = {process: files[process]}
    try:
        for line in commands.logs(files, lines=lines, follow=follow):
            click.echo(line)
    except KeyboardInterrupt:
        return


@main.command()
@click.pass_obj
def doctor(name: str) -> None:
    """Say what is installed, reachable and mis-configured, and how to mend it. Exit code 1 when something must be mended."""
    from rich.console import Console

    from deploy.local.doctor import report

    sys.exit(report(name, Console()))


@main.command()
@click.option(
    "--database-url",
    envvar="PILOTLINE_DATABASE_URL",
    help="default: $PILOTLINE_DATABASE_URL, else the running installation's",
)
@click.pass_obj
def migrate(name: str, database_url: str | None) -> None:
    """Bring the database to the newest schema; forward only, safe to run again."""
    from shared.storage.migrate import migrate as bring_up
    from shared.storage.migrate import pending

    if database_url is None:
        _use_running(name)
        database_url = os.environ.get("PILOTLINE_DATABASE_URL")
    if not database_url:
        raise click.UsageError("no database: set PILOTLINE_DATABASE_URL or start one with `pilotline up`")
    with _plain_failures():
        waiting = pending(database_url)
        bring_up(database_url)
    click.echo(f"applied: {', '.join(waiting)}" if waiting else "nothing to do")


if __name__ == "__main__":
    main()
