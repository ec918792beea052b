"""The sender's own books: every record it sent and every answer it got. What the platform says is compared with this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from deploy.demo.plan import Batch


@dataclass(slots=True)
class Sent:
    """One record: how often it left (`tries`), and the answer of the try that got one. A try without an answer may have arrived or not."""

    run: str
    stream: str
    boot: str
    seq: int
    note: str
    rows: int
    bad: int
    tries: int = 0
    outcome: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class StreamBooks:
    """What the platform must have of a stream. `received` lies between `answered` and `answered` + `unanswered`: a try without an answer
    may have reached the log, where it counts as a duplicate."""

    answered: int
    unanswered: int
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    rows: int


@dataclass(slots=True)
class Ledger:
    """Records in the order of sending."""

    records: list[Sent] = field(default_factory=list)

    def open(self, batches: Sequence[Batch]) -> list[Sent]:
        """New entries for what is about to be sent."""
        entries = [
            Sent(batch.run, batch.stream, batch.boot, batch.seq, batch.note, len(batch.values), batch.bad_values)
            for batch in batches
        ]
        self.records += entries
        return entries

    def books(self, stream: str) -> StreamBooks:
        """What must have become of the stream's records, by the order in which they were sent and answered."""
        mine = [record for record in self.records if record.stream == stream and record.tries]
        fates = Counter(fate for _, fate in _fates(mine))
        stored = [record for record, fate in _fates(mine) if fate == "stored"]
        return StreamBooks(
            answered=sum(record.outcome != "" for record in mine),
            unanswered=sum(record.tries - (record.outcome != "") for record in mine),
            stored=len(stored),
            duplicate=fates["duplicate"],
            conflict=fates["conflict"],
            quarantined=fates["quarantined"],
            rows=sum(record.rows for record in stored),
        )

    @property
    def streams(self) -> list[str]:
        return sorted({record.stream for record in self.records})

    def write(self, path: Path) -> None:
        """One JSON object per line."""
        path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in self.records))


def _fates(records: Sequence[Sent]) -> list[tuple[Sent, str]]:
    """What each record must have become: the first of an identity is stored, a later one repeats it or contradicts it.

    Told from what was sent, not from the answer: a repeated request is answered `duplicate` although its first copy was stored.
    """
    known: set[tuple[str, str, int]] = set()
    fates = []
    for record in records:
        identity = (record.stream, record.boot, record.seq)
        if record.code or record.note == "wrong_unit":
            fate = "quarantined"
        elif identity not in known:
            fate = "stored"
            known.add(identity)
        else:
            fate = "conflict" if record.note == "conflict" else "duplicate"
        fates.append((record, fate))
    return fates
