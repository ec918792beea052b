"""From an accepted sample to the verdict in a page's event stream, under load, everything on one machine (bars: specification of verification).

    python -m tests.perf.live_latency [seconds]

100,000 samples/s into 20 runs with 50 criteria each: gateway, sink, worker and api as their own processes, one page that listens. Thirty
criteria of each run are limits; now and then one sample breaks exactly one of them. The clock runs from the gateway's answer to the event in
the page. Then the worker gets SIGKILL under the same load, and the clock runs until a new one has caught up. Afterwards every run is closed:
each decision must have come once, and live and stored evaluation must agree.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from struct import Struct
from subprocess import Popen
from typing import Any

import httpx
import numpy as np
import orjson
import uvloop

from deploy.local.child import spawn
from deploy.local.ports import free_port
from services.ingest.adapters.registry_store import apply_registry
from shared.contracts.frame import CONTENT_TYPE, build_frame, encode_frame
from shared.contracts.registry_document import read_document
from shared.kernel.times import SECOND, Micros, to_rfc3339
from shared.storage.api_keys import Role, create_key
from shared.storage.pool import Pool, build_pool
from tests.perf import report
from tests.perf.servers import Servers, servers

RUNS = 20
CHANNELS = 10
STEPS = 3
ROWS = 50
EVERY = 0.1
START: Micros = 1_772_409_600_000_000
LIMIT = 1_000.0
NAME = {"en": "benchmark", "zh": "基准"}
_length = Struct("<I")


@dataclass(slots=True)
class Spikes:
    """Which sample breaks which limit, when its request was answered, and when the page heard of it."""

    left: dict[int, list[tuple[int, int]]]
    answered: dict[tuple[str, str], float] = field(default_factory=dict)
    seen: dict[tuple[str, str], float] = field(default_factory=dict)
    twice: int = 0

    @classmethod
    def planned(cls, ticks: int, rng: np.random.Generator) -> Spikes:
        """In each run the steps of a channel come in order, spread over the ticks."""
        left: dict[int, list[tuple[int, int]]] = {}
        for run in range(RUNS):
            moments = np.sort(rng.choice(np.arange(5, ticks - 5), CHANNELS * STEPS, replace=False))
            channels = rng.permutation(np.repeat(np.arange(CHANNELS), STEPS))
            for moment, channel in zip(moments, channels, strict=True):
                left.setdefault(int(moment), []).append((run, int(channel)))
        return cls(left)


def criteria() -> dict[str, Any]:
    """Thirty limits, one above the other on each channel, and twenty criteria with state."""
    common = {"title": NAME, "phase": "work"}
    made: list[dict[str, Any]] = [
        {
            **common,
            "id": f"limit-{channel}-{step}",
            "kind": "band",
            "signal": f"s.c{channel}",
            "high": {"value": LIMIT + step, "unit": "kPa"},
        }
        for channel in range(CHANNELS)
        for step in range(STEPS)
    ]
    high = {"value": 1e6, "unit": "kPa"}
    for channel in range(CHANNELS):
        window = {"value": 10, "unit": "s"}
        made += [
            {
                **common,
                "id": f"mean-{channel}",
                "kind": "window_statistics",
                "statistic": "mean",
                "windows": "sliding",
                "window": window,
                "signal": f"s.c{channel}",
                "high": high,
            },
            {
                **common,
                "id": f"rate-{channel}",
                "kind": "rate_of_change",
                "window": window,
                "signal": f"s.c{channel}",
                "high": {"value": 1e6, "unit": "kPa/s"},
            },
        ]
    phases = [{"id": "work", "title": NAME, "planned": {"value": 1, "unit": "h"}}]
    return {"id": "bench", "version": 1, "title": NAME, "phases": phases, "criteria": made}


def registry() -> Any:
    channels = [{"name": f"c{n}", "quantity_kind": "pressure", "unit": "kPa"} for n in range(CHANNELS)]
    facts = {"period": "2 ms", "max_age": "1 s", "clock": "recorded", "channels": channels}
    return read_document(
        {
            "platforms": [{"id": "bench", "name": NAME, "time_zone": "UTC"}],
            "lines": [{"id": f"l{n}", "platform": "bench", "name": NAME} for n in range(RUNS)],
            "instruments": [{"id": f"l{n}/i", "name": NAME} for n in range(RUNS)],
            "customers": [{"id": "bench", "name": NAME, "class": "sme"}],
            "streams": [{"id": f"l{n}/s", "instrument": f"l{n}/i", **facts} for n in range(RUNS)],
        }
    )


class Load:
    """The sender: one request with a frame of every line each tick."""

    def __init__(self, gateway: httpx.AsyncClient, spikes: Spikes, rng: np.random.Generator) -> None:
        self._gateway = gateway
        self._spikes = spikes
        self._steps: dict[tuple[int, int], int] = {}
        self._base = rng.normal(100.0, 1.0, size=(8, ROWS, CHANNELS))
        self._offsets = (SECOND * EVERY / ROWS * np.arange(ROWS)).astype(np.int64)
        self.tick = 0
        self.longest = 0.0

    async def run(self, ticks: int) -> None:
        """That many ticks at their pace; a slow answer delays the next ones, and `longest` says by how much."""
        began = time.perf_counter() - self.tick * EVERY
        until = self.tick + ticks
        while self.tick < until:
            ahead = began + self.tick * EVERY - time.perf_counter()
            self.longest = max(self.longest, -ahead)
            if ahead > 0:
                await asyncio.sleep(ahead)
            await self._send()
            self.tick += 1

    async def _send(self) -> None:
        broken: list[tuple[str, str]] = []
        parts = []
        for line in range(RUNS):
            values = self._base[(self.tick + line) % 8].copy()
            for run, channel in self._spikes.left.get(self.tick, ()):
                if run == line:
                    step = self._steps.get((run, channel), 0)
                    self._steps[run, channel] = step + 1
                    values[7, channel] = LIMIT + step + 0.5
                    broken.append((f"r{run}", f"limit-{channel}-{step}"))
            frame = encode_frame(
                build_frame(
                    stream=f"l{line}/s",
                    registry_version=1,
                    boot="bench",
                    seq=self.tick + 1,
                    times=START + round(self.tick * EVERY * SECOND) + self._offsets,
                    values=values,
                )
            )
            parts.append(_length.pack(len(frame)) + frame)
        answer = await self._gateway.post("/v1/telemetry", content=b"".join(parts))
        if answer.status_code != 202:
            raise report.WrongResult(f"{answer.status_code}: {answer.text[:300]}")
        self._spikes.answered.update(dict.fromkeys(broken, time.perf_counter()))


async def listen(api: httpx.AsyncClient, spikes: Spikes) -> None:
    """The page: the board's event stream."""
    async with api.stream("GET", "/live?page=board&after=v0") as answer:
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name == "criterion":
                event = orjson.loads(line.removeprefix("data: "))
                key = (event["run"], event["criterion"])
                if event["after"] == "fail":
                    spikes.twice += key in spikes.seen
                    spikes.seen.setdefault(key, time.perf_counter())


