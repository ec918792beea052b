"""Usage that comes over HTTP: read, compared with the books, published (B-5). The recorder alone writes the books, so what is answered here is
what it will find, unless the same event is on its way by another request at this moment; then it is recorded once all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.billing.domain.usage import Usage, parse_usage
from services.billing.ports import Identity, KnowsUsage, PublishesRecords
from shared.contracts.events import decode_event
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.messaging.producer import Outgoing

UNREADABLE_KEY = b"unknown"
"""Kafka key of an event that names no line."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one event. `code` and `detail` say why it is quarantined or in conflict."""

    id: str
    status: str
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """Takes usage events for `topic`."""

    known: KnowsUsage
    publisher: PublishesRecords
    topic: str

    async def submit(self, events: Sequence[bytes], permit: Callable[[Usage], None]) -> list[Result]:
        """One result per event, in order, once every event is durable. `permit` raises for usage outside the caller's reach; then nothing
        is published. Raises what the publisher raises."""
        read = [_read(event) for event in events]
        usages = [usage for usage in read if isinstance(usage, Usage)]
        for usage in usages:
            permit(usage)
        in_force = dict(await self.known.hashes([_identity(usage) for usage in usages]))
        results = [_result(each, in_force) for each in read]
        await self.publisher.put_all([self._outgoing(raw, each) for raw, each in zip(events, read, strict=True)])
        return results

    def _outgoing(self, raw: bytes, read: Usage | Reject) -> Outgoing:
        key = read.segment.line.encode() if isinstance(read, Usage) else UNREADABLE_KEY
        return Outgoing(self.topic, key, raw, Kind.EVENT, {})


def _read(raw: bytes) -> Usage | Reject:
    try:
        return parse_usage(decode_event(raw))
    except Reject as reject:
        return reject


def _identity(usage: Usage) -> Identity:
    return usage.tenant, usage.source, usage.id


def _result(read: Usage | Reject, in_force: dict[Identity, str]) -> Result:
    """Classify, and remember what this request itself brings in."""
    if isinstance(read, Reject):
        return Result("", "quarantined", read.code, read.detail)
    known = in_force.setdefault(_identity(read), "")
    if known == "":
        in_force[_identity(read)] = read.content_hash
        return Result(read.id, "accepted")
    if known == read.content_hash:
        return Result(read.id, "duplicate")
    return Result(
        read.id, "conflict", "usage_conflict", "this id was recorded with other content, which stays in force"
    )
