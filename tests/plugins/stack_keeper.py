"""A process that keeps one Kafka and one TimescaleDB running for as long as any test process of a session lives.

    python -m tests.plugins.stack_keeper BACKEND DIRECTORY

It belongs to no single xdist worker: every test process shares a file lock, and when the last one ends, by whatever
death, the kernel hands the lock to this process, which stops the servers and removes their data.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.locks import Lease
from deploy.local.stack import Endpoints, LocalStack

BACKENDS = ("local", "docker", "existing")


def lease_of(directory: Path) -> Path:
    """The lock file beside a session's folder; it outlives the folder."""
    return directory.with_name(directory.name + ".lease")


def write_endpoints(directory: Path, endpoints: Endpoints) -> None:
    """Publish the endpoints, password included, for this user alone and never half written."""
    unfinished = directory / "endpoints.new"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(endpoints), file)
    unfinished.rename(directory / "endpoints.json")


def read_endpoints(directory: Path) -> Endpoints | None:
    """The endpoints of a session whose servers run, else None."""
    try:
        return Endpoints(**json.loads((directory / "endpoints.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


@contextmanager
def backend(name: str, directory: Path) -> Iterator[Endpoints]:
    """The servers of the chosen kind, running inside the block. Raises KeyError when `existing` is not told where."""
    if name == "existing":
        yield Endpoints(os.environ["PILOTLINE_KAFKA"], os.environ["PILOTLINE_DATABASE_URL"])
    elif name == "docker":
        from tests.plugins.docker_stack import docker_stack

        with docker_stack() as endpoints:
            yield endpoints
    elif name == "local":
        with LocalStack(directory / "stack") as endpoints:
            yield endpoints
    else:
        raise KeyError(f"PILOTLINE_TEST_BACKEND={name}: one of {', '.join(BACKENDS)} is meant")


def remove_orphans(parent: Path) -> None:
    """Remove the data of sessions whose keeper was killed: nobody holds their lease."""
    for lease_file in parent.glob("tests-*.lease"):
        lease = Lease(lease_file)
        if lease.try_take():
            shutil.rmtree(lease_file.with_suffix(""), ignore_errors=True)
            lease_file.with_suffix(".starting").unlink(missing_ok=True)
            lease_file.unlink()
            lease.release()


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2])
    remove_orphans(directory.parent)
    try:
        with backend(name, directory) as endpoints:
            write_endpoints(directory, endpoints)
            Lease(lease_of(directory)).take()
            (directory / "endpoints.json").unlink()
    finally:
        if (directory / "endpoints.json").exists():
            (directory / "endpoints.json").unlink()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
