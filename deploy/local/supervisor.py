"""Keeps processes running: restarts what ends, with a growing and jittered pause; stops all in order.

    with Supervisor(processes, logs=folder) as supervisor:
        supervisor.wait_all_ready(60)
        supervisor.kill("sink")                 # SIGKILL, as a crash would
        supervisor.wait_ready("sink", 30)       # the next one serves

One thread starts every child and outlives them all: a child is tied to it, so that nothing is left when this process dies.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Literal

from deploy.local import waiting
from deploy.local.child import spawn, tail

MISCONFIGURED = 2
"""The exit code of a process whose configuration is not valid: starting it again would not help."""

State = Literal["running", "waiting", "misconfigured", "stopped"]
_POLL_SECONDS = 0.05
_LOG_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Supervised:
    """What to run: `port` is where it answers `ready_path` with 200 once it is ready; without one it is ready when it runs."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    ready_path: str = "/readyz"
    order: int = 0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before a restart: `first`, doubled with every failure in a row up to `longest`; `settled` seconds of life end the row."""

    first: float = 0.2
    longest: float = 15.0
    settled: float = 10.0

    def pause(self, failures: int, chance: float) -> float:
        """The pause after `failures` (1 or more) in a row; `chance` in [0, 1) spreads it over its upper half."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return whole * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a process: `restarts` since the supervisor began, `since` in seconds since the epoch, `code` of its last exit."""

    name: str
    state: State
    pid: int | None
    port: int | None
    restarts: int
    since: float
    code: int | None


@dataclass(slots=True)
class _Entry:
    what: Supervised
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    next_start: float = 0.0
    failures: int = 0
    starts: int = 0
    code: int | None = None


class Supervisor:
    """See the module. Safe to use from several threads."""

    def __init__(
        self,
        processes: Sequence[Supervised],
        *,
        logs: Path,
        backoff: Backoff | None = None,
        stop_seconds: float = 20.0,
        on_change: Callable[[tuple[Status, ...]], None] | None = None,
    ) -> None:
        self._entries = {what.name: _Entry(what) for what in sorted(processes, key=lambda what: what.order)}
        if len(self._entries) != len(processes):
            raise ValueError("two processes have the same name")
        self._logs = logs
        self._backoff = backoff or Backoff()
        self._stop_seconds = stop_seconds
        self._on_change = on_change
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor")

    def __enter__(self) -> Supervisor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every process; returns at once."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """End every process, last started first; returns when none is left."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def log(self, name: str) -> Path:
        """The file with the output of a process, over all its restarts."""
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """The pid of a process that runs, else None."""
        with self._lock:
            process = self._entries[name].process
            return process.pid if process and process.poll() is None else None

    def restarts(self, name: str) -> int:
        """How often a process was started again."""
        with self._lock:
            return max(0, self._entries[name].starts - 1)

    def port(self, name: str) -> int | None:
        return self._entries[name].what.port

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and, for SIGKILL, return when the process is dead; returns its pid. It will be restarted.

        Raises ProcessLookupError when it does not run just now.
        """
        with self._lock:
            process = self._entries[name].process
            if process is None or process.poll() is not None:
                raise ProcessLookupError(f"{name} does not run")
            process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
        return process.pid

    def is_ready(self, name: str) -> bool:
        """Whether it runs and says so at its readiness address."""
        entry = self._entries[name]
        if self.pid(name) is None:
            return False
        return entry.what.port is None or answers_ready(entry.what.port, entry.what.ready_path)

    def wait_ready(self, name: str, seconds: float) -> None:
        """Return when a process is ready. Raises TimeoutError, or RuntimeError when it is misconfigured, with the end of its log."""

        def ready() -> bool:
            with self._lock:
                if self._state(self._entries[name]) == "misconfigured":
                    raise RuntimeError(f"{name} is misconfigured; the end of its log:\n{tail(self.log(name))}")
            return self.is_ready(name)

        try:
            waiting.until(ready, seconds, f"{name} to be ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the end of its log:\n{tail(self.log(name))}") from None

    def wait_all_ready(self, seconds: float) -> None:
        """Return when every process is ready at least once. Raises as `wait_ready`."""
        deadline = time.monotonic() + seconds
        for name in self._entries:
            self.wait_ready(name, max(0.0, deadline - time.monotonic()))

    def status(self) -> tuple[Status, ...]:
        """Every process, in the order of their start."""
        with self._lock:
            return tuple(self._status(entry) for entry in self._entries.values())

    def _status(self, entry: _Entry) -> Status:
        state = self._state(entry)
        alive = state == "running"
        return Status(
            entry.what.name,
            state,
            entry.process.pid if alive and entry.process else None,
            entry.what.port,
            max(0, entry.starts - 1),
            time.time() - (time.monotonic() - entry.started) if alive else 0.0,
            entry.code,
        )

    def _state(self, entry: _Entry) -> State:
        if entry.process is not None and entry.process.poll() is None:
            return "running"
        if self._stopping.is_set():
            return "stopped"
        return "misconfigured" if entry.code == MISCONFIGURED else "waiting"

    # The thread ------------------------------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        next_trim = 0.0
        try:
            while not self._stopping.is_set():
                now = time.monotonic()
                changes = [self._tend(entry, now) for entry in self._entries.values()]
                if any(changes):
                    self._tell()
                if now >= next_trim:
                    self._trim_logs()
                    next_trim = now + 10
                self._stopping.wait(_POLL_SECONDS)
        finally:
            self._stop_in_order()
            self._tell()

    def _tend(self, entry: _Entry, now: float) -> bool:
        """Note an end, start what is due; whether anything changed."""
        with self._lock:
            changed = False
            if entry.process is not None and entry.process.poll() is not None:
                entry.code = entry.process.returncode
                entry.process = None
                entry.failures = 1 if now - entry.started >= self._backoff.settled else entry.failures + 1
                entry.next_start = now + self._backoff.pause(entry.failures, random.random())
                changed = True
            if entry.process is None and now >= entry.next_start and entry.code != MISCONFIGURED:
                entry.process = spawn(entry.what.argv, log=self.log(entry.what.name), env=os.environ | entry.what.env)
                entry.started = now
                entry.starts += 1
                changed = True
            return changed

    def _stop_in_order(self) -> None:
        entries = sorted(self._entries.values(), key=lambda entry: -entry.what.order)
        for _, group in groupby(entries, key=lambda entry: entry.what.order):
            running = [entry.process for entry in group if entry.process is not None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + self._stop_seconds
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _tell(self) -> None:
        if self._on_change:
            self._on_change(self.status())

    def _trim_logs(self) -> None:
        """Keep a log and its predecessor; the process goes on writing at the end of the file, which is its start now."""
        for name in self._entries:
            log = self.log(name)
            if log.exists() and log.stat().st_size > _LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


def answers_ready(port: int, path: str = "/readyz", patience: float = 2.0) -> bool:
    """Whether 127.0.0.1:`port` answers 200 at `path`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
