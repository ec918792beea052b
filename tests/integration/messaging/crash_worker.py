"""A real, tiny processor in a process of its own, for tests that kill it: `python -m tests.integration.messaging.crash_worker`.

One row per record and no unique index, so that a loss or a double shows. Every row carries its place, counted in memory and restored
from a snapshot: memory that differs from the database shows as a gap or a repeat in the places. Ticks cut windows over the places that
must tile them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

import psycopg

from shared.kernel.errors import Reject
from shared.messaging.dead_letters import dead_letter
from shared.messaging.faust_app import run_faust
from shared.messaging.loop import run_loop
from shared.messaging.processor import Record
from shared.observability.process import run_process
from shared.observability.settings import ProcessSettings
from shared.storage.pool import build_pool

TABLES = """
    create table crash_row (topic text not null, partition int not null, "offset" bigint not null, id text not null, place bigint not null);
    create table crash_window (partition int not null, first bigint not null, last bigint not null);
    create table crash_state (partition int primary key, place bigint not null, cut bigint not null);
"""


class CountingProcessor:
    """Rows, places and windows; a record with the text `poison` is a dead letter."""

    name = "crash"
    kinds = frozenset({"frame"})
    tick_seconds = 0.1

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._cuts: dict[int, int] = {}

    async def restore(self, partitions: Sequence[int], connection: psycopg.AsyncConnection[Any]) -> None:
        self._places = dict.fromkeys(partitions, 0)
        self._cuts = dict.fromkeys(partitions, 0)
        cursor = await connection.execute(
            "select partition, place, cut from crash_state where partition = any(%s)", (list(partitions),)
        )
        for partition, place, cut in await cursor.fetchall():
            self._places[partition], self._cuts[partition] = place, cut

    async def process(self, records: Sequence[Record], connection: psycopg.AsyncConnection[Any]) -> None:
        rows = []
        for record in records:
            if record.value == b"poison":
                await dead_letter(connection, self.name, record, Reject("poison", "cannot be read"))
                continue
            self._places[record.partition] += 1
            place = self._places[record.partition]
            rows.append((record.topic, record.partition, record.offset, record.value[:36].decode(), place))
        async with connection.cursor() as cursor, cursor.copy("copy crash_row from stdin") as copy:
            for row in rows:
                await copy.write_row(row)
        if not records:
            await self._cut_windows(connection)
        touched = sorted({record.partition for record in records}) or sorted(self._places)
        for partition in touched:
            await connection.execute(
                "insert into crash_state values (%s, %s, %s)"
                " on conflict (partition) do update set place = excluded.place, cut = excluded.cut",
                (partition, self._places[partition], self._cuts[partition]),
            )

    async def committed(self) -> None:
        return

    async def _cut_windows(self, connection: psycopg.AsyncConnection[Any]) -> None:
        for partition, place in self._places.items():
            if place > self._cuts[partition]:
                await connection.execute(
                    "insert into crash_window values (%s, %s, %s)", (partition, self._cuts[partition] + 1, place)
                )
                self._cuts[partition] = place


class CrashSettings(ProcessSettings):
    driver: Literal["loop", "faust"]
    topic: str
    instance: str | None = None
    max_records: int = 50


async def main(settings: CrashSettings, stop: asyncio.Event) -> None:
    run = run_loop if settings.driver == "loop" else run_faust
    async with build_pool(settings.database_url.get_secret_value(), name="crash", max_size=2) as pool:
        await run(
            CountingProcessor(),
            topics=[settings.topic],
            bootstrap=settings.kafka,
            pool=pool,
            group=f"{settings.topic_prefix}crash",
            stop=stop,
            max_records=settings.max_records,
            session_timeout=6.0,
            instance=settings.instance,
        )


if __name__ == "__main__":
    run_process("crash-worker", main, CrashSettings)
