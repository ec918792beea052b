"""Starting a Kafka client while the broker may be away: wait with back-off instead of leaving or spinning."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import structlog
from aiokafka.errors import KafkaError

log = structlog.get_logger()


def backoff(attempt: int, *, first: float = 0.1, longest: float = 5.0) -> float:
    """Seconds before attempt number `attempt` (from 0): doubling, capped, with full jitter above a quarter, so that many do not come at once."""
    ceiling = min(longest, first * 2.0 ** min(attempt, 30))
    return ceiling * random.uniform(0.25, 1.0)


async def started(build: Callable[[], Any]) -> Any:
    """A started aiokafka client from `build`, tried until the broker answers; cancel it to give up."""
    attempt = 0
    while True:
        client = build()
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            await _closed(client)
            if attempt % 10 == 0:
                log.warning("kafka_not_reachable", error=type(error).__name__, attempt=attempt + 1)
            await asyncio.sleep(backoff(attempt))
            attempt += 1
        except BaseException:
            await _closed(client)
            raise
        else:
            return client


async def _closed(client: Any) -> None:
    """Release the sockets of a client that did not start."""
    await (client.stop() if hasattr(client, "stop") else client.close())


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not longer than until `stop`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
