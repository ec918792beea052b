"""Reports on real servers: drafted, signed by three people on the command line, issued, amended; their packs verified without the servers."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio
from click.testing import CliRunner

from services.cli import main
from services.verification.domain.reports.archive import read_layout
from services.verification.domain.reports.pack import attachment_name
from services.verification.domain.reports.profile import load_particulars
from tests.integration.verification.rig import Batch, Rig, batches, until
from tests.integration.verification.test_entries import begin as begin_with_people
from tests.integration.verification.test_entries import second_person
from tests.report_font import have_report_font
from tests.unit.verification.reports.making import PARTICULARS_TEXT, PROFILE_TEXT

pytestmark = pytest.mark.stack

PROFILE = PROFILE_TEXT.replace("platform: platform", "platform: p")
ROLES = {"li": "performed", "wang": "reviewed", "chen": "approved"}


class Desk:
    """A person at a shell, with the commands of `pilotline reports`."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.folder = folder
        self._key = rig.client.headers["authorization"].removeprefix("Bearer ")
        for name, text in (("profile.yaml", PROFILE), ("particulars.yaml", PARTICULARS_TEXT)):
            (folder / name).write_text(text, encoding="utf-8")

    def file(self, name: str) -> str:
        return str(self.folder / name)

    async def call(self, *words: str, code: int = 0) -> str:
        access = ["--api", self.rig.base, "--key", self._key]
        result = await asyncio.to_thread(CliRunner().invoke, main, ["reports", *words, *access])
        assert result.exit_code == code, result.output
        return result.output

    async def verify(self, name: str, *words: str) -> tuple[int, str]:
        result = await asyncio.to_thread(CliRunner().invoke, main, ["verify", self.file(name), *words])
        return result.exit_code, result.output

    async def open(self) -> None:
        """Profile and keys."""
        await self.call("profile", "apply", self.file("profile.yaml"))
        for person, role in ROLES.items():
            words = ("--name", person.title(), "--role", role, "--platform", "p", "--file", self.file(f"{person}.pem"))
            await self.call("keys", "create", person, *words)

    async def draft(self, run: str = "r", code: int = 0) -> str:
        return await self.call("draft", run, "--particulars", self.file("particulars.yaml"), code=code)

    async def sign(self, number: str, person: str, code: int = 0) -> str:
        return await self.call("sign", number, "--file", self.file(f"{person}.pem"), "--yes", code=code)

    async def issue(self, number: str) -> None:
        for person in ROLES:
            await self.sign(number, person)
        await self.call("issue", number)


@pytest_asyncio.fixture
async def desk(rig: Rig, tmp_path: Path) -> Desk:
    return Desk(rig, tmp_path)


async def finished(rig: Rig, run: str = "r", *frames: Batch) -> dict[str, Any]:
    await rig.begin(run)
    await rig.send(*(frames or batches()))
    await rig.end(run)
    return await rig.closed(run)


