"""Both drivers under SIGKILL, rolling SIGTERM with rebalances, and loss of broker and database: rows equal the log, exactly."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.places import run_dir
from deploy.local.stack import LocalStack
from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics, producing
from shared.storage.migrate import migrate
from tests.integration.messaging.crash_rig import (
    Sender,
    Workers,
    all_applied,
    assert_exactly_once,
    prepare,
    stored,
    until,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
DRIVERS = ["loop", "faust"]
ORDERLY = {0, 70, -15}
"""Stopped; left because it could not go on (Faust after a gap); SIGTERM before it had come up."""


@asynccontextmanager
async def load(kafka: str, topic: str, *, per_second: float = 400.0) -> AsyncIterator[Sender]:
    """A sender at work during the block; at its end everything it sent is acknowledged."""
    async with producing(kafka) as producer:
        sender = Sender(producer, topic, per_second=per_second)
        sending = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            sender.stop()
            await sending


async def progress(database: str, workers: Workers, seconds: float = 120.0) -> None:
    """Wait until something more is stored."""
    before = stored(database)

    def more() -> bool:
        workers.revive()
        return stored(database) > before

    await until(more, seconds, f"more than {before} rows\n{workers.log_text()}")


# O-9, G3
@pytest.mark.stack
@pytest.mark.parametrize("driver", DRIVERS)
async def test_ten_sigkills_at_random_moments_lose_and_double_nothing(
    driver: str, kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    prepare(database)
    workers = Workers(driver, kafka, database, topics, tmp_path)
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    chance = random.Random(seed)
    try:
        workers.start("w1")
        workers.start("w2")
        async with load(kafka, topics.line_records) as sender:
            for _ in range(10):
                await progress(database, workers)
                await asyncio.sleep(chance.uniform(0.0, 1.5))
                victim = chance.choice(sorted(workers.running))
                workers.kill(victim)
                workers.start(victim)
        await all_applied(database, kafka, topics.line_records, 180, workers)
        for name in sorted(workers.running):
            workers.terminate(name)
        await assert_exactly_once(database, kafka, topics.line_records, sender.acknowledged)
        assert set(workers.exits) <= ORDERLY
        print(f"{driver}: {sender.sent} records, self-exits {workers.exits.count(70)}")  # noqa: T201
    finally:
        workers.end()


# O-9, G3
@pytest.mark.stack
@pytest.mark.parametrize("driver", DRIVERS)
async def test_rolling_restarts_with_one_three_two_workers_lose_and_double_nothing(
    driver: str, kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    prepare(database)
    workers = Workers(driver, kafka, database, topics, tmp_path, named=False)
    try:
        workers.start("w1")
        async with load(kafka, topics.line_records) as sender:
            await progress(database, workers)
            for name in ("w2", "w3"):
                workers.start(name)
                await progress(database, workers)
                await asyncio.sleep(1.0)
            for name in ("w1", "w2", "w3"):
                workers.terminate(name)
                workers.start(name)
                await asyncio.sleep(2.0)
                await progress(database, workers)
            workers.terminate("w1")
            await progress(database, workers)
        await all_applied(database, kafka, topics.line_records, 180, workers)
        for name in sorted(workers.running):
            workers.terminate(name)
        await assert_exactly_once(database, kafka, topics.line_records, sender.acknowledged)
        assert set(workers.exits) <= ORDERLY
        print(f"{driver}: {sender.sent} records, self-exits {workers.exits.count(70)}")  # noqa: T201
    finally:
        workers.end()


class Servers:
    """Servers to be killed. They end with the thread that started them, so one thread does it all."""

    def __init__(self, stack: LocalStack, thread: ThreadPoolExecutor) -> None:
        self._stack = stack
        self._thread = thread
        self.endpoints = thread.submit(stack.start).result()

    def kill_kafka(self) -> None:
        self._stack.kill_kafka()

    async def start_kafka(self) -> None:
        if self._stack.kafka.pid is None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._stack.start_kafka)

    def kill_database(self) -> None:
        self._stack.kill_database()

    async def start_database(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stack.start_database)


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Servers]:
    """Servers of this module's own: it kills them."""
    folder = run_dir(f"chaos-{uuid.uuid4().hex[:8]}")
    stack = LocalStack(folder)
    with ThreadPoolExecutor(1) as thread:
        try:
            yield Servers(stack, thread)
        finally:
            thread.submit(stack.stop).result()
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


