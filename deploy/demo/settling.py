"""Waiting until everything that was sent has had its effects: told by positions in the database against the ends of the log.

A settled platform has no unapplied record, no unpublished event and no run without a final word. Each condition has a name, so that a
wait that is given up can say what it waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.topics import LINE_RECORDS, USAGE_EVENTS, Topics
from shared.kernel.times import Micros, to_rfc3339, utc

LINE_READERS = ("ingest.sink", "verification.worker", "billing.meter")
USAGE_READERS = ("billing.recorder",)
OUTBOXES = ("ingest", "verification", "billing")

Progress = Mapping[str, int]
"""What is still to be done, by name; all zero when settled."""


class Unsettled(Exception):
    """The platform did not settle in time."""


class Outstanding:
    """Reads how much is outstanding. Holds one broker and one database connection."""

    def __init__(self, kafka: str, database_url: str, topics: Topics) -> None:
        self._kafka = kafka
        self._database_url = database_url
        self._readers = {topics.line_records: LINE_READERS, topics.usage_events: USAGE_READERS}
        self._partitions = [
            *(TopicPartition(topics.line_records, number) for number in range(LINE_RECORDS.partitions)),
            *(TopicPartition(topics.usage_events, number) for number in range(USAGE_EVENTS.partitions)),
        ]

    async def __aenter__(self) -> Outstanding:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka)
        await self._consumer.start()
        self._connection = await psycopg.AsyncConnection.connect(self._database_url, autocommit=True)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._connection.close()
        await self._consumer.stop()

    async def count(self, runs: Sequence[str]) -> Progress:
        """Records not applied by each reader, events not published by each outbox, runs of `runs` without a final evaluation.

        The outboxes are read before the ends of the log: what they publish in between is seen there.
        """
        waiting: dict[str, int] = {}
        for schema in OUTBOXES:
            rows = await self._rows(f"select count(*) from {schema}.outbox where published_seq is null")
            waiting[f"{schema} outbox"] = rows[0][0]
        ends = await self._consumer.end_offsets(self._partitions)
        positions = {
            (processor, topic, partition): next_offset
            for processor, topic, partition, next_offset in await self._rows(
                "select processor, topic, partition, next_offset from messaging.position"
            )
        }
        for topic, readers in self._readers.items():
            for reader in readers:
                waiting[reader] = sum(
                    end - positions.get((reader, topic, place.partition), 0)
                    for place, end in ends.items()
                    if place.topic == topic
                )
        final = await self._rows(
            "select count(*) from verification.run where run_id = any(%s) and verdict_state <> 'provisional'",
            list(runs),
        )
        waiting["runs"] = len(runs) - final[0][0]
        return waiting

    async def judged(self, run: str, upto: Micros, *, within: float) -> None:
        """Returns when some criterion of the run is judged up to an instant, by an evaluation that is not still being read from storage.
        Raises Unsettled after `within` seconds."""
        deadline = time.monotonic() + within
        query = "select bool_or(frontier >= %s and activity <> 'rebuilding') from verification.criterion_state where run_id = %s"
        while not (await self._rows(query, utc(upto), run))[0][0]:
            if time.monotonic() > deadline:
                raise Unsettled(f"{run} is not judged up to {to_rfc3339(upto)} within {within:g} s")
            await asyncio.sleep(0.1)

    async def _rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        cursor = await self._connection.execute(query.encode(), arguments)
        return await cursor.fetchall()

    async def settled(
        self, runs: Sequence[str], *, within: float, on_progress: Callable[[Progress], None] = lambda progress: None
    ) -> None:
        """Returns when nothing is outstanding, twice in a row; with no `runs`, open ones may stay open. Raises Unsettled after `within`
        seconds."""
        deadline = time.monotonic() + within
        quiet = 0
        while quiet < 2:
            progress = await self.count(runs)
            on_progress(progress)
            quiet = 0 if any(progress.values()) else quiet + 1
            if time.monotonic() > deadline:
                left = ", ".join(f"{name}: {count}" for name, count in progress.items() if count)
                raise Unsettled(f"not settled within {within:g} s; {left}")
            await asyncio.sleep(0.1)
