"""Rows of one stream that wait to be judged: in order of (time, boot, seq, row), in few contiguous chunks.

A chunk holds times (n,), the used channels as rows (c, n), and sample positions (n, 2): seq, and boot index << 32 | row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.contracts.frame import Quality
from shared.kernel.times import Micros

BAD = int(Quality.NOT_A_NUMBER | Quality.SENDER_BAD | Quality.CLOCK_SUSPECT)
"""Bits that make a value bad (V-10). A value out of the registered range is judged as sent: leaving it out could hide a violation."""

BOOT_SHIFT = 32
ROW_MASK = (1 << BOOT_SHIFT) - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    positions: NDArray[np.int64]
    bad: NDArray[np.uint8] | None

    def between(self, after: Micros, upto: Micros) -> Chunk | None:
        """The rows with after < t <= upto."""
        times = self.times
        if times[0] > after and times[-1] <= upto:
            return self
        i, j = int(np.searchsorted(times, after, "right")), int(np.searchsorted(times, upto, "right"))
        if i == j:
            return None
        bad = None if self.bad is None else self.bad[:, i:j]
        return Chunk(times[i:j], self.values[:, i:j], self.positions[i:j], bad)


def join(chunks: list[Chunk]) -> Chunk:
    """Chunks one behind the other."""
    if len(chunks) == 1:
        return chunks[0]
    bad = None
    if any(chunk.bad is not None for chunk in chunks):
        bad = np.concatenate([np.zeros(c.values.shape, np.uint8) if c.bad is None else c.bad for c in chunks], axis=1)
    return Chunk(
        np.concatenate([chunk.times for chunk in chunks]),
        np.concatenate([chunk.values for chunk in chunks], axis=1),
        np.concatenate([chunk.positions for chunk in chunks]),
        bad,
    )


@dataclass(frozen=True, slots=True)
class Arrived:
    """Rows of one frame as they came: values (n, k) of all its channels. `numbers` are the rows' numbers in the frame, None for 0 … n-1."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8] | None
    boot: int
    seq: int
    numbers: NDArray[np.int64] | None


@dataclass(slots=True)
class StreamRows:
    """`columns` are the channels that some criterion reads; `boots` the boot texts in order of arrival."""

    columns: NDArray[np.int64]
    boots: list[str] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    watermark: Micros = -(2**62)

    def boot_index(self, boot: str) -> int:
        if boot not in self.boots:
            self.boots.append(boot)
        return self.boots.index(boot)

    def settle(self) -> None:
        """Puts what has arrived in order behind, or into, what waits."""
        if not self.arrived:
            return
        fresh = self._ordered(self._chunk(self.arrived))
        self.arrived = []
        if self.chunks and fresh.times[0] <= self.chunks[-1].times[-1]:
            self.chunks = [self._ordered(join([*self.chunks, fresh]))]
        else:
            self.chunks.append(fresh)

    def _chunk(self, arrived: list[Arrived]) -> Chunk:
        counts = [part.times.shape[0] for part in arrived]
        single = len(arrived) == 1
        times = arrived[0].times if single else np.concatenate([part.times for part in arrived])
        values = arrived[0].values if single else np.concatenate([part.values for part in arrived])
        kept = np.ascontiguousarray(values[:, self.columns].T)
        positions = np.empty((times.shape[0], 2), np.int64)
        at = 0
        for part, n in zip(arrived, counts, strict=True):
            positions[at : at + n, 0] = part.seq
            boot = part.boot << BOOT_SHIFT
            numbers = part.numbers
            positions[at : at + n, 1] = np.arange(boot, boot + n) if numbers is None else boot + numbers
            at += n
        return Chunk(times, kept, positions, self._mark_bad(arrived, counts, kept))

    def _mark_bad(
        self, arrived: list[Arrived], counts: list[int], kept: NDArray[np.float64]
    ) -> NDArray[np.uint8] | None:
        """Bad values become absent; the marks stay, so that they can be counted."""
        if all(part.quality is None for part in arrived):
            return None
        bad = np.zeros(kept.shape, np.uint8)
        at = 0
        for part, n in zip(arrived, counts, strict=True):
            if part.quality is not None:
                bad[:, at : at + n] = part.quality[:, self.columns].T & BAD
            at += n
        if not bad.any():
            return None
        kept[bad != 0] = np.nan
        return bad

    def between(self, after: Micros, upto: Micros) -> Chunk | None:
        """The rows with after < t <= upto, in order."""
        parts = [part for chunk in self.chunks if (part := chunk.between(after, upto)) is not None]
        return join(parts) if parts else None

    def forget(self, upto: Micros) -> None:
        """Drops rows with t <= upto."""
        kept = []
        for chunk in self.chunks:
            if chunk.times[-1] > upto:
                rest = chunk.between(upto, 2**62)
                if rest is not None:
                    kept.append(rest)
        self.chunks = kept

    def waiting(self) -> int:
        """Number of rows held back."""
        return sum(chunk.times.shape[0] for chunk in self.chunks)

    def _ordered(self, chunk: Chunk) -> Chunk:
        times = chunk.times
        if times.shape[0] == 1 or bool((times[1:] > times[:-1]).all()):
            return chunk
        rank = np.argsort(np.argsort(np.array(self.boots)))
        boot, row = chunk.positions[:, 1] >> BOOT_SHIFT, chunk.positions[:, 1] & ROW_MASK
        order = np.lexsort((row, chunk.positions[:, 0], rank[boot], times))
        bad = None if chunk.bad is None else np.ascontiguousarray(chunk.bad[:, order])
        return Chunk(times[order], np.ascontiguousarray(chunk.values[:, order]), chunk.positions[order], bad)
