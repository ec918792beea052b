"""HTTP to visible row, everything on one machine: gateway and sink as their own processes, one sender (bars: specification of ingest).

    python -m tests.perf.end_to_end [seconds per round]

1000 samples a frame in ten channels, 50 frames a request. The clock of a round runs from the first request to the last committed row; no
record may be lost or stored twice. "Single" are requests of one frame of one instant.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from struct import Struct
from typing import Any

import httpx
import numpy as np
import orjson
import uvloop

from deploy.local.child import spawn
from deploy.local.ports import free_port
from services.ingest.adapters.registry_store import apply_registry
from shared.contracts.frame import CONTENT_TYPE, Frame, encode_frame
from shared.storage.api_keys import Role, create_key
from shared.storage.pool import Pool, build_pool
from tests.perf import report
from tests.perf.load import CHANNELS, SPACING, frames, registry
from tests.perf.servers import Servers, servers

STREAMS = 20
PER_REQUEST = 50
CONCURRENT = 4
_length = Struct("<I")


@dataclass(frozen=True, slots=True)
class Door:
    """Where the gateway answers, and with which headers."""

    url: str
    headers: Mapping[str, str]


Encode = Callable[[Sequence[Frame]], bytes]


def as_json(batch: Sequence[Frame]) -> bytes:
    """Columns."""
    return orjson.dumps({"frames": [_document(frame) for frame in batch]})


def _document(frame: Frame) -> dict[str, Any]:
    values = frame.values_array()
    columns = {name: np.round(values[:, index], 3).tolist() for index, name in enumerate(CHANNELS)}
    start = int(frame.times_array()[0])
    return {"stream": frame.stream, "boot": frame.boot, "seq": frame.seq, "t0": start, "dt": SPACING, "values": columns}


def as_binary(batch: Sequence[Frame]) -> bytes:
    encoded = [encode_frame(frame) for frame in batch]
    return b"".join(_length.pack(len(frame)) + frame for frame in encoded)


async def main(seconds: float) -> None:
    async with servers() as where, build_pool(where.database_url, name="bench") as pool:
        async with pool.connection() as connection:
            await apply_registry(connection, registry(STREAMS))
            key = await create_key(connection, label="bench", role=Role.GATEWAY)
        port = free_port()
        door = Door(f"http://127.0.0.1:{port}", {"authorization": f"Bearer {key}"})
        with process("http", where, f"127.0.0.1:{port}"), process("sink", where, "127.0.0.1:0"):
            await ready(door)
            figures = await measured(door, pool, seconds)
    bars = [
        report.Bar("columnar JSON, samples/s", 1e6, figures["json"], "at least"),
        report.Bar("binary frames, samples/s", 3e6, figures["binary"], "at least"),
        report.Bar("accept to visible p99 at half load, ms", 250, figures["visible_p99_ms"], "at most"),
        report.Bar("single-sample requests, 1/s", 3000, figures["single"], "at least"),
    ]
    report.publish(report.line("end_to_end", unit="samples/s", figures=figures, bars=bars))


async def measured(door: Door, pool: Pool, seconds: float) -> dict[str, float]:
    json_form, binary_form = {"content-type": "application/json"}, {"content-type": CONTENT_TYPE}
    figures: dict[str, float] = {}
    for name, encode, form, guess in (("json", as_json, json_form, 1e6), ("binary", as_binary, binary_form, 3e6)):
        count = int(guess * seconds / 1000 / PER_REQUEST) * PER_REQUEST
        figures[name] = await round_trip(door, pool, name, bodies(name, count, 100, encode), form, count, 1000)
    single = int(1500 * seconds)
    one = bodies("single", single, 1, as_json, per_request=1)
    figures["single"] = await round_trip(door, pool, "single", one, json_form, single, 1, concurrent=16)
    half = figures["json"] / 2 / 1000
    figures["visible_p50_ms"], figures["visible_p99_ms"] = await visible(door, pool, half, int(half * seconds))
    return figures


def bodies(boot: str, count: int, rows: int, encode: Encode, per_request: int = PER_REQUEST) -> list[bytes]:
    batch: list[Frame] = []
    found = []
    for frame in frames(count, streams=STREAMS, rows=rows, boot=boot):
        batch.append(frame)
        if len(batch) == per_request:
            found.append(encode(batch))
            batch = []
    return found


async def round_trip(
    door: Door,
    pool: Pool,
    boot: str,
    requests: Sequence[bytes],
    form: Mapping[str, str],
    count: int,
    samples: int,
    *,
    concurrent: int = CONCURRENT,
) -> float:
    """Send everything, wait until every row is visible, check the books; samples (or single requests) a second."""
    began = time.perf_counter()
    waiting = iter(requests)
    limits = httpx.Limits(max_connections=concurrent)
    async with httpx.AsyncClient(
        base_url=door.url, headers={**door.headers, **form}, limits=limits, timeout=60
    ) as client:
        await asyncio.gather(*(send(client, waiting) for _ in range(concurrent)))
    await until(lambda: all_stored(pool, boot, count))
    elapsed = time.perf_counter() - began
    print(f"{boot}: {count} frames in {elapsed:.2f} s")
    return count * samples / elapsed


async def send(client: httpx.AsyncClient, waiting: Iterator[bytes]) -> None:
    """Requests from the common iterator; one that was refused for load is repeated."""
    for body in waiting:
        while (answer := await client.post("/v1/telemetry", content=body)).status_code in (503, 504):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        if answer.status_code != 202:
            raise report.WrongResult(f"{answer.status_code}: {answer.text[:300]}")


async def all_stored(pool: Pool, boot: str, count: int) -> bool:
    async with pool.connection() as connection:
        cursor = await connection.execute("select sum(last_seq) from ingest.boot where boot = %s", (boot,))
        ((last,),) = await cursor.fetchall()
        if last != count:
            return False
        cursor = await connection.execute(
            """select (select count(*) from ingest.block where boot = %(boot)s), (select count(*) from ingest.message where boot = %(boot)s)""",
            {"boot": boot},
        )
        found = await cursor.fetchone()
    if found != (count, count):
        raise report.WrongResult(f"{found} blocks and ledger rows for {count} frames")
    return True


async def visible(door: Door, pool: Pool, per_second: float, count: int) -> tuple[float, float]:
    """p50 and p99 of received to committed, at a paced load, as a reader sees it."""
    form = {"content-type": "application/json"}
    requests = bodies("paced", count // 10 * 10, 100, as_json, per_request=10)
    delays: list[float] = []
    async with httpx.AsyncClient(base_url=door.url, headers={**door.headers, **form}, timeout=60) as client:
        watcher = asyncio.create_task(watch(pool, "paced", len(requests) * 10, delays))
        began = time.perf_counter()
        for index, body in enumerate(requests):
            if (ahead := began + index * 10 / per_second - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            await send(client, iter([body]))
        await watcher
    return float(np.percentile(delays, 50)), float(np.percentile(delays, 99))


async def watch(pool: Pool, boot: str, count: int, delays: list[float]) -> None:
    """Look for new blocks every few milliseconds, as a reader does; the delay is from `received_at` to the look that sees it."""
    seen = 0
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        while seen < count:
            cursor = await connection.execute(
                "select received_at from ingest.block where boot = %s order by kafka_offset offset %s", (boot, seen)
            )
            found = await cursor.fetchall()
            now = time.time()
            delays += [(now - received_at.timestamp()) * 1e3 for (received_at,) in found]
            seen += len(found)
            await asyncio.sleep(0.005)
        await connection.set_autocommit(False)


@contextmanager
def process(name: str, where: Servers, bind: str) -> Iterator[None]:
    """A process of ingest, as it runs anywhere."""
    environment = {
        **os.environ,
        "PILOTLINE_KAFKA": where.kafka,
        "PILOTLINE_DATABASE_URL": where.database_url,
        "PILOTLINE_TOPIC_PREFIX": where.topics.prefix,
        "PILOTLINE_BIND": bind,
        "PILOTLINE_LOG_LEVEL": "warning",
    }
    report.LINES.mkdir(parents=True, exist_ok=True)
    log = report.LINES / f"end_to_end-{name}.log"
    running = spawn([sys.executable, "-m", f"services.ingest.entrypoints.{name}"], log=log, env=environment)
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


async def ready(door: Door) -> None:
    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(base_url=door.url) as client:
                return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(answers)


async def until(question: Callable[[], Awaitable[bool]], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not await question():  # noqa: ASYNC110 - another process answers
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0))
