"""What billing's use cases need from the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from shared.messaging.producer import Outgoing

Identity = tuple[str, str, str]
"""A usage event for ever: (tenant, source, id)."""


class PublishesRecords(Protocol):
    async def put_all(self, records: Sequence[Outgoing]) -> object:
        """Publishes in order; returns when every record is durable. Raises Unavailable(kafka_busy), or OutcomeUnknown when nobody can tell
        which are."""


class KnowsUsage(Protocol):
    async def hashes(self, identities: Collection[Identity]) -> Mapping[Identity, str]:
        """Content hash in force of each of these events that is in the books."""