async def test_a_report_from_draft_to_a_pack_that_a_stranger_verifies(desk: Desk, rig: Rig) -> None:
    # V-23, V-24, V-25
    have_report_font()
    run = await finished(rig)
    await desk.open()
    assert stat.S_IMODE((desk.folder / "li.pem").stat().st_mode) == 0o600
    made = await desk.draft()
    assert made.startswith("p/VR-")
    number = made.split()[0]

    balance = (await rig.client.get("/v1/runs/r/criteria/balance")).json()["row"]
    assert (balance["worst_value"], balance["measured"]) == (24.0, {"value": 1.0, "unit": "kg/h"})
    evidence = (await rig.client.get("/runs/r/criteria/balance/evidence?lang=en")).text
    assert ("Measured" in evidence, "Least left of the tolerance" in evidence) == (True, True)
    document = json.loads(await desk.call("show", number, "--json"))["document"]
    assert {item["criterion"]: item.get("measured") for item in document["results"]}["balance"] == balance["measured"]

    await desk.call("issue", number, code=1)
    for person in ROLES:
        await desk.sign(number, person)
    await desk.call("issue", number)
    await desk.call("pack", number.split("/")[1], "-o", desk.file("pack.zip"))
    (desk.folder / "keys.json").write_text(
        await desk.call("keys", "list", "--json", "--platform", "p"), encoding="utf-8"
    )
    code, text = await desk.verify("pack.zip", "--keys", desk.file("keys.json"))
    assert code == 0, text
    assert run["digest"] in text
    assert "signature 3 approved: Chen, trusted key" in text

    await desk.call("pdf", number, "--lang", "en", "-o", desk.file("report.pdf"))
    assert (desk.folder / "report.pdf").read_bytes().startswith(b"%PDF-1.7")
    await desk.call("html", number, "-o", desk.file("report.html"))
    assert "中试验证报告" in (desk.folder / "report.html").read_text(encoding="utf-8")
    page = await rig.client.get("/runs/r/reports?lang=zh")
    assert (page.status_code, "已签发" in page.text, number.split("/")[1] in page.text) == (200, True, True)
    for form, start in (("html", b"<!doctype html>"), ("pdf", b"%PDF"), ("zip", b"PK")):
        got = await rig.client.get(f"/runs/r/reports/{number.split('/')[1]}.{form}")
        assert (got.status_code, got.content.startswith(start)) == (200, True)
    assert (await rig.client.get("/runs/r/reports/VR-1999-000001.pdf")).status_code == 404
    assert (await rig.client.get("/runs/r?lang=en")).text.count("/runs/r/reports") == 1

    await desk.call("pack", number, "-o", desk.file("again.zip"))
    assert (desk.folder / "again.zip").read_bytes() == (desk.folder / "pack.zip").read_bytes()

    data = bytearray((desk.folder / "pack.zip").read_bytes())
    entry = next(item for item in read_layout(memoryview(data)).entries if item.name.startswith("frames/l1/fast"))
    data[entry.data + 999] ^= 4
    (desk.folder / "changed.zip").write_bytes(data)
    code, text = await desk.verify("changed.zip")
    assert code == 1
    assert f"byte {entry.name}, byte {entry.data + 999} of the pack (byte 999 of the member)" in text


async def test_signatures_in_order_by_different_people_and_nothing_after_the_last(desk: Desk, rig: Rig) -> None:
    # V-24
    await finished(rig)
    await desk.open()
    number = (await desk.draft()).split()[0]
    assert "signature_role" in await desk.sign(number, "wang", code=1)
    await desk.sign(number, "li")
    assert "signature_twice" in await desk.sign(number, "li", code=1)
    missing = await rig.client.post(f"/v1/reports/{number}/issue")
    assert (missing.status_code, missing.json()["code"], missing.json()["missing"]) == (
        409, "report_signature_missing", ["reviewed", "approved"],
    )  # fmt: skip
    await desk.sign(number, "wang")
    await desk.sign(number, "chen")
    assert "takes no signature" in await desk.sign(number, "chen", code=1)
    await desk.call("issue", number)
    shown = json.loads(await desk.call("show", number, "--json"))
    again = await rig.client.post(f"/v1/reports/{number}/signatures", json={"signature": shown["signatures"][0]})
    assert (again.status_code, again.json()["code"]) == (409, "report_closed")
    assert "report_closed" in await desk.call("void", number, "--reason", "no", code=1)
    for statement in (
        "update verification.report set digest = 'x'",
        "delete from verification.report",
        "update verification.report_signature set position = 9",
        "delete from verification.report_member",
    ):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            await rig.rows(statement)


