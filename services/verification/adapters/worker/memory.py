"""The worker's memory in PostgreSQL: whole snapshots now and then, the batches since in between.

A snapshot of every run in every transaction would cost more than the evaluation; a batch's records cost what they weigh. So a batch's
records are kept with its effects, in its transaction, until every run of the partition has a snapshot behind them. Restoring reads the
snapshots and applies the batches again, cut as they were, without effects: those are committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import zstandard

from shared.messaging.processor import Record
from shared.storage.pool import Connection

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[tuple[int, bytes, str, bytes]]] = msgspec.msgpack.Decoder(
    list[tuple[int, bytes, str, bytes]]
)


@dataclass(frozen=True, slots=True)
class Saved:
    """A run's snapshot, and the offset behind the last batch in it."""

    run: str
    line: str
    partition: int
    next_offset: int
    plan_digest: str
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that were applied together."""

    partition: int
    first_offset: int
    next_offset: int
    records: tuple[Record, ...]


async def load(connection: Connection, partitions: Sequence[int]) -> list[Saved]:
    cursor = await connection.execute(
        """select run_id, line_id, partition, next_offset, plan_digest, snapshot from verification.worker_snapshot
           where partition = any(%s) order by run_id""",
        (list(partitions),),
    )
    inflate = zstandard.ZstdDecompressor().decompress
    return [
        Saved(run, line, partition, next_offset, digest, inflate(snapshot))
        for run, line, partition, next_offset, digest, snapshot in await cursor.fetchall()
    ]


async def load_batches(connection: Connection, topic: str, partitions: Sequence[int]) -> list[Batch]:
    """In the order in which they were applied."""
    cursor = await connection.execute(
        """select partition, first_offset, next_offset, records from verification.worker_batch
           where partition = any(%s) order by partition, first_offset""",
        (list(partitions),),
    )
    return [
        Batch(
            partition,
            first,
            behind,
            tuple(
                Record(topic, partition, offset, key, kind, value, 0, {})
                for offset, key, kind, value in _decoder.decode(encoded)
            ),
        )
        for partition, first, behind, encoded in await cursor.fetchall()
    ]


async def keep_batch(connection: Connection, batch: Batch) -> int:
    """Answers the bytes it took."""
    encoded = _encoder.encode([(r.offset, r.key or b"", r.kind, r.value) for r in batch.records])
    await connection.execute(
        "insert into verification.worker_batch (partition, first_offset, next_offset, records) values (%s, %s, %s, %s)",
        (batch.partition, batch.first_offset, batch.next_offset, encoded),
    )
    return len(encoded)


async def save(connection: Connection, snapshots: Sequence[Saved]) -> None:
    """Replace the snapshots of these runs."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into verification.worker_snapshot (run_id, line_id, partition, next_offset, plan_digest, snapshot)
               values (%s, %s, %s, %s, %s, %s)
               on conflict (run_id) do update
               set next_offset = excluded.next_offset, plan_digest = excluded.plan_digest, snapshot = excluded.snapshot,
                   updated_at = clock_timestamp()""",
            [(s.run, s.line, s.partition, s.next_offset, s.plan_digest, _deflate(s.snapshot)) for s in snapshots],
        )


async def replace_older(connection: Connection, saved: Saved) -> bool:
    """Replace the run's snapshot if this one reaches further. A run that has left, or that another process has taken over and brought
    further, stays as it is: False."""
    deflated = await asyncio.to_thread(_deflate, saved.snapshot)
    cursor = await connection.execute(
        """update verification.worker_snapshot
           set next_offset = %s, plan_digest = %s, snapshot = %s, updated_at = clock_timestamp()
           where run_id = %s and next_offset < %s""",
        (saved.next_offset, saved.plan_digest, deflated, saved.run, saved.next_offset),
    )
    return cursor.rowcount == 1


async def touch(connection: Connection, runs: Sequence[str], next_offset: int) -> None:
    """No batch below `next_offset` has given these runs anything since their snapshots: they stand for it as well."""
    await connection.execute(
        "update verification.worker_snapshot set next_offset = %s where run_id = any(%s) and next_offset < %s",
        (next_offset, list(runs), next_offset),
    )


async def drop(connection: Connection, run: str) -> None:
    await connection.execute("delete from verification.worker_snapshot where run_id = %s", (run,))


async def prune(connection: Connection, partition: int) -> None:
    """Forget the batches that every snapshot of the partition holds."""
    await connection.execute(
        """delete from verification.worker_batch where partition = %(partition)s and next_offset <= coalesce(
               (select min(next_offset) from verification.worker_snapshot where partition = %(partition)s), 9223372036854775807)""",
        {"partition": partition},
    )


def _deflate(snapshot: bytes) -> bytes:
    """The windows of a run that has just begun are megabytes of zeros."""
    return zstandard.ZstdCompressor(level=1).compress(snapshot)
