"""What people enter of a run, on real servers: results confirmed by a second person, inspections with their file, deviations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from services.cli import main
from services.verification.entry_handlers import MAX_ATTACHMENT
from shared.kernel.times import SECOND, to_rfc3339
from shared.storage.api_keys import Role, create_key
from tests.integration.verification.rig import CRITERIA, LENGTH, NAME, T0, Moment, Rig, batches, criterion, until

pytestmark = pytest.mark.stack

PEOPLE: dict[str, Any] = {
    "id": "people",
    "version": 1,
    "title": NAME,
    "phases": CRITERIA["phases"],
    "criteria": [
        criterion("limit", "band", high={"value": 100, "unit": "kPa"}),
        {"id": "yield", "kind": "lab_result", "title": NAME, "phase": "work", "low": {"value": 90, "unit": "%"}},
        {"id": "look", "kind": "inspection", "title": NAME, "phase": "work"},
    ],
}


@contextlib.asynccontextmanager
async def second_person(rig: Rig, person: str = "second") -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Another operator under a key of their own."""
    async with rig.pool.connection() as connection:
        key = await create_key(connection, label="second", person=person, role=Role.OPERATOR)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=rig.base, headers=headers, timeout=30.0) as client:
        yield client, key


async def begin(rig: Rig, run: str = "r") -> None:
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=PEOPLE)
    assert answer.status_code in (200, 201), answer.text
    await rig.create(run, criteria={"set": "people", "version": 1})
    assert (await rig.command(run, "start", T0)).status_code == 200
    body = {"phase": "work", "at": to_rfc3339(T0), "key": "work"}
    assert (await rig.client.post(f"/v1/runs/{run}/phases?wait=20", json=body)).json()["in_log"]


async def enter(rig: Rig, criterion: str, **facts: Any) -> httpx.Response:
    return await rig.client.post("/v1/runs/r/results", json={"criterion": criterion, **facts})


def percent(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "%"}


