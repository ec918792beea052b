"""The verification service on real servers: API, relay, worker and the sink it relies on, all in this process; the worker can be lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
import numpy as np
import psycopg

from services.ingest.adapters.registry_store import apply_registry
from services.ingest.bootstrap import build_sink
from services.verification.adapters.worker.processor import Tuning, VerificationWorker
from services.verification.bootstrap import Verification, build_api
from services.verification.config import ApiSettings
from services.verification.entrypoints.api import add_routes
from shared.contracts.frame import build_frame, encode_frame
from shared.contracts.registry_document import read_document
from shared.contracts.topics import Kind, Topics
from shared.kernel.times import SECOND, Micros, from_rfc3339, to_rfc3339
from shared.messaging.loop import run_loop
from shared.messaging.processor import Record
from shared.messaging.producer import Producer, producing
from shared.messaging.relay import Relay
from shared.observability.health import serving
from shared.storage.api_keys import Role, create_key
from shared.storage.pool import Connection, Pool, build_pool

T0: Micros = from_rfc3339("2026-03-02T00:00:00Z")
NAME = {"en": "a", "zh": "甲"}
LENGTH = 120
"""Seconds of a run."""

REGISTRY: dict[str, Any] = {
    "platforms": [{"id": "p", "name": NAME, "time_zone": "Asia/Shanghai"}],
    "lines": [{"id": "l1", "platform": "p", "name": NAME}, {"id": "l2", "platform": "p", "name": NAME}],
    "instruments": [{"id": "l1/i", "name": NAME}, {"id": "l2/i", "name": NAME}],
    "customers": [{"id": "acme", "name": NAME, "class": "sme"}],
    "streams": [
        {
            "id": f"{line}/{name}",
            "instrument": f"{line}/i",
            "clock": "recorded",
            "period": f"{period} s",
            "max_age": f"{3 * period} s",
            "channels": [
                {"name": "pressure", "quantity_kind": "pressure", "unit": "kPa"},
                {
                    "name": "flow",
                    "quantity_kind": "mass_flow",
                    "unit": "kg/h",
                    "uncertainty": {"expanded": 1, "source": "certificate 7", "calibration_due": "2026-01-31"},
                },
            ],
        }
        for line in ("l1", "l2")
        for name, period in (("fast", 1), ("slow", 10))
    ],
}


def criterion(id_: str, kind: str, **facts: Any) -> dict[str, Any]:
    return {"id": id_, "kind": kind, "title": NAME, "phase": "work", "signal": "fast.pressure", **facts}


CRITERIA: dict[str, Any] = {
    "id": "set",
    "version": 1,
    "title": NAME,
    "phases": [{"id": "work", "title": NAME, "planned": {"value": LENGTH, "unit": "s"}}],
    "criteria": [
        criterion("limit", "band", high={"value": 100, "unit": "kPa"}),
        criterion("floor", "band", signal="slow.pressure", low={"value": 0, "unit": "kPa"}),
        criterion("hold", "hold", low={"value": 40, "unit": "kPa"}, duration={"value": 30, "unit": "s"}),
        criterion("rate", "rate_of_change", high={"value": 50, "unit": "kPa/s"}, window={"value": 10, "unit": "s"}),
        criterion("mean", "window_statistics", statistic="mean", high={"value": 90, "unit": "kPa"}),
        criterion("out", "cumulative_time_out", high={"value": 80, "unit": "kPa"}, at_most={"value": 20, "unit": "s"}),
        criterion("data", "data_quality", min_coverage=0.9, max_gap={"value": 15, "unit": "s"}),
        {
            "id": "balance",
            "kind": "balance",
            "title": NAME,
            "phase": "work",
            "inputs": ["fast.flow"],
            "outputs": ["slow.flow"],
            "limit": {"value": 25, "unit": "kg/h"},
        },
    ],
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Ten seconds of a stream. `seq` counts from 1."""

    stream: str
    seq: int
    times: tuple[Micros, ...]
    pressure: tuple[float, ...]
    flow: tuple[float, ...]
    boot: str = "b1"


