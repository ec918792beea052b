"""O-1: the servers of this machine, without Docker: started, broken, started again, gone without a trace."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local import waiting
from deploy.local.places import REPOSITORY, run_dir
from deploy.local.stack import Endpoints, LocalStack
from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics

pytestmark = pytest.mark.stack


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of this test's own that the servers' account can reach."""
    path = run_dir(f"test-{uuid.uuid4().hex[:8]}")
    yield path
    subprocess.run(["rm", "-rf", str(path), f"{path}.lock"], check=True)


def members_of(folder: Path) -> list[int]:
    """The processes that have the folder in their command or as their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes().decode(errors="replace") + os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in text and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


async def send(kafka: str, topic: str, value: bytes) -> int:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True) as producer:
        sent = await producer.send_and_wait(topic, value, partition=0)
    offset = sent.offset
    assert isinstance(offset, int)
    return offset


async def read(kafka: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await consumer.getone()).value for _ in range(count)]


def test_what_was_acknowledged_survives_sigkill_of_both_servers_and_nothing_is_left_behind(folder: Path) -> None:
    stack = LocalStack(folder)
    with stack as endpoints:
        topics = Topics()
        asyncio.run(create_topics(endpoints.kafka_bootstrap, topics))
        asyncio.run(send(endpoints.kafka_bootstrap, topics.line_records, b"before"))
        with psycopg.connect(endpoints.database_url) as connection:
            connection.execute("create table kept as select 42 as value")

        stack.kill_kafka()
        stack.kill_database()
        stack.start_database()
        stack.start_kafka()

        assert stack.endpoints == endpoints
        asyncio.run(send(endpoints.kafka_bootstrap, topics.line_records, b"after"))
        assert asyncio.run(read(endpoints.kafka_bootstrap, topics.line_records, 2)) == [b"before", b"after"]
        with psycopg.connect(endpoints.database_url) as connection:
            assert connection.execute("select value from kept").fetchone() == (42,)
        assert members_of(folder)
    assert members_of(folder) == []


def test_data_is_there_again_after_an_orderly_stop(folder: Path) -> None:
    with LocalStack(folder) as endpoints, psycopg.connect(endpoints.database_url) as connection:
        connection.execute("create table kept as select 42 as value")
    with LocalStack(folder) as endpoints, psycopg.connect(endpoints.database_url) as connection:
        assert connection.execute("select value from kept").fetchone() == (42,)


def test_servers_end_when_the_process_that_started_them_is_killed(folder: Path) -> None:
    script = (
        "import time; from pathlib import Path; from deploy.local.stack import LocalStack\n"
        f"LocalStack(Path({str(folder)!r})).start(); print('up', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        assert members_of(folder)
        parent.send_signal(signal.SIGKILL)
    waiting.until(lambda: members_of(folder) == [], 20, "end of the servers")


def test_a_folder_has_one_user_at_a_time(folder: Path) -> None:
    with LocalStack(folder), pytest.raises(RuntimeError, match="another process runs"):
        LocalStack(folder).start()


@pytest.fixture
def running(folder: Path) -> Iterator[tuple[Path, Endpoints]]:
    with LocalStack(folder) as endpoints:
        yield folder, endpoints


def test_strangers_neither_see_nor_enter_the_database(running: tuple[Path, Endpoints]) -> None:
    folder, endpoints = running
    guess = endpoints.database_url.replace(endpoints.database_url.split(":")[2].split("@")[0], "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(guess)
    for secret in (folder / "postgres", folder / "postgres" / "data", folder / "postgres" / "password"):
        assert stat.S_IMODE(secret.stat().st_mode) & 0o077 == 0
    with psycopg.connect(endpoints.database_url) as connection:
        settings: dict[str, str] = dict(
            connection.execute(
                "select name, setting from pg_settings where name in ('listen_addresses', 'fsync', 'jit')"
            ).fetchall()
        )
    assert settings == {"listen_addresses": "127.0.0.1", "fsync": "on", "jit": "off"}


def test_the_servers_do_not_run_as_root(running: tuple[Path, Endpoints]) -> None:
    folder, _ = running
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in members_of(folder)}
    assert 0 not in owners
