"""Which frames an evaluation has taken in: recognised by (stream, boot, seq), bounded in memory, and hashed in order of their identity.

The hash of the inputs is a chain per (stream, boot) over the frames in force that overlap the run, in order of seq:
h = SHA-256(h || seq || content hash). A short tail of frames stays unlinked, so that frames swapped on the way, and frames that turn
out to lie behind the run's end, find their place; a later one breaks the chain, which only a rebuild from stored frames mends.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from heapq import heappop, heappush

from services.verification.domain.outcomes import Verdict
from shared.kernel.times import Micros

TAIL = 64
"""Frames per (stream, boot) that stay unlinked, and whose hash a duplicate is compared with."""

LONG_TAIL = 65_536
"""The tail of a rebuild in order of time, which is nearly the order of seq."""


@dataclass(slots=True)
class Intervals:
    """A set of natural numbers as sorted, disjoint, inclusive intervals: small while numbers arrive mostly in order."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, number: int) -> bool:
        """Adds a number; False when it was there."""
        at = bisect_right(self.starts, number) - 1
        if at >= 0 and number <= self.ends[at]:
            return False
        joins_left = at >= 0 and self.ends[at] == number - 1
        joins_right = at + 1 < len(self.starts) and self.starts[at + 1] == number + 1
        if joins_left and joins_right:
            self.ends[at] = self.ends[at + 1]
            del self.starts[at + 1], self.ends[at + 1]
        elif joins_left:
            self.ends[at] = number
        elif joins_right:
            self.starts[at + 1] = number
        else:
            self.starts.insert(at + 1, number)
            self.ends.insert(at + 1, number)
        return True


@dataclass(slots=True)
class BootArrivals:
    """The frames of one (stream, boot). `tail` maps seq to content hash and the first instant that can matter; `waiting` is its heap."""

    seen: Intervals = field(default_factory=Intervals)
    tail: dict[int, tuple[bytes, Micros]] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    link: bytes = b""
    linked: int = 0
    last_linked: int = -1
    latest_linked: Micros = -(2**62)
    broken: bool = False

    def take(self, seq: int, content_hash: bytes, first: Micros, keep: int | None = TAIL) -> Verdict:
        """`first` is the earliest instant of the frame that lies in the run's reach; `keep` bounds the tail, None keeps all."""
        if not self.seen.add(seq):
            known = self.tail.get(seq)
            return Verdict.CONFLICT if known is not None and known[0] != content_hash else Verdict.DUPLICATE
        self.tail[seq] = (content_hash, first)
        heappush(self.waiting, seq)
        if keep is not None:
            self.shorten(keep)
        return Verdict.ACCEPTED

    def shorten(self, keep: int) -> None:
        """Links the frames with the lowest numbers until `keep` are left."""
        while len(self.waiting) > keep:
            oldest = heappop(self.waiting)
            if oldest < self.last_linked:
                self.broken = True
            self._link(oldest, *self.tail.pop(oldest))

    def _link(self, seq: int, content_hash: bytes, first: Micros) -> None:
        self.link = hashlib.sha256(self.link + seq.to_bytes(8, "little") + content_hash).digest()
        self.linked += 1
        self.last_linked = max(self.last_linked, seq)
        self.latest_linked = max(self.latest_linked, first)

    def whole(self, end: Micros) -> bool:
        """Whether the chain, with its tail, is that of a run which ends at `end`."""
        in_order = not self.waiting or self.waiting[0] > self.last_linked
        return not self.broken and self.latest_linked < end and in_order

    def final(self, end: Micros) -> tuple[int, str]:
        """Number of frames in force before `end`, and the chain over them as hexadecimal digits."""
        link, count = self.link, self.linked
        for seq in sorted(self.tail):
            content_hash, first = self.tail[seq]
            if first < end:
                link = hashlib.sha256(link + seq.to_bytes(8, "little") + content_hash).digest()
                count += 1
        return count, link.hex()
