"""`pilotline demo`: the whole story on this machine, with progress, a summary, and an exit code that tells whether every check holds."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo import billing_checks, checks, settling, summary
from deploy.demo.asking import RefusedError
from deploy.demo.configuration import demo_plan
from deploy.demo.plan import Begin, Plan, Send, Step
from deploy.demo.replay import Pace
from deploy.demo.story import Listener, Told, tell
from deploy.demo.tennessee import RUNS
from deploy.local.apt import MissingTool
from deploy.local.installation import AlreadyRunning, Installation, Misconfigured, installed
from deploy.local.places import REPOSITORY

INSTALLATION = "demo"
SUMMARY = REPOSITORY / "build" / "demo-summary.json"
ENVIRONMENT = {
    "PILOTLINE_CLOSE_GRACE": "1",
    "PILOTLINE_METER_INSTANCE": "demo",
    "PILOTLINE_RECORDER_INSTANCE": "demo",
    "PILOTLINE_WORKER_INSTANCE": "demo",
}
"""The replay keeps no run waiting after its end, and a killed process gets its partitions back at once."""

_READY_WITHIN = 120.0
_WIDTH = 160
_DOORS = ("http", "verification-api", "billing-api")
"""What has to serve before the story begins. The readers of the log may come later: it keeps everything for them."""
_READERS = {"ingest.sink": "stored", "verification.worker": "judged", "billing.meter": "metered"}


@click.command()
@click.option(
    "--speed", type=click.FloatRange(min=1), help="seconds of event time in a second; default: as fast as possible"
)
@click.option("--keep", is_flag=True, help="leave everything running after the summary, until Ctrl-C")
@click.option(
    "--summary",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=SUMMARY,
    show_default="build/demo-summary.json",
    help="where the results are written",
)
@click.option(
    "--runs", "count", type=click.IntRange(1, len(RUNS)), default=len(RUNS), show_default=True, help="how many runs"
)
@click.pass_obj
def demo(name: str, speed: float | None, keep: bool, file: Path, count: int) -> None:
    """Replay eleven recorded runs of a chemical pilot plant with trouble on purpose, and check every result.

    Brings up Kafka, TimescaleDB and every process in an installation of its own, pushes 48 h of 52 channels per run through the
    gateway, and closes the books: verdicts, hours, invoices. Ends with 0 when every check holds. `--speed 3600` shows an hour of the
    plant in a second and leaves the pages open.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    stages = Stages()
    plan = demo_plan(RUNS[:count])
    with (
        plain_failures(),
        installed(
            INSTALLATION if name == "default" else name, fresh=True, environment=ENVIRONMENT, console=console
        ) as system,
    ):
        for process in _DOORS:
            system.supervisor.wait_ready(process, _READY_WITHIN)
        _addresses(console, system)
        stages.begin("prepare")
        told, found = _told(console, system, plan, speed, stages)
        stages.end()
        _report(console, told, found, file, stages)
        if keep or speed is not None:
            _stay(console, system)
    if not all(check.passed for check in found):
        sys.exit(1)


class Stages:
    """How long each part of the story took, in seconds; the first is `start`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = "start"
        self._since = time.monotonic()

    def begin(self, name: str) -> None:
        """The stage before ends."""
        self.end()
        self._name = name

    def end(self) -> None:
        now = time.monotonic()
        self.seconds[self._name] = round(now - self._since, 1)
        self._since = now

    def total(self) -> float:
        return sum(self.seconds.values())


@contextmanager
def plain_failures() -> Iterator[None]:
    """What a person can mend is told in a sentence; everything else keeps its traceback."""
    try:
        yield
    except (MissingTool, AlreadyRunning, Misconfigured, TimeoutError, RefusedError, settling.Unsettled) as error:
        raise click.ClickException(str(error)) from error


def _told(
    console: Console, system: Installation, plan: Plan, speed: float | None, stages: Stages
) -> tuple[Told, list[checks.Check]]:
    with _shown(console, plan, stages) as listener:
        told = asyncio.run(tell(system, plan, listener, pace=Pace(speed)))
    return told, all_checks(told, plan)


def all_checks(told: Told, plan: Plan) -> list[checks.Check]:
    """Every check of the demonstration, in the order of the story."""
    return [
        *checks.check_books(told.facts, told.ledger),
        *checks.check_troubles(told.facts, told.ledger, plan, told.restarts),
        *checks.check_runs(told.facts, plan),
        *billing_checks.check_usage(told.usage, told.counts, plan),
        *billing_checks.check_invoices(told.billed, told.voucher, plan),
    ]


def _report(console: Console, told: Told, found: list[checks.Check], file: Path, stages: Stages) -> None:
    summary.show(console, told, found)
    summary.write(file, summary.document(told, found, seconds=stages.seconds))
    told.ledger.write(file.with_name(f"{file.stem}-ledger.jsonl"))
    failed = [check.name for check in found if not check.passed]
    said = f"[red]{len(failed)} of {len(found)} checks failed" if failed else f"[green]all {len(found)} checks hold"
    console.print(f"{said}[/], {stages.total():.0f} s; {file}", highlight=False)


def _stay(console: Console, system: Installation) -> None:
    _addresses(console, system)
    console.print("Ctrl-C ends it")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("ended")


def _addresses(console: Console, system: Installation) -> None:
    console.print(f"live page {system.url('verification-api')}/board", highlight=False)
    console.print(
        f"API docs  {system.url('http')}/docs (gateway), {system.url('verification-api')}/docs (runs),", highlight=False
    )
    console.print(f"          {system.url('billing-api')}/docs (bills)", highlight=False)


@contextmanager
def _shown(console: Console, plan: Plan, stages: Stages) -> Iterator[Listener]:
    """Progress bars: what is sent, and how far each reader of the log has come."""
    steps = list(plan.steps())
    total = sum(len(step.batches) for step in steps if isinstance(step, Send))
    columns = (
        TextColumn("{task.description:12}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=not console.is_terminal) as bars:
        sent = bars.add_task("sent", total=total, note="")
        readers = {name: bars.add_task(word, total=total, note="") for name, word in _READERS.items()}
        runs = bars.add_task("runs closed", total=len(plan.runs), note="")

        def on_step(step: Step) -> None:
            if isinstance(step, Begin):
                bars.update(sent, note=step.run)
            if isinstance(step, Send):
                bars.advance(sent, len(step.batches))

        def on_progress(progress: settling.Progress) -> None:
            done = bars.tasks[sent].completed
            for name, bar in readers.items():
                bars.update(bar, completed=max(0, done - progress[name]))
            bars.update(runs, completed=len(plan.runs) - progress["runs"])

        def on_stage(name: str) -> None:
            stages.begin(name)
            bars.update(sent, note=name)

        yield Listener(on_stage, on_step, on_progress)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
