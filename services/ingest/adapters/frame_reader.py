"""Stored rows of one stream for people and programs: bounded pages of rows, or minima and maxima per bucket."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contracts.registry import Stream
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros
from shared.storage.blocks import StoredFrame, stream_frames
from shared.storage.pool import Connection
from shared.storage.registry import Registry

_CURSOR = struct.Struct(">qq")


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Rows in order of (time, boot, seq): times (n,), values and quality (n, k), boot and seq per row; `next` continues, None at the end."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    boots: Sequence[str]
    seqs: Sequence[int]
    next: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """`times` are bucket starts (only buckets with rows); low and high (n, k) are NaN where no value is; `counts` (n, k)."""

    times: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64]
    width: Micros


def encode_cursor(time: Micros, skip: int) -> str:
    """The rows before `time` and the first `skip` rows at `time` were given."""
    return base64.urlsafe_b64encode(_CURSOR.pack(time, skip)).decode().rstrip("=")


def decode_cursor(text: str) -> tuple[Micros, int]:
    """Raises Invalid(cursor_invalid)."""
    try:
        time, skip = _CURSOR.unpack(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (struct.error, binascii.Error, ValueError) as error:
        raise _bad_cursor() from error
    if skip < 0:
        raise _bad_cursor()
    return time, skip


def _bad_cursor() -> Invalid:
    return Invalid(
        "cursor_invalid", "this is no cursor of ours", field="cursor", remedy="send `next` of the page before"
    )


async def read_page(
    connection: Connection,
    registry: Registry,
    stream: Stream,
    channels: Sequence[str],
    from_: Micros,
    to: Micros,
    *,
    limit: int,
    skip: int = 0,
) -> Page:
    """At most `limit` rows with from_ <= time < to, without the first `skip`.

    Reads on until the rows in hand are certain: a later block can still begin before the last row of an earlier one.
    """
    parts: list[_Part] = []
    wanted = skip + limit + 1
    async for frames in stream_frames(connection, [stream.id], from_, to, chunk=20):
        parts += [_part(frame, registry, channels, from_, to) for frame in frames]
        certain = int(frames[-1].times[0])
        if sum(int(np.searchsorted(part.times, certain)) for part in parts) >= wanted:
            break
    return _merge(parts, len(channels), limit, skip)


async def read_buckets(
    connection: Connection,
    registry: Registry,
    stream: Stream,
    channels: Sequence[str],
    from_: Micros,
    to: Micros,
    *,
    points: int,
    most: int,
) -> Buckets:
    """Minimum and maximum of each channel in at most `points` equal buckets of [from_, to).

    Raises Invalid(range_too_large) when more than `most` values would have to be read.
    """
    width = max(1, -(-(to - from_) // points))
    shape = (points, len(channels))
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    counts, filled = np.zeros(shape, dtype=np.int64), np.zeros(points, dtype=np.bool_)
    read = 0
    async for frames in stream_frames(connection, [stream.id], from_, to):
        read += sum(frame.values.size for frame in frames)
        if read > most:
            raise Invalid(
                "range_too_large", f"the range holds more than {most} values", field="to", remedy="ask for less time"
            )
        for frame in frames:
            part = _part(frame, registry, channels, from_, to)
            bucket = (part.times - from_) // width
            present = ~np.isnan(part.values)
            np.minimum.at(low, bucket, np.where(present, part.values, np.inf))
            np.maximum.at(high, bucket, np.where(present, part.values, -np.inf))
            np.add.at(counts, bucket, present)
            filled[bucket] = True
    empty = counts == 0
    low[empty] = high[empty] = np.nan
    starts = from_ + width * np.flatnonzero(filled)
    return Buckets(starts.astype(np.int64), low[filled], high[filled], counts[filled], width)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    boot: str
    seq: int


def _part(frame: StoredFrame, registry: Registry, channels: Sequence[str], from_: Micros, to: Micros) -> _Part:
    """The rows of a frame in the range, its columns in the order asked for; a channel its version did not have is missing."""
    first, end = np.searchsorted(frame.times, [from_, to], "left")
    positions = {
        channel.name: index
        for index, channel in enumerate(registry.versions[frame.stream, frame.registry_version].channels)
    }
    rows = end - first
    values = np.full((rows, len(channels)), np.nan)
    quality = np.ones((rows, len(channels)), dtype=np.uint8)
    for column, name in enumerate(channels):
        if name in positions:
            values[:, column] = frame.values[first:end, positions[name]]
            quality[:, column] = frame.quality[first:end, positions[name]]
    return _Part(frame.times[first:end], values, quality, frame.boot, frame.seq)


def _merge(parts: Sequence[_Part], channels: int, limit: int, skip: int) -> Page:
    if not parts:
        return Page(np.empty(0, np.int64), np.empty((0, channels)), np.empty((0, channels), np.uint8), [], [], None)
    times = np.concatenate([part.times for part in parts])
    # Parts come ordered by (first sample, boot, seq); within equal times the order is (boot, seq), so parts are ranked by that.
    ranks = {key: rank for rank, key in enumerate(sorted({(part.boot, part.seq) for part in parts}))}
    owner = np.repeat(np.arange(len(parts)), [len(part.times) for part in parts])
    rank = np.array([ranks[part.boot, part.seq] for part in parts])[owner]
    order = np.lexsort((rank, times))
    chosen = order[skip : skip + limit]
    more = len(order) > skip + limit
    boots = [parts[index].boot for index in owner[chosen]]
    seqs = [parts[index].seq for index in owner[chosen]]
    following = None
    if more and len(chosen):
        last = int(times[chosen[-1]])
        given = order[: skip + limit]
        following = encode_cursor(last, int((times[given] == last).sum()))
    values = np.concatenate([part.values for part in parts])[chosen]
    quality = np.concatenate([part.quality for part in parts])[chosen]
    return Page(times[chosen], values, quality, boots, seqs, following)
