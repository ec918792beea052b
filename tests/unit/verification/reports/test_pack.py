"""The container of an evidence pack: any unzip reads it, and no byte of it can be changed without being named (V-25)."""

from __future__ import annotations

import io
import random
import zipfile
import zlib

import pytest

from services.verification.domain.reports.archive import Entry, read_layout
from services.verification.domain.reports.damage import changed_bytes
from services.verification.domain.reports.findings import FindingKind
from services.verification.domain.reports.manifest import MANIFEST, describe
from services.verification.domain.reports.merkle import MerkleTree, merkle_root
from services.verification.domain.reports.pack import DOCUMENTS, inspect
from services.verification.domain.reports.packing import whole, write_pack
from shared.kernel.canonical import canonical_json


def members(seed: int = 1) -> dict[str, bytes]:
    made = {name: canonical_json({"name": name, "value": [1.5, "量"]}) for name in DOCUMENTS}
    made["frames/l1/fast.v1.parquet"] = random.Random(seed).randbytes(30_000)
    made["frames/l1/slow.v2.parquet"] = random.Random(seed + 1).randbytes(4096)
    return made


def packed(made: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    write_pack([whole(name, data) for name, data in made.items()], out.write)
    return out.getvalue()


def layout_of(data: bytes) -> tuple[Entry, ...]:
    return read_layout(memoryview(data)).entries


def test_any_unzip_reads_a_pack_and_its_bytes_depend_on_its_members_only() -> None:
    """V-25: a stranger needs no tool of ours to look into a pack."""
    made = members()
    data = packed(made)
    assert packed(dict(reversed(made.items()))) == data
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [MANIFEST, *sorted(made)]
        assert {name: opened.read(name) for name in made} == made
        assert {info.compress_type for info in opened.infolist()} == {zipfile.ZIP_STORED}
    found = inspect(memoryview(data))
    assert found.findings == ()
    assert {name: bytes(member) for name, member in found.members.items() if name != MANIFEST} == made


def test_five_hundred_changed_bytes_in_every_part_are_named_exactly() -> None:
    """V-25: one changed byte, wherever it lies (headers, manifest, documents, frames, directory), is found and named by its place."""
    data = packed(members())
    layout = layout_of(data)
    chance = random.Random(25)
    parts = [(entry.start, entry.data) for entry in layout]
    parts += [(entry.data, entry.end) for entry in layout]
    parts += [(layout[-1].end, len(data))] * 8
    for number in range(500):
        start, end = parts[number % len(parts)]
        place = chance.randrange(start, end)
        changed = bytearray(data)
        changed[place] ^= chance.randrange(1, 256)
        findings = inspect(memoryview(changed)).findings
        assert [finding.offset for finding in findings] == [place], (number, place, findings)
        assert findings[0].kind is FindingKind.BYTE
        for entry in layout:
            if entry.data <= place < entry.end:
                assert (findings[0].where, findings[0].member_offset) == (entry.name, place - entry.data)


def test_every_byte_of_the_structure_is_accounted_for() -> None:
    """V-25: no field of a header is left unread, the ones an unzip ignores among them."""
    data = packed(dict.fromkeys(DOCUMENTS, b"1"))
    layout = layout_of(data)
    inside = {place for entry in layout for place in range(entry.data, entry.end)}
    for place in sorted(set(range(len(data))) - inside):
        changed = bytearray(data)
        changed[place] ^= 0x40
        findings = inspect(memoryview(changed)).findings
        assert [finding.offset for finding in findings] == [place], (place, findings)


@pytest.mark.parametrize("count", [2, 3, 40])
def test_several_changed_bytes_name_the_first_piece(count: int) -> None:
    """V-25: when it is more than one byte, the first 4 KiB that differ are named."""
    data = packed(members())
    entry = next(entry for entry in layout_of(data) if entry.name.endswith("fast.v1.parquet"))
    changed = bytearray(data)
    for index in range(count):
        changed[entry.data + 5000 + 7 * index] ^= 1 + index
    (finding,) = inspect(memoryview(changed)).findings
    assert (finding.kind, finding.member_offset) == (FindingKind.PIECE, 4096)


def test_bytes_lost_or_added_are_found() -> None:
    """V-25: a truncated pack, one with a byte too many, and one with a byte put in between."""
    data = packed(members())
    for changed in (
        data[:-1],
        data + b"\0",
        data[:700] + b"\0" + data[700:],
        data[: len(data) // 2],
        b"",
        b"PK\x03\x04",
    ):
        assert inspect(memoryview(changed)).findings


def test_missing_foreign_and_doubled_members_are_named() -> None:
    """V-25: what belongs into a pack is fixed."""
    made = members()
    del made["signatures.json"]
    assert [item.where for item in inspect(memoryview(packed(made))).findings] == ["signatures.json"]
    foreign = packed({**members(), "surprise.json": b"{}"})
    assert "surprise.json" in [item.where for item in inspect(memoryview(foreign)).findings]


def test_a_member_changed_with_its_checksums_is_told_by_the_manifest() -> None:
    """V-25: somebody who mends the CRC-32 copies but not the manifest."""
    made = members()
    data = packed(made)
    entry = next(entry for entry in layout_of(data) if entry.name == "report.json")
    other = packed({**made, "report.json": made["report.json"].replace(b"1.5", b"2.5")})
    head = layout_of(data)[0]
    mixed = data[: head.end] + other[head.end :]
    finding = inspect(memoryview(mixed)).findings[0]
    assert (finding.where, finding.kind) == ("report.json", FindingKind.PIECE)
    assert entry.data <= finding.offset < entry.end


def test_the_changed_byte_follows_from_the_checksum() -> None:
    data = random.Random(3).randbytes(100_000)
    changed = bytearray(data)
    changed[17] ^= 0x80
    assert (17, data[17]) in list(changed_bytes(bytes(changed), zlib.crc32(data), 0, 4096))


def test_merkle_roots_are_those_of_rfc_6962() -> None:
    """V-25: the roots of the well-known test tree of RFC 6962 (Certificate Transparency's reference implementation)."""
    leaves = [
        bytes.fromhex(text)
        for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
    ]
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for count, root in roots.items():
        assert merkle_root(leaves[:count]) == root
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    assert (tree.count, tree.root()) == (8, roots[8])


def test_the_manifest_describes_pieces_of_four_kibibytes() -> None:
    described = describe("a.json", bytes(4097))
    assert (described.size, len(described.pieces)) == (4097, 2)
