"""A short version of tests/chaos/messaging: three SIGKILLs per driver."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from shared.contracts.topics import Topics
from shared.messaging.producer import producing
from tests.integration.messaging.crash_rig import (
    Sender,
    Workers,
    all_applied,
    assert_exactly_once,
    prepare,
    stored,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


# G3, O-9
@pytest.mark.parametrize("driver", ["loop", "faust"])
async def test_three_sigkills_lose_and_double_nothing(
    driver: str, kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    prepare(database)
    workers = Workers(driver, kafka, database, topics, tmp_path)
    workers.start("w1")
    chance = random.Random(3)
    try:
        async with producing(kafka) as producer:
            sender = Sender(producer, topics.line_records)
            sending = asyncio.create_task(sender.run())
            for _ in range(3):
                before = stored(database)
                await until(lambda floor=before: stored(database) > floor, 90, "progress")  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                workers.kill("w1")
                workers.start("w1")
            sender.stop()
            await sending
        await all_applied(database, kafka, topics.line_records, 90, workers)
        workers.terminate("w1")
        await assert_exactly_once(database, kafka, topics.line_records, sender.acknowledged)
        assert workers.exits == [0], "a worker ended by itself, or not in order"
    except BaseException:
        print(workers.log_text())  # noqa: T201 - shown when the test fails
        raise
    finally:
        workers.end()
