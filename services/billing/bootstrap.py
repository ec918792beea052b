"""The one place where billing's parts meet."""

from __future__ import annotations

from services.billing.adapters.meter import Meter
from services.billing.adapters.recorder import Recorder
from shared.contracts.topics import Topics
from shared.storage.pool import Pool
from shared.storage.registry import CachedRegistry


def build_meter(pool: Pool, topics: Topics) -> Meter:
    """The meter as a processor of `line.records`; its usage events go to `usage.events`."""
    return Meter(CachedRegistry(pool), line_topic=topics.line_records, usage_topic=topics.usage_events)


def build_recorder() -> Recorder:
    """The recorder as a processor of `usage.events`."""
    return Recorder()
