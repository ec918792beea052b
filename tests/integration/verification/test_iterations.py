"""Run N beside N-1 and a baseline, and the issues between them, on real servers (V-21)."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from services.cli import main
from services.ingest.adapters.registry_store import apply_registry
from shared.contracts.registry_document import read_document
from shared.kernel.times import SECOND, to_rfc3339
from shared.storage.api_keys import Role, Scope, create_key
from tests.integration.verification.rig import LENGTH, REGISTRY, T0, Batch, Rig, batches

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


def raised(batch: Batch, by: float) -> Batch:
    fast = batch.stream.endswith("fast")
    return replace(batch, pressure=tuple(p + by for p in batch.pressure) if fast else batch.pressure)


async def iteration(rig: Rig, run: str, number: int, *, previous: str | None = None, raise_by: float = 0.0) -> None:
    """A whole run, one hour after the one before, judged and closed."""
    start = T0 + (number - 1) * 3600 * SECOND
    await rig.create(run, iteration=number, previous_run=previous)
    assert (await rig.command(run, "start", start)).status_code == 200
    body = {"phase": "work", "at": to_rfc3339(start), "key": "work"}
    assert (await rig.client.post(f"/v1/runs/{run}/phases?wait=20", json=body)).json()["in_log"]
    sent = batches("l1", start=start, boot=f"boot-{number}")
    await rig.send(*(raised(batch, raise_by) for batch in sent))
    await rig.end(run, start + LENGTH * SECOND)
    await rig.closed(run)


async def ask(rig: Rig, path: str, **query: Any) -> Any:
    answer = await rig.client.get(f"/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_run_stands_beside_the_one_before_and_the_first(rig: Rig) -> None:  # V-21
    await iteration(rig, "a", 1)
    await iteration(rig, "b", 2, previous="a", raise_by=35.0)
    await iteration(rig, "c", 3, previous="b", raise_by=5.0)
    found = await ask(rig, "runs/c/comparison")
    assert [(column["run"], column["roles"]) for column in found["columns"]] == [
        ("a", ["baseline"]),
        ("b", ["previous"]),
        ("c", ["latest"]),
    ]
    limit = next(item for item in found["criteria"] if item["criterion"] == "limit")
    assert {run: side["verdict"] for run, side in limit["standings"].items()} == {"a": "pass", "b": "fail", "c": "pass"}
    assert (limit["steps"]["b"]["change"], limit["steps"]["a"]["change"]) == ("better", "same")
    assert limit["steps"]["b"]["delta"] == pytest.approx(30)
    assert limit["steps"]["a"]["delta"] == pytest.approx(-5)
    named = await ask(rig, "runs/c/comparison", baseline="b")
    assert [column["roles"] for column in named["columns"]] == [["baseline", "previous"], ["latest"]]
    alone = await ask(rig, "runs/a/comparison")
    assert [column["run"] for column in alone["columns"]] == ["a"]

    await _statistics(rig)
    await _overlay(rig)


async def _statistics(rig: Rig) -> None:
    """By hand from what was sent."""
    items = (await ask(rig, "runs/c/comparison/statistics", channel="fast.pressure"))["items"]
    assert [(item["channel"], item["phase"], item["unit"]) for item in items] == [("fast.pressure", "work", "kPa")]
    sent = [60.0 + 10.0 * math.sin(second / 7) for second in range(LENGTH)]
    for run, by in (("a", 0.0), ("b", 35.0), ("c", 5.0)):
        seen = items[0]["runs"][run]
        assert seen["count"] == LENGTH
        assert seen["mean"] == pytest.approx(math.fsum(sent) / LENGTH + by)
        assert (seen["minimum"], seen["maximum"]) == (pytest.approx(min(sent) + by), pytest.approx(max(sent) + by))
    every = (await ask(rig, "runs/c/comparison/statistics"))["items"]
    assert {item["channel"] for item in every} == {"fast.pressure", "fast.flow", "slow.pressure", "slow.flow"}


async def _overlay(rig: Rig) -> None:
    """The same offsets from the phase's start, although the runs lie hours apart."""
    found = await ask(rig, "runs/c/comparison/overlay", criterion="limit")
    assert (found["phase"], found["unit"], found["limits"]["high"]) == ("work", "kPa", 100)
    assert [curve["run"] for curve in found["curves"]] == ["a", "b", "c"]
    for curve in found["curves"]:
        assert curve["offsets"] == [float(second) for second in range(LENGTH)]
    assert found["curves"][1]["lo"][7] == pytest.approx(found["curves"][0]["lo"][7] + 35)


