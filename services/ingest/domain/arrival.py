"""What a batch of new frames changes, per stream, in the order of the log: boots, gaps, lateness, the newest values, the counts.

Loaded from the tables, changed here without IO, written back by the sink in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.ingest.domain.sequence import BootOrder, GapChange, open_boot
from shared.kernel.times import Micros


@dataclass(slots=True)
class Counts:
    """G2: received = stored + duplicate + conflict + quarantined. `rows`, `late` and `samples` are of stored ones."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    conflict: int = 0
    quarantined: int = 0
    rows: int = 0
    late: int = 0
    samples: int = 0

    def add(self, other: Counts) -> None:
        for name in ("received", "stored", "duplicate", "conflict", "quarantined", "rows", "late", "samples"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class BootGap:
    """A change of a gap, when the record that caused it was received."""

    boot: str
    change: GapChange
    at: Micros


@dataclass(slots=True)
class StreamBook:
    """One stream during a batch. `newest` is its latest sample so far, `widest` its longest block, `current` the open boot.

    `latest` is the position in the batch of the frame with the newest sample, None when an earlier batch holds it.
    """

    newest: Micros | None = None
    widest: Micros = 0
    current: str | None = None
    boots: dict[str, BootOrder] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    latest: int | None = None
    touched: dict[str, Micros] = field(default_factory=dict)
    closed: dict[str, Micros] = field(default_factory=dict)
    gaps: list[BootGap] = field(default_factory=list)

    def store(
        self,
        position: int,
        boot: str,
        seq: int,
        first: Micros,
        last: Micros,
        shape: tuple[int, int],
        received_at: Micros,
    ) -> bool:
        """Take in a frame that the ledger did not have; `position` is its place in the batch. Returns whether it is late: its first sample
        is not newer than what the stream has."""
        late = self.newest is not None and first <= self.newest
        order = self.boots.get(boot)
        changes = self._open(boot, seq, first, last, received_at) if order is None else order.arrive(seq, first, last)
        self.touched.setdefault(boot, received_at)
        if changes:
            self.gaps += [BootGap(boot, change, received_at) for change in changes]
        if self.newest is None or last > self.newest:
            self.newest, self.latest = last, position
        self.widest = max(self.widest, last - first)
        self.counts.stored += 1
        self.counts.rows += shape[0]
        self.counts.samples += shape[0] * shape[1]
        self.counts.late += late
        return late

    def _open(self, boot: str, seq: int, first: Micros, last: Micros, received_at: Micros) -> Sequence[GapChange]:
        """A boot never seen takes over from the open one."""
        previous = None
        if self.current is not None:
            previous = self.boots[self.current].last_time
            self.closed[self.current] = received_at
        order, changes = open_boot(seq, first, last, previous)
        self.boots[boot] = order
        self.current = boot
        return changes
