"""Frames of a stream as a Parquet file and back: one row per instant, a column per channel, so that any data tool reads them.

Columns: boot, seq, row, measured_at; per channel its value and `<channel>.quality`; content_hash (of the frame), row_check (CRC-32 of the
row's instant, values and marks); received_at, kafka_partition, kafka_offset. Frames lie whole in a row group, in order of (first sample,
boot, seq).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.contracts.registry import Stream
from shared.kernel.errors import PilotlineError
from shared.storage.blocks import StoredFrame

_GROUP_ROWS = 131_072
_KEYS = ("boot", "seq", "row", "measured_at")
_PLACES = ("received_at", "kafka_partition", "kafka_offset")


class FramesUnreadable(PilotlineError):
    """The file is no Parquet file of frames."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not as it was written, or not where it belongs."""

    boot: str
    seq: int
    row: int
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class ReadFrame:
    """A frame of a file, and the rows of it whose check does not fit."""

    frame: StoredFrame
    bad: tuple[BadRow, ...]


class FrameFile:
    """Writes the frames of one stream that were sent under one registry version."""

    def __init__(self, path: Path, stream: Stream) -> None:
        self._schema = _schema(stream)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", use_dictionary=["boot", "content_hash"])
        self._waiting: list[StoredFrame] = []
        self._rows = 0

    def add(self, frame: StoredFrame) -> None:
        self._waiting.append(frame)
        self._rows += frame.times.shape[0]
        if self._rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        table = pa.Table.from_arrays(_columns(self._waiting), schema=self._schema)
        self._writer.write_table(table, row_group_size=self._rows)
        self._waiting, self._rows = [], 0


def read_frames(data: memoryview, stream: Stream) -> Iterator[ReadFrame]:
    """The frames in a file of `stream` at this registry version, in the order of the file. Raises FramesUnreadable."""
    try:
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)))
        if not file.schema_arrow.equals(_schema(stream), check_metadata=True):
            raise FramesUnreadable(f"the columns are not those of {stream.id} version {stream.version}")
        for group in range(file.num_row_groups):
            yield from _frames(file.read_row_group(group), stream)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FramesUnreadable(str(error)) from error


def _schema(stream: Stream) -> Any:
    channels = [channel.name for channel in stream.channels]
    fields = [
        pa.field("boot", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("row", pa.int32(), nullable=False),
        pa.field("measured_at", pa.timestamp("us", "UTC"), nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in channels),
        *(pa.field(f"{name}.quality", pa.uint8(), nullable=False) for name in channels),
        pa.field("content_hash", pa.binary(32), nullable=False),
        pa.field("row_check", pa.uint32(), nullable=False),
        pa.field("received_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
    ]
    return pa.schema(fields, metadata={"stream": stream.id, "registry_version": str(stream.version)})


def _columns(frames: Sequence[StoredFrame]) -> list[Any]:
    counts = np.array([frame.times.shape[0] for frame in frames])
    times = np.concatenate([frame.times for frame in frames])
    values = np.concatenate([frame.values for frame in frames])
    quality = np.concatenate([frame.quality for frame in frames])
    instant = pa.timestamp("us", "UTC")

    def each(items: Sequence[Any], type_: Any) -> Any:
        return pa.array(items, type_).take(pa.array(np.repeat(np.arange(len(frames)), counts)))

    return [
        each([frame.boot for frame in frames], pa.string()),
        each([frame.seq for frame in frames], pa.int64()),
        pa.array(np.concatenate([np.arange(count) for count in counts]), pa.int32()),
        pa.array(times, pa.int64()).cast(instant),
        *(pa.array(np.ascontiguousarray(values[:, index]), pa.float64()) for index in range(values.shape[1])),
        *(pa.array(np.ascontiguousarray(quality[:, index]), pa.uint8()) for index in range(quality.shape[1])),
        each([frame.hash for frame in frames], pa.binary(32)),
        pa.array(_checks(times, values, quality), pa.uint32()),
        each([frame.received_at for frame in frames], pa.int64()).cast(instant),
        each([frame.kafka_partition for frame in frames], pa.int32()),
        each([frame.kafka_offset for frame in frames], pa.int64()),
    ]


def _checks(times: NDArray[np.int64], values: NDArray[np.float64], quality: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The CRC-32 of every row's instant, values and marks."""
    rows, channels = values.shape
    width = 8 + 9 * channels
    packed = np.empty((rows, width), np.uint8)
    packed[:, :8] = times.astype("<i8").reshape(rows, 1).view(np.uint8)
    packed[:, 8 : 8 + 8 * channels] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(rows, 8 * channels)
    packed[:, 8 + 8 * channels :] = quality
    data = packed.data.cast("B") if rows else memoryview(b"")
    return np.array([zlib.crc32(data[at : at + width]) for at in range(0, rows * width, width)], np.uint32)


def _frames(table: Any, stream: Stream) -> Iterator[ReadFrame]:
    if table.num_rows == 0:
        raise FramesUnreadable("a row group is empty")
    names = [channel.name for channel in stream.channels]

    def numbers(name: str) -> NDArray[Any]:
        array: NDArray[Any] = table.column(name).combine_chunks().to_numpy(zero_copy_only=False)
        return array

    times = table.column("measured_at").combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    received = table.column("received_at").combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False)
    values = np.column_stack([numbers(name) for name in names])
    quality = np.column_stack([numbers(f"{name}.quality") for name in names])
    rows, seqs, checks = numbers("row"), numbers("seq"), numbers("row_check")
    boots, hashes = table.column("boot").to_pylist(), table.column("content_hash").to_pylist()
    partitions, offsets = numbers("kafka_partition"), numbers("kafka_offset")
    places = list(zip(received.tolist(), partitions.tolist(), offsets.tolist(), strict=True))
    wrong = np.flatnonzero(_checks(times, values, quality) != checks)
    starts = [index for index in range(len(rows)) if index == 0 or rows[index] == 0]
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        boot, seq = boots[start], int(seqs[start])
        bad = [
            BadRow(boot, seq, int(rows[at]), "instant, values or marks are not those that were written")
            for at in wrong[(wrong >= start) & (wrong < end)]
        ]
        for at in range(start, end):
            here = (boots[at], int(seqs[at]), int(rows[at]), hashes[at])
            if here != (boot, seq, at - start, hashes[start]):
                bad.append(
                    BadRow(boots[at], here[1], here[2], f"stands where row {at - start} of {boot} {seq} belongs")
                )
            elif places[at] != places[start]:
                bad.append(BadRow(boot, seq, here[2], "has another time of arrival or Kafka position than its frame"))
        frame = StoredFrame(
            stream.id, boot, seq, stream.version, int(received[start]), int(partitions[start]), int(offsets[start]),
            hashes[start], False, times[start:end], values[start:end], quality[start:end],
        )  # fmt: skip
        yield ReadFrame(frame, tuple(bad))
