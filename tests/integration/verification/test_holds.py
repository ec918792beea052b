"""A held run on real servers: the clocks of the criteria that say so stop, those of the others go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.kernel.times import SECOND, to_rfc3339
from tests.integration.verification.rig import NAME, T0, Batch, Moment, Rig, batches, until

pytestmark = pytest.mark.stack

HELD, RESTARTED, END = 50, 90, 120
"""Seconds of the run. While it is held the pressure falls to nothing."""

BAND = {"low": {"value": 40, "unit": "kPa"}}
FAILED = {"op": "<=", "left": "fast.pressure", "right": {"value": 1, "unit": "kPa"}}


def seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "s"}


DEMANDS: dict[str, dict[str, Any]] = {
    "hold": {"kind": "hold", "duration": seconds(75), **BAND},
    "excursion": {"kind": "longest_excursion", "at_most": seconds(5), **BAND},
    "out": {"kind": "cumulative_time_out", "at_most": seconds(5), **BAND},
    "fraction": {"kind": "fraction_in_band", "at_least": 0.99, **BAND},
    "settle": {
        "kind": "settle", "target": {"value": 60, "unit": "kPa"}, "tolerance": {"value": 11, "unit": "kPa"}, "by": seconds(10),
    },
    "ramp": {
        "kind": "ramp", "from_level": {"value": 60, "unit": "kPa"}, "to_level": {"value": 61, "unit": "kPa"},
        "rate": {"value": 1, "unit": "kPa/s"}, "tolerance": {"value": 12, "unit": "kPa"},
    },
    # 80 s of about 60 kPa; the 40 s of the hold add nothing either way, so that there is no second one to compare with.
    "integral": {"kind": "integral", "low": {"value": 4500, "unit": "kPa.s"}, "high": {"value": 5100, "unit": "kPa.s"}},
    # 80 s without a failure: 80 / 2.30 = 34.7 s. With the clock running 120 s and one failure: 120 / 3.89 = 30.8 s.
    "mtbf": {"kind": "mtbf", "failure": FAILED, "at_least": seconds(32), "confidence": 0.9},
}  # fmt: skip
SET: dict[str, Any] = {
    "id": "holds",
    "version": 1,
    "title": NAME,
    "phases": [{"id": "work", "title": NAME}],
    "criteria": [
        {"id": f"{name}-{clock}", "title": NAME, "phase": "work", "clock_in_hold": clock}
        | ({} if name == "mtbf" else {"signal": "fast.pressure"})
        | facts
        for name, facts in DEMANDS.items()
        for clock in (("stop",) if name == "integral" else ("stop", "run"))
    ],
}


def frames() -> list[Batch]:
    def pressure(batch: Batch, k: int) -> float:
        held = HELD <= (batch.times[k] - T0) // SECOND < RESTARTED
        return 0.0 if held and batch.stream.endswith("fast") else batch.pressure[k]

    return [
        replace(batch, pressure=tuple(pressure(batch, k) for k in range(len(batch.times)))) for batch in batches(length=END)
    ]  # fmt: skip


async def test_clocks_stop_in_held_where_a_criterion_says_so(rig: Rig) -> None:
    # V-2, V-16, V-17
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=SET)
    assert answer.status_code == 201, answer.text
    await rig.create("r", criteria={"set": "holds", "version": 1})
    assert (await rig.command("r", "start", T0)).json()["in_log"]
    body = {"phase": "work", "at": to_rfc3339(T0), "key": "work"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]
    sent = frames()
    await rig.send(*sent[:10])
    held = await rig.command("r", "hold", T0 + HELD * SECOND)
    assert (held.json()["state"], held.json()["in_log"]) == ("held", True)
    phase = await rig.client.post("/v1/runs/r/phases", json={"phase": "work", "at": to_rfc3339(T0 + 60 * SECOND)})
    assert (phase.status_code, phase.json()["code"]) == (409, "run_command_not_allowed")
    await rig.send(*sent[10:18])
    await rig.lose_worker(Moment.COMMITTED)
    assert (await rig.command("r", "restart", T0 + RESTARTED * SECOND)).json()["in_log"]
    await rig.send(*sent[18:])
    await rig.caught_up()
    await rig.end("r", T0 + END * SECOND)
    document = await rig.closed("r")
    words = await rig.words("r")
    assert {name: words[f"{name}-stop"] for name in DEMANDS} == dict.fromkeys(DEMANDS, "pass")
    running = {name: words[f"{name}-run"] for name in DEMANDS if f"{name}-run" in words}
    assert running == dict.fromkeys(running, "fail")
    excursion = (await rig.client.get("/v1/runs/r/criteria/excursion-run")).json()["row"]
    assert (excursion["unit"], excursion["worst_unit"], excursion["worst_value"]) == ("s", "kPa", 0.0)
    assert excursion["measured"] == {"value": float(RESTARTED - HELD), "unit": "s"}
    curve = (await rig.client.get("/v1/runs/r/curve?criterion=excursion-run")).json()
    assert (curve["unit"], curve["worst"]) == ("kPa", [T0 + HELD * SECOND, 0.0])
    assert document["evaluations"][-1]["digest"] == document["evaluations"][-2]["digest"]
    commands = (await rig.client.get("/v1/runs/r/commands")).json()["items"]
    carried_out = [item["command"] for item in commands if item["problem"] is None]
    assert carried_out == ["start", "phase", "hold", "restart", "complete"]
    assert all(item["who"] and item["reason"] is not None for item in commands)


async def test_a_hold_that_comes_behind_what_was_judged_is_judged_again(rig: Rig) -> None:
    # V-2, V-15
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=SET)
    assert answer.status_code == 201, answer.text
    await rig.create("r", criteria={"set": "holds", "version": 1})
    assert (await rig.command("r", "start", T0)).json()["in_log"]
    body = {"phase": "work", "at": to_rfc3339(T0), "key": "work"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]
    await rig.send(*frames())

    async def failed() -> bool:
        return (await rig.words("r")).get("excursion-stop") == "fail"

    await until(failed, "the excursion")
    await rig.command("r", "hold", T0 + HELD * SECOND)
    await rig.command("r", "restart", T0 + RESTARTED * SECOND)
    await rig.end("r", T0 + END * SECOND)
    document = await rig.closed("r", 3)
    assert (await rig.words("r"))["excursion-stop"] == "pass"
    assert (await rig.words("r"))["excursion-run"] == "fail"
    assert document["evaluations"][-1]["digest"] == document["evaluations"][-2]["digest"]
