"""O-13: what is installed, reachable and mis-configured on this machine, and the remedy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
from rich.console import Console
from rich.table import Table

from deploy.local import tools
from deploy.local.apt import MissingTool, can_install, debian_mirror
from deploy.local.commands import is_ready
from deploy.local.install import is_installed
from deploy.local.installation import Misconfigured, Running, find, given_servers
from deploy.local.kafka import live_brokers
from deploy.local.places import REPOSITORY, cache_dir, run_dir
from deploy.local.ports import is_free
from deploy.local.stack import Endpoints
from services.processes import PROCESSES

Verdict = Literal["ok", "note", "mend"]
_MARKS: dict[Verdict, str] = {"ok": "[green]ok", "note": "[yellow]note", "mend": "[red]mend"}
_LEAST_DISK = 3 * 1024**3
_LEAST_MEMORY = 2 * 1024**3
_CURVES = Path("services/verification/entrypoints/web/node_modules/uplot/dist/uPlot.iife.min.js")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing examined. `mend` means that something will not work until the remedy is applied; `note`, that it works otherwise."""

    subject: str
    verdict: Verdict
    found: str
    remedy: str = ""


def examine(name: str = "default") -> tuple[Finding, ...]:
    """Everything there is to say, in the order in which it matters."""
    return tuple(finding for look in _LOOKS for finding in look(name))


def report(name: str, console: Console) -> int:
    """Print the findings; 1 when something must be mended, else 0."""
    findings = examine(name)
    table = Table(box=None, pad_edge=False)
    for column in ("", "subject", "found", "remedy"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.verdict], finding.subject, finding.found, finding.remedy)
    console.print(table)
    broken = sum(finding.verdict == "mend" for finding in findings)
    console.print(f"{broken} to mend" if broken else "nothing to mend")
    return 1 if broken else 0


def python_findings(version: tuple[int, int]) -> Iterator[Finding]:
    text = ".".join(map(str, version))
    if (3, 11) <= version < (3, 14):
        yield Finding("Python", "ok", text)
    else:
        yield Finding("Python", "mend", text, "use Python 3.11, 3.12 or 3.13")


def java_finding(version: int | None) -> Finding:
    least = tools.LOWEST_JAVA
    if version is None:
        by_itself = can_install()
        remedy = "installed at first use" if by_itself else f"install a Java runtime, {least} or newer"
        return Finding("Java", "note" if by_itself else "mend", "missing", remedy)
    if version < least:
        return Finding("Java", "mend", str(version), f"Kafka 4 needs {least} or newer; put one first on PATH")
    return Finding("Java", "ok", str(version))


def room_finding(subject: str, free: int, least: int) -> Finding:
    text = f"{free / 1024**3:.1f} GB free"
    if free >= least:
        return Finding(subject, "ok", text)
    return Finding(subject, "mend", text, f"make at least {least / 1024**3:.0f} GB free")


def variable_findings(environment: dict[str, str]) -> Iterator[Finding]:
    """Files that variables name but that are not there, and ports that are none."""
    for name, value in sorted(environment.items()):
        if not name.startswith("PILOTLINE_"):
            continue
        if (name.endswith("_FILE") or name == "PILOTLINE_CONFIG") and not Path(value).is_file():
            yield Finding(name, "mend", f"names {value}, which is no file", "correct or unset it")
        if name.endswith("_PORT") and not (value.isdigit() and 0 < int(value) < 65536):
            yield Finding(name, "mend", f"{value!r} is no port", "a number from 1 to 65535")


def _machine(_name: str) -> Iterator[Finding]:
    yield from python_findings(sys.version_info[:2])
    yield room_finding("disk", shutil.disk_usage(REPOSITORY).free, _LEAST_DISK)
    yield room_finding("memory", _available_memory(), _LEAST_MEMORY)
    yield from variable_findings(dict(os.environ))


def _local_servers(_name: str) -> Iterator[Finding]:
    """What Kafka and TimescaleDB without Docker need; of no interest when servers are named or all is installed."""
    if _given() is not None:
        return
    yield java_finding(tools.java_version())
    if is_installed():
        yield Finding("Kafka, TimescaleDB", "ok", f"installed in {cache_dir()}")
        return
    yield Finding(
        "Kafka, TimescaleDB", "note", "not installed yet", "fetched at first use: about 100 MB, half a minute"
    )
    for tool in tools.missing():
        if tool.name != "java" and tool.needed:
            verdict: Verdict = "note" if can_install() else "mend"
            remedy = (
                "installed at first use" if can_install() else f"Debian, Ubuntu: sudo apt-get install {tool.package}"
            )
            yield Finding(tool.name, verdict, "missing", remedy)
    try:
        debian_mirror()
    except MissingTool as error:
        yield Finding("Debian mirror", "mend", "none", error.remedy)
    else:
        yield Finding("Debian mirror", "ok", "as apt is configured")