async def test_what_cannot_be_compared_is_refused(rig: Rig) -> None:  # V-21, G11, G14
    await rig.begin("a")
    await rig.create("other", project="another")
    refused = [
        ("runs/none/comparison", {}, 404, "run_unknown"),
        ("runs/a/comparison", {"baseline": "none"}, 404, "run_unknown"),
        ("runs/a/comparison", {"baseline": "other"}, 422, "baseline_other_project"),
        ("runs/other/comparison/statistics", {}, 404, "run_not_started"),
        ("runs/other/comparison/overlay", {"criterion": "limit"}, 404, "run_not_started"),
        ("runs/a/comparison/statistics", {"channel": "fast.absent"}, 404, "channel_unknown"),
        ("runs/a/comparison/statistics", {"phase": "rest"}, 404, "phase_unknown"),
        ("runs/a/comparison/overlay", {"criterion": "limit", "channel": "fast.flow"}, 422, "curve_subject"),
        ("runs/a/comparison/overlay", {"channel": "fast.flow"}, 404, "phase_unknown"),
    ]
    for path, query, status, code in refused:
        answer = await rig.client.get(f"/v1/{path}", params=query)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (path, answer.text)


async def test_a_run_of_another_customer_or_item_never_stands_beside(rig: Rig) -> None:  # V-21, G11
    customer = REGISTRY["customers"][0] | {"id": "other"}
    async with rig.pool.connection() as connection:
        await apply_registry(connection, read_document(REGISTRY | {"customers": [*REGISTRY["customers"], customer]}))
    await rig.create("a", customer="other")
    body = {
        "run": "b",
        "project": "project",
        "customer": "acme",
        "line": "l1",
        "scene": "replica",
        "verification_kind": "process",
        "item": "resin",
        "iteration": 2,
        "previous_run": "a",
        "criteria": {"set": "set", "version": 1},
    }
    answer = await rig.client.post("/v1/runs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "run_previous_other")
    answer = await rig.client.post("/v1/runs", json=body | {"customer": "other", "item": "paint"})
    assert (answer.status_code, answer.json()["code"]) == (422, "run_previous_other")
    await rig.create("b", iteration=2)
    await rig.rows("update verification.run set previous_run = 'a' where run_id = 'b' returning 1")
    assert [column["run"] for column in (await ask(rig, "runs/b/comparison"))["columns"]] == ["b"]
    assert (await rig.client.post("/v1/runs/a/issues", json={"title": "of another customer"})).status_code == 201
    assert (await ask(rig, "runs/b/issues"))["items"] == []
    assert len((await ask(rig, "runs/a/issues"))["items"]) == 1
    assert "of another customer" not in (await rig.client.get("/runs/b/compare")).text
    named = await rig.client.get("/v1/runs/b/comparison?baseline=a")
    assert (named.status_code, named.json()["code"]) == (422, "baseline_other_customer")


async def test_runs_and_issues_of_lines_outside_a_key_are_not_shown(rig: Rig) -> None:  # V-21, G11
    await rig.create("a")
    await rig.create("b", line="l2", iteration=2, previous_run="a")
    issue = await rig.client.post("/v1/runs/a/issues", json={"title": "leak"})
    async with rig.pool.connection() as connection:
        key = await create_key(connection, label="l2", role=Role.VIEWER, scope=Scope(line="l2"))
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=rig.base, headers=headers, timeout=30.0) as client:
        found = (await client.get("/v1/runs/b/comparison")).json()
        assert [column["run"] for column in found["columns"]] == ["b"]
        assert (await client.get("/v1/runs/b/comparison?baseline=a")).json()["code"] == "run_unknown"
        assert (await client.get("/v1/runs/b/issues")).json()["items"] == []
        assert (await client.get(f"/v1/issues/{issue.json()['issue']}")).json()["code"] == "issue_unknown"
        assert (await client.post("/v1/runs/b/issues", json={"title": "x"})).status_code == 403


