"""The worker is lost at any moment; what is in the tables is what an undisturbed worker would have written (V-17, G3)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from services.ingest.adapters.registry_store import apply_registry
from services.verification.adapters.worker.processor import Tuning
from shared.contracts.registry_document import read_document
from tests.integration.verification.rig import REGISTRY, Batch, Moment, Rig, batches, standing
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

_RESULTS = """
    select run_id, criterion, before, after, margin, unit, decided_at, reason, state from verification.criterion_result
    where evaluation = (select max(evaluation) from verification.criterion_result r where r.run_id = criterion_result.run_id)
    order by run_id, criterion, after"""


def _story(seed: int) -> list[Batch]:
    """A run with a violation, a batch twice, one late, one never sent and values that are none."""
    frames = batches()
    frames[8] = replace(frames[8], pressure=(150.0, *frames[8].pressure[1:]))
    frames[16] = replace(frames[16], pressure=(float("nan"),) * 4 + frames[16].pressure[4:])
    late = frames.pop(6)
    frames.insert(11, late)
    frames.insert(5, frames[4])
    del frames[13 + seed % 2]
    return frames


async def _facts(rig: Rig, run: str) -> dict[str, Any]:
    """All that counts. How many frames came late is left out: that depends on how far the run had been judged when they came."""
    document = await rig.closed(run)
    return {
        "digest": document["digest"],
        "verdict": document["head"]["verdict"],
        "state": document["head"]["verdict_state"],
        "results": await rig.rows(_RESULTS),
        "shown": [(row["criterion"], row["word"], row["margin"], row["reason"]) for row in document["criteria"]],
        "mismatches": await rig.rows("select * from verification.evaluation_mismatch"),
    }


async def _replay(rig: Rig, frames: list[Batch], losses: random.Random | None) -> dict[str, Any]:
    """Send the story; with `losses`, lose the worker at random moments, also while it catches up, rebuilds and closes."""
    await rig.begin("r")
    for frame in frames:
        await rig.send(frame)
        if losses is not None and losses.random() < 0.25:
            await asyncio.sleep(losses.uniform(0.0, 0.4))
            await rig.lose_worker(losses.choice(list(Moment)))
    await rig.end("r")
    if losses is not None:
        for _ in range(4):
            await asyncio.sleep(losses.uniform(0.0, 0.7))
            await rig.lose_worker(losses.choice(list(Moment)))
    return await _facts(rig, "r")


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_worker_lost_at_random_moments_leaves_the_same_tables(
    warm: None, new_database: NewDatabase, new_topics: NewTopics, kafka: str, seed: int
) -> None:
    # V-17, G3, V-15, V-16
    tuning = Tuning(close_grace=1.0, snapshot_seconds=0.5, level_seconds=0.2)
    found = []
    for losses in (None, random.Random(seed)):
        with new_database() as database, new_topics() as topics:
            async with standing(database, kafka, topics, tuning) as rig:
                found.append(await _replay(rig, _story(seed), losses))
    undisturbed, disturbed = found
    assert undisturbed["state"] == "final"
    assert undisturbed["mismatches"] == disturbed["mismatches"] == []
    assert disturbed == undisturbed


async def test_a_restored_worker_goes_on_where_the_snapshot_and_the_kept_batches_end(rig: Rig) -> None:
    # V-17
    frames = batches()
    await rig.begin("r")
    await rig.send(*frames[:11])
    await rig.caught_up()
    await rig.lose_worker(Moment.COMMITTED)
    snapshots = await rig.rows("select next_offset from verification.worker_snapshot")
    position = await rig.rows("select max(next_offset) from messaging.position where processor = 'verification.worker'")
    assert snapshots[0][0] <= position[0][0]
    await rig.send(*frames[11:])
    await rig.end("r")
    document = await rig.closed("r")
    assert document["head"]["verdict_state"] == "final"
    assert await rig.rows("select * from verification.worker_snapshot") == []


async def test_a_record_that_cannot_be_read_is_kept_apart_and_the_run_goes_on(rig: Rig) -> None:
    # G2
    await rig.begin("r")
    await rig.producer.put(rig.topics.line_records, b"l1", b"nonsense", kind="frame")
    await rig.producer.put(rig.topics.line_records, b"l1", b"nonsense", kind="lifecycle")
    await rig.send(replace(batches()[0], seq=99, times=tuple(reversed(batches()[0].times))))
    await rig.send(*batches())
    await rig.end("r")
    document = await rig.closed("r")
    assert document["head"]["verdict_state"] == "final"
    codes = await rig.rows("select code from messaging.dead_letter where processor = 'verification.worker' order by 1")
    assert [row[0] for row in codes] == ["frame_malformed", "line_record_malformed", "times_unordered"]


async def test_a_frame_of_another_registry_version_is_read_by_channel_name_and_unit(rig: Rig) -> None:
    # V-1, G7
    await rig.begin("r")
    streams = [dict(item) for item in REGISTRY["streams"]]
    streams[0] = streams[0] | {
        "channels": [
            {"name": "flow", "quantity_kind": "mass_flow", "unit": "kg/h"},
            {"name": "pressure", "quantity_kind": "pressure", "unit": "Pa"},
        ]
    }
    async with rig.pool.connection() as connection:
        await apply_registry(connection, read_document({**REGISTRY, "streams": streams}))
    for frame in batches():
        if frame.stream == "l1/fast":
            swapped = replace(frame, pressure=frame.flow, flow=tuple(value * 1000 for value in frame.pressure))
            await rig.send(swapped, registry_version=2)
        else:
            await rig.send(frame)
    await rig.end("r")
    document = await rig.closed("r")
    assert document["head"]["verdict_state"] == "final"
    assert {row["criterion"]: row["word"] for row in document["criteria"]}["limit"] == "pass"