async def test_keys_unknown_revoked_and_clocks_that_are_off(desk: Desk, rig: Rig) -> None:
    # V-24
    await finished(rig)
    await desk.open()
    number = (await desk.draft()).split()[0]
    keys = (await rig.client.get("/v1/reports/keys/p")).json()["items"]
    li = next(key for key in keys if key["person"] == "li")
    await desk.call("keys", "revoke", li["fingerprint"], "--platform", "p")
    assert "signature_key_revoked" in await desk.sign(number, "li", code=1)
    statement = {
        "document": "d", "role": "performed", "signer": "li", "name": "Li", "key": "0" * 64, "position": 1, "previous": "",
        "signed_at": 5, "signature": "00",
    }  # fmt: skip
    answer = await rig.client.post(f"/v1/reports/{number}/signatures", json={"signature": statement})
    assert (answer.status_code, answer.json()["code"]) == (404, "signature_key_unknown")
    wang = next(key for key in keys if key["person"] == "wang")
    late = {**statement, "key": wang["fingerprint"], "signer": "wang"}
    for signed_at in (5, 999999999999999999999999, -(10**30)):
        body = {"signature": late | {"signed_at": signed_at}}
        answer = await rig.client.post(f"/v1/reports/{number}/signatures", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "signature_time"), answer.text
        assert (answer.json()["field"], bool(answer.json()["remedy"])) == ("signed_at", True)


async def test_refusals_before_a_draft(desk: Desk, rig: Rig) -> None:
    # V-23: no profile; a run that goes on; a mismatch; an undecided criterion; a second draft. None of them takes a number.
    await rig.begin("r")
    await rig.send(*batches())
    assert "report_run_open" in await desk.draft(code=1)
    await rig.end("r")
    await rig.closed("r")
    assert "report_profile_missing" in await desk.draft(code=1)
    await desk.open()

    await rig.rows("update verification.run set verdict_state = 'provisional' where run_id = 'r' returning 1")
    assert "report_not_final" in await desk.draft(code=1)
    await rig.rows(
        """insert into verification.evaluation_mismatch (run_id, live, stored, live_digest, stored_digest, difference)
           values ('r', 1, 2, 'a', 'b', '[]') returning 1"""
    )
    assert "report_mismatch" in await desk.draft(code=1)
    await rig.rows("delete from verification.evaluation_mismatch returning 1")
    await rig.rows("update verification.run set verdict_state = 'final' where run_id = 'r' returning 1")

    assert "VR-" in await desk.draft()
    assert "report_draft_open" in await desk.draft(code=1)
    numbers = await rig.rows("select number, state from verification.report")
    assert [(number[-6:], state) for number, state in numbers] == [("000001", "draft")]


async def test_texts_that_cannot_be_printed_or_kept_are_refused_by_field(desk: Desk, rig: Rig) -> None:
    # V-23: what is signed can be printed; a reason says something. None of the refused drafts takes a number.
    have_report_font()
    await finished(rig)
    await desk.open()
    particulars = load_particulars(PARTICULARS_TEXT).model_dump(mode="json")

    async def refused(path: str, body: dict[str, Any]) -> tuple[str, str]:
        answer = await rig.client.post(f"/v1/reports{path}", json=body)
        problem = answer.json()
        assert (answer.status_code, bool(problem["remedy"])) == (422, True), answer.text
        return problem["code"], problem["field"]

    rocket = {"en": "fine", "zh": "火箭 \N{ROCKET}"}
    assert await refused("", {"run": "r", "particulars": particulars | {"opinions": rocket}}) == (
        "report_character_missing", "particulars.opinions.zh",
    )  # fmt: skip
    for changed in ({"opinions": {"en": "a\0b", "zh": "b"}}, {"externals": [{"provider": "a\0", "what": rocket}]}):
        assert (await refused("", {"run": "r", "particulars": particulars | changed}))[0] == "text_unusable"

    chemistry = {"en": "CO₂ 0.5 mol·L⁻¹", "zh": "二氧化碳 CO₂"}
    made = await rig.client.post("/v1/reports", json={"run": "r", "particulars": particulars | {"opinions": chemistry}})
    assert (made.status_code, made.json()["number"][-6:]) == (201, "000001"), made.text
    place = f"/{made.json()['report']}"
    assert (await rig.client.get(f"/v1/reports{place}/pdf")).content.startswith(b"%PDF")
    for reason in ("   ", "\n"):
        assert await refused(f"{place}/void", {"reason": reason}) == ("request_invalid", "reason")
        assert await refused(f"{place}/amendments", {"reason": reason}) == ("request_invalid", "reason")