async def main(seconds: float) -> None:
    async with servers() as where, build_pool(where.database_url, name="bench") as pool:
        async with pool.connection() as connection:
            await apply_registry(connection, registry())
            keys = [
                await create_key(connection, label="bench", person="bench", role=role)
                for role in (Role.GATEWAY, Role.OPERATOR)
            ]
        with ExitStack() as running:
            doors = [free_port(), free_port()]
            running.enter_context(process("ingest", "http", where, doors[0]))
            running.enter_context(process("ingest", "sink", where, 0))
            running.enter_context(process("verification", "api", where, doors[1]))
            workers = running.enter_context(replaceable(where))
            async with client(doors[0], keys[0]) as gateway, client(doors[1], keys[1]) as api:
                gateway.headers["content-type"] = CONTENT_TYPE
                await asyncio.gather(ready(gateway), ready(api))
                await begin_runs(api)
                figures = await measured(gateway, api, pool, workers, int(seconds / EVERY))
    bars = [
        report.Bar("accepted sample to verdict in the page, p99, ms", 150, figures["p99_ms"], "at most"),
        report.Bar("worker killed under load, caught up within, s", 10, figures["recovery_s"], "at most"),
    ]
    report.publish(report.line("live_latency", unit="ms", figures=figures, bars=bars))


async def measured(
    gateway: httpx.AsyncClient, api: httpx.AsyncClient, pool: Pool, workers: Workers, ticks: int
) -> dict[str, float]:
    rng = np.random.default_rng(11)
    spikes = Spikes.planned(ticks, rng)
    load = Load(gateway, spikes, rng)
    page = asyncio.create_task(listen(api, spikes))
    await until(lambda: caught_up(pool))
    await load.run(ticks)
    await until(lambda: heard(spikes))
    delays = [1e3 * (spikes.seen[key] - at) for key, at in spikes.answered.items()]
    sending = asyncio.create_task(load.run(200))
    await asyncio.sleep(2)
    workers.kill()
    lost_at = time.time()
    workers.start()
    await until(lambda: caught_up(pool, lost_at))
    recovery = time.time() - lost_at
    await sending
    await close_runs(api, pool, load.tick)
    page.cancel()
    if spikes.twice or len(spikes.seen) != RUNS * CHANNELS * STEPS:
        raise report.WrongResult(f"{len(spikes.seen)} decisions heard, {spikes.twice} twice")
    return {
        "p50_ms": float(np.percentile(delays, 50)),
        "p95_ms": float(np.percentile(delays, 95)),
        "p99_ms": float(np.percentile(delays, 99)),
        "decisions": len(delays),
        "samples_per_s": RUNS * CHANNELS * ROWS / EVERY,
        "sender_behind_s": load.longest,
        "recovery_s": recovery,
    }