def _pages(_name: str) -> Iterator[Finding]:
    if (REPOSITORY / _CURVES).is_file():
        yield Finding("pages' JavaScript", "ok", "there")
    elif shutil.which("npm"):
        yield Finding("pages' JavaScript", "note", "not fetched; the pages show no curves", "make assets")
    else:
        yield Finding(
            "pages' JavaScript", "note", "not fetched; the pages show no curves", "install npm, then make assets"
        )


def _reports(_name: str) -> Iterator[Finding]:
    if tools.FONT.present():
        yield Finding(tools.FONT.name, "ok", tools.FONT.path)
    else:
        remedy = f"Debian, Ubuntu: sudo apt-get install {tools.FONT.package}"
        yield Finding(tools.FONT.name, "note", "missing; PDF reports are refused", remedy)


def _servers(name: str) -> Iterator[Finding]:
    try:
        given = given_servers()
    except Misconfigured as error:
        yield Finding("servers", "mend", "only one is named", str(error))
        return
    running = find(name)
    if given:
        yield from server_findings(given, "check the address, and that the server runs")
    elif running:
        yield from server_findings(running.endpoints, f"pilotline --run {name} down, then up")
    yield from _processes(name, running)


def server_findings(endpoints: Endpoints, remedy: str) -> Iterator[Finding]:
    """Whether the broker and the database answer, and whether the database is what pilotline needs."""
    host, _, port = endpoints.kafka_bootstrap.partition(",")[0].rpartition(":")
    brokers = live_brokers(int(port), host) if port.isdigit() else 0
    where = endpoints.kafka_bootstrap
    yield Finding("Kafka", "ok", where) if brokers else Finding("Kafka", "mend", f"no answer at {where}", remedy)
    try:
        yield _database(endpoints.database_url)
    except psycopg.Error as error:
        yield Finding("database", "mend", str(error).strip().splitlines()[-1], remedy)


def _database(url: str) -> Finding:
    from shared.storage.migrate import pending

    with psycopg.connect(url, connect_timeout=3) as connection:
        server = connection.info.server_version // 10_000
        row = connection.execute(
            "select default_version from pg_available_extensions where name = 'timescaledb'"
        ).fetchone()
    found = f"PostgreSQL {server}, TimescaleDB {row[0] if row else 'missing'}"
    if row is None:
        return Finding("database", "mend", found, "install the timescaledb extension into the server")
    if server < 16:
        return Finding("database", "mend", found, "use PostgreSQL 16 or 17")
    waiting = pending(url)
    if waiting:
        return Finding("database", "mend", f"{found}; migrations wait: {', '.join(waiting)}", "pilotline migrate")
    return Finding("database", "ok", found)


def _processes(name: str, running: Running | None) -> Iterator[Finding]:
    if running is None:
        yield Finding("processes", "note", f"the installation `{name}` does not run", "pilotline up")
        for process in PROCESSES:
            if not is_free(process.port):
                remedy = f"nothing, or fix one with {process.port_variable}"
                yield Finding(f"port {process.port}", "note", f"taken; {process.name} gets another one", remedy)
        return
    for status in running.processes:
        log = run_dir(name) / "logs" / f"{status.name}.log"
        if status.state != "running":
            yield Finding(status.name, "mend", f"{status.state}, last exit code {status.code}", f"read {log}")
        elif not is_ready(status):
            yield Finding(
                status.name, "mend", "runs, not ready", f"http://127.0.0.1:{status.port}/readyz says what lacks"
            )
        else:
            yield Finding(status.name, "ok", f"ready, {status.restarts} restarts")


def _given() -> Endpoints | None:
    try:
        return given_servers()
    except Misconfigured:
        return None


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return 0


_LOOKS: tuple[Callable[[str], Iterator[Finding]], ...] = (
    _machine,
    _local_servers,
    _servers,
    _pages,
    _reports,
)
