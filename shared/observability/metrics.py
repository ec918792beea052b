"""Every metric of pilotline: name, meaning and labels, in one place. A misspelt name or label is a type error.

    RECORDS_APPLIED.add(OfPartition("sink", "line.records", 3), 120)

Names carry the prefix `pilotline_`; times are seconds, sizes bytes (Prometheus' rules).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, Histogram

L = TypeVar("L", bound=tuple[str, ...])

_latency_buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Nothing(NamedTuple):
    """No labels."""


class OfPartition(NamedTuple):
    processor: str
    topic: str
    partition: str


class OfProcessor(NamedTuple):
    processor: str


class OfFailure(NamedTuple):
    """`reason`: a stable word or an SQLSTATE class."""

    processor: str
    reason: str


class OfSchema(NamedTuple):
    schema: str


class OfStream(NamedTuple):
    stream: str


class OfStreamOutcome(NamedTuple):
    """`outcome`: received, stored, duplicate, conflict, quarantined, late."""

    stream: str
    outcome: str


class OfRequest(NamedTuple):
    """`code`: `ok` or the problem's code."""

    route: str
    code: str


class OfProtocolOutcome(NamedTuple):
    """`protocol`: json or binary. `outcome`: accepted, duplicate, conflict, quarantined."""

    protocol: str
    outcome: str


class OfLine(NamedTuple):
    line: str


class OfVerdict(NamedTuple):
    """`evaluation`: live or close."""

    evaluation: str
    verdict: str


class OfAnswer(NamedTuple):
    """`answer`: delivered, retry or gone."""

    answer: str


def _fields(labels: type[Any]) -> Sequence[str]:
    return tuple(labels._fields)


class Count(Generic[L]):
    """Only grows."""

    def __init__(self, name: str, meaning: str, labels: type[L]) -> None:
        self._metric = Counter(f"pilotline_{name}", meaning, _fields(labels))

    def add(self, labels: L, amount: float = 1) -> None:
        _of(self._metric, labels).inc(amount)


class Level(Generic[L]):
    """A present value."""

    def __init__(self, name: str, meaning: str, labels: type[L]) -> None:
        self._metric = Gauge(f"pilotline_{name}", meaning, _fields(labels))

    def set(self, labels: L, value: float) -> None:
        _of(self._metric, labels).set(value)

    def forget(self, labels: L) -> None:
        """Stop reporting it: this process does not own it any more."""
        self._metric.remove(*labels)


class Spread(Generic[L]):
    """How values are distributed."""

    def __init__(self, name: str, meaning: str, labels: type[L], buckets: Sequence[float] = _latency_buckets) -> None:
        self._metric = Histogram(f"pilotline_{name}", meaning, _fields(labels), buckets=tuple(buckets))

    def observe(self, labels: L, value: float) -> None:
        _of(self._metric, labels).observe(value)


def _of(metric: Any, labels: tuple[str, ...]) -> Any:
    return metric.labels(*labels) if labels else metric


# Messaging
RECORDS_APPLIED = Count(
    "records_applied_total", "records whose effects are committed, or that were passed over by kind", OfPartition
)
POSITION = Level("position_offset", "next offset to apply, as committed", OfPartition)
LAG = Level("lag_records", "records in the log behind the committed position", OfPartition)
BATCH_SECONDS = Spread("batch_seconds", "one transaction: lock, effects, position, commit", OfProcessor)
BATCH_RECORDS = Spread(
    "batch_records", "records of one transaction", OfProcessor, (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
)
BATCH_RETRIES = Count("batch_retries_total", "transactions rolled back and tried again", OfFailure)
DEAD_LETTERS = Count("dead_letters_total", "records no retry can process", OfFailure)
OUTBOX_DEPTH = Level("outbox_depth_records", "outbox rows that are not published", OfSchema)
OUTBOX_PUBLISHED = Count("outbox_published_total", "outbox rows published and marked", OfSchema)
OUTBOX_SECONDS = Spread("outbox_seconds", "from the row's creation to the broker's acknowledgement", OfSchema)
PRODUCER_BYTES = Level("producer_bytes", "bytes handed to the producer and not acknowledged", Nothing)
PRODUCER_REFUSED = Count("producer_refused_total", "records refused or of unknown outcome", OfFailure)

# Ingest
REQUESTS = Count("requests_total", "requests answered", OfRequest)
REQUEST_SECONDS = Spread("request_seconds", "from the first byte of a request to its answer", OfRequest)
IN_FLIGHT_BYTES = Level("in_flight_bytes", "bytes of request bodies being worked on", Nothing)
ANSWERED = Count("answered_records_total", "records answered by the gateway, as far as it knew then", OfProtocolOutcome)
VISIBLE_SECONDS = Spread("visible_seconds", "from a frame's receipt to its commit, oldest of each batch", Nothing)
FRAMES = Count(
    "frames_total",
    "frames per stream and outcome: received = stored + duplicate + conflict + quarantined",
    OfStreamOutcome,
)
SAMPLES_STORED = Count("samples_stored_total", "samples in committed blocks", OfStream)
OPEN_GAPS = Level("open_gaps", "sequence gaps that nothing has filled", OfStream)
QUARANTINE_WAITING = Level("quarantine_waiting", "quarantined frames a person has to look at", Nothing)

# Verification
RUNS_OPEN = Level("runs_open", "runs that have started and not ended", OfLine)
VERDICTS = Count("verdicts_total", "verdicts of evaluations", OfVerdict)
EVALUATION_MISMATCHES = Count(
    "evaluation_mismatches_total", "close evaluations whose digest differs from the live one", OfLine
)
EVALUATION_REBUILDS = Count("evaluation_rebuilds_total", "criteria evaluated again from stored frames", OfLine)
WATERMARK = Level("watermark_seconds", "event time up to which a line is judged, seconds since 1970", OfLine)
WEBHOOK_ATTEMPTS = Count("webhook_attempts_total", "requests to webhook endpoints by what came of them", OfAnswer)

# Billing
USAGE_EVENTS = Count("usage_events_total", "usage events emitted by the meter", OfLine)
LEDGER_ENTRIES = Count("ledger_entries_total", "usage events entered in the ledger", OfLine)
RECONCILIATION_DIFFERENCES = Level(
    "reconciliation_differences", "usage events and ledger entries that do not agree", Nothing
)
