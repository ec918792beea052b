"""A run through HTTP: its life, its documents, what is refused; live and stored evaluation agree."""

from __future__ import annotations

from dataclasses import replace

import httpx
import orjson
import pytest

from shared.kernel.times import SECOND, to_rfc3339
from tests.integration.verification.rig import CRITERIA, LENGTH, NAME, T0, Rig, batches, until

pytestmark = pytest.mark.stack


async def test_a_quiet_run_passes_live_and_the_recomputation_gives_the_same_digest(rig: Rig) -> None:
    # V-16, V-2, V-4
    await rig.begin("r")
    await rig.send(*batches())
    await rig.end("r")
    document = await rig.closed("r")
    live, stored = document["evaluations"]
    assert (live["kind"], live["cause"]) == ("live", "started")
    assert (stored["kind"], stored["cause"], stored["supersedes"]) == ("stored", "close", 1)
    assert live["digest"] == stored["digest"] == document["digest"]
    assert set((await rig.words("r")).values()) == {"pass"}
    assert (document["head"]["verdict"], document["head"]["verdict_state"]) == ("pass", "final")
    assert document["state"] == "complete"
    assert document["end_reason"] == "test"


async def test_documents_begin_with_the_start_and_end_with_the_one_stop(rig: Rig) -> None:
    # V-4
    await rig.begin("r")
    await rig.send(*batches())
    await rig.end("r")
    document = await rig.closed("r")
    answer = await rig.client.get("/v1/runs/r/documents")
    lines = [orjson.loads(line) for line in answer.text.splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "run_start"
    assert kinds[-1] == "run_stop"
    assert (kinds.count("run_start"), kinds.count("run_stop")) == (1, 1)
    assert kinds.count("descriptor") == 2
    assert all(line["run_start"] == lines[0]["id"] for line in lines[1:])
    assert lines[-1]["body"]["digest"] == document["digest"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("hold", "run_command_not_allowed"),
        ("restart", "run_command_not_allowed"),
        ("complete", "run_command_not_allowed"),
    ],
)
async def test_a_command_that_the_state_does_not_take_is_refused_and_recorded(
    rig: Rig, command: str, code: str
) -> None:
    # V-2
    await rig.create("r")
    refused = await rig.command("r", command, T0)
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert refused.json()["allowed"] == ["start", "abort"]
    again = await rig.command("r", command, T0)
    assert again.json() == refused.json()
    recorded = (await rig.client.get("/v1/runs/r/commands")).json()["items"]
    assert [(item["command"], item["problem"]["code"]) for item in recorded] == [(command, code)]


async def test_the_same_command_twice_changes_nothing(rig: Rig) -> None:
    # V-2
    await rig.create("r")
    first = await rig.command("r", "start", T0, key="k")
    second = await rig.command("r", "start", T0, key="k")
    assert first.json() == second.json()
    assert (await rig.rows("select count(*) from verification.outbox where kind = 'lifecycle'"))[0][0] == 1
    for command, at in (("hold", T0), ("start", T0 + SECOND)):
        other = await rig.command("r", command, at, key="k")
        assert (other.status_code, other.json()["code"]) == (409, "run_command_key_reused")
    body = {"command": "hold", "key": "now"}
    held = [(await rig.client.post("/v1/runs/r/commands", json=body)).json()["at"] for _ in range(2)]
    assert held[0] == held[1]


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (123, "request_invalid"),
        ("123", "request_invalid"),
        ("2026-03-02T00:00:00", "request_invalid"),
        ("0001-01-01T00:00:00+14:00", "request_invalid"),
        ("9999-12-31T23:59:59-14:00", "request_invalid"),
        ("1970-01-01T00:02:03Z", "run_command_past"),
        ("2999-01-01T00:00:00Z", "run_command_future"),
    ],
)
async def test_an_instant_that_nobody_can_mean_starts_no_run(rig: Rig, at: object, code: str) -> None:
    # V-2, V-18, G14
    await rig.create("r")
    for path, body in (("commands", {"command": "start", "at": at}), ("phases", {"phase": "work", "at": at})):
        answer = await rig.client.post(f"/v1/runs/r/{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.json()["field"] == "at"
    assert (await rig.run("r"))["state"] == "idle"


async def test_a_run_aborted_before_it_started_has_ended_without_a_verdict(rig: Rig) -> None:
    # V-2, V-4, L-1
    await rig.create("r")
    assert (await rig.command("r", "abort", T0)).json()["state"] == "aborted"
    document = await rig.run("r")
    assert (document["state"], document["ended_at"], document["end_reason"]) == ("aborted", to_rfc3339(T0), "test")
    head = document["head"]
    assert (head["verdict"], head["verdict_state"], head["word"]) == ("none", "final", "none")
    page = await rig.client.get("/board?lang=zh")
    assert "未评判" in page.text
    assert (await rig.client.get("/v1/runs/r/documents")).text == ""
    assert (await rig.rows("select count(*) from verification.outbox where kind = 'lifecycle'"))[0][0] == 0


async def test_commands_of_the_past_and_phases_that_do_not_exist_are_refused(rig: Rig) -> None:
    # V-2, V-3
    await rig.begin("r")
    early = await rig.command("r", "hold", T0 - SECOND)
    assert (early.status_code, early.json()["code"]) == (409, "run_command_time")
    unknown = await rig.client.post("/v1/runs/r/phases", json={"phase": "nowhere", "at": to_rfc3339(T0)})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "run_phase_unknown")
    again = await rig.client.post("/v1/runs/r/phases", json={"phase": "work", "at": to_rfc3339(T0), "key": "2"})
    assert again.json()["code"] == "run_phase_repeated"


