"""A whole pilotline on this machine: servers, schema, topics and every process under the supervisor.

    with installed("demo", fresh=True) as system:
        system.url("http")                       # http://127.0.0.1:8400
        system.supervisor.kill("sink")

The servers are this machine's own unless PILOTLINE_KAFKA and PILOTLINE_DATABASE_URL name others. What other commands need to find it
(`pilotline status`, `keys create`, …) lies in `state.json` in the run's folder, for this user alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from deploy.local.locks import Lease
from deploy.local.places import cache_dir, run_dir
from deploy.local.ports import reserved_port
from deploy.local.stack import Endpoints, LocalStack
from deploy.local.supervisor import Status, Supervised, Supervisor
from services.processes import PROCESSES, Process

KAFKA, DATABASE_URL, TOPIC_PREFIX = "PILOTLINE_KAFKA", "PILOTLINE_DATABASE_URL", "PILOTLINE_TOPIC_PREFIX"


class AlreadyRunning(Exception):
    """Another process runs this installation."""


class Misconfigured(Exception):
    """The environment contradicts itself; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What runs inside `installed`."""

    name: str
    endpoints: Endpoints
    topic_prefix: str
    supervisor: Supervisor
    stack: LocalStack | None
    """The servers, to break them; None when they are somebody else's."""

    def url(self, process: str) -> str:
        """`http://127.0.0.1:port` of a process."""
        return f"http://127.0.0.1:{self.supervisor.port(process)}"

    @property
    def environment(self) -> dict[str, str]:
        """What a command or process needs to work on this installation."""
        return {
            KAFKA: self.endpoints.kafka_bootstrap,
            DATABASE_URL: self.endpoints.database_url,
            TOPIC_PREFIX: self.topic_prefix,
        }


@contextmanager
def installed(
    name: str = "default",
    *,
    fresh: bool = False,
    processes: Sequence[Process] = PROCESSES,
    environment: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> Iterator[Installation]:
    """Everything started (not yet ready: `supervisor.wait_all_ready`), stopped in order at the end of the block.

    `fresh` removes the data of earlier runs of this name (of this machine's own servers only). `environment` is added to that
    of every process. Raises AlreadyRunning, Misconfigured, and what starting and migrating raise.
    """
    directory = run_dir(name)
    directory.mkdir(parents=True, exist_ok=True)
    lease = Lease(lock_of(name))
    if not lease.try_take():
        raise AlreadyRunning(f"the installation `{name}` runs already; end it with `pilotline --run {name} down`")
    with ExitStack() as ends:
        ends.callback(lease.release)
        lock_of(name).write_text(str(os.getpid()), encoding="ascii")
        if fresh:
            shutil.rmtree(directory)
            directory.mkdir()
        stack, endpoints = _servers(directory, ends, console)
        prefix = os.environ.get(TOPIC_PREFIX, "")
        _prepare(endpoints, prefix)
        state = StateFile(directory / "state.json", endpoints, prefix)
        ends.callback(state.remove)
        supervisor = Supervisor(
            _supervised(processes, endpoints, prefix, environment or {}, ends),
            logs=directory / "logs",
            on_change=state.write,
        )
        ends.enter_context(supervisor)
        yield Installation(name, endpoints, prefix, supervisor, stack)


def given_servers() -> Endpoints | None:
    """The servers named by the environment, None when it names none. Raises Misconfigured when it names only one."""
    kafka, database_url = os.environ.get(KAFKA), os.environ.get(DATABASE_URL)
    if kafka and database_url:
        return Endpoints(kafka, database_url)
    if kafka or database_url:
        lacking = DATABASE_URL if kafka else KAFKA
        raise Misconfigured(f"{lacking} is not set: set both {KAFKA} and {DATABASE_URL}, or neither")
    return None


def _servers(directory: Path, ends: ExitStack, console: Console | None) -> tuple[LocalStack | None, Endpoints]:
    given = given_servers()
    if given:
        return None, given
    stack = LocalStack(directory, console=console)
    return stack, ends.enter_context(stack)


def _prepare(endpoints: Endpoints, prefix: str) -> None:
    from shared.contracts.topics import Topics
    from shared.messaging.producer import create_topics
    from shared.storage.migrate import migrate

    migrate(endpoints.database_url)
    asyncio.run(create_topics(endpoints.kafka_bootstrap, Topics(prefix)))


def _supervised(
    processes: Sequence[Process], endpoints: Endpoints, prefix: str, environment: Mapping[str, str], ends: ExitStack
) -> tuple[Supervised, ...]:
    """Every process with its port: the one its variable fixes, else the preferred one, else a free one, kept from others until `ends`."""
    kernels = cache_dir() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    common = {
        KAFKA: endpoints.kafka_bootstrap,
        DATABASE_URL: endpoints.database_url,
        TOPIC_PREFIX: prefix,
        "NUMBA_CACHE_DIR": str(kernels),
        "PYTHONUNBUFFERED": "1",
    }
    wished = ((process.name, os.environ.get(process.port_variable)) for process in processes)
    fixed = {name: int(port) for name, port in wished if port}
    made = []
    for process in processes:
        port = fixed.get(process.name) or reserved_port(process.port, cache_dir() / "ports", ends, taken=fixed.values())
        own = {"PILOTLINE_BIND": f"{bind_host()}:{port}", process.port_variable: str(port)}
        made.append(
            Supervised(
                process.name,
                process.argv,
                {**common, **own, **process.env, **environment},
                port,
                process.ready_path,
                process.order,
            )
        )
    return tuple(made)


def bind_host() -> str:
    """The address the processes listen on: the host of PILOTLINE_BIND (its port, if any, is each process's own)."""
    return os.environ.get("PILOTLINE_BIND", "127.0.0.1").rpartition(":")[0] or os.environ.get(
        "PILOTLINE_BIND", "127.0.0.1"
    )


# What other commands read ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A running installation as another process sees it."""

    endpoints: Endpoints
    topic_prefix: str
    processes: tuple[Status, ...]


@dataclass(slots=True)
class StateFile:
    """Written at every change, whole or not at all."""

    path: Path
    endpoints: Endpoints
    prefix: str

    def write(self, processes: tuple[Status, ...]) -> None:
        text = json.dumps(dataclasses.asdict(Running(self.endpoints, self.prefix, processes)), indent=1)
        unfinished = self.path.with_suffix(".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.rename(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def lock_of(name: str) -> Path:
    """The lock held as long as an installation runs, with the pid of its supervisor; beside the folder that `fresh` removes."""
    folder = run_dir(name)
    return folder.with_name(f"{name}.running")


def supervisor_pid(name: str) -> int | None:
    """The process to ask for an end of a running (or starting) installation; None when none runs."""
    return int(lock_of(name).read_text(encoding="ascii")) if is_running(name) else None


def is_running(name: str) -> bool:
    """Whether an installation of this name runs."""
    lock = lock_of(name)
    if not lock.exists():
        return False
    lease = Lease(lock)
    free = lease.try_take()
    lease.release()
    return not free


def find(name: str = "default") -> Running | None:
    """The running installation of this name, None when it does not run or is only starting."""
    if not is_running(name):
        return None
    try:
        state = json.loads((run_dir(name) / "state.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Running(
        Endpoints(**state["endpoints"]),
        state["topic_prefix"],
        tuple(Status(**process) for process in state["processes"]),
    )
