"""Frames in the channel order that a run has pinned: a frame sent under another registry version is brought into it by channel name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.outcomes import Arrival
from shared.contracts.frame import Frame, Quality
from shared.contracts.registry import Channel, Stream
from shared.kernel.errors import Invalid, Reject
from shared.kernel.times import Micros, from_rfc3339
from shared.kernel.units import conversion, is_difference
from shared.storage.blocks import StoredFrame

_LATEST: Micros = from_rfc3339("2200-01-01T00:00:00Z")
Versions = Mapping[tuple[str, int], Stream]


class ChannelOrder:
    """The pinned streams of a run, and every known version of each. A channel that a version lacks is missing, not zero."""

    def __init__(self, pinned: Sequence[Stream], versions: Versions) -> None:
        self._pinned = {stream.id: stream for stream in pinned}
        self._versions = versions
        self._columns: dict[tuple[str, int], _Columns] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self._pinned

    def check(self, frame: Frame) -> None:
        """Refuses what the sink refuses, or live and stored evaluations would read different frames.

        Raises Reject(version_unknown | shape_mismatch | text_invalid | times_unordered | time_range)."""
        sent = self._versions.get((frame.stream, frame.registry_version))
        if sent is None:
            raise Reject("version_unknown", f"stream {frame.stream} has no version {frame.registry_version}")
        if frame.channels != len(sent.channels):
            raise Reject(
                "shape_mismatch", f"{frame.channels} channels, version {sent.version} has {len(sent.channels)}"
            )
        if not frame.boot.isprintable():
            raise Reject("text_invalid", "the boot has characters that cannot be printed")
        times = frame.times_array()
        if bool((times[1:] < times[:-1]).any()):
            raise Reject("times_unordered", "the instants of a record must not go back in time")
        if times[0] < 0 or times[-1] >= _LATEST or max(frame.received_at, frame.sent_at) >= _LATEST:
            raise Reject("time_range", "the record lies outside of what is stored")

    def add(self, evaluator: RunEvaluator, frame: Frame) -> Arrival:
        """A frame that `check` has let pass."""
        if frame.registry_version == self._pinned[frame.stream].version:
            return evaluator.add_frame(frame)
        values, quality = self._arranged(
            frame.stream, frame.registry_version, frame.values_array(), frame.quality_array()
        )
        return evaluator.add(
            frame.stream, frame.boot, frame.seq, frame.content_hash(), frame.times_array(), values, quality
        )

    def add_stored(self, evaluator: RunEvaluator, frame: StoredFrame) -> Arrival:
        """The same for a frame read from storage."""
        values, quality = self.arranged(frame)
        return evaluator.add(
            frame.stream, frame.boot, frame.seq, frame.hash, frame.times, values, quality if quality.any() else None
        )

    def arranged(self, frame: StoredFrame) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Values and quality of a stored frame in the pinned order and units."""
        if frame.registry_version == self._pinned[frame.stream].version:
            return frame.values, frame.quality
        return self._arranged(frame.stream, frame.registry_version, frame.values, frame.quality)

    def _arranged(
        self, stream: str, version: int, values: NDArray[np.float64], quality: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        found = self._columns.get((stream, version))
        if found is None:
            found = self._columns[stream, version] = self._found(stream, version)
        there = found.places >= 0
        shape = (values.shape[0], found.places.shape[0])
        arranged, marks = np.full(shape, np.nan), np.full(shape, Quality.MISSING, np.uint8)
        arranged[:, there] = values[:, found.places[there]] * found.factors[there] + found.offsets[there]
        marks[:, there] = quality[:, found.places[there]]
        return arranged, marks

    def _found(self, stream: str, version: int) -> _Columns:
        sent = self._versions[stream, version]
        places = {channel.name: place for place, channel in enumerate(sent.channels)}
        columns = [_column(places.get(channel.name), sent, channel) for channel in self._pinned[stream].channels]
        return _Columns(
            places=np.array([place for place, _, _ in columns], np.int64),
            factors=np.array([factor for _, factor, _ in columns]),
            offsets=np.array([offset for _, _, offset in columns]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Per pinned channel its column in another version (-1: none), and how to bring its values to the pinned unit."""

    places: NDArray[np.int64]
    factors: NDArray[np.float64]
    offsets: NDArray[np.float64]


def _column(place: int | None, sent: Stream, pinned: Channel) -> tuple[int, float, float]:
    """A channel that changed to a unit of another dimension is another quantity: it counts as missing."""
    if place is None:
        return -1, 1.0, 0.0
    channel = sent.channels[place]
    try:
        bring = conversion(channel.unit, pinned.unit, difference=is_difference(channel.quantity_kind))
    except Invalid:
        return -1, 1.0, 0.0
    return place, bring.factor, bring.offset
