"""What `pilotline up`, `down`, `status` and `logs` do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from deploy.local import waiting
from deploy.local.child import tail
from deploy.local.install import ensure_installed
from deploy.local.installation import (
    Installation,
    Running,
    find,
    given_servers,
    installed,
    is_running,
    supervisor_pid,
)
from deploy.local.places import run_dir
from deploy.local.supervisor import Status, answers_ready
from services.processes import PROCESSES, Process

_STOP_SECONDS = 120
_PAGES = {"verification-api": "live pages", "billing-api": "billing", "http": "gateway"}


def up(name: str, console: Console, *, fresh: bool, patience: float, processes: Sequence[Process] = PROCESSES) -> None:
    """Run everything in the foreground until SIGINT or SIGTERM. Raises as `installed` and `wait_all_ready`."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with installed(name, fresh=fresh, processes=processes, console=console) as system:
            console.print("servers run, database migrated; starting the processes")
            system.supervisor.wait_all_ready(patience)
            _show(_as_seen(system), console)
            console.print("Ctrl-C ends it")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        console.print("ended")


def up_detached(name: str, console: Console, *, fresh: bool, patience: float) -> None:
    """Run everything in a process of its own and return when all is ready. Raises RuntimeError when it ends before."""
    if given_servers() is None:
        ensure_installed(console)
    folder = run_dir(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{name}.up.log")
    command = [sys.executable, "-m", "services.cli", "--run", name, "up", "--patience", str(patience)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *(["--fresh"] if fresh else [])],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(tail(log, 40))
        running = find(name)
        return running is not None and bool(running.processes) and all(map(is_ready, running.processes))

    with console.status("starting"):
        waiting.until(ready, patience + 60, "pilotline", every=0.2)
    running = find(name)
    if running:
        _show(running, console)


def down(name: str, console: Console) -> bool:
    """End a running installation in order; False when none runs. Raises TimeoutError when it does not end."""
    pid = supervisor_pid(name)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    with console.status("stopping"):
        waiting.until(lambda: not is_running(name), _STOP_SECONDS, f"end of process {pid}")
    return True


def status(name: str, console: Console, *, as_json: bool) -> int:
    """Show what runs; 0 when all is ready, 1 when something is not, 3 when nothing runs."""
    running = find(name)
    if running is None:
        console.print("{}" if as_json else f"the installation `{name}` does not run")
        return 3
    ready = {process.name: is_ready(process) for process in running.processes}
    if as_json:
        rows = {
            process.name: {
                "state": process.state,
                "ready": ready[process.name],
                "pid": process.pid,
                "port": process.port,
                "restarts": process.restarts,
            }
            for process in running.processes
        }
        console.print_json(json.dumps(rows))
    else:
        _show(running, console, ready)
    return 0 if all(ready.values()) else 1


def is_ready(process: Status) -> bool:
    """Whether a process runs and says that it is ready."""
    return process.state == "running" and (process.port is None or answers_ready(process.port))


def _as_seen(system: Installation) -> Running:
    return Running(system.endpoints, system.topic_prefix, system.supervisor.status())


def _show(running: Running, console: Console, ready: dict[str, bool] | None = None) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "up", "restarts", "address"):
        table.add_column(column, justify="right" if column in ("pid", "up", "restarts") else "left")
    for process in running.processes:
        well = ready is None or ready[process.name]
        state = process.state if process.state != "running" else "ready" if well else "not ready"
        table.add_row(
            process.name,
            f"[{'green' if state == 'ready' else 'red'}]{state}",
            str(process.pid or ""),
            _duration(time.time() - process.since) if process.state == "running" else "",
            str(process.restarts),
            f"http://127.0.0.1:{process.port}" + (f"  ({_PAGES[process.name]})" if process.name in _PAGES else ""),
        )
    console.print(table)
    console.print(f"Kafka {running.endpoints.kafka_bootstrap}, database {_without_password(running)}", soft_wrap=True)


def _without_password(running: Running) -> str:
    scheme, _, rest = running.endpoints.database_url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{whole % 60:02}s"


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


# Logs --------------------------------------------------------------------------------------------------------------------------


def log_files(name: str) -> dict[str, Path]:
    """The log of every process and server of an installation, as far as they exist."""
    folder = run_dir(name)
    files = {log.stem: log for log in sorted((folder / "logs").glob("*.log"))}
    for server in ("kafka", "postgres"):
        log = folder / server / f"{server}.log"
        if log.exists():
            files[server] = log
    return files


def logs(files: dict[str, Path], *, lines: int, follow: bool) -> Iterator[str]:
    """The last lines of each log with the name of its process before it; then, following, each new line as it comes."""
    width = max(map(len, files), default=0)
    ends = {}
    for name, log in files.items():
        ends[name] = log.stat().st_size
        yield from _named(name, width, tail(log, lines).splitlines())
    while follow:
        for name, log in files.items():
            size = log.stat().st_size
            if size == ends[name]:
                continue
            with log.open("rb") as file:
                file.seek(ends[name] if size > ends[name] else 0)  # shorter than before: it was trimmed
                new = file.read()
            whole = new.rpartition(b"\n")[0]
            ends[name] = (ends[name] if size > ends[name] else 0) + len(whole) + (1 if whole else 0)
            yield from _named(name, width, whole.decode("utf-8", "replace").splitlines())
        time.sleep(0.2)


def _named(name: str, width: int, lines: Sequence[str]) -> Iterator[str]:
    return (f"{name:<{width}} | {line}" for line in lines)
