"""A standard through its life over HTTP and on the command line; criteria sets held to it when they are published (V-19)."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from services.verification.entrypoints.standard_cli import standards
from shared.storage.api_keys import Role, create_key
from tests.integration.verification.rig import CRITERIA, NAME, Rig

pytestmark = pytest.mark.stack


def document(version: str = "1.0.0") -> dict[str, Any]:
    return {
        "id": "t-1",
        "version": version,
        "body": "CSTM",
        "number": "T/CSTM 1",
        "year": 2026,
        "title": NAME,
        "effective_from": "2026-01-01",
        "clauses": [{"id": "5.1", "title": NAME}],
        "phases": CRITERIA["phases"],
        "criteria": [copy.deepcopy(CRITERIA["criteria"][0]) | {"clause": "5.1"}],
    }


async def keys(rig: Rig, *names: str) -> dict[str, dict[str, str]]:
    """Authorisation of other people."""
    made = {}
    async with rig.pool.connection() as connection:
        for name in names:
            key = await create_key(connection, label=name, role=Role.OPERATOR)
            made[name] = {"authorization": f"Bearer {key}"}
    return made


async def step(rig: Rig, action: str, headers: dict[str, str], version: str = "1.0.0") -> Any:
    return await rig.client.post(
        f"/v1/standards/t-1/versions/{version}/steps", json={"action": action}, headers=headers
    )


async def in_effect(rig: Rig) -> str:
    people = await keys(rig, "bob", "cai")
    made = await rig.client.put("/v1/standards", json=document())
    assert made.status_code == 200, made.text
    own = dict(rig.client.headers)
    for action, headers in (("submit", own), ("approve", people["bob"]), ("approve", people["cai"]), ("effect", own)):
        answer = await step(rig, action, {"authorization": headers["authorization"]})
        assert answer.status_code == 200, answer.text
    return str(made.json()["digest"])


def criteria(digest: str, high: float, version: int) -> dict[str, Any]:
    wanted = copy.deepcopy(CRITERIA) | {"id": "own", "version": version}
    wanted["standard"] = {"id": "t-1", "version": "1.0.0", "digest": digest}
    wanted["criteria"][0] |= {"clause": "5.1", "high": {"value": high, "unit": "kPa"}}
    return wanted


async def publish(rig: Rig, body: dict[str, Any]) -> Any:
    return await rig.client.post("/v1/criteria-sets?publish=true&line=l1", json=body)


async def test_a_platform_tightens_and_never_loosens(rig: Rig) -> None:
    # V-19
    digest = await in_effect(rig)
    early = await publish(rig, criteria(digest, 90, 1))
    assert early.json()["code"] == "standard_not_adopted"
    adopted = await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"})
    assert adopted.status_code == 200, adopted.text
    assert (await publish(rig, criteria(digest, 90, 1))).status_code == 201
    loose = await publish(rig, criteria(digest, 110, 2))
    assert (loose.status_code, loose.json()["code"]) == (422, "standard_loosened")
    assert (loose.json()["field"], loose.json()["loosened"][0]["criterion"]) == ("criteria[limit].high", "limit")
    wrong = await publish(rig, criteria("0" * 64, 90, 3))
    assert wrong.json()["code"] == "standard_digest"
    shown = (await rig.client.get("/v1/standards/t-1/versions/1.0.0")).json()
    assert [item["action"] for item in shown["history"]] == ["change", "submit", "approve", "approve", "effect"]
    assert shown["adoptions"][0]["platform"] == "p"


async def test_two_other_people_approve_and_a_newer_version_supersedes(rig: Rig) -> None:
    # V-19
    await in_effect(rig)
    own = {"authorization": rig.client.headers["authorization"]}
    refused = await rig.client.put("/v1/standards", json=document() | {"year": 2027})
    assert (refused.status_code, refused.json()["code"]) == (409, "standard_state")
    people = await keys(rig, "dee", "eve")
    await rig.client.put("/v1/standards", json=document("1.1.0"))
    await step(rig, "submit", own, "1.1.0")
    same = await step(rig, "approve", own, "1.1.0")
    assert (same.status_code, same.json()["code"]) == (403, "standard_same_person")
    for name in ("dee", "eve"):
        assert (await step(rig, "approve", people[name], "1.1.0")).status_code == 200
    assert (await step(rig, "effect", own, "1.1.0")).json()["state"] == "effective"
    listed = {item["version"]: item["state"] for item in (await rig.client.get("/v1/standards")).json()["items"]}
    assert listed == {"1.1.0": "effective", "1.0.0": "superseded"}


async def test_nothing_of_a_submitted_version_changes_in_the_database_either(rig: Rig) -> None:
    # V-19, G7
    await in_effect(rig)
    for statement in (
        "update verification.standard_version set digest = 'x' returning 1",
        "delete from verification.standard_step returning 1",
        "delete from verification.standard_adoption returning 1",
    ):
        if "adoption" in statement:
            await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"})
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            await rig.rows(statement)


async def test_the_command_line_carries_a_standard_through_its_life(rig: Rig, database: str, tmp_path: Path) -> None:
    # V-19
    file, own = tmp_path / "standard.yaml", tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(document()), encoding="utf-8")

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, standards, [*arguments])

    common = ("--database-url", database)
    assert "draft" in (await run("import", str(file), "--who", "ann", *common)).output
    for action, who in (("submit", "ann"), ("approve", "bob"), ("approve", "cai"), ("effect", "ann")):
        done = await run(action, "t-1", "1.0.0", "--who", who, *common)
        assert done.exit_code == 0, done.output
    assert "p has adopted" in (await run("adopt", "t-1", "1.0.0", "--platform", "p", "--who", "ann", *common)).output
    assert "effective" in (await run("list", *common)).output
    shown = (await run("show", "t-1", "1.0.0", *common)).output
    assert "approved by bob and cai" in shown
    assert "adopted by: p" in shown
    again = await run("submit", "t-1", "1.0.0", "--who", "ann", *common)
    assert (again.exit_code, "standard_state" in again.output) == (1, True)
    own.write_text(yaml.safe_dump(criteria("0" * 64, 110, 1)), encoding="utf-8")
    loose = await run("compare", str(file), str(own))
    assert (loose.exit_code, "limit.high" in loose.output) == (1, True)
    own.write_text(yaml.safe_dump(criteria("0" * 64, 99, 1)), encoding="utf-8")
    assert (await run("compare", str(file), str(own))).exit_code == 0
