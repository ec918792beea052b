"""What ingest tells Prometheus. Labels are bounded: protocols and outcomes are few, streams are no label."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from prometheus_client import Counter, Gauge, Histogram

from services.ingest.domain.arrival import Counts
from services.ingest.handlers import Result
from shared.http.body import InFlight
from shared.kernel.times import SECOND, Micros

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_accepted = Counter("pilotline_ingest_records", "Records answered by the gateway", ["protocol", "outcome"])
_bytes = Counter("pilotline_ingest_body_bytes", "Inflated bytes of telemetry requests", ["protocol"])
_latency = Histogram("pilotline_ingest_accept_seconds", "Request read to answer ready", ["protocol"], buckets=_LATENCY)
_in_flight = Gauge("pilotline_ingest_in_flight_bytes", "Bytes of requests being worked on")
_applied = Counter("pilotline_sink_records", "Records the sink has applied, by what became of them", ["outcome"])
_rows = Counter("pilotline_sink_rows", "Instants stored")
_late = Counter("pilotline_sink_late_records", "Stored records that were not newer than their stream")
_visible = Histogram(
    "pilotline_ingest_visible_seconds",
    "Received by the gateway to committed, oldest record of each batch",
    buckets=_LATENCY,
)


def watch_in_flight(in_flight: InFlight) -> None:
    """Export the budget's present use."""
    _in_flight.set_function(lambda: in_flight.used)


def answered(protocol: str, size: int, started: float, results: Sequence[Result]) -> None:
    """One request is durable and answered; `started` is of time.perf_counter()."""
    for result in results:
        _accepted.labels(protocol, result.outcome).inc()
    _bytes.labels(protocol).inc(size)
    _latency.labels(protocol).observe(time.perf_counter() - started)


@dataclass(slots=True)
class Tally:
    """What one transaction of the sink did; true when it has committed."""

    counts: Counts = field(default_factory=Counts)
    received_at: Micros | None = None

    def count(self, several: Iterable[Counts]) -> None:
        for counts in several:
            self.counts.add(counts)

    def oldest(self, received_at: Micros) -> None:
        self.received_at = received_at if self.received_at is None else min(self.received_at, received_at)

    def copy(self) -> Tally:
        return Tally(replace(self.counts), self.received_at)


class SinkMetrics:
    """Counts what is committed."""

    def committed(self, tally: Tally) -> None:
        counts = tally.counts
        for outcome in ("stored", "duplicate", "conflict", "quarantined"):
            if amount := getattr(counts, outcome):
                _applied.labels(outcome).inc(amount)
        _rows.inc(counts.rows)
        _late.inc(counts.late)
        if tally.received_at is not None:
            _visible.observe(max(0.0, time.time() - tally.received_at / SECOND))