async def begin_runs(api: httpx.AsyncClient) -> None:
    await answered(api.post("/v1/criteria-sets?publish=true&line=l0", json=criteria()))
    for number in range(RUNS):
        run = f"r{number}"
        body = {
            "run": run,
            "project": "bench",
            "customer": "bench",
            "line": f"l{number}",
            "scene": "bench",
            "verification_kind": "process",
            "item": "load",
            "criteria": {"set": "bench", "version": 1},
        }
        await answered(api.post("/v1/runs", json=body))
        at = to_rfc3339(START)
        await answered(api.post(f"/v1/runs/{run}/commands", json={"command": "start", "at": at}))
        await answered(api.post(f"/v1/runs/{run}/phases?wait=20", json={"phase": "work", "at": at}))


async def close_runs(api: httpx.AsyncClient, pool: Pool, ticks: int) -> None:
    at = to_rfc3339(START + round(ticks * EVERY * SECOND))
    for number in range(RUNS):
        await answered(api.post(f"/v1/runs/r{number}/commands", json={"command": "complete", "at": at}))

    async def closed() -> bool:
        rows = await select(pool, "select verdict_state, count(*) from verification.run group by 1")
        if any(state == "mismatch" for state, _ in rows):
            raise report.WrongResult("live and stored evaluation differ")
        return rows == [("final", RUNS)]

    await until(closed)


async def answered(request: Any) -> None:
    answer = await request
    if answer.status_code >= 300:
        raise report.WrongResult(f"{answer.status_code}: {answer.text[:300]}")


async def heard(spikes: Spikes) -> bool:
    return spikes.answered.keys() <= spikes.seen.keys()


async def caught_up(pool: Pool, since: float = 0.0) -> bool:
    """The worker is where the sink is, give or take the batch under way, and has moved since that time (seconds since 1970)."""
    rows = await select(
        pool,
        """select sum(s.next_offset), sum(w.next_offset), extract(epoch from min(w.updated_at))::float8
           from messaging.position s join messaging.position w using (topic, partition)
           where s.processor = 'ingest.sink' and w.processor = 'verification.worker'""",
    )
    stored, judged, moved = rows[0]
    return stored is not None and moved > since and judged >= stored - RUNS


async def select(pool: Pool, query: str) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


@asynccontextmanager
async def client(port: int, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as opened:
        yield opened


class Workers:
    """One worker process at a time."""

    def __init__(self, where: Servers) -> None:
        self._where = where
        self._running: Popen[bytes] | None = None

    def start(self) -> None:
        self._running = start("verification", "worker", self._where, 0)

    def kill(self) -> None:
        assert self._running is not None
        self._running.kill()
        self._running.wait()


@contextmanager
def replaceable(where: Servers) -> Iterator[Workers]:
    workers = Workers(where)
    workers.start()
    try:
        yield workers
    finally:
        workers.kill()


@contextmanager
def process(service: str, name: str, where: Servers, port: int) -> Iterator[None]:
    """A process of a service, as it runs anywhere."""
    running = start(service, name, where, port)
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


def start(service: str, name: str, where: Servers, port: int) -> Popen[bytes]:
    environment = {
        **os.environ,
        "PILOTLINE_KAFKA": where.kafka,
        "PILOTLINE_DATABASE_URL": where.database_url,
        "PILOTLINE_TOPIC_PREFIX": where.topics.prefix,
        "PILOTLINE_BIND": f"127.0.0.1:{port}",
        "PILOTLINE_LOG_LEVEL": "warning",
        "PILOTLINE_WORKER_INSTANCE": "bench",
    }
    report.LINES.mkdir(parents=True, exist_ok=True)
    log = report.LINES / f"live_latency-{name}.log"
    return spawn([sys.executable, "-m", f"services.{service}.entrypoints.{name}"], log=log, env=environment)


async def ready(door: httpx.AsyncClient) -> None:
    async def answers() -> bool:
        try:
            return (await door.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await until(answers)


async def until(question: Any, seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not await question():  # noqa: ASYNC110 - another process answers
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0))