@pytest.fixture
async def own_topics(own_stack: Servers) -> Topics:
    topics = Topics(f"c{uuid.uuid4().hex[:8]}.")
    await create_topics(own_stack.endpoints.kafka_bootstrap, topics)
    return topics


@pytest.fixture
def own_database(own_stack: Servers) -> str:
    """The servers' database, migrated, with empty tables."""
    url = own_stack.endpoints.database_url
    migrate(url)
    prepare(url)
    return url


# O-9, G1, G3
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_broker_killed_and_started_again_loses_and_doubles_nothing(
    driver: str, own_stack: Servers, own_topics: Topics, own_database: str, tmp_path: Path
) -> None:
    kafka, topic = own_stack.endpoints.kafka_bootstrap, own_topics.line_records
    workers = Workers(driver, kafka, own_database, own_topics, tmp_path)
    try:
        workers.start("w1")
        async with load(kafka, topic) as sender:
            await progress(own_database, workers)
            own_stack.kill_kafka()
            await own_stack.start_kafka()
            await progress(own_database, workers)
        await all_applied(own_database, kafka, topic, 180, workers)
        workers.terminate("w1")
        await assert_exactly_once(own_database, kafka, topic, sender.acknowledged)
        assert set(workers.exits) <= ORDERLY
        print(f"{driver}: {sender.sent} records, unknown {sender.unknown}, exits {workers.exits}")  # noqa: T201
    finally:
        workers.end()


# O-9, G3
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_database_killed_and_started_again_loses_and_doubles_nothing(
    driver: str, own_stack: Servers, own_topics: Topics, own_database: str, tmp_path: Path
) -> None:
    kafka, topic = own_stack.endpoints.kafka_bootstrap, own_topics.line_records
    workers = Workers(driver, kafka, own_database, own_topics, tmp_path)
    try:
        workers.start("w1")
        async with load(kafka, topic) as sender:
            await progress(own_database, workers)
            own_stack.kill_database()
            await own_stack.start_database()
            await progress(own_database, workers)
        await all_applied(own_database, kafka, topic, 180, workers)
        workers.terminate("w1")
        await assert_exactly_once(own_database, kafka, topic, sender.acknowledged)
        assert workers.exits == [0], "an outage of the database is waited out in place"
    finally:
        workers.end()


# O-4
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_worker_started_before_its_broker_waits_for_it(
    driver: str, own_stack: Servers, own_topics: Topics, own_database: str, tmp_path: Path
) -> None:
    kafka, topic = own_stack.endpoints.kafka_bootstrap, own_topics.line_records
    workers = Workers(driver, kafka, own_database, own_topics, tmp_path)
    own_stack.kill_kafka()
    try:
        workers.start("w1")
        await until(lambda: "kafka_not_reachable" in workers.log_text(), 20, "a word about the broker")
        assert workers.running["w1"].poll() is None
        await own_stack.start_kafka()
        async with load(kafka, topic) as sender:
            await progress(own_database, workers)
        await all_applied(own_database, kafka, topic, 180, workers)
        workers.terminate("w1")
        assert workers.exits == [0]
        await assert_exactly_once(own_database, kafka, topic, sender.acknowledged)
    finally:
        workers.end()


# O-4
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_worker_stops_in_time_without_its_broker(
    driver: str, own_stack: Servers, own_topics: Topics, own_database: str, tmp_path: Path
) -> None:
    kafka, topic = own_stack.endpoints.kafka_bootstrap, own_topics.line_records
    workers = Workers(driver, kafka, own_database, own_topics, tmp_path)
    try:
        workers.start("w1")
        async with load(kafka, topic):
            await progress(own_database, workers)
        own_stack.kill_kafka()
        started = time.monotonic()
        await asyncio.to_thread(workers.terminate, "w1")
        assert time.monotonic() - started < 21
    finally:
        workers.end()
        await own_stack.start_kafka()
