"""An evidence pack computed again with nothing but itself: what was altered with all hashes made anew is still found (V-25)."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.verification.adapters.reports.verifying import Checked, verify_pack
from services.verification.domain.reports.archive import read_layout
from services.verification.domain.reports.document import document_digest
from services.verification.domain.reports.findings import FindingKind
from services.verification.domain.reports.pack import attachment_name
from services.verification.domain.reports.trust import Trust
from shared.kernel.canonical import canonical_json
from tests.unit.verification.reports.making import KEYS, PEOPLE, TRUST, Change, members, packed, signed, value_changed

FRAMES = "frames/line/one.v1.parquet"


def checked(documents: Mapping[str, bytes], trust: Trust | None = None) -> Checked:
    return verify_pack(memoryview(packed(documents)), trust=trust, say=lambda _: None)


def wheres(result: Checked, kind: FindingKind) -> list[str]:
    return [finding.where for finding in result.findings if finding.kind is kind]


def test_a_sound_pack_is_recomputed_from_its_frames(tmp_path: Path) -> None:
    """V-25: structure, hashes, frames, evaluation, figures and signatures fit."""
    result = checked(members(tmp_path), TRUST)
    assert result.findings == []
    assert (result.number, result.verdict, result.frames, result.rows) == ("VR-2026-000001", "pass", 18, 180)
    assert [(item.position, item.role, item.trusted) for item in result.signers] == [
        (1, "performed", True),
        (2, "reviewed", True),
        (3, "approved", True),
    ]


def test_random_bytes_in_every_part_of_a_real_pack_are_named(tmp_path: Path) -> None:
    """V-25: 500 changes, over headers, manifest, documents, Parquet files and directory; none unnoticed, each named right."""
    data = packed(members(tmp_path))
    entries = read_layout(memoryview(data)).entries
    parts = [(entry.start, entry.data) for entry in entries] + [(entry.data, entry.end) for entry in entries]
    parts.append((entries[-1].end, len(data)))
    chance = random.Random(2026)
    for number in range(500):
        place = chance.randrange(*parts[number % len(parts)])
        changed = bytearray(data)
        changed[place] ^= chance.randrange(1, 256)
        findings = verify_pack(memoryview(changed), trust=None, say=lambda _: None).findings
        assert [(item.kind, item.offset) for item in findings] == [(FindingKind.BYTE, place)], number


@pytest.mark.parametrize(("seq", "row"), [(0, 0), (7, 3), (11, 9)])
def test_a_changed_value_with_new_row_check_names_the_frame(tmp_path: Path, seq: int, row: int) -> None:
    """V-25: every hash of the file is made anew but the frame's content hash."""
    result = checked(members(tmp_path, change_frame=lambda frame: value_changed(frame, seq, row, rehash=False)))
    assert wheres(result, FindingKind.FRAME) == [f"line/one boot {seq}"]


def test_a_changed_value_alone_names_the_row(tmp_path: Path) -> None:
    """V-25: a value edited with a data tool, file and pack written anew around it: stream, boot, number and row are named."""
    documents = members(tmp_path)
    table = pq.read_table(pa.BufferReader(documents[FRAMES]))
    values = table.column("x").to_pylist()
    values[34] += 1.0
    index = table.schema.get_field_index("x")
    table = table.set_column(index, table.schema.field(index), pa.array(values, pa.float64()))
    out = pa.BufferOutputStream()
    pq.write_table(table, out)
    result = checked({**documents, FRAMES: out.getvalue().to_pybytes()})
    assert wheres(result, FindingKind.ROW) == ["line/one boot 3 4"]
    assert wheres(result, FindingKind.FRAME) == ["line/one boot 3"]


def test_frames_changed_with_every_hash_are_told_by_evidence_root_and_recomputation(tmp_path: Path) -> None:
    """V-25: content hashes made anew too: the signed evidence root and the recomputed digest and figures contradict."""
    result = checked(members(tmp_path, change_frame=lambda frame: value_changed(frame, 7, 3, rehash=True)))
    values = wheres(result, FindingKind.VALUE)
    assert "frames of line/one version 1" in values
    assert "evaluation 2 inputs_digest" in values
    assert "evaluation 2 digest" in values
    assert "report.json c2 margin" in values


def _better(results: Any) -> Any:
    results[0]["result"]["criteria"][0]["margin"] = 99.0
    return results


def _looser(report: Any) -> Any:
    report["document"]["results"][0]["requirement"][1]["value"]["value"] = 12.0
    return report


def _nicer(report: Any) -> Any:
    report["document"]["results"][0]["margin"] = 99.0
    report["digest"] = report["issue"]["digest"] = document_digest(report["document"])
    return report


def _later(report: Any) -> Any:
    report["document"]["run"]["phases"][0]["start"] += 1
    return report


