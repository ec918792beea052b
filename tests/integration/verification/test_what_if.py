"""Drafts over stored runs, through the command and the API, on real servers (V-20)."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from services.verification.adapters import what_if_jobs
from services.verification.adapters.what_if import Tables, judge_run, judge_runs
from services.verification.adapters.what_if_jobs import WhatIfWorker
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.entrypoints.what_if_cli import what_if
from shared.storage.api_keys import Role, Scope, create_key
from tests.integration.verification.rig import CRITERIA, Rig, batches, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def draft() -> dict[str, Any]:
    """Version 2: a limit that the run breaks, a criterion less, one more."""
    document = copy.deepcopy(CRITERIA)
    document["version"] = 2
    document["criteria"][0]["high"]["value"] = 65
    del document["criteria"][1]
    document["criteria"].append(document["criteria"][0] | {"id": "wide", "high": {"value": 500, "unit": "kPa"}})
    return document


async def two_runs(rig: Rig) -> None:
    await rig.begin("a")
    await rig.begin("b", line="l2")
    await rig.send(*batches("l1"), *batches("l2"))
    await rig.end("a")
    await rig.end("b")
    await rig.closed("a")
    await rig.closed("b")


async def one_run(rig: Rig) -> None:
    await rig.begin("a")
    await rig.send(*batches("l1"))
    await rig.end("a")
    await rig.closed("a")


@asynccontextmanager
async def working(database: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(WhatIfWorker(database, poll_seconds=0.05).run(stop))
    try:
        yield
    finally:
        stop.set()
        await worker


async def over(rig: Rig, where: str) -> dict[str, Any]:
    async def ended() -> Any:
        found = (await rig.client.get(where)).json()
        return found if found["state"] in ("done", "failed") else None

    found: dict[str, Any] = await until(ended, "end of the job", 90)
    return found


async def test_the_command_shows_what_a_draft_would_have_said(rig: Rig, database: str, tmp_path: Path) -> None:
    # V-20
    await two_runs(rig)
    same, other = tmp_path / "same.yaml", tmp_path / "draft.yaml"
    same.write_text(yaml.safe_dump(CRITERIA), encoding="utf-8")
    other.write_text(yaml.safe_dump(draft()), encoding="utf-8")
    arguments = ["--runs", "a,b", "--criteria", str(same), "--criteria", str(other), "--database-url", database]
    asked = await asyncio.to_thread(CliRunner().invoke, what_if, [*arguments, "--format", "json", "--all"])
    assert asked.exit_code == 0, asked.output
    tables = json.loads(asked.stdout)
    assert [(t["run"], t["draft"], t["before"], t["after"]) for t in tables] == [
        ("a", "set@1", "pass", "pass"),
        ("a", "set@2", "pass", "fail"),
        ("b", "set@1", "pass", "pass"),
        ("b", "set@2", "pass", "fail"),
    ]
    # The criteria of record over the same frames say the same, bit for bit.
    assert tables[0]["digest"] == (await rig.run("a"))["digest"]
    assert {c["delta"] for c in tables[0]["criteria"]} == {0.0}
    flips = {c["criterion"]: c for c in tables[1]["criteria"] if c["flipped"]}
    assert set(flips) == {"limit", "floor", "wide"}
    assert flips["limit"]["delta"] == pytest.approx(-35)
    evaluations = await rig.rows("select count(*) from verification.evaluation")
    assert evaluations == [(4,)]
    table = await asyncio.to_thread(CliRunner().invoke, what_if, arguments)
    assert "fail  *" in table.stdout
    listed = await asyncio.to_thread(CliRunner().invoke, what_if, [*arguments, "--format", "csv"])
    assert "a,set@2,limit,pass,fail" in listed.stdout


async def test_a_run_without_a_final_verdict_is_refused(rig: Rig, database: str, tmp_path: Path) -> None:
    # V-20
    await rig.begin("a")
    file = tmp_path / "draft.yaml"
    file.write_text(yaml.safe_dump(draft()), encoding="utf-8")
    for run, code in (("a", "run_not_final"), ("none", "run_unknown")):
        arguments = ["--runs", run, "--criteria", str(file), "--database-url", database]
        refused = await asyncio.to_thread(CliRunner().invoke, what_if, arguments)
        assert (refused.exit_code, code in refused.output) == (1, True), refused.output


async def test_a_job_over_http_tells_its_progress_and_its_tables(rig: Rig, database: str) -> None:
    # V-20
    await two_runs(rig)
    body: dict[str, Any] = {"runs": ["a", "b"], "drafts": [draft()], "criteria": [{"set": "set", "version": 1}]}
    asked = await rig.client.post("/v1/what-ifs", json=body)
    assert asked.status_code == 202, asked.text
    where = asked.headers["location"]
    assert (await rig.client.get(where)).json()["state"] == "queued"
    async with working(database):
        found = await over(rig, where)
        assert (found["state"], found["progress"]) == ("done", 1.0)
        assert [[d["after"] for d in t["drafts"]] for t in found["tables"]] == [["fail", "pass"], ["fail", "pass"]]
        unfit = draft()
        unfit["criteria"][0]["signal"] = "fast.absent"
        where = (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [unfit]})).headers["location"]
        failed = await over(rig, where)
        assert (failed["state"], failed["problem"]["code"]) == ("failed", "criteria_unknown_channel")


async def test_what_cannot_be_asked_is_refused(rig: Rig) -> None:
    # V-20, G14
    await one_run(rig)
    await rig.create("idle", line="l2")
    await rig.begin("going")

    async def refused(**body: Any) -> tuple[int, str, str]:
        answer = await rig.client.post("/v1/what-ifs", json=body)
        problem = answer.json()
        return answer.status_code, problem["code"], problem["field"]

    assert await refused(runs=["z"], drafts=[draft()]) == (404, "run_unknown", "run")
    assert await refused(runs=["a"], drafts=[{"id": "x"}]) == (422, "criteria_invalid", "drafts[0].version")
    assert await refused(runs=["a"]) == (422, "what_if_empty", "criteria")
    assert await refused(runs=["a"], drafts=[draft(), draft()]) == (422, "what_if_draft_twice", "drafts[1]")
    kept = [{"set": "set", "version": 1}]
    assert await refused(runs=["a"], drafts=[CRITERIA], criteria=kept) == (422, "what_if_draft_twice", "criteria[0]")
    body = {"runs": ["going", "a", "idle"], "drafts": [draft()]}
    early = (await rig.client.post("/v1/what-ifs", json=body)).json()
    assert (early["status"], early["code"], early["runs"]) == (409, "run_not_final", ["going", "idle"])
    for _ in range(8):
        assert (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})).status_code == 202
    full = await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})
    assert (full.status_code, full.json()["code"]) == (429, "what_if_busy")


async def test_a_job_of_a_process_that_is_gone_is_failed_and_says_so(rig: Rig, database: str) -> None:
    # V-20
    await one_run(rig)
    where = (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})).headers["location"]
    await rig.rows("update verification.what_if set state = 'running' returning 1")
    async with working(database):
        assert (await over(rig, where))["problem"]["code"] == "what_if_interrupted"


async def test_whatever_a_job_raises_fails_the_job_and_nothing_else(
    rig: Rig, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # V-20
    await one_run(rig)
    raised = iter([OverflowError("cannot convert float infinity to integer"), BrokenProcessPool("killed"), None])

    async def judged(*_: object) -> AsyncIterator[Tables]:
        if (error := next(raised)) is not None:
            raise error
        yield Tables("a", (), 0)

    monkeypatch.setattr(what_if_jobs, "judge_runs", judged)
    async with working(database):
        ends = []
        for _ in range(3):
            asked = await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})
            ends.append(await over(rig, asked.headers["location"]))
    assert [end["state"] for end in ends] == ["failed", "failed", "done"]
    problems = [end["problem"] for end in ends[:2]]
    assert [problem["code"] for problem in problems] == ["what_if_failed", "what_if_process_lost"]
    assert problems[0]["detail"] == "OverflowError: cannot convert float infinity to integer"
    assert not any("again later" in problem["remedy"] or "ask again" in problem["remedy"] for problem in problems)


async def test_jobs_are_listed_by_page_within_a_key_s_scope_and_cancelled(rig: Rig, database: str) -> None:
    # V-20
    await two_runs(rig)
    asked = []
    for runs in (["a"], ["a", "b"], ["a"]):
        answer = await rig.client.post("/v1/what-ifs", json={"runs": runs, "drafts": [draft()]})
        asked.append(answer.json()["job"])
    first = (await rig.client.get("/v1/what-ifs?limit=2")).json()
    second = (await rig.client.get(f"/v1/what-ifs?limit=2&after={first['next']}")).json()
    assert [item["job"] for item in first["items"] + second["items"]] == asked[::-1]
    assert second["next"] is None
    assert (first["items"][0]["drafts"], "tables" in first["items"][0]) == (["set@2"], False)
    async with rig.pool.connection() as connection:
        other = await create_key(
            connection, label="other", person="other", role=Role.OPERATOR, scope=Scope(platform="p", line="l1")
        )
    bound = {"authorization": f"Bearer {other}"}
    seen = (await rig.client.get("/v1/what-ifs", headers=bound)).json()["items"]
    assert [item["job"] for item in seen] == [asked[2], asked[0]]
    foreign = await rig.client.post(f"/v1/what-ifs/{asked[1]}/cancel", headers=bound)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "run_unknown")

    waiting = (await rig.client.post(f"/v1/what-ifs/{asked[1]}/cancel")).json()
    assert (waiting["state"], waiting["problem"]["code"]) == ("failed", "what_if_cancelled")
    async with working(database):

        async def running() -> bool:
            return bool((await rig.client.get(f"/v1/what-ifs/{asked[0]}")).json()["state"] == "running")

        await until(running, "running job")
        assert (await rig.client.post(f"/v1/what-ifs/{asked[0]}/cancel")).json()["state"] == "failed"
        assert (await over(rig, f"/v1/what-ifs/{asked[2]}"))["state"] == "done"
    cancelled = (await rig.client.get(f"/v1/what-ifs/{asked[0]}")).json()
    assert (cancelled["problem"]["code"], cancelled["tables"]) == ("what_if_cancelled", None)
    late = await rig.client.post(f"/v1/what-ifs/{asked[2]}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "what_if_over")


async def test_progress_moves_while_a_run_is_prepared_and_read(rig: Rig, database: str) -> None:
    # V-20
    await one_run(rig)
    told: list[tuple[str, float]] = []
    await judge_run(database, "a", [CriteriaSet.model_validate(draft())], lambda run, share: told.append((run, share)))
    shares = [share for _, share in told]
    assert {run for run, _ in told} == {"a"}
    assert (shares[0], shares[-1]) == (0.02, 1.0)
    assert shares == sorted(set(shares))
    assert len([share for share in shares if 0.1 < share < 0.95]) >= 8  # the run is twelve batches of each stream


async def test_who_gives_up_waits_in_nobody_s_way(rig: Rig, database: str) -> None:
    # V-20: a run's process takes seconds to stop, and the api goes on answering meanwhile
    await one_run(rig)
    drafts = [CriteriaSet.model_validate(draft())]

    async def asked() -> list[Tables]:
        return [each async for each in judge_runs(database, ["a"], drafts, lambda _run, _share: None)]

    judging = asyncio.create_task(asked())
    await asyncio.sleep(0.3)
    judging.cancel()
    longest, last = 0.0, time.monotonic()
    while not judging.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert judging.cancelled()
    assert longest < 0.8
