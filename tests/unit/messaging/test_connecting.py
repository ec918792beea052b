"""Back-off."""

from __future__ import annotations

import asyncio
import time

from shared.messaging.connecting import backoff, pause


def test_backoff_grows_up_to_its_bound_and_never_spins() -> None:
    for attempt in range(100):
        seconds = backoff(attempt, first=0.1, longest=5.0)
        assert 0.025 <= seconds <= 5.0
        assert seconds <= 0.1 * 2**attempt
    assert min(backoff(50) for _ in range(20)) >= 1.25


async def test_a_pause_ends_when_the_process_is_asked_to_stop() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    started = time.monotonic()
    await pause(stop, 30.0)
    assert time.monotonic() - started < 5.0
