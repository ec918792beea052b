"""Packs that somebody made who has no key, one key, or a key that counts no more: consistent in themselves, and still told (V-24, V-25)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from services.verification.adapters.reports import frames
from services.verification.adapters.reports.verifying import Checked, verify_pack
from services.verification.domain.reports.document import document_digest
from services.verification.domain.reports.findings import FindingKind
from services.verification.domain.reports.members import report_members
from services.verification.domain.reports.signatures import PublicKey, Signature, fingerprint, next_statement, sign
from services.verification.domain.reports.trust import RegisteredKey, Trust, load_trust
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid
from tests.unit.verification.reports.making import (
    KEYS,
    POLICY,
    PRIVATE,
    SIGNED_AT,
    TRUST,
    Change,
    members,
    packed,
    trust_file,
)

Alter = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return members(tmp_path_factory.mktemp("pack"))


def checked(documents: dict[str, bytes], trust: Trust | None = TRUST) -> Checked:
    return verify_pack(memoryview(packed(documents)), trust=trust, say=lambda _: None)


def wheres(result: Checked) -> list[str]:
    return [finding.where for finding in result.findings]


def altered(documents: dict[str, bytes], name: str, change: Change) -> dict[str, bytes]:
    return {**documents, name: canonical_json(change(json.loads(documents[name])))}


def forged(
    documents: dict[str, bytes],
    alter: Alter,
    people: Sequence[tuple[str, PublicKey]] = tuple(KEYS.items()),
    signed_at: int = SIGNED_AT,
) -> dict[str, bytes]:
    """The report altered, with its digest made anew, and signed by whose private keys the forger has, under the names given."""
    report = json.loads(documents["report.json"])
    document = report["document"]
    alter(document)
    digest = document_digest(document)
    chain: list[Signature] = []
    for (owner, key), role in zip(people, document["signatures"], strict=False):
        statement = next_statement(digest, document["signatures"], chain, key, role, signed_at)
        chain.append(sign(PRIVATE[owner], statement))
    issue = {"number": document["number"], "digest": digest, "issued_at": SIGNED_AT}
    keys = [key for _, key in people][: len(chain)]
    return {**documents, **report_members(document, digest, issue, chain, keys)}


def test_a_report_that_nobody_signed_is_no_report(sound: dict[str, bytes]) -> None:
    """V-24: also where the report itself asks for no signature, or for one in a role that there is not."""
    for policy in ([], ["nobody"], ["performed", "performed"]):
        made = forged(sound, lambda document, policy=policy: document.update(signatures=policy), ())  # type: ignore[misc]
        assert "policy" in wheres(checked(made, None))


def test_one_key_is_not_enough_for_a_report_by_fewer_people(sound: dict[str, bytes]) -> None:
    """V-24: the report names its own policy; whether the platform asks for that, only the reader knows."""
    made = forged(sound, lambda document: document.update(signatures=["performed"]), [("li", KEYS["li"])])
    assert wheres(checked(made, None)) == []
    assert wheres(checked(made)) == ["policy"]


def test_a_key_signs_as_the_person_it_is_registered_for(sound: dict[str, bytes]) -> None:
    """V-25: Li's key under Chen's name, and with a role that Li does not have."""
    performs = replace(KEYS["li"], roles=("performed",))
    trust = Trust(
        {**TRUST.keys, performs.fingerprint: RegisteredKey(performs, 0, None)}, {"verification": [["approved"]]}
    )
    chen = replace(KEYS["chen"], public_key=performs.public_key)
    made = forged(sound, lambda document: document.update(signatures=["approved"]), [("li", chen)])
    assert wheres(checked(made, trust))[:2] == ["keys.json 1", "1 approved"]
    assert [item.trusted for item in checked(made, trust).signers] == []


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (RegisteredKey(KEYS["wang"], 0, SIGNED_AT), "was revoked at"),
        (RegisteredKey(KEYS["wang"], SIGNED_AT + 700_000_000, None), "before the key was registered"),
    ],
)
def test_a_key_counts_from_registration_to_revocation(
    sound: dict[str, bytes], known: RegisteredKey, reason: str
) -> None:
    """V-24, V-25: what was signed before a revocation stays valid."""
    later = replace(known, revoked_at=SIGNED_AT + 1) if known.revoked_at else replace(known, registered_at=SIGNED_AT)
    for item, expected in ((known, ["2 reviewed"]), (later, [])):
        result = checked(sound, Trust({**TRUST.keys, item.key.fingerprint: item}, TRUST.policies))
        assert wheres(result) == expected
        assert all(reason in finding.detail for finding in result.findings)


def test_nobody_signs_a_report_before_it_is_drafted(sound: dict[str, bytes]) -> None:
    """V-24: but for the difference of clocks."""
    assert wheres(checked(forged(sound, lambda _: None, signed_at=SIGNED_AT - 599_000_000), None)) == []
    early = checked(forged(sound, lambda _: None, signed_at=SIGNED_AT - 601_000_000), None)
    assert wheres(early) == ["1 performed", "2 reviewed", "3 approved"]


@pytest.mark.parametrize(
    "issue",
    [{"issued_at": 1}, {"issued_at": "never"}, {"issued_at": True}, {"by": "Mallory"}, {"number": "VR-2026-000002"}],
)
def test_a_record_of_issue_is_of_this_report_and_after_its_signatures(sound: dict[str, bytes], issue: Any) -> None:
    """V-24"""
    made = altered(sound, "report.json", lambda report: report | {"issue": report["issue"] | issue})
    assert wheres(checked(made)) == ["report.json issue"]


@pytest.mark.parametrize(
    ("member", "change", "where"),
    [
        ("report.json", lambda report: report | {"remark": "x"}, "report.json remark"),
        ("keys.json", lambda keys: [keys[0] | {"roles": ["performed"]}, *keys[1:]], "keys.json 1"),
        ("keys.json", lambda keys: [keys[0] | {"fingerprint": "0" * 64}, *keys[1:]], "keys.json 1"),
        ("keys.json", lambda keys: [keys[0] | {"roles": "performed"}, *keys[1:]], "keys.json 1"),
        ("keys.json", lambda keys: [keys[0] | {"note": "x"}, *keys[1:]], "keys.json 1"),
        ("keys.json", lambda keys: [*keys, keys[0]], "keys.json"),
        ("keys.json", lambda keys: [*keys, _stranger().document()], "keys.json"),
        ("results.json", lambda _: [{"type": "result_entered"}], "results.json"),
        ("signatures.json", lambda chain: [chain[0] | {"key": {}}, *chain[1:]], "1 performed"),
    ],
)
def test_nothing_stands_beside_what_is_signed(sound: dict[str, bytes], member: str, change: Change, where: str) -> None:
    """V-25: neither other keys, nor wider ones, nor a field more."""
    assert where in wheres(checked(altered(sound, member, change)))


def _stranger() -> PublicKey:
    return PublicKey("mallory", "Mallory", "0b" * 32, POLICY)


def _first_stream(document: dict[str, Any]) -> dict[str, Any]:
    stream: dict[str, Any] = document["data_quality"]["streams"][0]
    return stream


@pytest.mark.parametrize(
    ("alter", "where"),
    [
        (lambda d: d["end_mark"].update(en="x"), "report.json end_mark"),
        (lambda d: d["statements"].pop("comparison"), "report.json statements"),
        (lambda d: d["results"][0].update(margin=9.0), "report.json c0 margin"),
        (lambda d: d["customer"].update(id="x"), "report.json customer id"),
        (lambda d: d["dates"].update(performed_to=1), "report.json dates performed_to"),
        (lambda d: d["dates"].update(performed_from=1), "report.json dates performed_from"),
        (lambda d: d["method"].update(criteria_version=9), "report.json method"),
        (lambda d: d["method"].update(streams=[]), "report.json method"),
        (lambda d: d["run"].update(project="x"), "report.json run project"),
        (lambda d: d["run"].update(history=[]), "report.json run history"),
        (lambda d: d["run"].update(end_reason="x"), "report.json run end_reason"),
        (lambda d: d["run"].pop("phases"), "report.json"),
        (lambda d: d["evaluation"].update(verdict="fail"), "evaluation 2 verdict"),
        (lambda d: d["evaluation"].update(cause="x"), "evaluation 2 cause"),
        (lambda d: d["data_quality"].update(streams=[]), "report.json data_quality"),
        (lambda d: _first_stream(d).update(rows=7), "report.json data_quality line/one rows"),
        (lambda d: d["results"][0].update(note="x"), "report.json c0 note"),
        (lambda d: d["evidence"]["parts"].append({"part": "x", "sha256": ""}), "evidence x"),
    ],
)
def test_signers_cannot_sign_what_the_pack_contradicts(sound: dict[str, bytes], alter: Alter, where: str) -> None:
    """V-25: all three signed it, and still it is not what happened."""
    assert where in wheres(checked(forged(sound, alter)))


def test_the_frames_of_a_stream_arrived_together_or_not_at_all(tmp_path: Path) -> None:
    """V-25: arrival times and Kafka positions decide nothing and are in no digest; but a frame has one of them."""
    original = frames._columns

    def moved(stored: Sequence[Any]) -> list[Any]:
        columns = original(stored)
        offsets = np.array(columns[-1])
        offsets[3] += 1
        return [*columns[:-1], pa.array(offsets, pa.int64())]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "_columns", moved)
        made = members(tmp_path)
    assert ("line/one b 0 3" in wheres(checked(made))) or ("line/one boot 0 3" in wheres(checked(made)))


def test_made_up_parquet_is_told_and_never_breaks_the_reader(sound: dict[str, bytes]) -> None:
    """V-25: changed bytes whose hashes were made anew."""
    name = "frames/line/one.v1.parquet"
    chance = random.Random(7)
    told = 0
    for _ in range(120):
        data = bytearray(sound[name])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(4, len(data))] ^= chance.randrange(1, 256)
        result = checked({**sound, name: bytes(data)})
        told += bool(result.findings)
    assert told > 60


@pytest.mark.parametrize(
    ("member", "change", "where"),
    [
        ("lifecycle.json", lambda _: [], "lifecycle.json"),
        ("lifecycle.json", lambda records: [records[0] | {"streams": 3}, *records[1:]], "lifecycle.json"),
        ("streams.json", lambda _: {"pinned": [], "versions": 3}, "streams.json"),
        ("criteria.json", lambda criteria: criteria | {"phases": []}, "criteria.json"),
        ("signatures.json", lambda _: 7, "signatures.json"),
        ("deviations.json", lambda _: [{}], "report.json"),
    ],
)
def test_the_member_that_cannot_be_understood_is_named(
    sound: dict[str, bytes], member: str, change: Change, where: str
) -> None:
    """V-25: in one line, whatever was put into it."""
    [finding] = [item for item in checked(altered(sound, member, change)).findings if item.kind is FindingKind.MEMBER]
    assert finding.where == where
    assert "\n" not in finding.detail


def test_a_document_nested_too_deep_is_told(sound: dict[str, bytes]) -> None:
    """V-25"""
    deep = b"[" * 100_000 + b"]" * 100_000
    assert wheres(checked({**sound, "deviations.json": deep})) == ["deviations.json"]
    with pytest.raises(Invalid):
        load_trust(deep)


def test_the_platforms_word_on_keys_and_policies_is_read_whole() -> None:
    """V-25"""
    assert load_trust(trust_file().encode()) == replace(TRUST, policies={"verification": [list(POLICY)]})
    for text in ("[]", "{}", '{"items": [{}], "policies": {}}', trust_file().replace('"performed"', "7", 1), "no"):
        with pytest.raises(Invalid) as caught:
            load_trust(text.encode())
        assert caught.value.code == "trust_malformed"


@pytest.mark.parametrize(
    "y",
    [
        0,
        1,
        2**255 - 20,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        2**255 - 18,  # y = 1, not reduced
    ],
)
@pytest.mark.parametrize("sign_bit", [0, 2**255])
def test_points_of_small_order_are_no_keys(y: int, sign_bit: int) -> None:
    """V-24: whoever registers one can be signed for by anybody."""
    with pytest.raises(Invalid) as caught:
        fingerprint((y + sign_bit).to_bytes(32, "little").hex())
    assert caught.value.code == "signature_key"
