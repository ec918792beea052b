"""Gaps in the numbering of a sender, found in the order of the log.

A boot's numbers start at 0 or 1 and grow by one per record. A number never seen is a gap, opened by the record behind it and closed,
whole or in part, by late data. The state is what the tables `ingest.boot` and `ingest.gap` hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class Gap:
    """Records from_seq..to_seq (inclusive) of a boot are missing. `after` is the last sample before the gap, `before` the first behind."""

    from_seq: int
    to_seq: int
    after: Micros
    before: Micros


@dataclass(frozen=True, slots=True)
class GapChange:
    gap: Gap
    closed: bool


@dataclass(slots=True)
class BootOrder:
    """What has arrived of one (stream, boot): numbers first_seq..last_seq but for the open `gaps`; `last_time` is the last sample of
    record `last_seq`."""

    first_seq: int
    last_seq: int
    last_time: Micros
    gaps: list[Gap] = field(default_factory=list)

    def arrive(self, seq: int, first_time: Micros, last_time: Micros) -> list[GapChange]:
        """Take in a record that was not stored before. Returns the gaps it opened, then those it closed."""
        if seq == self.last_seq + 1:
            self.last_seq, self.last_time = seq, last_time
            return []
        if seq > self.last_seq:
            gap = Gap(self.last_seq + 1, seq - 1, self.last_time, first_time)
            self.gaps.append(gap)
            self.last_seq, self.last_time = seq, last_time
            return [GapChange(gap, closed=False)]
        self.first_seq = min(self.first_seq, seq)
        return self._fill(seq, first_time, last_time)

    def _fill(self, seq: int, first_time: Micros, last_time: Micros) -> list[GapChange]:
        for position, gap in enumerate(self.gaps):
            if gap.from_seq <= seq <= gap.to_seq:
                rest = []
                if seq > gap.from_seq:
                    rest.append(Gap(gap.from_seq, seq - 1, gap.after, first_time))
                if seq < gap.to_seq:
                    rest.append(Gap(seq + 1, gap.to_seq, last_time, gap.before))
                self.gaps[position : position + 1] = rest
                # What is still missing is opened before the whole is closed: a reader in between never sees less missing than is.
                return [*(GapChange(part, closed=False) for part in rest), GapChange(gap, closed=True)]
        return []


def open_boot(
    seq: int, first_time: Micros, last_time: Micros, previous_time: Micros | None
) -> tuple[BootOrder, list[GapChange]]:
    """A boot seen for the first time, with record `seq`. Numbers from 1 up to it are missing; `previous_time` is the last sample of the
    stream's earlier boot, if any."""
    order = BootOrder(first_seq=seq, last_seq=seq, last_time=last_time)
    if seq <= 1:
        return order, []
    gap = Gap(1, seq - 1, first_time if previous_time is None else previous_time, first_time)
    order.gaps.append(gap)
    return order, [GapChange(gap, closed=False)]
