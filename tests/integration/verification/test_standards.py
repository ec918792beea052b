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
from shared.storage.api_keys import EVERYTHING, Role, Scope, create_key
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


async def keys(rig: Rig, *names: str, scope: Scope = EVERYTHING) -> dict[str, dict[str, str]]:
    """Authorisation of other people."""
    made = {}
    async with rig.pool.connection() as connection:
        for name in names:
            key = await create_key(connection, label=name, person=name, role=Role.OPERATOR, scope=scope)
            made[name] = {"authorization": f"Bearer {key}"}
    return made


async def step(rig: Rig, action: str, headers: dict[str, str], version: str = "1.0.0") -> Any:
    return await rig.client.post(
        f"/v1/standards/t-1/versions/{version}/steps", json={"action": action}, headers=headers
    )


async def in_effect(rig: Rig) -> str:
    return str((await carried(rig, document())).json()["digest"])


async def carried(rig: Rig, wanted: dict[str, Any]) -> Any:
    """The answer to the first step that is refused, or to the one that brings the version into effect."""
    people = await keys(rig, "bob", "cai")
    made = await rig.client.put("/v1/standards", json=wanted)
    assert made.status_code == 200, made.text
    own = {"authorization": rig.client.headers["authorization"]}
    answer = made
    for action, headers in (("submit", own), ("approve", people["bob"]), ("approve", people["cai"]), ("effect", own)):
        answer = await step(rig, action, headers, wanted["version"])
        if answer.status_code != 200:
            return answer
    return answer


def limited(version: str, high: float) -> dict[str, Any]:
    wanted = document(version)
    wanted["criteria"][0]["high"] = {"value": high, "unit": "kPa"}
    return wanted


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


async def test_two_keys_of_one_person_approve_once(rig: Rig) -> None:
    # V-19
    own = {"authorization": rig.client.headers["authorization"]}
    await rig.client.put("/v1/standards", json=document())
    await step(rig, "submit", own)
    first, second = await keys(rig, "Li Wei"), await keys(rig, "LI  WEI")
    assert (await step(rig, "approve", first["Li Wei"])).json()["approved_by"] == ["Li Wei"]
    again = await step(rig, "approve", second["LI  WEI"])
    assert (again.status_code, again.json()["code"]) == (403, "standard_same_person")
    author = await step(rig, "approve", (await keys(rig, "TEST"))["TEST"])
    assert author.json()["code"] == "standard_same_person"
    other = await step(rig, "approve", (await keys(rig, "Chen Jie"))["Chen Jie"])
    assert other.json()["state"] == "approved"


async def test_a_key_bound_to_a_platform_changes_no_standard(rig: Rig) -> None:
    # V-19
    bound = (await keys(rig, "dee", scope=Scope(platform="p")))["dee"]
    kept = await rig.client.put("/v1/standards", json=document(), headers=bound)
    assert (kept.status_code, kept.json()["code"]) == (403, "key_scope")
    await in_effect(rig)
    for action in ("submit", "approve", "effect", "withdraw"):
        refused = await step(rig, action, bound)
        assert (refused.status_code, refused.json()["code"]) == (403, "key_scope")
    adopted = await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"}, headers=bound)
    assert adopted.status_code == 200


async def test_the_number_of_a_version_says_what_has_changed(rig: Rig) -> None:
    # V-19
    await in_effect(rig)
    for number in ("1.0.1", "1.1.0"):
        refused = await carried(rig, limited(number, 101))
        assert (refused.status_code, refused.json()["code"]) == (422, "standard_version")
        assert refused.json()["changes"] == [
            {"digit": "major", "criterion": "limit", "field": "high", "detail": "is 101 kPa, the standard has 100 kPa"}
        ]
    tighter = await carried(rig, limited("1.0.2", 99))
    assert (tighter.json()["code"], "1.1.0" in tighter.json()["remedy"]) == ("standard_version", True)
    assert (await carried(rig, limited("1.2.0", 99))).json()["state"] == "effective"
    assert (await carried(rig, limited("2.0.0", 101))).json()["state"] == "effective"


async def test_no_older_version_takes_the_place_of_a_newer_one(rig: Rig) -> None:
    # V-19
    await in_effect(rig)
    assert (await carried(rig, limited("1.1.0", 99))).json()["state"] == "effective"
    refused = await carried(rig, document("1.0.5"))
    assert (refused.status_code, refused.json()["code"]) == (409, "standard_older")
    listed = {item["version"]: item["state"] for item in (await rig.client.get("/v1/standards")).json()["items"]}
    assert listed == {"1.1.0": "effective", "1.0.5": "approved", "1.0.0": "superseded"}