async def test_a_name_that_cannot_be_printed_does_not_sign(desk: Desk, rig: Rig) -> None:
    # V-23, V-24
    have_report_font()
    await finished(rig)
    await desk.open()
    number = (await desk.draft()).split()[0]
    words = ("--name", "Zhao \N{ROCKET}", "--role", "performed", "--platform", "p", "--file", desk.file("zhao.pem"))
    await desk.call("keys", "create", "zhao", *words)
    assert "report_character_missing" in await desk.sign(number, "zhao", code=1)
    await desk.sign(number, "li")


async def test_an_undecided_run_has_no_report(desk: Desk, rig: Rig) -> None:
    # V-23, V-10: no data at all
    await rig.begin("r")
    await rig.end("r")
    await rig.closed("r")
    assert (await rig.words("r"))["limit"] == "inconclusive"
    await desk.open()
    assert "report_undecided: not decided, and no accepted deviation: limit" in await desk.draft(code=1)


async def test_an_accepted_deviation_lets_an_undecided_run_be_reported(desk: Desk, rig: Rig) -> None:
    # V-23, V-9: recorded by one person, accepted by another; then the report tells it, and its pack still fits.
    await rig.begin("r")
    await rig.end("r")
    await rig.closed("r")
    await desk.open()
    async with second_person(rig) as (second, _):
        for name in [name for name, word in (await rig.words("r")).items() if word == "inconclusive"]:
            body = {"criterion": name, "kind": "undecided", "reason": "the logger was off"}
            made = (await rig.client.post("/v1/runs/r/deviations", json=body)).json()
            assert "report_undecided" in await desk.draft(code=1)
            accepted = await second.post(f"/v1/runs/r/deviations/{made['deviation']}/accept", json={})
            assert accepted.status_code == 200, accepted.text
    number = (await desk.draft()).split()[0]
    await desk.issue(number)
    document = json.loads(await desk.call("show", number, "--json"))["document"]
    assert "limit" in {item["criterion"] for item in document["deviations"]}
    assert all(item["accepted_by"] != item["recorded_by"] for item in document["deviations"])
    await desk.call("pack", number, "-o", desk.file("pack.zip"))
    code, text = await desk.verify("pack.zip", "--quiet")
    assert code == 0, text


async def test_a_laboratory_result_is_in_the_report_and_recomputed(desk: Desk, rig: Rig) -> None:
    # V-6, V-23, V-25: entered after the end by one person, confirmed by another.
    await begin_with_people(rig)
    await rig.send(*batches())
    await rig.end("r")
    await rig.closed("r")
    await desk.open()
    picture = await rig.client.post(
        "/v1/runs/r/attachments", content=b"a picture", headers={"content-type": "image/png"}
    )
    entries: list[dict[str, Any]] = [
        {"criterion": "yield", "value": {"value": 95.0, "unit": "%"}, "uncertainty": 0.5},
        {"criterion": "look", "passed": True, "attachment": picture.json()["sha256"]},
    ]
    async with second_person(rig) as (second, _):
        for body in entries:
            answer = await rig.client.post("/v1/runs/r/results", json=body)
            assert answer.status_code == 201, answer.text
            made = answer.json()
            assert (await second.post(f"/v1/runs/r/results/{made['entry']}/confirm", json={})).status_code == 200

    async def passed() -> bool:
        head = (await rig.run("r"))["head"]
        return (head["verdict"], head["verdict_state"]) == ("pass", "final")

    await until(passed, "verdict with the results")
    number = (await desk.draft()).split()[0]
    results = {
        item["criterion"]: item for item in json.loads(await desk.call("show", number, "--json"))["document"]["results"]
    }
    (entry,) = results["yield"]["entered"]
    assert (entry["value"], entry["unit"], entry["uncertainty"]) == (95.0, "%", 0.5)
    assert entry["confirmed_by"] not in (None, entry["entered_by"])
    await desk.issue(number)
    await desk.call("pack", number, "-o", desk.file("pack.zip"))
    code, text = await desk.verify("pack.zip", "--quiet")
    assert code == 0, text
    names = [item.name for item in read_layout(memoryview((desk.folder / "pack.zip").read_bytes())).entries]
    assert attachment_name(picture.json()["sha256"]) in names


