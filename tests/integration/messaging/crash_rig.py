"""Workers that can be killed, a sender that keeps a ledger, and the comparison of the ledger, the log and the rows."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid5

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.topics import LINE_RECORDS, Topics
from shared.messaging.producer import Full, Producer, Published, Unknown
from tests.integration.messaging.crash_worker import TABLES

REPOSITORY = Path(__file__).parents[3]
_namespace = UUID("0f7f6f1e-52b5-5a4e-9b0e-6a6f5b0f2d11")


class Workers:
    """Child processes of one driver; what dies on purpose is started again, what dies by itself is counted."""

    def __init__(
        self, driver: str, kafka: str, database: str, topics: Topics, logs: Path, *, named: bool = True
    ) -> None:
        """`named`: workers are static members of the group; else every start is a new member and a rebalance."""
        self._logs = logs
        self._named = named
        self._environment = os.environ | {
            "PILOTLINE_DRIVER": driver,
            "PILOTLINE_KAFKA": kafka,
            "PILOTLINE_DATABASE_URL": database,
            "PILOTLINE_TOPIC_PREFIX": topics.prefix,
            "PILOTLINE_TOPIC": topics.line_records,
            "PILOTLINE_LOG_FORMAT": "json",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.exits: list[int] = []

    def start(self, name: str) -> None:
        """Start (or start again) the worker of this name."""
        with (self._logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.messaging.crash_worker"],
                env=self._environment | ({"PILOTLINE_INSTANCE": name} if self._named else {}),
                cwd=REPOSITORY,
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str) -> None:
        worker = self.running.pop(name)
        worker.kill()
        worker.wait()

    def terminate(self, name: str, patience: float = 25.0) -> None:
        """SIGTERM; the exit code is kept in `exits`."""
        worker = self.running.pop(name)
        worker.send_signal(signal.SIGTERM)
        self.exits.append(worker.wait(patience))

    def revive(self) -> None:
        """What a supervisor does: start again what ended by itself."""
        for name, worker in list(self.running.items()):
            code = worker.poll()
            if code is not None:
                self.exits.append(code)
                self.start(name)

    def end(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def log_text(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-6000:]}" for log in sorted(self._logs.glob("*.log")))


class Sender:
    """Sends numbered records at a steady pace and remembers what was acknowledged, and where."""

    def __init__(self, producer: Producer, topic: str, *, per_second: float = 400.0) -> None:
        self._producer = producer
        self._topic = topic
        self._pause = 1.0 / per_second
        self._stopped = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self.acknowledged: dict[str, Published] = {}
        self.sent = 0
        self.unknown = 0

    async def run(self) -> None:
        """Until `stop`; a record whose outcome is unknown or that was refused is sent again under the same id."""
        while not self._stopped.is_set():
            identity = str(uuid5(_namespace, str(self.sent)))
            self.sent += 1
            task = asyncio.create_task(self._deliver(identity))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            await asyncio.sleep(self._pause)
        await asyncio.gather(*self._open)

    def stop(self) -> None:
        self._stopped.set()

    async def _deliver(self, identity: str) -> None:
        key = f"line-{int(identity[:4], 16) % 16}".encode()
        while True:
            try:
                self.acknowledged[identity] = await self._producer.put(
                    self._topic, key, identity.encode() + b"." * 200, kind="frame"
                )
            except (Full, Unknown):
                self.unknown += 1
                await asyncio.sleep(0.1 + random.random() * 0.2)
            else:
                return


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.05)


def prepare(database: str) -> None:
    """Empty tables, no position, no dead letter."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop table if exists crash_row, crash_window, crash_state")
        connection.execute("delete from messaging.position where processor = 'crash'")
        connection.execute("delete from messaging.dead_letter where processor = 'crash'")
        connection.execute(TABLES.encode())


def stored(database: str) -> int:
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute("select count(*) from crash_row").fetchone()
    assert row is not None
    return int(row[0])


async def log_of(kafka: str, topic: str) -> list[tuple[int, int, str]]:
    """Every record of the topic as (partition, offset, id), read without a group."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(LINE_RECORDS.partitions)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        for partition in partitions:
            consumer.seek(partition, 0)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found += [(m.partition, m.offset, m.value[:36].decode()) for m in messages]
        return sorted(found)
    finally:
        await consumer.stop()


async def all_applied(database: str, kafka: str, topic: str, seconds: float, workers: Workers) -> None:
    """Wait until as many rows are stored as the log holds, reviving workers like a supervisor."""
    expected = len(await log_of(kafka, topic))

    def done() -> bool:
        workers.revive()
        return stored(database) >= expected

    await until(done, seconds, f"{expected} rows")


async def assert_exactly_once(database: str, kafka: str, topic: str, acknowledged: dict[str, Published]) -> None:
    """Rows equal the log, offset by offset; every acknowledgement is a row; places and windows have no gap and no repeat."""
    log = await log_of(kafka, topic)
    with psycopg.connect(database) as connection:
        rows = connection.execute('select partition, "offset", id, place from crash_row').fetchall()
        windows = connection.execute("select partition, first, last from crash_window order by 1, 2, 3").fetchall()
        positions: dict[int, int] = dict(
            connection.execute("select partition, next_offset from messaging.position where processor = 'crash'")
        )
    stored_rows = Counter((partition, offset, identity) for partition, offset, identity, _ in rows)
    assert not [row for row, count in stored_rows.items() if count > 1], "doubled rows"
    assert sorted(stored_rows) == log, "rows differ from the log"
    for identity, published in acknowledged.items():
        assert stored_rows[published.partition, published.offset, identity] == 1, "acknowledged, not stored once"
    for partition in range(LINE_RECORDS.partitions):
        places = [place for number, _, _, place in sorted(rows) if number == partition]
        assert places == list(range(1, len(places) + 1)), f"memory and database differed on partition {partition}"
        assert positions.get(partition, 0) == len(places)
        reached = 0
        for _, first, last in [window for window in windows if window[0] == partition]:
            assert first == reached + 1, f"a tick acted twice or was lost on partition {partition}"
            reached = last
