"""What the gateway needs from the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from services.ingest.domain.recent import Key
from shared.kernel.times import Micros
from shared.messaging.producer import Outgoing
from shared.storage.registry import Registry


class PublishesRecords(Protocol):
    async def put_all(self, records: Sequence[Outgoing]) -> object:
        """Publishes in order; returns when every record is durable. Raises Unavailable(kafka_busy), or OutcomeUnknown when nobody can tell
        which are."""


class KnowsStreams(Protocol):
    async def current(self) -> Registry: ...

    async def refresh(self, *, unless_younger: float = 0.0) -> Registry: ...


class KnowsStored(Protocol):
    async def last_seqs(self, boots: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        """Highest stored number of each (stream, boot) that has any."""

    async def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        """Content hash of each of these records that is stored."""


class Clock(Protocol):
    def __call__(self) -> Micros: ...
