"""Frames as the meter sees them, and which of them it has seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.contracts.frame import Frame, Quality
from shared.kernel.times import Micros

UNUSABLE = int(Quality.NOT_A_NUMBER | Quality.OUT_OF_RANGE | Quality.SENDER_BAD)
"""Cells with one of these bits measure nothing: the channel has no value until its next good one. A cell that is merely MISSING changes
nothing: the value before goes on for as long as it may."""


@dataclass(frozen=True, slots=True)
class Readings:
    """One frame, live or stored: times (n,) in µs, values (n, k), quality (n, k) of `Quality` bits."""

    stream: str
    boot: str
    seq: int
    registry_version: int
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    content_hash: bytes
    partition: int
    offset: int


def readings_of(frame: Frame, partition: int, offset: int) -> Readings:
    """A frame from Kafka. (A stored frame has the same fields by name: build `Readings` from them.)"""
    return Readings(
        stream=frame.stream,
        boot=frame.boot,
        seq=frame.seq,
        registry_version=frame.registry_version,
        times=frame.times_array(),
        values=frame.values_array(),
        quality=frame.quality_array(),
        content_hash=frame.content_hash(),
        partition=partition,
        offset=offset,
    )


class SourceFrame(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What evidence needs of a frame. `hash` is hexadecimal."""

    stream: str
    boot: str
    seq: int
    hash: str
    partition: int
    offset: int


class SeenSequences(msgspec.Struct, array_like=True):
    """Sequence numbers of one (stream, boot), as sorted disjoint closed ranges: small as long as few are missing."""

    starts: list[int] = []
    ends: list[int] = []

    def add(self, seq: int) -> bool:
        """False when it was there already."""
        index = bisect_right(self.starts, seq) - 1
        if index >= 0 and seq <= self.ends[index]:
            return False
        joins_left = index >= 0 and self.ends[index] == seq - 1
        joins_right = index + 1 < len(self.starts) and self.starts[index + 1] == seq + 1
        if joins_left and joins_right:
            self.ends[index] = self.ends.pop(index + 1)
            self.starts.pop(index + 1)
        elif joins_left:
            self.ends[index] = seq
        elif joins_right:
            self.starts[index + 1] = seq
        else:
            self.starts.insert(index + 1, seq)
            self.ends.insert(index + 1, seq)
        return True

    def __contains__(self, seq: int) -> bool:
        index = bisect_right(self.starts, seq) - 1
        return index >= 0 and seq <= self.ends[index]


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One instant of a frame, cut down to the channels an instrument reads, in the order of its channel list for that stream.

    A value of None changes nothing; `bad` names positions whose channel has no value from here on. `size` is what the whole row of the
    frame takes in bytes: see `row_bytes`.
    """

    at: Micros
    boot: str
    seq: int
    row: int
    values: tuple[float | None, ...]
    bad: tuple[int, ...]
    frame: SourceFrame
    size: int = 0

    def order(self) -> tuple[Micros, str, int, int]:
        return self.at, self.boot, self.seq, self.row


def row_bytes(channels: int) -> int:
    """Bytes of one stored row: 8 for its instant, and for each channel of the stream 8 for the value and 1 for its quality. It depends on what was
    measured and not on how well a block of it happens to compress."""
    return 8 + 9 * channels


def rows_of(readings: Readings, columns: Iterable[int], after: Micros | None) -> list[Row]:
    """Rows of a frame later than `after` (None: all), with the wanted columns."""
    wanted = list(columns)
    source = SourceFrame(
        readings.stream,
        readings.boot,
        readings.seq,
        readings.content_hash.hex(),
        readings.partition,
        readings.offset,
    )
    times = readings.times.tolist()
    values = readings.values[:, wanted]
    marks = readings.quality[:, wanted]
    silent = (marks & int(Quality.MISSING)) != 0
    unusable = ((marks & UNUSABLE) != 0) | (~np.isfinite(values) & ~silent)
    size = row_bytes(readings.values.shape[1])
    rows: list[Row] = []
    for index, (at, cells, bad, nothing) in enumerate(
        zip(times, values.tolist(), unusable.tolist(), silent.tolist(), strict=True)
    ):
        if after is not None and at <= after:
            continue
        kept = tuple(None if b or n else cell for cell, b, n in zip(cells, bad, nothing, strict=True))
        lost = tuple(position for position, b in enumerate(bad) if b)
        rows.append(Row(at, readings.boot, readings.seq, index, kept, lost, source, size))
    return rows