async def test_a_change_that_was_fine_when_submitted_is_checked_again_when_it_takes_effect(rig: Rig) -> None:
    # V-19
    await in_effect(rig)
    people, own = await keys(rig, "dee", "eve"), {"authorization": rig.client.headers["authorization"]}
    await rig.client.put("/v1/standards", json=document("1.1.1"))
    for action, headers in (("submit", own), ("approve", people["dee"]), ("approve", people["eve"])):
        assert (await step(rig, action, headers, "1.1.1")).status_code == 200
    assert (await carried(rig, limited("1.1.0", 99))).json()["state"] == "effective"
    late = await step(rig, "effect", own, "1.1.1")
    assert (late.status_code, late.json()["code"]) == (422, "standard_version")


async def test_two_versions_taking_effect_at_once_leave_one_in_effect(rig: Rig) -> None:
    # V-19
    await in_effect(rig)
    people, own = await keys(rig, "dee", "eve"), {"authorization": rig.client.headers["authorization"]}
    for number in ("1.1.0", "1.2.0"):
        await rig.client.put("/v1/standards", json=document(number))
        for action, headers in (("submit", own), ("approve", people["dee"]), ("approve", people["eve"])):
            assert (await step(rig, action, headers, number)).status_code == 200
    await asyncio.gather(step(rig, "effect", own, "1.1.0"), step(rig, "effect", own, "1.2.0"))
    listed = {item["version"]: item["state"] for item in (await rig.client.get("/v1/standards")).json()["items"]}
    assert (listed["1.2.0"], listed["1.0.0"]) == ("effective", "superseded")
    assert listed["1.1.0"] in ("approved", "superseded")


async def test_after_its_last_day_a_version_is_expired_everywhere(rig: Rig) -> None:
    # V-19
    digest = await in_effect(rig)
    await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"})
    assert (await publish(rig, criteria(digest, 90, 1))).status_code == 201
    await rig.create("kept", criteria={"set": "own", "version": 1})
    assert (await rig.client.get("/v1/runs/kept")).json()["standard"]["state"] == "effective"
    await rig.rows(
        """update verification.standard_version set document = jsonb_set(document, '{effective_to}', '"2026-01-02"')
           returning 1"""
    )
    assert (await rig.client.get("/v1/standards/t-1/versions/1.0.0")).json()["state"] == "expired"
    assert (await rig.client.get("/v1/standards")).json()["items"][0]["state"] == "expired"
    refused = await publish(rig, criteria(digest, 90, 2))
    assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "standard_state", "expired")
    adopted = await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"})
    assert (adopted.status_code, adopted.json()["state"]) == (409, "expired")
    assert (await rig.client.get("/v1/runs/kept")).json()["standard"]["state"] == "expired"


async def test_a_run_says_that_its_standard_was_withdrawn(rig: Rig) -> None:
    # V-19
    digest = await in_effect(rig)
    await rig.client.post("/v1/standards/t-1/versions/1.0.0/adoptions", json={"platform": "p"})
    assert (await publish(rig, criteria(digest, 90, 1))).status_code == 201
    await step(rig, "withdraw", {"authorization": rig.client.headers["authorization"]})
    await rig.create("kept", criteria={"set": "own", "version": 1})
    shown = (await rig.client.get("/v1/runs/kept")).json()
    assert shown["standard"] == {"id": "t-1", "version": "1.0.0", "state": "withdrawn"}
    page = await rig.client.get("/runs/kept", headers={"accept-language": "zh"})
    assert "判据所依据的标准已不再有效： t-1 1.0.0 (已撤销)" in page.text
    await rig.create("plain")
    assert (await rig.client.get("/v1/runs/plain")).json()["standard"] is None


