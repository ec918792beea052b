"""Runs judged by earlier ones, on real servers: a reference made from stored runs, a run beside the one before it (V-6)."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from click.testing import CliRunner

from services.cli import main
from services.verification.entrypoints.what_if_cli import what_if
from shared.kernel.times import SECOND, to_rfc3339
from tests.integration.verification.rig import CRITERIA, LENGTH, T0, Moment, Rig, batches
from tests.integration.verification.test_iterations import raised
from tests.integration.verification.test_reports import Desk

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

MEAN = {
    "id": "mean-kept",
    "kind": "compare_previous",
    "title": CRITERIA["title"],
    "phase": "work",
    "signal": "fast.pressure",
    "statistic": "mean",
    "high": {"value": 4, "unit": "kPa"},
}


async def publish(rig: Rig, version: int, *criteria: dict[str, Any]) -> None:
    document = CRITERIA | {"version": version, "criteria": list(criteria)}
    answer = await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=document)
    assert answer.status_code == 201, answer.text


async def iteration(
    rig: Rig, run: str, number: int, version: int, by: float, *, lose: bool = False, **facts: Any
) -> dict[str, Any]:
    """A whole run, one hour after the one before; its criteria by name."""
    start = T0 + (number - 1) * 3600 * SECOND
    await rig.create(run, iteration=number, criteria={"set": "set", "version": version}, **facts)
    answer = await rig.command(run, "start", start)
    assert answer.status_code == 200, answer.text
    body = {"phase": "work", "at": to_rfc3339(start), "key": "work"}
    assert (await rig.client.post(f"/v1/runs/{run}/phases?wait=20", json=body)).json()["in_log"]
    sent = [raised(batch, by) for batch in batches("l1", start=start, boot=f"boot-{number}")]
    await rig.send(*sent[:10])
    if lose:
        await rig.lose_worker(Moment.UNCOMMITTED)
    await rig.send(*sent[10:])
    await rig.end(run, start + LENGTH * SECOND)
    document = await rig.closed(run)
    assert document["head"]["verdict_state"] == "final"
    return {row["criterion"]: row for row in document["criteria"]}


async def test_a_run_beside_the_one_before_it(rig: Rig, database: str, tmp_path: Path) -> None:  # V-6, V-16, V-17, V-20
    await publish(rig, 2, MEAN)
    first = await iteration(rig, "a", 1, 2, 0.0)
    assert (first["mean-kept"]["verdict"], first["mean-kept"]["reason"]) == ("inconclusive", "no_previous_run")
    mean = math.fsum(60.0 + 10.0 * math.sin(second / 7) for second in range(LENGTH)) / LENGTH
    assert first["mean-kept"]["worst_value"] == pytest.approx(mean)

    second = await iteration(rig, "b", 2, 2, 3.0, lose=True, previous_run="a")
    assert second["mean-kept"]["verdict"] == "pass"
    assert second["mean-kept"]["margin"] == pytest.approx(1.0)
    [[pinned, recorded]] = await rig.rows(
        "select baselines, (select digest from verification.evaluation where run_id = 'a' order by number desc limit 1)"
        " from verification.run where run_id = 'b'"
    )
    assert (pinned[0]["run"], pinned[0]["digest"]) == ("a", recorded)
    assert pinned[0]["value"] == first["mean-kept"]["worst_value"]
    shown = (await rig.client.get("/v1/runs/b/criteria/mean-kept")).json()["previous"]
    assert (shown["run"], shown["value"], shown["unit"]) == ("a", pinned[0]["value"], "kPa")
    page = (await rig.client.get("/runs/b/criteria/mean-kept/evidence?lang=zh")).text
    assert f"{mean:.2f}\N{NARROW NO-BREAK SPACE}kPa (a)" in page

    third = await iteration(rig, "c", 3, 2, 8.0, previous_run="b")
    assert third["mean-kept"]["verdict"] == "fail"
    assert third["mean-kept"]["margin"] == pytest.approx(-1.0)
    await _judged_by_a_draft(database, tmp_path)
    await _verified_by_a_stranger(Desk(rig, tmp_path), third["mean-kept"]["margin"])

    await rig.create("d", iteration=4, criteria={"set": "set", "version": 2}, previous_run="c")
    await rig.create("e", iteration=5, criteria={"set": "set", "version": 2}, previous_run="d")
    refused = await rig.command("e", "start", T0 + 4 * 3600 * SECOND)
    assert (refused.status_code, refused.json()["code"]) == (409, "run_previous_not_final")


async def _judged_by_a_draft(database: str, tmp_path: Path) -> None:
    """Another limit compares the same thing: the pinned value is the draft's too."""
    draft = tmp_path / "draft.yaml"
    document = CRITERIA | {"version": 3, "criteria": [MEAN | {"high": {"value": 6, "unit": "kPa"}}]}
    draft.write_text(yaml.safe_dump(document), encoding="utf-8")
    words = ["--runs", "c", "--criteria", str(draft), "--database-url", database, "--format", "json"]
    asked = await asyncio.to_thread(CliRunner().invoke, what_if, words)
    assert asked.exit_code == 0, asked.output
    [table] = json.loads(asked.stdout)
    assert (table["before"], table["after"]) == ("fail", "pass")
    assert table["criteria"][0]["delta"] == pytest.approx(2.0)


