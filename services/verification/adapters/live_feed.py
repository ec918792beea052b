"""What live pages hear (L-3): decisions from the outbox in published order, levels from the tables, each read once per process for all readers.

A *decision* has a cursor and is never lost or doubled: it comes from verification.outbox by `published_seq`, woken by NOTIFY. A *level*
(margin, freshness) has none: the newest of a key wins. Bytes are made once and shared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import structlog
from psycopg import sql

from services.verification.adapters.announcements import PREFIX
from services.verification.adapters.live_levels import LevelReader
from shared.contracts.events import decode_event
from shared.kernel.times import Micros
from shared.messaging.connecting import backoff
from shared.messaging.outbox import published_channel
from shared.storage.pool import Connection, Pool, session_settings

_log = structlog.get_logger(__name__)

MAX_DECISIONS = 256
"""Most decisions a reader may lag behind; beyond it the reader starts over with `reset`."""
MAX_REPLAY = 5_000
LEVEL_SECONDS = 0.5
BEAT_SECONDS = 2.0
_POLL_SECONDS = 1.0
_BATCH = 1_000
_NAMES = {"criterion": "criterion", "verdict": "verdict", "gap": "gap", "late": "late", "evaluation_mismatch": "alert"}


@dataclass(frozen=True, slots=True)
class Decision:
    """One event of the outbox as the bytes of the stream."""

    seq: int
    run: str
    data: bytes


def block(name: str, data: Any, cursor: int | None = None) -> bytes:
    """One event of the stream: `data` as JSON in one line."""
    head = b"" if cursor is None else b"id: v%d\n" % cursor
    return head + b"event: " + name.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


class Reader:
    """What waits for one open page; bounded whatever the page does. `run` None: the board, which hears of every run."""

    def __init__(self, run: str | None) -> None:
        self.run = run
        self.decisions: deque[Decision] = deque()
        self.levels: dict[str, bytes] = {}
        self.overrun = False
        self.shed = 0
        self.closing = False
        self.woken = asyncio.Event()

    def hears(self, run: str) -> bool:
        return self.run is None or self.run == run

    def decide(self, decision: Decision) -> None:
        """Overrun drops what waits: the page fetches its parts anew and goes on from there."""
        if len(self.decisions) >= MAX_DECISIONS:
            self.shed += len(self.decisions)
            self.decisions.clear()
            self.overrun = True
        self.decisions.append(decision)
        self.woken.set()

    def level(self, key: str, data: bytes) -> None:
        if key in self.levels:
            self.shed += 1
        self.levels[key] = data
        self.woken.set()


class LiveFeed:
    """The one source of all readers of a process. `run` keeps it going; `join` and `leave` are for the stream's route."""

    def __init__(self, pool: Pool, database_url: str, *, now: Callable[[], Micros]) -> None:
        self._pool = pool
        self._database_url = database_url
        self._levels = LevelReader(now)
        self._readers: set[Reader] = set()
        self._seq = 0
        self._ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then every reader is told to go."""
        tasks = [asyncio.create_task(self._until(stop, work)) for work in (self._follow, self._watch_levels)]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            self.close()

    def close(self) -> None:
        """Tell every reader that the server leaves."""
        for reader in self._readers:
            reader.closing = True
            reader.woken.set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    @contextlib.asynccontextmanager
    async def join(self, run: str | None) -> AsyncIterator[tuple[Reader, int]]:
        """A reader, and the cursor behind which it hears of every decision."""
        await self._ready.wait()
        reader = Reader(run)
        self._readers.add(reader)
        try:
            yield reader, self._seq
        finally:
            self._readers.discard(reader)

    async def replay(self, run: str | None, after: int, upto: int) -> list[Decision] | None:
        """The decisions in (after, upto]; None when the cursor is too old or not ours, and the page has to start over."""
        if after > upto or upto - after > MAX_REPLAY:
            return None
        async with self._pool.connection() as connection:
            rows = await _published(connection, after, upto, MAX_REPLAY)
        if len(rows) != upto - after:
            return None  # pruned
        return [decision for decision in _decisions(rows) if run is None or decision.run == run]

    async def snapshot(self, run: str | None) -> Mapping[str, Any]:
        """All levels of a scope."""
        async with self._pool.connection() as connection:
            return await self._levels.snapshot(connection, run)

    def beat(self, reader: Reader) -> bytes:
        """A heartbeat: server time, watermark per stream of the page's runs, how old the newest data is, what was shed."""
        return block("hb", {**self._levels.beat(reader.run), "shed": reader.shed})

    async def _until(self, stop: asyncio.Event, work: Callable[[], Any]) -> None:
        attempt = 0
        while not stop.is_set():
            try:
                await work()
            except (psycopg.Error, OSError, TimeoutError) as error:
                _log.warning("live_feed_retries", error=type(error).__name__)
                await asyncio.sleep(backoff(attempt))
                attempt += 1

    async def _follow(self) -> None:
        settings: dict[str, Any] = session_settings("verification-live")
        connecting = psycopg.AsyncConnection.connect(self._database_url, autocommit=True, **settings)
        async with await connecting as connection:
            # Before the first look: what is published in between would wait for the poll.
            await connection.execute(sql.SQL("listen {}").format(sql.Identifier(published_channel("verification"))))
            if not self._ready.is_set():
                self._seq = await _last(connection)
                self._ready.set()
            while True:
                while await self._pass_on(connection):
                    pass
                async for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                    pass

    async def _pass_on(self, connection: Connection) -> bool:
        rows = await _published(connection, self._seq, 2**62, _BATCH)
        if not rows:
            return False
        for decision in _decisions(rows):
            for reader in self._readers:
                if reader.hears(decision.run):
                    reader.decide(decision)
        self._seq = rows[-1][0]
        return len(rows) == _BATCH

    async def _watch_levels(self) -> None:
        while True:
            await asyncio.sleep(LEVEL_SECONDS)
            scopes = {reader.run for reader in self._readers}
            if not scopes:
                continue
            async with self._pool.connection() as connection:
                changed = await self._levels.changed(connection, scopes)
            for run, key, name, data in changed:
                encoded = block(name, data)
                for reader in self._readers:
                    if reader.hears(run) and (name != "margin" or reader.run is not None):
                        reader.level(key, encoded)


async def _published(connection: Connection, after: int, upto: int, limit: int) -> list[tuple[int, str, bytes]]:
    cursor = await connection.execute(
        """select published_seq, kind, value from verification.outbox
           where published_seq > %s and published_seq <= %s order by published_seq limit %s""",
        (after, upto, limit),
    )
    return await cursor.fetchall()


async def _last(connection: Connection) -> int:
    cursor = await connection.execute("select coalesce(max(published_seq), 0) from verification.outbox")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _decisions(rows: Iterable[tuple[int, str, bytes]]) -> Iterable[Decision]:
    for seq, kind, value in rows:
        if kind == "event":
            event = decode_event(value)
            name = event.type.removeprefix(PREFIX)
            data = {**event.data, "id": event.id, "type": event.type, "time": event.time}
            yield Decision(seq, event.subject, block(_NAMES.get(name, "lifecycle"), data, seq))