async def photograph(rig: Rig) -> str:
    answer = await rig.client.post("/v1/runs/r/attachments", content=b"picture", headers={"content-type": "image/png"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sha256"])


async def test_results_during_the_run_decide_live_and_the_recomputation_agrees(rig: Rig) -> None:
    # V-6, V-16, V-17
    await begin(rig)
    await rig.send(*batches()[:6])
    made = await enter(rig, "yield", value=percent(95), key="first")
    assert made.status_code == 201, made.text
    entry = made.json()["entry"]
    listed = (await rig.client.get("/v1/runs/r/results")).json()
    assert listed["awaited"] == [
        {"criterion": "yield", "reason": "awaiting_confirmation"},
        {"criterion": "look", "reason": "awaiting_result"},
    ]
    async with second_person(rig) as (other, _):
        assert (await other.post(f"/v1/runs/r/results/{entry}/confirm")).status_code == 200
        assert (await other.post(f"/v1/runs/r/results/{entry}/confirm")).status_code == 200
    sha256 = await photograph(rig)
    assert (await enter(rig, "look", passed=True, attachment=sha256)).status_code == 201

    async def decided() -> bool:
        words = await rig.words("r")
        return (words["yield"], words["look"]) == ("pass", "pass")

    await until(decided, "decisions")
    await rig.lose_worker(Moment.COMMITTED)
    await rig.send(*batches()[6:])
    await rig.end("r")
    document = await rig.closed("r")
    assert (document["head"]["verdict"], document["head"]["verdict_state"]) == ("pass", "final")
    assert document["evaluations"][0]["digest"] == document["evaluations"][1]["digest"]
    kept = await rig.client.get(f"/v1/runs/r/attachments/{sha256}")
    assert (kept.content, kept.headers["content-type"]) == (b"picture", "image/png")


async def test_results_that_come_after_the_end_supersede_evaluation_by_evaluation(rig: Rig) -> None:
    # V-6, V-15
    await begin(rig)
    await rig.send(*batches())
    await rig.end("r")
    document = await rig.closed("r")
    assert (document["head"]["verdict"], await rig.words("r")) == (
        "inconclusive",
        {"limit": "pass", "yield": "inconclusive", "look": "inconclusive"},
    )
    assert {row["criterion"]: row["reason"] for row in document["criteria"]}["yield"] == "awaiting_result"
    await enter(rig, "look", passed=True, attachment=await photograph(rig))
    document = await rig.closed("r", 3)
    entry = (await enter(rig, "yield", value=percent(80))).json()["entry"]
    async with second_person(rig) as (other, _):
        await other.post(f"/v1/runs/r/results/{entry}/confirm")
        document = await _verdict(rig, "fail")
        # A correction may improve the verdict; what was said before stays on record.
        corrected = await enter(rig, "yield", value=percent(91), corrects=entry)
        await other.post(f"/v1/runs/r/results/{corrected.json()['entry']}/confirm")
        document = await _verdict(rig, "pass")
    causes = [item["cause"] for item in document["evaluations"]]
    assert causes[:2] == ["started", "close"]
    assert set(causes[2:]) == {"result"}
    last = document["evaluations"][-1]
    assert [(item["criterion"], item["after"]) for item in last["difference"]] == [("yield", "pass")]
    assert last["supersedes"] == last["number"] - 1
    # A frame that comes later still finds everything that was entered.
    await rig.send(*batches(boot="b2")[:1])
    document = await rig.closed("r", len(causes) + 1)
    assert document["evaluations"][-1]["cause"] == "late_data"
    assert (await rig.words("r"))["yield"] == "pass"


async def _verdict(rig: Rig, verdict: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        document = await rig.run("r")
        head = document["head"]
        return document if (head["verdict"], head["verdict_state"]) == (verdict, "final") else None

    document: dict[str, Any] = await until(found, verdict)
    return document


async def test_entries_are_refused_with_a_reason_and_never_changed(rig: Rig) -> None:
    # V-6
    await begin(rig)

    async def code(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    assert await code(await enter(rig, "limit", value=percent(1))) == (422, "result_criterion")
    assert await code(await enter(rig, "none", value=percent(1))) == (404, "criterion_unknown")
    assert await code(await enter(rig, "yield", passed=True)) == (422, "result_incomplete")
    assert await code(await enter(rig, "yield", value={"value": 1, "unit": "kPa"})) == (422, "result_unit")
    assert await code(await enter(rig, "look", passed=True)) == (422, "result_incomplete")
    assert await code(await enter(rig, "look", passed=True, attachment="0" * 64)) == (404, "attachment_unknown")
    empty = await rig.client.post("/v1/runs/r/attachments", content=b"")
    assert await code(empty) == (422, "attachment_empty")
    large = await rig.client.post("/v1/runs/r/attachments", content=bytes(MAX_ATTACHMENT + 1))
    assert await code(large) == (413, "attachment_too_large")
    assert (await rig.client.post("/v1/runs/r/attachments", content=bytes(MAX_ATTACHMENT))).status_code == 201
    first = await enter(rig, "yield", value=percent(95), key="k")
    assert (await enter(rig, "yield", value=percent(95), key="k")).json() == first.json()
    assert await code(await enter(rig, "yield", value=percent(96), key="k")) == (409, "result_key_reused")
    assert await code(await enter(rig, "yield", value=percent(96))) == (409, "result_present")
    entry = first.json()["entry"]
    own = await rig.client.post(f"/v1/runs/r/results/{entry}/confirm")
    assert await code(own) == (403, "result_same_person")
    assert (await enter(rig, "yield", value=percent(96), corrects=entry)).status_code == 201
    assert await code(await enter(rig, "yield", value=percent(97), corrects=entry)) == (409, "result_not_newest")
    async with second_person(rig) as (other, _):
        assert await code(await other.post(f"/v1/runs/r/results/{entry}/confirm")) == (409, "result_not_newest")
    await rig.create("idle", criteria={"set": "people", "version": 1})
    idle = await rig.client.post("/v1/runs/idle/results", json={"criterion": "yield", "value": percent(95)})
    assert await code(idle) == (409, "run_not_started")
    await photograph(rig)

    async def read() -> bool:
        return bool(await rig.rows("select run_id from verification.run_record"))

    await until(read, "the worker")
    for table in ("result_entry", "attachment", "run_record"):
        with pytest.raises(Exception, match="append-only"):
            await rig.rows(f"delete from verification.{table}")


async def test_deviations_are_recorded_by_one_person_and_accepted_by_another(rig: Rig) -> None:
    # V-9
    await begin(rig)
    facts = {"kind": "undecided", "criterion": "yield", "reason": "the laboratory lost the sample", "key": "d"}
    made = await rig.client.post("/v1/runs/r/deviations", json=facts)
    assert made.status_code == 201, made.text
    assert (await rig.client.post("/v1/runs/r/deviations", json=facts)).json() == made.json()
    other_facts = await rig.client.post("/v1/runs/r/deviations", json=facts | {"reason": "other"})
    assert other_facts.json()["code"] == "deviation_key_reused"
    deviation = made.json()["deviation"]
    own = await rig.client.post(f"/v1/runs/r/deviations/{deviation}/accept")
    assert (own.status_code, own.json()["code"]) == (403, "deviation_same_person")
    async with second_person(rig, " TEST") as (same, _):  # another key of the one who recorded it
        still = await same.post(f"/v1/runs/r/deviations/{deviation}/accept")
    assert still.json()["code"] == "deviation_same_person"
    assert made.json()["recorded_by"] == "test"
    for bad, code in (
        ({"kind": "mood", "reason": "x"}, "deviation_kind"),
        ({"kind": "undecided", "reason": "x"}, "deviation_criterion"),
        ({"kind": "procedure", "reason": "  "}, "deviation_reason"),
        ({"kind": "procedure", "reason": "x", "criterion": "none"}, "criterion_unknown"),
    ):
        assert (await rig.client.post("/v1/runs/r/deviations", json=bad)).json()["code"] == code
    async with second_person(rig) as (other, key):
        accepted = await other.post(f"/v1/runs/r/deviations/{deviation}/accept")
        assert accepted.status_code == 200, accepted.text
        assert (await other.post(f"/v1/runs/r/deviations/{deviation}/accept")).json() == accepted.json()
        page = await rig.client.get("/runs/r?lang=zh")
        assert "偏离" in page.text
        assert "the laboratory lost the sample" in page.text
        assert "等待结果" in page.text
        english = await rig.client.get("/runs/r/entries?lang=en")
        assert "waits for a result" in english.text
        listed = await _cli(rig, key, "deviations", "list", "r")
        assert f"{deviation}  undecided  yield  accepted by" in listed
    with pytest.raises(Exception, match="append-only"):
        await rig.rows("update verification.deviation set reason = 'better'")


async def test_the_command_line_enters_confirms_and_says_what_is_wrong(rig: Rig, tmp_path: Any) -> None:
    # V-6
    await begin(rig)
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"picture")
    async with rig.pool.connection() as connection:
        one = await create_key(connection, label="one", person="one", role=Role.OPERATOR)
        two = await create_key(connection, label="two", person="two", role=Role.OPERATOR)
    entry = (await _cli(rig, one, "results", "enter", "r", "yield", "--value", "95", "--unit", "%")).strip()
    refused = await _cli(rig, one, "results", "confirm", "r", entry, code=1)
    assert "result_same_person" in refused
    assert "yield: confirmed by" in await _cli(rig, two, "results", "confirm", "r", entry)
    await _cli(rig, one, "results", "enter", "r", "look", "--passed", "--file", str(photo))
    listed = await _cli(rig, one, "results", "list", "r")
    assert f"{entry}  yield  95 %  entered by" in listed
    assert "awaited" not in listed
    recorded = await _cli(rig, one, "deviations", "record", "r", "procedure", "--reason", "door open")
    assert "procedure: accepted by" in await _cli(rig, two, "deviations", "accept", "r", recorded.strip())


async def _cli(rig: Rig, key: str, *words: str, code: int = 0) -> str:
    arguments = ["verification", *words, "--api", rig.base, "--key", key]
    environment = {"PILOTLINE_DATABASE_URL": "postgresql://unused"}
    answer = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment)
    assert answer.exit_code == code, answer.output
    return str(answer.output)


OVERDUE: dict[str, Any] = {
    "id": "overdue",
    "version": 1,
    "title": NAME,
    "phases": [*CRITERIA["phases"], {"id": "after", "title": NAME}],
    "criteria": [
        criterion(
            "flow", "band", signal="slow.flow", high={"value": 200, "unit": "kg/h"}, decision={"rule": "guard_band"}
        ),
    ],
}


async def _accepted(rig: Rig) -> None:
    facts = {"kind": "calibration_expired", "criterion": "flow", "reason": "calibrated a week later, as found in order"}
    made = await rig.client.post("/v1/runs/r/deviations", json=facts)
    assert made.status_code == 201, made.text
    async with second_person(rig) as (other, _):
        answer = await other.post(f"/v1/runs/r/deviations/{made.json()['deviation']}/accept")
        assert answer.status_code == 200, answer.text


async def _begin_overdue(rig: Rig) -> None:
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=OVERDUE)
    assert answer.status_code == 201, answer.text
    await rig.create("r", criteria={"set": "overdue", "version": 1})
    assert (await rig.command("r", "start", T0)).status_code == 200
    body = {"phase": "work", "at": to_rfc3339(T0), "key": "work"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]


async def test_an_accepted_expired_calibration_is_judged_in_a_new_evaluation_after_the_end(rig: Rig) -> None:
    # V-9, V-15
    await _begin_overdue(rig)
    await rig.send(*batches())
    await rig.end("r")
    document = await rig.closed("r")
    assert document["criteria"][0]["reason"] == "calibration_expired"
    assert document["head"]["verdict"] == "inconclusive"
    await _accepted(rig)
    document = await _verdict(rig, "pass")
    assert [item["cause"] for item in document["evaluations"]] == ["started", "close", "deviation"]
    # high 200, the guard band of 1 kg/h, the reading 101
    assert document["criteria"][0]["margin"] == pytest.approx(98.0)
    kinds = [row[0] for row in await rig.rows("select kind from verification.run_document where run_id = 'r'")]
    assert kinds.count("run_stop") == 1


async def test_a_deviation_accepted_during_the_run_is_judged_in_a_new_live_evaluation(rig: Rig) -> None:
    # V-9, V-16
    await _begin_overdue(rig)
    frames = batches()
    await rig.send(*frames[:12])
    body = {"phase": "after", "at": to_rfc3339(T0 + 60 * SECOND), "key": "after"}
    assert (await rig.client.post("/v1/runs/r/phases?wait=20", json=body)).json()["in_log"]
    await rig.send(*frames[12:16])

    async def word(wanted: str) -> bool:
        return (await rig.words("r")).get("flow") == wanted

    await until(lambda: word("inconclusive"), "expired calibration")
    await _accepted(rig)
    await until(lambda: word("pass"), "accepted deviation")
    await rig.send(*frames[16:])
    await rig.end("r", T0 + LENGTH * SECOND)
    document = await rig.closed("r", 3)
    assert [item["cause"] for item in document["evaluations"]] == ["started", "deviation", "close"]
    assert document["evaluations"][1]["digest"] == document["evaluations"][2]["digest"]
    assert document["head"]["verdict"] == "pass"