async def test_what_a_run_names_must_exist(rig: Rig) -> None:
    # V-1
    async def refused(**facts: object) -> httpx.Response:
        body = {
            "project": "p",
            "customer": "acme",
            "line": "l1",
            "scene": "bench",
            "verification_kind": "design",
            "item": "i",
            "criteria": {"set": "set", "version": 1},
            **facts,
        }
        return await rig.client.post("/v1/runs", json=body)

    assert (await refused(line="nowhere")).json()["code"] == "line_unknown"
    assert (await refused(customer="nobody")).json()["code"] == "customer_unknown"
    assert (await refused(criteria={"set": "set", "version": 9})).json()["code"] == "criteria_unknown"
    assert (await refused(previous_run="none", iteration=2)).json()["code"] == "run_unknown"
    assert (await refused(scene="moon")).json()["code"] == "request_invalid"
    unknown = await rig.client.get("/v1/runs/none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "run_unknown")


async def test_a_published_set_is_immutable_and_errors_are_found_before(rig: Rig) -> None:
    # V-8, G7
    again = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=CRITERIA)
    assert again.status_code == 200
    other = {**CRITERIA, "title": {"en": "b", "zh": "乙"}}
    changed = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=other)
    assert (changed.status_code, changed.json()["code"]) == (409, "criteria_published")
    broken = {**CRITERIA, "version": 2, "criteria": [dict(CRITERIA["criteria"][0])]}
    broken["criteria"][0]["high"] = {"value": 1, "unit": "Cel"}
    report = await rig.client.post("/v1/criteria-sets/check?line=l1", json=broken)
    assert [finding["code"] for finding in report.json()["findings"]] == ["criteria_unit"]
    refused = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=broken)
    assert (refused.status_code, refused.json()["code"]) == (422, "criteria_unit")
    unreadable = await rig.client.post("/v1/criteria-sets/check?line=l1", content=b"{a: [")
    assert (unreadable.status_code, unreadable.json()["code"]) == (400, "criteria_malformed")


async def test_late_doubled_missing_and_spoilt_batches_leave_live_and_stored_equal(rig: Rig) -> None:
    # V-15, V-16, G4, G5
    frames = batches()
    late = frames[6]  # ten seconds of the fast stream
    lost = frames[12]
    spoilt = replace(frames[16], pressure=(float("nan"),) * 4 + frames[16].pressure[4:])
    sent = [spoilt if frame is frames[16] else frame for frame in frames if frame not in (late, lost)]
    sent.insert(9, sent[8])  # twice
    await rig.begin("r")
    await rig.send(*sent[:14])
    await rig.caught_up()
    await rig.send(late)
    await rig.send(*sent[14:])
    await rig.end("r")
    document = await rig.closed("r")
    live, stored = [item for item in document["evaluations"] if item["digest"]]
    assert live["digest"] == stored["digest"]
    assert document["head"]["verdict_state"] == "final"
    assert document["head"]["late"] >= 1
    assert document["head"]["gaps"] == 1
    words = await rig.words("r")
    assert (words["data"], words["limit"]) == ("pass", "pass")
    events = await rig.rows(
        "select convert_from(value, 'UTF8')::jsonb ->> 'type' from verification.outbox where kind = 'event'"
    )
    assert {"pilotline.verification.late", "pilotline.verification.gap"} <= {row[0] for row in events}


async def test_a_violation_is_decided_long_before_the_end(rig: Rig) -> None:
    # V-12, V-13
    frames = batches()
    frames[8] = replace(frames[8], pressure=(150.0, *frames[8].pressure[1:]))
    await rig.begin("r")
    await rig.send(*frames[:12])

    async def failed() -> bool:
        return (await rig.words("r")).get("limit") == "fail"

    await until(failed, "verdict")
    detail = (await rig.client.get("/v1/runs/r/criteria/limit")).json()
    assert detail["row"]["margin"] == -50.0
    assert detail["row"]["worst_at"] == to_rfc3339(T0 + 40 * SECOND)
    worst = next(item for item in detail["positions"] if item["role"] == "worst")
    assert (worst["stream"], worst["seq"], worst["row"]) == ("l1/fast", 5, 0)
    assert worst["offset"] is not None
    assert [item["after"] for item in detail["transitions"]] == ["fail"]
    assert (await rig.run("r"))["head"]["verdict"] == "fail"