async def test_numbers_have_no_gap_and_amendments_say_what_they_replace(desk: Desk, rig: Rig) -> None:
    # V-23
    await finished(rig)
    await desk.open()
    first = (await desk.draft()).split()[0]
    await desk.call("void", first, "--reason", "wrong customer contact")
    second = (await desk.draft()).split()[0]
    await desk.issue(second)
    assert "report_issued_before" in await desk.draft(code=1)
    assert "report_not_issued" in await desk.call("amend", first, "--reason", "x", code=1)
    third = (await desk.call("amend", second, "--reason", "the item's revision was wrong")).split()[0]
    assert [name[-6:] for name in (first, second, third)] == ["000001", "000002", "000003"]
    await desk.issue(third)
    document = json.loads(await desk.call("show", third, "--json"))["document"]
    replaced = json.loads(await desk.call("show", second, "--json"))
    assert document["replaces"] == {
        "number": second.split("/")[1], "digest": replaced["digest"], "reason": "the item's revision was wrong",
    }  # fmt: skip
    assert (replaced["state"], replaced["replaced_by"]) == ("issued", third.split("/")[1])
    assert "report_replaced_before" in await desk.call("amend", second, "--reason", "again", code=1)
    listed = (await rig.client.get("/v1/reports?limit=2")).json()
    assert [item["number"][-6:] for item in listed["items"]] == ["000003", "000002"]
    rest = (await rig.client.get(f"/v1/reports?limit=2&after={listed['next']}")).json()
    assert ([item["number"][-6:] for item in rest["items"]], rest["next"]) == (["000001"], None)


async def test_late_data_after_the_draft_stop_the_issue_but_not_the_pack(desk: Desk, rig: Rig) -> None:
    # V-15, V-23, V-25: the draft tells of an evaluation that is superseded; an issued report keeps its evidence.
    await finished(rig, "r", *batches()[:-2])
    await desk.open()
    number = (await desk.draft()).split()[0]
    for person in ROLES:
        await desk.sign(number, person)
    await desk.call("pack", number, "-o", desk.file("before.zip"))
    await rig.send(*batches()[-2:])
    await rig.closed("r", evaluations=3)
    assert "report_superseded" in await desk.call("issue", number, code=1)
    await desk.call("pack", number, "-o", desk.file("after.zip"))
    assert (desk.folder / "after.zip").read_bytes() == (desk.folder / "before.zip").read_bytes()
    code, text = await desk.verify("after.zip", "--quiet")
    assert code == 0, text


async def test_altered_storage_gives_neither_draft_nor_pack(desk: Desk, rig: Rig) -> None:
    # V-25: a value changed in the database, with its content hash made anew.
    await finished(rig)
    await desk.open()
    number = (await desk.draft()).split()[0]
    values = (await rig.rows("select vals from ingest.block where seq_from = 3 order by k, length(vals) desc limit 1"))[
        0
    ][0]
    changed = np.frombuffer(values, "<f8").copy()
    changed[0] += 1.0
    async with rig.pool.connection() as connection:
        await connection.execute("update ingest.block set vals = %s where vals = %s", (changed.tobytes(), values))
    await desk.call("pack", number, "-o", desk.file("pack.zip"))
    code, text = await desk.verify("pack.zip", "--quiet")
    assert code == 1
    assert "frame l1/fast b1 3" in text
    await desk.call("void", number, "--reason", "x")
    assert "report_not_reproduced" in await desk.draft(code=1)