def batches(line: str = "l1", *, start: Micros = T0, length: int = LENGTH, boot: str = "b1") -> list[Batch]:
    """What a quiet run sends, in order of time: pressures between 50 and 70 kPa, flows that balance."""
    made: list[Batch] = []
    for ten in range(length // 10):
        seconds = range(10 * ten, 10 * ten + 10)
        fast = tuple(60.0 + 10.0 * np.sin(second / 7) for second in seconds)
        made.append(
            Batch(
                f"{line}/fast",
                ten + 1,
                tuple(start + second * SECOND for second in seconds),
                fast,
                tuple(100.0 + second % 3 for second in seconds),
                boot,
            )
        )
        at = (start + 10 * ten * SECOND,)
        made.append(Batch(f"{line}/slow", ten + 1, at, (5.0 + ten,), (101.0,), boot))
    return made


class Moment(StrEnum):
    """When the worker is lost: before it has done anything with a batch, with everything written but not committed, or right after."""

    BEFORE = "before"
    UNCOMMITTED = "uncommitted"
    COMMITTED = "committed"


class Losable:
    """A worker that can be lost, as SIGKILL loses it: its transaction is rolled back unless it was committed, its memory is gone, and a new
    one has nothing but the database."""

    name = VerificationWorker.name
    kinds = VerificationWorker.kinds
    tick_seconds = VerificationWorker.tick_seconds

    def __init__(self, build: Callable[[], VerificationWorker]) -> None:
        self._build = build
        self._worker = build()
        self.moment: Moment | None = None
        self.lost = 0

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        await self._worker.restore(partitions, connection)

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        self._lose(Moment.BEFORE)
        await self._worker.process(records, connection)
        self._lose(Moment.UNCOMMITTED)

    async def committed(self) -> None:
        self._lose(Moment.COMMITTED)
        await self._worker.committed()

    def _lose(self, moment: Moment) -> None:
        if self.moment is moment:
            self.moment = None
            self.lost += 1
            self._worker = self._build()
            raise psycopg.OperationalError("the worker was lost")


@dataclass(slots=True)
class Rig:
    """What a test holds in its hands."""

    pool: Pool
    client: httpx.AsyncClient
    producer: Producer
    topics: Topics
    kafka: str
    base: str
    tuning: Tuning
    stop: asyncio.Event
    sent: dict[int, int] = field(default_factory=dict)
    worker: Losable | None = None
    _worker_task: asyncio.Task[None] | None = None

    async def send(self, *frames: Batch, registry_version: int = 1) -> None:
        """Straight into the log, as the gateway does after its checks."""
        for batch in frames:
            values = np.column_stack([batch.pressure, batch.flow]).astype(np.float64)
            quality = np.where(np.isnan(values), 2, 0).astype(np.uint8)
            frame = build_frame(
                stream=batch.stream,
                registry_version=registry_version,
                boot=batch.boot,
                seq=batch.seq,
                times=np.array(batch.times, np.int64),
                values=values,
                quality=quality,
                received_at=time.time_ns() // 1000,
            )
            line = batch.stream.split("/")[0].encode()
            put = await self.producer.put(self.topics.line_records, line, encode_frame(frame), kind=Kind.FRAME)
            self.sent[put.partition] = put.offset

    async def create(self, run: str, line: str = "l1", **facts: Any) -> None:
        body = {
            "run": run,
            "project": "project",
            "customer": "acme",
            "line": line,
            "scene": "replica",
            "verification_kind": "process",
            "item": "resin",
            "criteria": {"set": "set", "version": 1},
            **facts,
        }
        answer = await self.client.post("/v1/runs", json=body)
        assert answer.status_code in (200, 201), answer.text

    async def command(self, run: str, command: str, at: Micros, key: str | None = None) -> httpx.Response:
        body = {"command": command, "at": to_rfc3339(at), "reason": "test", "key": key or f"{command}-{at}"}
        return await self.client.post(f"/v1/runs/{run}/commands?wait=20", json=body)

    async def begin(self, run: str, line: str = "l1", at: Micros = T0) -> None:
        """Create, start, first phase; returns once the records are in the log."""
        await self.create(run, line)
        answer = await self.command(run, "start", at)
        assert answer.status_code == 200, answer.text
        body = {"phase": "work", "at": to_rfc3339(at), "key": "work"}
        answer = await self.client.post(f"/v1/runs/{run}/phases?wait=20", json=body)
        assert answer.json()["in_log"], answer.text

    async def end(self, run: str, at: Micros = T0 + LENGTH * SECOND) -> None:
        answer = await self.command(run, "complete", at)
        assert answer.json()["in_log"], answer.text

    async def run(self, run: str) -> dict[str, Any]:
        answer = await self.client.get(f"/v1/runs/{run}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def closed(self, run: str, evaluations: int = 2) -> dict[str, Any]:
        """The run once its verdict is final or in doubt, and it has that many evaluations."""

        async def found() -> dict[str, Any] | None:
            document = await self.run(run)
            there = document["head"]["verdict_state"] != "provisional"
            return document if there and len(document["evaluations"]) >= evaluations else None

        document: dict[str, Any] = await until(found, f"end of {run}")
        return document

    async def words(self, run: str) -> dict[str, str]:
        return {row["criterion"]: row["word"] for row in (await self.run(run))["criteria"]}

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            return await (await connection.execute(query.encode(), parameters)).fetchall()

    async def caught_up(self) -> None:
        """Sink and worker have applied everything that was sent."""

        async def found() -> bool:
            rows = await self.rows(
                """select partition, min(next_offset) from messaging.position
                   where processor in ('ingest.sink', 'verification.worker') group by partition"""
            )
            reached = dict(rows)
            return all(reached.get(partition, 0) > offset for partition, offset in self.sent.items())

        await until(found, "worker")

    async def start_worker(self) -> None:
        self.worker = Losable(lambda: VerificationWorker(self.pool, self.topics, tuning=self.tuning))
        self._worker_task = asyncio.create_task(
            run_loop(
                self.worker,
                topics=[self.topics.line_records],
                bootstrap=self.kafka,
                pool=self.pool,
                group=self.topics.prefix + "worker",
                stop=self.stop,
                poll_seconds=0.05,
            )
        )

    async def lose_worker(self, moment: Moment) -> None:
        """Returns once a worker with an empty memory has taken over."""
        assert self.worker is not None
        worker = self.worker
        lost = worker.lost
        worker.moment = moment

        async def replaced() -> bool:
            self.raise_if_dead()
            return worker.lost > lost and worker.moment is None

        await until(replaced, "new worker")

    def raise_if_dead(self) -> None:
        if self._worker_task is not None and self._worker_task.done():
            self._worker_task.result()


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        await asyncio.sleep(0.05)
    return found


@contextlib.asynccontextmanager
async def standing(database: str, kafka: str, topics: Topics, tuning: Tuning) -> AsyncIterator[Rig]:
    """Everything up, the registry and the criteria published; everything down afterwards."""
    stop = asyncio.Event()
    settings = ApiSettings.read(database_url=database, kafka=kafka, topic_prefix=topics.prefix)
    async with (
        build_pool(database, name="test", max_size=12) as pool,
        producing(kafka) as producer,
        build_api(settings) as (app, _),
    ):
        async with pool.connection() as connection:
            await apply_registry(connection, read_document(REGISTRY))
            key = await create_key(connection, label="test", person="test", role=Role.OPERATOR)
        parts: Verification = app.state.verification
        add_routes(app, parts.pool)
        async with (
            serving(app, "127.0.0.1", 0, patience=3.0) as port,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {key}"}, timeout=30.0
            ) as client,
            _side_by_side(_sides(pool, producer, database, kafka, topics, parts, stop)),
        ):
            rig = Rig(pool, client, producer, topics, kafka, f"http://127.0.0.1:{port}", tuning, stop)
            answer = await client.post("/v1/criteria-sets?publish=true&line=l1", json=CRITERIA)
            assert answer.status_code == 201, answer.text
            await rig.start_worker()
            try:
                yield rig
                rig.raise_if_dead()
            finally:
                stop.set()
                if rig._worker_task is not None:
                    await rig._worker_task


def _sides(
    pool: Pool, producer: Producer, database: str, kafka: str, topics: Topics, parts: Verification, stop: asyncio.Event
) -> Sequence[Awaitable[None]]:
    sink = run_loop(
        build_sink(pool, topics),
        topics=[topics.line_records],
        bootstrap=kafka,
        pool=pool,
        group=topics.prefix + "sink",
        stop=stop,
        poll_seconds=0.05,
    )
    relays = [
        Relay(schema, database_url=database, producer=producer).run(stop) for schema in ("verification", "ingest")
    ]
    return [sink, parts.feed.run(stop), *relays]


@contextlib.asynccontextmanager
async def _side_by_side(work: Sequence[Awaitable[None]]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await asyncio.gather(*tasks)