async def test_a_run_that_starts_in_the_past_catches_up_without_gap_or_overlap(rig: Rig) -> None:
    # V-18
    frames = batches()
    await rig.send(*frames[:10])
    await rig.begin("r")
    await rig.send(*frames[10:])
    await rig.end("r")
    late_start = await rig.closed("r")
    await rig.begin("s", "l2")
    await rig.send(*batches("l2"))
    await rig.end("s")
    in_time = await rig.closed("s")
    assert late_start["head"]["verdict_state"] == "final"
    assert late_start["digest"] == late_start["evaluations"][0]["digest"]
    shown = {row["criterion"]: (row["word"], row["margin"]) for row in late_start["criteria"]}
    assert shown == {row["criterion"]: (row["word"], row["margin"]) for row in in_time["criteria"]}


async def test_late_data_of_a_closed_run_is_a_new_evaluation_with_its_cause_and_a_difference(rig: Rig) -> None:
    # V-15, G6
    frames = batches()
    held_back = [replace(frames[4], pressure=(200.0,) * 10), frames[6]]
    await rig.begin("r")
    await rig.send(*(frame for frame in frames if frame not in (frames[4], frames[6])))
    await rig.end("r")
    before = await rig.closed("r")
    await rig.send(*held_back)
    after = await rig.closed("r", evaluations=3)
    third = after["evaluations"][2]
    assert (third["kind"], third["cause"], third["supersedes"]) == ("stored", "late_data", 2)
    changed = {item["criterion"]: (item["before"], item["after"]) for item in third["difference"]}
    assert changed["limit"] == ("pass", "fail")
    assert after["evaluations"][:2] == before["evaluations"]
    assert after["head"]["verdict"] == "fail"
    await rig.send(frames[6])
    await rig.caught_up()
    assert len((await rig.closed("r", evaluations=3))["evaluations"]) == 3


async def test_a_difference_between_live_and_stored_is_an_alarm_and_both_are_kept(rig: Rig) -> None:
    # V-16
    await rig.begin("r")
    await rig.send(*batches()[:-2])
    await rig.caught_up()
    async with rig.pool.connection() as connection:
        await connection.execute("update ingest.block set hash = sha256(hash) where seq_from = 3 and boot = 'b1'")
    await rig.send(*batches()[-2:])
    await rig.end("r")
    document = await rig.closed("r")
    assert document["mismatch"]
    assert (document["head"]["verdict"], document["head"]["verdict_state"]) == ("inconclusive", "mismatch")
    assert len({item["digest"] for item in document["evaluations"]}) == 2
    alarms = await rig.rows("select live, stored from verification.evaluation_mismatch")
    assert alarms == [(1, 2)]


async def test_curves_keep_spikes_and_show_gaps_as_null(rig: Rig) -> None:
    # L-2
    frames = batches()
    frames[8] = replace(frames[8], pressure=(150.0, *frames[8].pressure[1:]))
    await rig.begin("r")
    await rig.send(*(frame for frame in frames if frame is not frames[12]))
    await rig.end("r")
    await rig.closed("r")
    curve = (await rig.client.get("/v1/runs/r/curve?criterion=limit&points=20")).json()
    assert max(value for value in curve["hi"] if value is not None) == 150.0
    assert None in curve["lo"]
    assert len(curve["gaps"]) == 1
    assert curve["limits"]["high"] == 100.0
    drawn = (await rig.client.get("/runs/r/curve?criterion=limit&lang=zh")).json()
    assert [phase["name"] for phase in drawn["phases"]] == [NAME["zh"]]
    nowhere = await rig.client.get("/v1/runs/r/curve?channel=fast.nothing")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "channel_unknown")
    both = await rig.client.get("/v1/runs/r/curve")
    assert both.json()["code"] == "curve_subject"


async def test_a_held_run_goes_on_and_an_aborted_one_keeps_its_verdict_apart_from_how_it_ended(rig: Rig) -> None:
    # V-2, G6
    await rig.begin("r")
    frames = batches()
    await rig.send(*frames[:8])
    assert (await rig.command("r", "hold", T0 + 40 * SECOND)).json()["state"] == "held"
    assert (await rig.command("r", "restart", T0 + 50 * SECOND)).json()["state"] == "running"
    await rig.send(*frames[8:])
    assert (await rig.command("r", "abort", T0 + (LENGTH - 10) * SECOND)).json()["state"] == "aborted"
    document = await rig.closed("r")
    assert document["state"] == "aborted"
    assert document["evaluations"][0]["digest"] == document["evaluations"][1]["digest"]
    refused = await rig.command("r", "start", T0 + LENGTH * SECOND)
    assert (refused.status_code, refused.json()["allowed"]) == (409, [])
