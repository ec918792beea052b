"""Where a processor stands, in PostgreSQL: the only truth about what was applied.

`messaging.position` has one row per (processor, topic, partition). It is seeded when a partition is assigned, because locking a missing row
locks nothing; locked first in every transaction, in sorted order, so that two processes cannot wait for each other; and moved in the
transaction of the effects. `updated_at` is the fencing token: claiming a partition and every commit change it, so a process that lost the
partition without noticing finds another token and gives way, even if its offsets would still fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from shared.kernel.errors import PilotlineError
from shared.messaging.processor import Record


class Partition(NamedTuple):
    topic: str
    number: int


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to apply, and the token under which this process owns the row."""

    next_offset: int
    token: datetime


class PositionGap(PilotlineError):
    """Records between the stored position and the first delivered one are missing: applying would lose them."""

    def __init__(self, partition: Partition, expected: int, found: int) -> None:
        super().__init__(f"{partition.topic}/{partition.number}: expected offset {expected}, got {found}")
        self.partition = partition
        self.expected = expected
        self.found = found


class Fenced(PilotlineError):
    """Another process claimed the partition or moved its position since we last looked: our memory of it is stale."""


_move = """
    update messaging.position p
    set next_offset = n.next_offset, updated_at = greatest(clock_timestamp(), p.updated_at + interval '1 microsecond')
    from unnest(%s::text[], %s::int[], %s::bigint[]) n(topic, partition, next_offset)
    where p.processor = %s and p.topic = n.topic and p.partition = n.partition
    returning p.topic, p.partition, p.next_offset, p.updated_at
"""

_lock = """
    select p.topic, p.partition, p.next_offset, p.updated_at
    from messaging.position p
    join unnest(%s::text[], %s::int[]) w(topic, partition) on p.topic = w.topic and p.partition = w.partition
    where p.processor = %s
    order by p.topic, p.partition
    for update of p
"""


async def claim(
    connection: psycopg.AsyncConnection[Any], processor: str, beginnings: Mapping[Partition, int]
) -> dict[Partition, Position]:
    """Take over partitions: seed missing rows with the partition's beginning offset, lock them, change their tokens.

    Runs in the caller's transaction, which should also hold `restore`: state and position are then read as of one moment.
    """
    wanted = sorted(beginnings)
    await connection.execute(
        "insert into messaging.position (processor, topic, partition, next_offset)"
        " select %s, * from unnest(%s::text[], %s::int[], %s::bigint[]) n(topic, partition, next_offset)"
        " order by topic, partition on conflict do nothing",
        (processor, *_columns(wanted), [beginnings[partition] for partition in wanted]),
    )
    held = await _locked(connection, processor, wanted)
    return await move(connection, processor, {partition: position.next_offset for partition, position in held.items()})


async def lock(connection: psycopg.AsyncConnection[Any], processor: str, held: Mapping[Partition, Position]) -> None:
    """Lock the rows of every held partition until the end of the transaction. Raises Fenced when one is not as we left it."""
    found = await _locked(connection, processor, sorted(held))
    if found != held:
        stale = sorted(p for p, position in held.items() if found.get(p) != position)
        raise Fenced(f"{processor}: {', '.join(f'{topic}/{number}' for topic, number in stale)}")


async def move(
    connection: psycopg.AsyncConnection[Any], processor: str, offsets: Mapping[Partition, int]
) -> dict[Partition, Position]:
    """Set the next offsets of locked rows; the result holds the new tokens, valid once the transaction commits. Raises Fenced."""
    wanted = sorted(offsets)
    cursor = await connection.execute(
        _move, (*_columns(wanted), [offsets[partition] for partition in wanted], processor)
    )
    moved = _positions(await cursor.fetchall())
    if moved.keys() != offsets.keys():
        raise Fenced(f"{processor}: a position row is gone")
    return moved


def applicable(records: Iterable[Record], held: Mapping[Partition, Position]) -> list[Record]:
    """What of a delivery is new: held partitions only, one copy per offset, nothing below the position, sorted.

    Faust delivers offsets twice in one batch after a rebalance; without `one copy per offset` rows double. Raises PositionGap.
    """
    fresh: dict[Partition, dict[int, Record]] = {}
    for record in records:
        partition = Partition(record.topic, record.partition)
        position = held.get(partition)
        if position is not None and record.offset >= position.next_offset:
            fresh.setdefault(partition, {})[record.offset] = record
    ordered: list[Record] = []
    for partition, by_offset in sorted(fresh.items()):
        for expected, offset in enumerate(sorted(by_offset), held[partition].next_offset):
            if offset != expected:
                raise PositionGap(partition, expected, offset)
            ordered.append(by_offset[offset])
    return ordered


async def _locked(
    connection: psycopg.AsyncConnection[Any], processor: str, wanted: Sequence[Partition]
) -> dict[Partition, Position]:
    cursor = await connection.execute(_lock, (*_columns(wanted), processor))
    return _positions(await cursor.fetchall())


def _columns(partitions: Sequence[Partition]) -> tuple[list[str], list[int]]:
    return [topic for topic, _ in partitions], [number for _, number in partitions]


def _positions(rows: Iterable[tuple[str, int, int, datetime]]) -> dict[Partition, Position]:
    return {Partition(topic, number): Position(offset, token) for topic, number, offset, token in rows}
