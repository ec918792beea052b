"""Drafts over stored runs, through the command and the API, on real servers (V-20)."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from services.verification.adapters.what_if_jobs import WhatIfWorker
from services.verification.entrypoints.what_if_cli import what_if
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
    stop = asyncio.Event()
    working = asyncio.create_task(WhatIfWorker(database, poll_seconds=0.05).run(stop))

    async def done() -> Any:
        found = (await rig.client.get(where)).json()
        return found if found["state"] in ("done", "failed") else None

    found = await until(done, "what-if", 90)
    assert (found["state"], found["progress"]) == ("done", 1.0)
    assert [[d["after"] for d in t["drafts"]] for t in found["tables"]] == [["fail", "pass"], ["fail", "pass"]]
    unfit = draft()
    unfit["criteria"][0]["signal"] = "fast.absent"
    where = (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [unfit]})).headers["location"]
    failed = await until(done, "what-if", 90)
    assert (failed["state"], failed["problem"]["code"]) == ("failed", "criteria_unknown_channel")
    stop.set()
    await working


async def test_what_cannot_be_asked_is_refused(rig: Rig) -> None:
    # V-20, G14
    await rig.create("a")
    unknown = await rig.client.post("/v1/what-ifs", json={"runs": ["z"], "drafts": [draft()]})
    assert unknown.json()["code"] == "run_unknown"
    broken = await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [{"id": "x"}]})
    assert (broken.json()["code"], broken.json()["field"]) == ("criteria_invalid", "drafts[0].version")
    for _ in range(8):
        assert (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})).status_code == 202
    full = await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})
    assert (full.status_code, full.json()["code"]) == (429, "what_if_busy")


async def test_a_job_of_a_process_that_is_gone_is_failed_and_says_so(rig: Rig, database: str) -> None:
    # V-20
    await rig.create("a")
    where = (await rig.client.post("/v1/what-ifs", json={"runs": ["a"], "drafts": [draft()]})).headers["location"]
    await rig.rows("update verification.what_if set state = 'running' returning 1")
    stop = asyncio.Event()
    working = asyncio.create_task(WhatIfWorker(database, poll_seconds=0.05).run(stop))

    async def failed() -> bool:
        return bool((await rig.client.get(where)).json()["state"] == "failed")

    await until(failed, "failed job")
    assert (await rig.client.get(where)).json()["problem"]["code"] == "what_if_interrupted"
    stop.set()
    await working
