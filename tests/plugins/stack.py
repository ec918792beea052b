"""Real Kafka and TimescaleDB for tests: one of each per session, shared by all xdist workers; fresh topics and databases per test.

PILOTLINE_TEST_BACKEND chooses where they come from:

- `local` (default): processes of this machine, without Docker (deploy/local)
- `docker`: containers (tests/plugins/docker_stack.py)
- `existing`: the servers named by PILOTLINE_KAFKA and PILOTLINE_DATABASE_URL; the role must be allowed to create databases

A server that does not come up fails the tests that need it; it never skips them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

import shared.storage.migrate
from deploy.local import waiting
from deploy.local.child import tail
from deploy.local.locks import Lease, locked
from deploy.local.places import REPOSITORY, run_dir
from deploy.local.stack import Endpoints
from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics
from shared.storage.migrate import migrate
from tests.plugins.stack_keeper import lease_of, read_endpoints

_SESSION = "PILOTLINE_TEST_SESSION"
_START_SECONDS = 110
_keepers: list[subprocess.Popen[bytes]] = []
"""The keeper this process started, if it did. It may outlive this process: other test processes may still need it."""

NewDatabase = Callable[[], AbstractContextManager[str]]
NewTopics = Callable[[], AbstractContextManager[Topics]]


def pytest_configure(config: pytest.Config) -> None:
    """Name the session once; xdist workers inherit the name."""
    if not hasattr(config, "workerinput"):
        os.environ[_SESSION] = uuid.uuid4().hex[:12]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing running: wait for the keeper to end the servers after the last test process let go."""
    if not hasattr(config, "workerinput"):
        folder = _session_dir()
        waiting.until(lambda: not folder.exists(), 60, f"end of the servers of {folder}")
        for keeper in _keepers:
            keeper.wait()
        for trace in folder.parent.glob(f"{folder.name}.*"):
            trace.unlink(missing_ok=True)
        return
    for keeper in _keepers:
        if keeper.poll() is None:
            keeper.returncode = 0  # it ends with the last lease; the first process waits for that, this one cannot


def _session_dir() -> Path:
    return run_dir(f"tests-{os.environ[_SESSION]}")


@pytest.fixture(scope="session")
def stack() -> Iterator[Endpoints]:
    """Where the session's servers answer; started by the first test process that asks."""
    folder = _session_dir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    lease = Lease(lease_of(folder))
    lease.share()
    try:
        with locked(folder.with_name(folder.name + ".starting")):
            endpoints = read_endpoints(folder) or _start_keeper(folder)
        yield endpoints
    finally:
        lease.release()


def _start_keeper(folder: Path) -> Endpoints:
    folder.mkdir(exist_ok=True)
    log = folder / "keeper.log"
    name = os.environ.get("PILOTLINE_TEST_BACKEND", "local")
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.plugins.stack_keeper", name, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    _keepers.append(keeper)

    def up() -> bool:
        if keeper.poll() is not None:
            pytest.fail(f"Kafka and TimescaleDB ({name}) did not come up:\n{tail(log, 40)}", pytrace=False)
        return read_endpoints(folder) is not None

    waiting.until(up, _START_SECONDS, f"Kafka and TimescaleDB ({name}); see {log}")
    endpoints = read_endpoints(folder)
    assert endpoints is not None
    return endpoints


# Databases --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_database(stack: Endpoints) -> NewDatabase:
    """Makes migrated databases, each dropped at the end of its block."""
    with locked(_session_dir().with_name("template.lock")):
        template = _template(stack.database_url)

    @contextmanager
    def make() -> Iterator[str]:
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(stack.database_url, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}".encode())
        try:
            yield _other_database(stack.database_url, name)
        finally:
            with psycopg.connect(stack.database_url, autocommit=True) as connection:
                connection.execute(f"drop database {name} with (force)".encode())

    return make


@pytest.fixture
def database(new_database: NewDatabase) -> Iterator[str]:
    """The address of a migrated, empty database of this test's own."""
    with new_database() as url:
        yield url


@pytest.fixture(scope="module")
def module_database(new_database: NewDatabase) -> Iterator[str]:
    """The address of a migrated database that the tests of a module share."""
    with new_database() as url:
        yield url


def _template(database_url: str) -> str:
    """The name of the template with the newest schema, made when it lacks (on existing servers it may be there)."""
    name = f"pilotline_template_{_schema_digest()}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        if connection.execute("select from pg_database where datname = %s", (name,)).fetchone() is not None:
            return name
        unfinished = f"{name}_new"
        connection.execute(f"drop database if exists {unfinished} with (force)".encode())
        connection.execute(f"create database {unfinished}".encode())
        migrate(_other_database(database_url, unfinished))
        # A template may have no connections, and TimescaleDB's scheduler connects to every database that lets it.
        connection.execute(f"alter database {unfinished} with allow_connections false".encode())
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (unfinished,))
        connection.execute(f"alter database {unfinished} rename to {name}".encode())
    return name


def _schema_digest() -> str:
    versions = Path(shared.storage.migrate.__file__).parent / "migrations" / "versions"
    digest = hashlib.sha256()
    for file in sorted(versions.glob("*.sql")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _other_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


# Topics -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_topics(stack: Endpoints) -> NewTopics:
    """Makes a full set of topics under a prefix of its own, deleted at the end of its block."""

    @contextmanager
    def make() -> Iterator[Topics]:
        topics = Topics(f"t{uuid.uuid4().hex[:12]}.")
        _in_own_loop(create_topics(stack.kafka_bootstrap, topics))
        try:
            yield topics
        finally:
            _in_own_loop(_delete_topics(stack.kafka_bootstrap, topics))

    return make


@pytest.fixture
def topics(new_topics: NewTopics) -> Iterator[Topics]:
    """Fresh topics of this test's own."""
    with new_topics() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_topics(new_topics: NewTopics) -> Iterator[Topics]:
    """Topics that the tests of a module share."""
    with new_topics() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def kafka(stack: Endpoints) -> str:
    """`host:port` of the broker."""
    return stack.kafka_bootstrap


async def _delete_topics(kafka: str, topics: Topics) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_topics([name for name, _ in topics.named()])
    finally:
        await admin.close()


def _in_own_loop(work: Coroutine[Any, Any, object]) -> None:
    """Run to the end in a thread: the test's own event loop belongs to pytest-asyncio."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