async def _verified_by_a_stranger(desk: Desk, margin: float) -> None:
    """The pinned value is in the pack's lifecycle: the comparison is computed again from it, without the earlier run (V-25)."""
    await desk.open()
    number = (await desk.draft("c")).split()[0]
    await desk.issue(number)
    await desk.call("pack", number, "-o", desk.file("pack.zip"))
    await desk.call("html", number, "--lang", "en", "-o", desk.file("report.html"))
    assert "Previous run b" in (desk.folder / "report.html").read_text(encoding="utf-8").replace(
        "\N{NO-BREAK SPACE}", " "
    )
    code, text = await desk.verify("pack.zip")
    assert code == 0, text
    with ZipFile(desk.file("pack.zip")) as pack:
        records = json.loads(pack.read("lifecycle.json"))
        [pinned] = next(record for record in records if record["type"] == "run_started")["baselines"]
    assert pinned["run"] == "b"
    mean = math.fsum(68.0 + 10.0 * math.sin(second / 7) for second in range(LENGTH)) / LENGTH
    assert pinned["value"] + 4 - mean == pytest.approx(margin)


async def test_a_reference_made_from_stored_runs_judges_the_next(rig: Rig, database: str) -> None:  # V-6, V-21
    for number, by in ((1, 0.0), (2, 1.0), (3, 2.0)):
        await iteration(rig, f"f{number}", number, 1, by)
    words = ["verification", "criteria", "reference", "--runs", "f1,f2,f3", "--channel", "fast.pressure"]
    words += ["--phase", "work", "--step", "10 s", "--database-url", database]
    result = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert result.exit_code == 0, result.output
    found = yaml.safe_load(result.stdout)["reference"]
    assert len(found["mean"]) == LENGTH // 10
    for point, (mean, sd) in enumerate(zip(found["mean"], found["sd"], strict=True)):
        assert mean == pytest.approx(61.0 + 10.0 * math.sin(10 * point / 7), abs=1e-6)
        assert sd == pytest.approx(1.0)
    assert "12 points of 3 to 3 runs" in result.stderr

    # The sine moves by less than 14 kPa in the ten seconds that a point holds; a floor of 14 kPa takes that in, a rise of 30 kPa it does not.
    envelope = MEAN | {"id": "as-ever", "kind": "envelope", "reference": found, "floor": {"value": 14, "unit": "kPa"}}
    for name in ("statistic", "high"):
        del envelope[name]
    await publish(rig, 4, envelope)
    good = await iteration(rig, "g", 5, 4, 0.5)
    assert good["as-ever"]["verdict"] == "pass"
    assert good["as-ever"]["margin"] > 0
    assert (await iteration(rig, "h", 6, 4, 30.0))["as-ever"]["verdict"] == "fail"


async def test_what_makes_no_reference_is_refused(rig: Rig, database: str) -> None:  # G14
    await iteration(rig, "f1", 1, 1, 0.0)
    common = ["verification", "criteria", "reference", "--database-url", database]
    for changed, said in (
        ({"--runs": "f1"}, "reference_family"),
        ({"--runs": "f1,none"}, "run_unknown"),
        ({"--phase": "rest"}, "phase_unknown"),
        ({"--channel": "fast.absent"}, "channel_unknown"),
        ({"--step": "1 kPa"}, "criteria_unit"),
        ({"--step": "1 us", "--runs": "f1,f1,f1"}, "reference_family"),
        ({"--step": "soon"}, "give a number and a unit of time"),
    ):
        words = {"--runs": "f1,f1", "--channel": "fast.pressure", "--phase": "work", "--step": "10 s"} | changed
        flat = [part for pair in words.items() for part in pair]
        result = await asyncio.to_thread(CliRunner().invoke, main, [*common, *flat])
        assert result.exit_code != 0
        assert said in result.output, result.output
