"""A compose project of its own name and on free ports, from the file users start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PORTS = ("KAFKA_PORT", "DATABASE_PORT", "INGEST_PORT", "VERIFICATION_PORT", "BILLING_PORT")
START_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Project:
    """A running compose project: its name and the environment that names its ports (which may hold secrets: never printed)."""

    name: str
    environment: dict[str, str] = field(repr=False)

    def compose(self, *arguments: str) -> str:
        """What `docker compose ARGUMENTS` prints. Raises CalledProcessError with its error output as a note."""
        command = ["docker", "compose", "--project-name", self.name, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            failure = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
            failure.add_note(done.stderr[-4000:])
            raise failure
        return done.stdout

    def run_in(self, service: str, *command: str) -> str:
        """What a command prints inside the container of a service."""
        return self.compose("exec", "--no-TTY", service, *command)

    def address(self, port: str) -> str:
        return f"http://127.0.0.1:{self.environment[port]}"

    def containers(self) -> dict[str, dict[str, Any]]:
        """State of each service's container, ended ones too."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {container["Service"]: container for container in map(json.loads, lines)}

    def query(self, sql: str) -> str:
        return self.run_in("timescaledb", "psql", "-U", "pilotline", "-d", "pilotline", "-At", "-c", sql).strip()


@contextmanager
def compose_project(name: str) -> Iterator[Project]:
    """Everything built, started and healthy; removed with its volumes at the end. A failed start says what the logs say."""
    environment = dict(os.environ) | dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
    project = Project(name, environment)
    try:
        project.compose("up", "--detach", "--build", "--wait", "--wait-timeout", str(START_SECONDS))
        yield project
    except subprocess.CalledProcessError as failure:
        failure.add_note(project.compose("logs", "--no-color", "--tail", "25"))
        raise
    finally:
        project.compose("down", "--volumes", "--timeout", "25")


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback interface that were free a moment ago, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return tuple(one.getsockname()[1] for one in sockets)
