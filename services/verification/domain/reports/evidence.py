"""The evidence root: one digest, inside the signed report, over everything the run was judged by, whatever files it is written to.

Its parts are the JSON members of the pack by their SHA-256, and per stream and registry version the Merkle root over the frames. A frame's
leaf holds what decides: boot, number, content hash and quality marks. Kafka offsets and arrival times are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from services.verification.domain.reports.merkle import MerkleTree, merkle_root
from services.verification.domain.reports.pack import CRITERIA, DEVIATIONS, EVALUATIONS, LIFECYCLE, RESULTS, STREAMS
from shared.kernel.canonical import canonical_json, sha256_hex

EVIDENCE = (CRITERIA, DEVIATIONS, EVALUATIONS, LIFECYCLE, RESULTS, STREAMS)
"""The JSON members that the root covers; report, signatures and keys come after it."""


def frame_leaf(boot: str, seq: int, rows: int, content_hash: bytes, quality: bytes) -> bytes:
    """`quality` are the marks of all cells, row-major; no mark at all and none given are the same."""
    marks = sha256(quality).hexdigest() if any(quality) else ""
    return canonical_json([boot, seq, rows, content_hash.hex(), marks])


@dataclass(slots=True)
class _Frames:
    tree: MerkleTree = field(default_factory=MerkleTree)
    rows: int = 0


@dataclass(slots=True)
class FrameRoots:
    """The frames of a run while they pass by, in their order: time of the first sample, then boot, then number."""

    _found: dict[tuple[str, int], _Frames] = field(default_factory=dict)

    def add(self, stream: str, version: int, leaf: bytes, rows: int) -> None:
        frames = self._found.setdefault((stream, version), _Frames())
        frames.tree.add(leaf)
        frames.rows += rows

    def parts(self) -> list[dict[str, Any]]:
        """One entry per stream and registry version, ordered by them."""
        return [
            {
                "part": "frames",
                "stream": stream,
                "registry_version": version,
                "frames": found.tree.count,
                "rows": found.rows,
                "merkle_root": found.tree.root(),
            }
            for (stream, version), found in sorted(self._found.items())
        ]


def evidence_of(documents: Mapping[str, bytes], frames: FrameRoots) -> dict[str, Any]:
    """`{root, parts}` of the documents named in `EVIDENCE` and of the frames."""
    parts: list[dict[str, Any]] = [{"part": name, "sha256": sha256_hex(documents[name])} for name in EVIDENCE]
    parts += frames.parts()
    return {"root": evidence_root(parts), "parts": parts}


def evidence_root(parts: Iterable[Mapping[str, Any]]) -> str:
    return merkle_root(canonical_json(part) for part in parts)
