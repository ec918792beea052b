"""Stored frames, read as NumPy arrays: for recomputation, evidence and the read API. Ingest's sink is the only writer.

Blocks of one stream may overlap in time (late data, a new boot while the old one is still drained), so a reader of [from, to) gets every
block that has a sample in it, ordered by (first sample, boot, sequence number), and orders samples itself.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.times import Micros, utc
from shared.storage.arrays import speak_numpy
from shared.storage.pool import Connection

_COLUMNS = """
    b.stream_no, b.boot, b.seq_from, b.registry_version, b.received_at, b.kafka_partition, b.kafka_offset, b.hash, b.late, b.k, b.times, b.vals,
    b.quality"""


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """One stored message. `times` (n,) int64 µs ascending, `values` (n, k) float64 in channel order of `registry_version`, `quality` (n, k) uint8 of
    `shared.contracts.frame.Quality` bits. `late`: its first sample was not newer than what the stream already had."""

    stream: str
    boot: str
    seq: int
    registry_version: int
    received_at: Micros
    kafka_partition: int
    kafka_offset: int
    hash: bytes
    late: bool
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def content_hash(self) -> bytes:
        """Recomputed from the arrays; equal to `hash` unless the stored row was altered (see Frame.content_hash)."""
        rows, channels = self.values.shape
        head = f"{self.stream}\x00{self.boot}\x00".encode() + struct.pack("<qqq", self.seq, rows, channels)
        return hashlib.sha256(head + self.times.tobytes() + self.values.tobytes()).digest()


async def read_frames(
    connection: Connection, stream_ids: Sequence[str], from_: Micros, to: Micros
) -> list[StoredFrame]:
    """Every stored frame of the streams with a sample in the half-open range [from_, to), whole, ordered by (first sample, boot, seq).

    Streams that do not exist or hold nothing give nothing. The result is held in memory: about 9 bytes per sample; see `stream_frames`.
    """
    names, widest = await _extent(connection, stream_ids)
    if not names or from_ >= to:
        return []
    async with connection.cursor(binary=True) as cursor:
        speak_numpy(cursor)
        await cursor.execute(_query(), _parameters(names, widest, from_, to))
        rows = await cursor.fetchall()
    return _in_range((_frame(names, row) for row in rows), from_, to)


async def stream_frames(
    connection: Connection, stream_ids: Sequence[str], from_: Micros, to: Micros, *, chunk: int = 200
) -> AsyncIterator[list[StoredFrame]]:
    """The frames of `read_frames`, in the same order, `chunk` rows at a time through a server-side cursor: bounded memory.

    Needs to run in a transaction of the caller.
    """
    names, widest = await _extent(connection, stream_ids)
    if not names or from_ >= to:
        return
    async with connection.cursor(name="stored_frames", binary=True) as cursor:
        speak_numpy(cursor)
        await cursor.execute(_query(), _parameters(names, widest, from_, to))
        while rows := await cursor.fetchmany(chunk):
            if frames := _in_range((_frame(names, row) for row in rows), from_, to):
                yield frames


async def last_frames_before(
    connection: Connection, stream_id: str, instant: Micros, max_age: Micros
) -> list[StoredFrame]:
    """What may still hold at `instant`: the frames with a sample in [instant - max_age, instant), in order.

    All of them, because late frames overlap and a channel's last value need not lie in the last frame.
    """
    return await read_frames(connection, [stream_id], instant - max_age, instant)


def _query() -> str:
    # The bound below `t0` lets the index and chunk exclusion work: no block that reaches into the range can begin before it.
    return f"""
        select {_COLUMNS} from ingest.block b
        where b.stream_no = any(%(streams)s) and b.t0 >= %(earliest)s and b.t0 < %(to)s and b.t1 >= %(from)s
        order by b.t0, b.boot, b.seq_from, b.stream_no"""


def _parameters(names: dict[int, str], widest: Micros, from_: Micros, to: Micros) -> dict[str, Any]:
    return {"streams": list(names), "earliest": utc(from_ - widest), "from": utc(from_), "to": utc(to)}


async def _extent(connection: Connection, stream_ids: Sequence[str]) -> tuple[dict[int, str], Micros]:
    """Number and name of the streams that hold anything, and the longest block among them."""
    cursor = await connection.execute(
        """select s.stream_no, s.stream_id, l.widest_block
           from ingest.stream s join ingest.latest l using (stream_no) where s.stream_id = any(%s)""",
        (list(stream_ids),),
    )
    rows = await cursor.fetchall()
    return {number: name for number, name, _ in rows}, max((widest for *_, widest in rows), default=0)


def _frame(names: dict[int, str], row: Sequence[Any]) -> StoredFrame:
    number, boot, seq, version, received_at, partition, offset, content, late, k, packed, values, quality = row
    times = np.frombuffer(packed, dtype="<i8")
    shape = (len(times), k)
    return StoredFrame(
        names[number],
        boot,
        seq,
        version,
        received_at,
        partition,
        offset,
        content,
        late,
        times,
        np.frombuffer(values, dtype="<f8").reshape(shape),
        np.frombuffer(quality, dtype=np.uint8).reshape(shape) if quality else np.zeros(shape, dtype=np.uint8),
    )


def _in_range(frames: Iterable[StoredFrame], from_: Micros, to: Micros) -> list[StoredFrame]:
    """Without the blocks that span the range but have no sample in it."""
    return [frame for frame in frames if _inside(frame.times, from_, to)]


def _inside(times: NDArray[np.int64], from_: Micros, to: Micros) -> bool:
    if from_ <= times[0] < to or from_ <= times[-1] < to:
        return True
    return bool(np.searchsorted(times, from_, "left") < np.searchsorted(times, to, "left"))
