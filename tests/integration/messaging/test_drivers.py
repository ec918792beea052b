"""What both drivers do besides surviving crashes (test_crashes.py, tests/chaos/messaging)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from shared.contracts.topics import LINE_RECORDS, Topics
from shared.messaging.log_bounds import LogChanged
from shared.messaging.loop import run_loop
from shared.messaging.producer import Outgoing, producing
from shared.storage.pool import build_pool
from tests.integration.messaging.crash_rig import Workers, prepare, stored, until
from tests.integration.messaging.crash_worker import CountingProcessor

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
DRIVERS = ["loop", "faust"]


async def publish(kafka: str, topics: Topics, count: int, *, kind: str = "frame") -> None:
    records = [
        Outgoing(topics.line_records, f"line-{n % 8}".encode(), f"{n:036d}".encode(), kind, {}) for n in range(count)
    ]
    async with producing(kafka) as producer:
        await producer.put_all(records)


@contextlib.asynccontextmanager
async def looping(kafka: str, database: str, topics: Topics) -> AsyncIterator[asyncio.Task[None]]:
    """The plain driver in this process; at the end it is stopped in order."""
    stop = asyncio.Event()
    async with build_pool(database, name="test", max_size=2) as pool:
        loop = run_loop(
            CountingProcessor(),
            topics=[topics.line_records],
            bootstrap=kafka,
            pool=pool,
            group=f"{topics.prefix}crash",
            stop=stop,
            session_timeout=6.0,
        )
        task = asyncio.create_task(loop)
        try:
            yield task
        finally:
            stop.set()
            await asyncio.wait((task,), timeout=20)


def move_positions(database: str, topic: str, offset: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for partition in range(LINE_RECORDS.partitions):
            connection.execute(
                "insert into messaging.position (processor, topic, partition, next_offset) values ('crash', %s, %s, %s)",
                (topic, partition, offset),
            )


async def test_the_stored_position_decides_and_not_what_kafka_remembers(
    kafka: str, database: str, topics: Topics
) -> None:
    prepare(database)
    await publish(kafka, topics, 40)
    async with looping(kafka, database, topics):
        await until(lambda: stored(database) == 40, 90, "40 rows")
    prepare(database)  # the database forgets, Kafka's group does not
    async with looping(kafka, database, topics):
        await until(lambda: stored(database) == 40, 90, "40 rows again")


async def test_a_topic_made_anew_stops_the_process_instead_of_being_read_past(
    kafka: str, database: str, topics: Topics
) -> None:
    prepare(database)
    move_positions(database, topics.line_records, 1000)
    async with looping(kafka, database, topics) as task:
        with pytest.raises(LogChanged, match="beyond the end"):
            await asyncio.wait_for(asyncio.shield(task), 40)


async def test_records_that_retention_took_unread_stop_the_process(kafka: str, database: str, topics: Topics) -> None:
    prepare(database)
    await publish(kafka, topics, 80)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        partitions = [TopicPartition(topics.line_records, number) for number in range(LINE_RECORDS.partitions)]
        await admin.delete_records({partition: RecordsToDelete(before_offset=5) for partition in partitions})
    finally:
        await admin.close()
    move_positions(database, topics.line_records, 2)
    async with looping(kafka, database, topics) as task:
        with pytest.raises(LogChanged, match="begins at 5"):
            await asyncio.wait_for(asyncio.shield(task), 40)


# A supervisor sees the code; nothing was applied, nothing was skipped.
async def test_faust_leaves_with_a_code_when_the_log_does_not_fit(
    kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    prepare(database)
    move_positions(database, topics.line_records, 1000)
    workers = Workers("faust", kafka, database, topics, tmp_path)
    try:
        workers.start("w1")
        await until(lambda: workers.running["w1"].poll() is not None, 120, f"an end\n{workers.log_text()}")
        assert workers.running["w1"].returncode == 70
        assert stored(database) == 0
    finally:
        workers.end()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_other_kinds_and_dead_letters_pass_through_the_driver(
    driver: str, kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    prepare(database)
    await publish(kafka, topics, 20, kind="annotation")
    await publish(kafka, topics, 20)
    async with producing(kafka) as producer:
        await producer.put(topics.line_records, b"line-0", b"poison", kind="frame")
    workers = Workers(driver, kafka, database, topics, tmp_path)

    def positions() -> int:
        with psycopg.connect(database, autocommit=True) as connection:
            row = connection.execute("select coalesce(sum(next_offset), 0) from messaging.position").fetchone()
        assert row is not None
        return int(row[0])

    try:
        workers.start("w1")
        await until(lambda: positions() == 41, 120, f"41 records\n{workers.log_text()}")
        assert stored(database) == 20
        with psycopg.connect(database, autocommit=True) as connection:
            assert connection.execute("select value, code from messaging.dead_letter").fetchall() == [
                (b"poison", "poison")
            ]
        workers.terminate("w1")
        assert workers.exits == [0]
    finally:
        workers.end()