@pytest.mark.parametrize(
    ("member", "change", "kind", "where"),
    [
        ("evaluations.json", _better, FindingKind.VALUE, "evaluations.json c0 margin"),
        ("report.json", _nicer, FindingKind.SIGNATURE, "1 performed"),
        ("report.json", _nicer, FindingKind.VALUE, "report.json c0 margin"),
        ("report.json", _looser, FindingKind.VALUE, "report.json digest"),
        ("report.json", _looser, FindingKind.VALUE, "report.json c0 requirement"),
        ("report.json", _later, FindingKind.VALUE, "report.json phases"),
        ("criteria.json", lambda c: c["criteria"][0]["high"].update(value=11.0) or c, FindingKind.VALUE, "criteria.json digest"),
        ("lifecycle.json", lambda r: r[1].update(at=1_000_000) or r, FindingKind.VALUE, "evaluation 2 digest"),
        ("streams.json", lambda s: s["versions"][0]["description"].update(max_age=1) or s, FindingKind.VALUE, "streams.json line/one"),
        ("deviations.json", lambda d: [*d, {"id": "d", "accepted_by": None}], FindingKind.VALUE, "deviations.json (evidence of the report)"),
        ("signatures.json", lambda s: s[:2], FindingKind.SIGNATURE, "3 approved"),
        ("signatures.json", lambda s: [s[0], s[2]], FindingKind.SIGNATURE, "2 approved"),
        ("signatures.json", lambda s: s[1].update(name="Wang Fei") or s, FindingKind.SIGNATURE, "2 reviewed"),
        ("keys.json", lambda k: k[:2], FindingKind.SIGNATURE, "3 approved"),
        ("keys.json", lambda _: [1], FindingKind.SIGNATURE, "keys.json 1"),
    ],
)  # fmt: skip
def test_documents_altered_with_all_hashes_made_anew(
    tmp_path: Path, member: str, change: Change, kind: FindingKind, where: str
) -> None:
    """V-24, V-25: recomputation, digests or signatures contradict whatever document is altered, and its place is named."""
    assert where in wheres(checked(members(tmp_path, change={member: change})), kind)


def test_a_report_signed_anew_by_strangers_is_told_by_the_trusted_keys(tmp_path: Path) -> None:
    """V-25: who forges everything consistently has still no trusted key; without any the fingerprints are shown for comparison."""
    documents = members(tmp_path)
    known = {name: TRUST.keys[KEYS[name].fingerprint] for name in ("li", "wang")}
    result = checked(documents, Trust({item.key.fingerprint: item for item in known.values()}, TRUST.policies))
    assert wheres(result, FindingKind.SIGNATURE) == ["3 approved"]
    assert [item.trusted for item in checked(documents).signers] == [None, None, None]


def test_documents_have_one_form_only(tmp_path: Path) -> None:
    """V-25: the same content written otherwise is not the same member."""
    documents = members(tmp_path)
    documents["deviations.json"] = b"[ ]"
    assert wheres(checked(documents), FindingKind.MEMBER) == ["deviations.json"]


def test_a_frame_left_out_put_in_twice_or_moved_is_found(tmp_path: Path) -> None:
    """V-25"""
    documents = members(tmp_path)
    table = pq.read_table(pa.BufferReader(documents[FRAMES]))
    for altered in (
        table.slice(0, 110),
        pa.concat_tables([table, table.slice(110)]),
        pa.concat_tables([table.slice(20), table.slice(0, 20)]),
    ):
        out = pa.BufferOutputStream()
        pq.write_table(altered, out)
        result = checked({**documents, FRAMES: out.getvalue().to_pybytes()})
        assert "frames of line/one version 1" in wheres(result, FindingKind.VALUE)


def test_another_engine_is_said_and_not_taken_for_a_contradiction(tmp_path: Path) -> None:
    """V-25: figures of another release of the evaluator cannot be computed here; everything else is still checked."""

    def other(report: Any) -> Any:
        for section in ("evaluation", "method"):
            report["document"][section]["engine"] = "pilotline-evaluator/0"
        report["digest"] = report["issue"]["digest"] = document_digest(report["document"])
        return report

    documents = members(tmp_path, change={"report.json": other})
    document = json.loads(documents["report.json"])["document"]
    documents["signatures.json"] = canonical_json([item.document() for item in signed(document, PEOPLE)])
    result = checked(documents)
    assert result.findings == []
    assert "pilotline-evaluator/0" in result.unable


def test_files_are_those_that_the_records_name(tmp_path: Path) -> None:
    """V-25: a file put in, and one taken out."""
    documents = members(tmp_path)
    name = attachment_name("0" * 64)
    assert wheres(checked({**documents, name: b"something"}), FindingKind.MEMBER) == [name]

    def with_file(records: Any) -> Any:
        entered = {"type": "result_entered", "event_id": "e", "run": "run", "line": "line", "at": 5, "criterion": "c9", "entry": "n",
                   "entered_by": "li", "attachment": "0" * 64}  # fmt: skip
        return [*records, entered]

    assert name in wheres(checked(members(tmp_path, change={"lifecycle.json": with_file})), FindingKind.MEMBER)