async def test_an_issue_from_its_finding_to_its_return(rig: Rig) -> None:  # V-21
    await iteration(rig, "a", 1, raise_by=35.0)
    body = {"title": "pressure too high", "criterion": "limit", "key": "k"}
    opened = await rig.client.post("/v1/runs/a/issues", json=body)
    assert opened.status_code == 201, opened.text
    issue = opened.json()["issue"]
    again = await rig.client.post("/v1/runs/a/issues", json=body)
    assert again.json()["issue"] == issue
    assert (await rig.client.post("/v1/runs/a/issues", json=body | {"title": "x"})).json()["code"] == "issue_key_reused"
    unknown = await rig.client.post("/v1/runs/a/issues", json={"title": "x", "criterion": "absent"})
    assert unknown.json()["code"] == "criterion_unknown"

    async def act(action: str, **facts: Any) -> Any:
        return (await rig.client.post(f"/v1/issues/{issue}/actions", json={"action": action, **facts})).json()

    assert (await act("cause", text="relief valve set too high"))["cause"] == "relief valve set too high"
    await iteration(rig, "b", 2, previous="a")
    assert (await act("verify", run="b"))["code"] == "issue_action"
    assert (await act("fix", text="valve reset", run="b", key="fix"))["state"] == "fixed"
    assert (await act("fix", text="valve reset", run="b", key="fix"))["state"] == "fixed"
    assert (await act("verify", run="a"))["code"] == "issue_run_earlier"
    assert (await act("verify", run="b"))["state"] == "verified"
    closed = await act("close")
    assert (closed["state"], closed["closed_in"]) == ("closed", "b")

    await iteration(rig, "c", 3, previous="b", raise_by=35.0)
    returned = (await ask(rig, "runs/c/issues"))["items"][0]
    assert (returned["state"], returned["failed_in"], returned["iteration"]) == ("open", "c", 1)
    assert [entry["action"] for entry in returned["history"]] == ["cause", "fix", "verify", "close"]
    for table in ("issue", "issue_event"):
        with pytest.raises(Exception, match="append-only"):
            await rig.rows(f"delete from verification.{table} returning 1")


async def test_the_page_and_the_command_show_the_same(rig: Rig) -> None:  # V-21, L-1
    await iteration(rig, "a", 1, raise_by=35.0)
    await iteration(rig, "b", 2, previous="a")
    page = await rig.client.get("/runs/b/compare?lang=en")
    assert page.status_code == 200, page.text
    assert "<strong>better</strong>" in page.text
    assert "No issue is recorded" in page.text
    assert 'data-criterion="limit"' in page.text

    key = rig.client.headers["authorization"].removeprefix("Bearer ")

    async def say(*words: str) -> str:
        arguments = ["iterations", *words, "--api", rig.base, "--key", key]
        said = await asyncio.to_thread(CliRunner().invoke, main, arguments)
        assert said.exit_code == 0, said.output
        return said.output

    issue = (await say("find", "a", "pressure <too> high", "--criterion", "limit")).strip()
    assert "fixed" in await say("act", issue, "fix", "--text", "valve reset", "--in", "b")
    assert "closed" not in await say("issues", "b")
    await say("act", issue, "verify", "--in", "b")
    assert "closed; possible now: note, reopen" in await say("act", issue, "close")
    assert "closed in b" in await say("issues", "b")
    compared = await say("compare", "b")
    limit = next(line for line in compared.splitlines() if line.startswith("limit"))
    assert limit.split()[1:2] == ["fail"]
    assert "better" in limit
    assert "fast.pressure" in await say("statistics", "b", "--channel", "fast.pressure", "--phase", "work")
    refused = await asyncio.to_thread(
        CliRunner().invoke, main, ["iterations", "act", issue, "close", "--api", rig.base, "--key", key]
    )
    assert (refused.exit_code, "possible now: note, reopen" in refused.output) == (1, True)

    chinese = await rig.client.get("/runs/b/compare?lang=zh")
    assert "变好" in chinese.text
    assert "已关闭" in chinese.text
    assert "pressure &lt;too&gt; high" in chinese.text
    drawn = (await rig.client.get("/runs/b/compare/overlay?criterion=limit&lang=zh")).json()
    assert [curve["label"] for curve in drawn["curves"]] == ["a (基准 · 前次)", "b (本次)"]
    assert drawn["curves"][0]["x"][:3] == drawn["curves"][1]["x"][:3] == [0.0, 1.0, 2.0]
    assert [limit["value"] for limit in drawn["limits"]] == [100]
    assert (await rig.client.get("/runs/none/compare")).status_code == 404
