"""Where the log begins and ends, and whether a stored position still lies inside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from shared.kernel.errors import PilotlineError
from shared.messaging.positions import Partition
from shared.observability import metrics

Ends = Callable[[], Awaitable[Mapping[Partition, int]]]


class LogChanged(PilotlineError):
    """The stored position lies outside the log: retention deleted records nobody applied, or the topic was made anew.

    Reading on would lose records silently, so the process stops. A person decides: restore the topic, or move the position by hand.
    """


def not_expired(positions: Mapping[Partition, int], beginnings: Mapping[Partition, int]) -> None:
    """Raises LogChanged when a position is before the first record that is still there."""
    for partition, offset in positions.items():
        if offset < beginnings[partition]:
            raise LogChanged(
                f"{partition.topic}/{partition.number}: position {offset}, but the log begins at {beginnings[partition]}"
            )


async def not_beyond(positions: Mapping[Partition, int], ends: Ends, *, patience: float = 10.0) -> None:
    """Raises LogChanged when a position stays behind the log's end for `patience` seconds (a broker that has just started may report
    an old end for a moment)."""
    deadline = time.monotonic() + patience
    while not _inside(positions, last := await ends()):
        if time.monotonic() > deadline:
            raise LogChanged(f"positions {dict(positions)} are beyond the end of the log {dict(last)}")
        await asyncio.sleep(0.2)


def report_lag(processor: str, partition: Partition, *, end: int, position: int) -> None:
    """`end`: the log's next offset."""
    labels = metrics.OfPartition(processor, partition.topic, str(partition.number))
    metrics.LAG.set(labels, max(0, end - position))


def _inside(positions: Mapping[Partition, int], ends: Mapping[Partition, int]) -> bool:
    return all(offset <= ends[partition] for partition, offset in positions.items())
