"""What ingest tells Prometheus beyond requests and batches (names: shared.observability.metrics)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.ingest.domain.arrival import Counts
from services.ingest.handlers import Result
from shared.contracts.quarantine import UNKNOWN
from shared.kernel.times import SECOND, Micros
from shared.observability.metrics import (
    ANSWERED,
    FRAMES,
    SAMPLES_STORED,
    VISIBLE_SECONDS,
    Nothing,
    OfProtocolOutcome,
    OfStream,
    OfStreamOutcome,
)

_OUTCOMES = ("received", "stored", "duplicate", "conflict", "quarantined", "late")


def answered(protocol: str, results: Sequence[Result]) -> None:
    """One request is durable and answered."""
    for outcome, amount in Counter(result.outcome for result in results).items():
        ANSWERED.add(OfProtocolOutcome(protocol, outcome), amount)


@dataclass(slots=True)
class Tally:
    """What one transaction of the sink did, by stream; true when it has committed. `received_at` is of its oldest frame."""

    streams: dict[str, Counts] = field(default_factory=dict)
    received_at: Micros | None = None

    def count(self, several: Mapping[str, Counts], registered: Collection[str]) -> None:
        """Streams that nobody registered share one label, or a sender could make labels without end."""
        for stream, counts in several.items():
            self.streams.setdefault(stream if stream in registered else UNKNOWN, Counts()).add(counts)

    def oldest(self, received_at: Micros) -> None:
        self.received_at = received_at if self.received_at is None else min(self.received_at, received_at)


def committed(tally: Tally) -> None:
    """Count what is committed."""
    for stream, counts in tally.streams.items():
        for outcome in _OUTCOMES:
            if amount := getattr(counts, outcome):
                FRAMES.add(OfStreamOutcome(stream, outcome), amount)
        if counts.samples:
            SAMPLES_STORED.add(OfStream(stream), counts.samples)
    if tally.received_at is not None:
        VISIBLE_SECONDS.observe(Nothing(), max(0.0, time.time() - tally.received_at / SECOND))
