"""Evaluators read from stored frames: in the background, in pieces, while the live stream goes on (V-15, V-16, V-18)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.adapters.worker.session import NEVER, Logged
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.rebuilding import REBUILD_ROWS
from shared.contracts.lifecycle import RunEnded
from shared.kernel.times import Micros, from_rfc3339, micros, utc
from shared.storage.blocks import stream_frames
from shared.storage.pool import Connection, Pool

SINK = "ingest.sink"
_FAR: Micros = from_rfc3339("9999-01-01T00:00:00Z")
_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read into `evaluator`: the run's frames and lifecycle records below offset `cut` of `partition`."""

    evaluator: RunEvaluator
    order: ChannelOrder
    lifecycle: Sequence[Logged]
    partition: int
    cut: int

    @property
    def end(self) -> Micros:
        return next((item.record.at for item in self.lifecycle if isinstance(item.record, RunEnded)), _FAR)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """An evaluator with everything below the cut, and the newest stored instant per stream."""

    evaluator: RunEvaluator
    marks: dict[str, Micros]


async def stored_upto(connection: Connection, topic: str, partition: int) -> int:
    """The first offset that the sink has not applied yet."""
    cursor = await connection.execute(
        "select next_offset from messaging.position where processor = %s and topic = %s and partition = %s",
        (SINK, topic, partition),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def positions_of_worker(
    connection: Connection, name: str, topic: str, partitions: Sequence[int]
) -> dict[int, int]:
    """The next offset of each partition, as committed; the rows are seeded before the worker is asked to restore."""
    cursor = await connection.execute(
        """select partition, next_offset from messaging.position
           where processor = %s and topic = %s and partition = any(%s)""",
        (name, topic, list(partitions)),
    )
    return dict(await cursor.fetchall())


async def rebuild(pool: Pool, reading: Reading) -> Rebuilt:
    """Reads. The caller has seen that the sink is past the cut: what is committed there is visible here."""
    evaluator = reading.evaluator
    for logged in reading.lifecycle:
        if logged.offset < reading.cut:
            evaluator.apply(logged.record)
    streams = [stream.id for stream in evaluator.plan.streams]
    from_, to = evaluator.plan.first_needed, min(reading.end, _FAR)
    waiting = 0
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        marks = await _marks(connection, streams, from_, to, reading)
        # Beyond the slowest stream's last sample nothing is judged yet: its next one would come too late for the fresh evaluator.
        last = min(marks.values(), default=NEVER)
        async for frames in stream_frames(connection, streams, from_, to, chunk=_CHUNK):
            for frame in frames:
                if frame.kafka_partition != reading.partition or frame.kafka_offset >= reading.cut:
                    continue
                if waiting >= REBUILD_ROWS:
                    evaluator.advance(upto=min(int(frame.times[0]) - 1, last))
                    waiting = 0
                reading.order.add_stored(evaluator, frame)
                waiting += frame.times.shape[0]
            await asyncio.sleep(0)
    evaluator.joined()
    return Rebuilt(evaluator, marks)


async def _marks(
    connection: Connection, streams: Sequence[str], from_: Micros, to: Micros, reading: Reading
) -> dict[str, Micros]:
    cursor = await connection.execute(
        """select s.stream_id, max(b.t1) from ingest.block b join ingest.stream s using (stream_no)
           where s.stream_id = any(%s) and b.t1 >= %s and b.t0 < %s and b.kafka_partition = %s and b.kafka_offset < %s
           group by s.stream_id""",
        (list(streams), utc(from_), utc(to), reading.partition, reading.cut),
    )
    return {stream: micros(at) for stream, at in await cursor.fetchall()}
