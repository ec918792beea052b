"""Phases by a condition on telemetry and by a record of the line's topic, on real servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.contracts.lifecycle import PhaseStarted, encode_line_record
from shared.contracts.topics import Kind
from shared.kernel.times import SECOND, to_rfc3339
from tests.integration.verification.rig import LENGTH, NAME, T0, Batch, Moment, Rig, batches, criterion, until

pytestmark = pytest.mark.stack

HEATED, COOLED, LASTING = 37, 95, 6
"""Seconds of the run at which the pressure passes the limit; the phase begins so many seconds after the first."""

HOT = {"op": ">=", "left": "fast.pressure", "right": {"value": 110, "unit": "kPa"}}
SET: dict[str, Any] = {
    "id": "staged",
    "version": 1,
    "title": NAME,
    "phases": [
        {"id": "heating", "title": NAME},
        {
            "id": "work",
            "title": NAME,
            "starts_when": {"formula": HOT, "for": {"value": LASTING, "unit": "s"}},
            "ends_when": {"formula": {"op": "not", "of": HOT}},
        },
    ],
    "criteria": [
        criterion("hot", "band", low={"value": 110, "unit": "kPa"}),
        criterion("mean", "window_statistics", statistic="mean", signal="slow.pressure", high={"value": 90, "unit": "kPa"}),
    ],
}  # fmt: skip


def heating() -> list[Batch]:
    """The quiet run with 120 kPa between the two seconds, and a short peak before them."""

    def pressure(batch: Batch, k: int) -> float:
        second = (batch.times[k] - T0) // SECOND
        return 120.0 if HEATED <= second < COOLED or second in (20, 21) else batch.pressure[k]

    return [
        replace(batch, pressure=tuple(pressure(batch, k) for k in range(len(batch.times))))
        if batch.stream.endswith("fast")
        else batch
        for batch in batches()
    ]


async def begin(rig: Rig) -> None:
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=SET)
    assert answer.status_code == 201, answer.text
    await rig.create("r", criteria={"set": "staged", "version": 1})
    assert (await rig.command("r", "start", T0)).json()["in_log"]
    body = {"phase": "heating", "at": to_rfc3339(T0), "key": "heating"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]


def spans(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {phase["id"]: (phase["started_at"], phase["ended_at"]) for phase in document["head"]["phases"]}


def at(second: float) -> str:
    return to_rfc3339(T0 + round(second * SECOND))


async def test_a_phase_begins_and_ends_by_a_condition_and_it_is_recorded(rig: Rig) -> None:
    # V-3, V-4, V-16, V-17
    await begin(rig)
    frames = heating()
    await rig.send(*frames[:10])

    async def begun() -> bool:
        return bool((await rig.run("r"))["phase"] == "work")

    await until(begun, "the phase")
    again = await rig.client.post("/v1/runs/r/phases", json={"phase": "work", "at": at(60), "key": "work"})
    assert (again.status_code, again.json()["code"]) == (409, "run_phase_repeated")
    await rig.lose_worker(Moment.COMMITTED)
    await rig.send(*frames[10:])
    await rig.end("r")
    document = await rig.closed("r")
    assert spans(document) == {"heating": (at(0), at(HEATED + LASTING)), "work": (at(HEATED + LASTING), at(COOLED))}
    assert document["evaluations"][0]["digest"] == document["evaluations"][1]["digest"]
    assert await rig.words("r") == {"hot": "pass", "mean": "pass"}
    lines = [orjson.loads(line) for line in (await rig.client.get("/v1/runs/r/documents")).text.splitlines()]
    told = [line["body"] for line in lines if line["body"].get("event") in {"phase_started", "phase_ended"}]
    assert [(body["event"], body["phase"], body["at"], body["by"]) for body in told] == [
        ("phase_started", "work", T0 + (HEATED + LASTING) * SECOND, "condition"),
        ("phase_ended", "work", T0 + COOLED * SECOND, "condition"),
    ]


async def test_a_late_frame_moves_the_boundary_and_a_new_evaluation_says_so(rig: Rig) -> None:
    # V-3, V-15
    await begin(rig)
    frames = heating()
    late = next(batch for batch in frames if batch.stream.endswith("fast") and batch.times[0] == T0 + 40 * SECOND)
    await rig.send(*(batch for batch in frames if batch is not late))
    await rig.end("r")
    document = await rig.closed("r")
    # Without these ten seconds the pressure is undefined from 42 s on: it holds from 50 s, and the phase begins later.
    assert spans(document)["work"] == (at(50 + LASTING), at(COOLED))
    await rig.send(late)
    document = await rig.closed("r", 3)
    assert spans(document)["work"] == (at(HEATED + LASTING), at(COOLED))
    assert document["evaluations"][-1]["cause"] == "late_data"


async def test_a_command_that_comes_first_wins(rig: Rig) -> None:
    # V-3
    await begin(rig)
    body = {"phase": "work", "at": at(10), "key": "work"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]
    await rig.send(*heating())
    await rig.end("r")
    document = await rig.closed("r")
    # It ends at once: at 10 s the condition of its end holds already.
    assert spans(document) == {"heating": (at(0), at(10)), "work": (at(10), at(10))}


async def test_a_phase_begins_by_a_record_of_the_lines_topic(rig: Rig) -> None:
    # V-3
    await rig.create("r")
    assert (await rig.command("r", "start", T0)).json()["in_log"]
    record = PhaseStarted(event_id="from-the-line", run="r", line="l1", at=T0 + 30 * SECOND, phase="work")
    put = await rig.producer.put(rig.topics.line_records, b"l1", encode_line_record(record), kind=Kind.LIFECYCLE)
    rig.sent[put.partition] = put.offset
    await rig.send(*batches())
    await rig.end("r", T0 + LENGTH * SECOND)
    document = await rig.closed("r")
    assert spans(document) == {"work": (at(30), at(LENGTH))}
    assert document["evaluations"][0]["digest"] == document["evaluations"][1]["digest"]
    # A late copy of the first batch under a new number finds the phase again, though no command has begun it.
    await rig.send(*batches(boot="b2")[:1])
    document = await rig.closed("r", 3)
    assert spans(document) == {"work": (at(30), at(LENGTH))}
    assert "inconclusive" not in (await rig.words("r")).values()


async def test_a_run_of_before_its_records_were_kept_is_evaluated_from_its_commands(rig: Rig) -> None:
    # V-15
    await rig.begin("r")
    await rig.send(*batches())
    await rig.end("r")
    before = await rig.closed("r")
    async with rig.pool.connection() as connection:
        await connection.execute("truncate verification.run_record")
    await rig.send(*batches(boot="b2")[:1])
    document = await rig.closed("r", 3)
    assert spans(document) == spans(before) == {"work": (at(0), at(LENGTH))}
    assert document["evaluations"][-1]["cause"] == "late_data"
