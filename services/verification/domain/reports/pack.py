"""Reads an evidence pack and finds every byte that is not as it was written (V-25).

What a pack contains and in which order is fixed: the manifest, then the members by name. So its bytes follow from its members, and the
manifest from them too. A changed byte betrays itself in the CRC-32 of its member (two copies), in the member's SHA-256, and in the SHA-256
of its 4 KiB piece; the CRC-32 then names the byte. Somebody who changes a member and makes all of these anew has still to make the
evaluation, the report's digest and its signatures fit: `checks.py`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from services.verification.domain.reports.archive import NAME, Entry, Layout, Unreadable, read_layout
from services.verification.domain.reports.damage import changed_bytes
from services.verification.domain.reports.findings import Finding, FindingKind
from services.verification.domain.reports.manifest import MANIFEST, PIECE, Described, describe, manifest
from shared.kernel.canonical import canonical_json

CRITERIA, STREAMS, LIFECYCLE = "criteria.json", "streams.json", "lifecycle.json"
DEVIATIONS, RESULTS, EVALUATIONS = "deviations.json", "results.json", "evaluations.json"
REPORT, SIGNATURES, KEYS = "report.json", "signatures.json", "keys.json"
DOCUMENTS = (CRITERIA, STREAMS, LIFECYCLE, DEVIATIONS, RESULTS, EVALUATIONS, REPORT, SIGNATURES, KEYS)
FRAMES = "frames/"
ATTACHMENTS = "attachments/"


@dataclass(frozen=True, slots=True, eq=False)
class Inspected:
    """The members of a pack as bytes of it, and what is wrong with them; nothing is missing when `findings` is empty."""

    members: Mapping[str, memoryview]
    merkle_root: str
    findings: tuple[Finding, ...]


def frames_name(stream: str, version: int) -> str:
    """The member with the frames of a stream that were sent under one registry version."""
    return f"{FRAMES}{stream}.v{version}.parquet"


def attachment_name(sha256_hex: str) -> str:
    """The member with a file that an entry names by its SHA-256."""
    return f"{ATTACHMENTS}{sha256_hex}.bin"


def attachments_of(lifecycle: Sequence[Mapping[str, Any]]) -> list[str]:
    """The SHA-256 of every file that the run's records name."""
    return sorted({record["attachment"] for record in lifecycle if record.get("attachment")})


def inspect(data: memoryview) -> Inspected:
    """Structure and hashes, without a look at what the members mean. The findings come in the order of the file."""
    try:
        layout = read_layout(data)
        said = _said(data, layout)
        if isinstance(said, dict):
            layout = read_layout(data, [MANIFEST, *said])
    except Unreadable as error:
        return Inspected({}, "", (Finding(FindingKind.STRUCTURE, "archive", error.detail, error.offset),))
    findings = [
        Finding(FindingKind.BYTE, item.part, f"is {item.found:#04x}, should be {item.expected:#04x}", item.offset)
        for item in layout.differences
    ]
    findings += _order(layout.entries)
    members = {entry.name: data[entry.data : entry.end] for entry in layout.entries}
    described = {name: describe(name, member) for name, member in members.items() if name != MANIFEST}
    expected = manifest(described.values())
    damaged = [entry for entry in layout.entries if entry.name != MANIFEST and _damaged(entry, members, said)]
    for entry in damaged:
        findings.append(_locate(entry, members[entry.name], described[entry.name], said))
    if not damaged and layout.entries[0].name == MANIFEST:
        findings += _manifest(layout.entries[0], members[MANIFEST], expected)
    root = str(json.loads(expected)["merkle_root"])
    return Inspected(members, root, tuple(sorted(findings, key=lambda finding: finding.offset)))


def read_document(member: memoryview) -> Any:
    """A JSON member. Raises ValueError when it is not in the canonical form, the only one a pack has."""
    try:
        document = json.loads(bytes(member))
        canonical = canonical_json(document)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if canonical != bytes(member):
        raise ValueError("not in canonical form")
    return document


def _said(data: memoryview, layout: Layout) -> dict[str, dict[str, Any]] | None:
    """What the manifest says, by member; None when it cannot be read."""
    first = layout.entries[0]
    try:
        listed = json.loads(bytes(data[first.data : first.end]))["members"]
        return {str(item["name"]): item for item in listed}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _order(entries: Sequence[Entry]) -> list[Finding]:
    names = [entry.name for entry in entries]
    wanted = [MANIFEST, *sorted({*names, *DOCUMENTS} - {MANIFEST})]
    found = [
        Finding(FindingKind.MEMBER, name, "the member is missing") for name in wanted if name not in names
    ]  # fmt: skip
    for entry in entries:
        known = entry.name == MANIFEST or entry.name in DOCUMENTS or entry.name.startswith((FRAMES, ATTACHMENTS))
        if not known or NAME.fullmatch(entry.name) is None or names.count(entry.name) > 1:
            found.append(Finding(FindingKind.MEMBER, entry.name, "the member does not belong here", entry.start))
    if not found and names != wanted:
        found.append(Finding(FindingKind.MEMBER, names[0], "the members are not in the order of their names", 0))
    return found


def _damaged(entry: Entry, members: Mapping[str, memoryview], said: dict[str, dict[str, Any]] | None) -> bool:
    """Whether the member's bytes are not those that were written; the manifest alone is no witness against intact checksums."""
    return zlib.crc32(members[entry.name]) != entry.crc or (
        said is not None
        and entry.name in said
        and said[entry.name].get("sha256") != sha256(members[entry.name]).hexdigest()
        and _pieces_differ(members[entry.name], said[entry.name])
    )


def _pieces_differ(member: memoryview, item: Mapping[str, Any]) -> bool:
    pieces = item.get("pieces")
    return isinstance(pieces, list) and list(describe("", member).pieces) != pieces


def _locate(entry: Entry, member: memoryview, described: Described, said: dict[str, dict[str, Any]] | None) -> Finding:
    """The changed byte when it is one, else the first piece that differs."""
    pieces = (said or {}).get(entry.name, {}).get("pieces")
    wanted = pieces if isinstance(pieces, list) else []
    bad = [index for index, piece in enumerate(described.pieces) if index >= len(wanted) or wanted[index] != piece]
    if len(bad) == 1 and wanted:
        start, end = bad[0] * PIECE, min((bad[0] + 1) * PIECE, len(member))
        for position, original in changed_bytes(member, entry.crc, start, end):
            mended = bytearray(member[start:end])
            mended[position - start] = original
            if sha256(mended).hexdigest() == wanted[bad[0]]:
                detail = f"is {member[position]:#04x}, was {original:#04x}"
                return Finding(FindingKind.BYTE, entry.name, detail, entry.data + position, position)
    at = bad[0] * PIECE if bad else 0
    detail = f"the {PIECE} bytes from here differ from what the manifest says; {max(len(bad), 1)} such pieces"
    return Finding(FindingKind.PIECE, entry.name, detail, entry.data + at, at)


def _manifest(entry: Entry, member: memoryview, expected: bytes) -> list[Finding]:
    """The first byte that differs from the manifest these members have."""
    if member == expected:
        return []
    pairs = zip(member, expected, strict=False)
    at = next(
        (index for index, (found, wanted) in enumerate(pairs) if found != wanted), min(len(member), len(expected))
    )
    return [Finding(FindingKind.BYTE, MANIFEST, "is not what the members ask for", entry.data + at, at)]
