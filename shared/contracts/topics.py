"""The Kafka topics: name, key, retention, who writes and who reads. Compose, tests and code read them from here.

| topic | key | kinds (header `kind`) | written by | read by |
| --- | --- | --- | --- | --- |
| line.records | line id | frame, lifecycle, gap, annotation, reservation, quarantine | ingest http; outbox of every service | sink, worker, meter |
| verification.events | line id | CloudEvents | outbox of verification | webhooks, customers' systems |
| usage.events | line id | CloudEvents | outbox of billing, billing api | recorder |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DAY_MS = 24 * 3600 * 1000


class Kind(StrEnum):
    """What a record is; a Kafka header, so that a reader skips what it does not need undecoded."""

    FRAME = "frame"
    LIFECYCLE = "lifecycle"
    GAP = "gap"
    ANNOTATION = "annotation"
    RESERVATION = "reservation"
    QUARANTINE = "quarantine"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Topic:
    """Name without prefix, number of partitions (fixed for ever: positions are per partition) and retention."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int = 4 * 1024 * 1024

    def settings(self) -> dict[str, str]:
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "CreateTime",
        }


LINE_RECORDS = Topic("line.records", partitions=4, retention_ms=14 * DAY_MS)
VERIFICATION_EVENTS = Topic("verification.events", partitions=1, retention_ms=14 * DAY_MS)
USAGE_EVENTS = Topic("usage.events", partitions=4, retention_ms=62 * DAY_MS)
ALL = (LINE_RECORDS, VERIFICATION_EVENTS, USAGE_EVENTS)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics under a prefix, so that several installations or tests share one broker."""

    prefix: str = ""

    @property
    def line_records(self) -> str:
        return self.prefix + LINE_RECORDS.name

    @property
    def verification_events(self) -> str:
        return self.prefix + VERIFICATION_EVENTS.name

    @property
    def usage_events(self) -> str:
        return self.prefix + USAGE_EVENTS.name

    def named(self) -> tuple[tuple[str, Topic], ...]:
        """Every topic with its full name, for whoever creates them."""
        return tuple((self.prefix + topic.name, topic) for topic in ALL)