async def test_a_unit_that_is_none_never_becomes_a_draft(rig: Rig) -> None:
    # V-19
    wanted = document()
    wanted["criteria"][0]["high"] = {"value": 5, "unit": "frob"}
    refused = await rig.client.put("/v1/standards", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (422, "unit_unknown")
    assert refused.json()["field"] == "criteria[limit].high.unit"


async def test_a_draft_is_replaced_only_from_where_it_was_saved_or_above(rig: Rig) -> None:
    # V-19
    scopes = {"whole": EVERYTHING, "p": Scope(platform="p"), "p-too": Scope(platform="p"), "q": Scope(platform="q")}
    people = {name: (await keys(rig, name, scope=scope))[name] for name, scope in scopes.items()}

    async def save(who: str, version: int, high: float, query: str = "") -> int:
        wanted = copy.deepcopy(CRITERIA) | {"id": "drafted", "version": version}
        wanted["criteria"][0] |= {"high": {"value": high, "unit": "kPa"}}
        answer = await rig.client.post(f"/v1/criteria-sets{query}", json=wanted, headers=people[who])
        assert answer.status_code in (200, 201) or answer.json()["code"] == "criteria_draft_scope"
        return answer.status_code

    assert await save("p", 1, 90) == 201
    assert await save("p-too", 1, 91) == 201
    assert await save("q", 1, 92) == 403
    assert await save("q", 1, 91) == 200
    assert await save("whole", 1, 93) == 201
    assert await save("p", 1, 94) == 403
    assert await save("p", 1, 93, "?publish=true&line=l1") == 403
    assert await save("p", 2, 94) == 201
    stored = await rig.rows("select created_by from verification.criteria_set where set_id = 'drafted' and version = 1")
    assert stored[0][0] in people["whole"]["authorization"]


async def test_of_two_drafts_saved_at_once_neither_passes_by_the_others_scope(rig: Rig) -> None:
    # V-19
    bound = (await keys(rig, "p", scope=Scope(platform="p")))["p"]
    whole = {"authorization": rig.client.headers["authorization"]}

    async def save(version: int, high: float, headers: dict[str, str]) -> tuple[int, float]:
        wanted = copy.deepcopy(CRITERIA) | {"id": "drafted", "version": version}
        wanted["criteria"][0] |= {"high": {"value": high, "unit": "kPa"}}
        return (await rig.client.post("/v1/criteria-sets", json=wanted, headers=headers)).status_code, high

    for version in range(1, 9):
        answers = await asyncio.gather(save(version, 90, whole), save(version, 91, bound))
        stored = (await rig.client.get(f"/v1/criteria-sets/drafted/versions/{version}")).json()
        assert stored["document"]["criteria"][0]["high"]["value"] == 90
        assert answers[0] == (201, 90)
        assert answers[1][0] in (201, 403)


async def test_the_command_line_carries_a_standard_through_its_life(rig: Rig, tmp_path: Path) -> None:
    # V-19
    file = tmp_path / "standard.yaml"
    file.write_text(yaml.safe_dump(document()), encoding="utf-8")
    people = await keys(rig, "Ann", "Li Wei", "Chen Jie")

    async def run(who: str, *arguments: str) -> Any:
        common = ("--api", rig.base, "--key", people[who]["authorization"].removeprefix("Bearer "))
        return await asyncio.to_thread(CliRunner().invoke, standards, [*arguments, *common])

    assert "draft" in (await run("Ann", "import", str(file))).output
    for action, who in (("submit", "Ann"), ("approve", "Li Wei"), ("approve", "Chen Jie"), ("effect", "Ann")):
        done = await run(who, action, "t-1", "1.0.0", "--why", f"{action} it")
        assert done.exit_code == 0, done.output
    assert "p has adopted" in (await run("Ann", "adopt", "t-1", "1.0.0", "--platform", "p")).output
    assert "effective" in (await run("Ann", "list")).output
    shown = (await run("Ann", "show", "t-1", "1.0.0")).output
    assert "approved by Li Wei and Chen Jie" in shown
    assert "approve by Chen Jie: approve it" in shown
    assert "adopted by: p" in shown
    again = await run("Ann", "submit", "t-1", "1.0.0")
    assert (again.exit_code, "standard_state" in again.output) == (1, True)
    file.write_text(yaml.safe_dump(limited("1.0.1", 101)), encoding="utf-8")
    await run("Ann", "import", str(file))
    loosened = await run("Ann", "submit", "t-1", "1.0.1")
    assert (loosened.exit_code, "limit.high: is 101 kPa, the standard has 100 kPa (major)" in loosened.output) == (
        1,
        True,
    )
    named = await asyncio.to_thread(CliRunner().invoke, standards, ["effect", "t-1", "1.0.0", "--who", ""])
    assert "No such option" in named.output


def test_the_command_line_compares_without_a_server(tmp_path: Path) -> None:
    # V-19
    file, own = tmp_path / "standard.yaml", tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(document()), encoding="utf-8")
    own.write_text(yaml.safe_dump(criteria("0" * 64, 110, 1)), encoding="utf-8")
    loose = CliRunner().invoke(standards, ["compare", str(file), str(own)])
    assert (loose.exit_code, "limit.high" in loose.output) == (1, True)
    own.write_text(yaml.safe_dump(criteria("0" * 64, 99, 1)), encoding="utf-8")
    assert CliRunner().invoke(standards, ["compare", str(file), str(own)]).exit_code == 0
