"""What the gateway needs from the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from services.ingest.domain.recent import Key
from shared.kernel.times import Micros
from shared.storage.registry import Registry


class PublishesRecords(Protocol):
    async def put(self, topic: str, key: bytes, value: bytes, *, kind: str) -> object:
        """Returns when the record is durable. Raises Unavailable(kafka_busy), or OutcomeUnknown when nobody can tell."""


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
