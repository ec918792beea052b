"""The manifest of an evidence pack: per member its size, SHA-256 and the hashes of its 4 KiB pieces, and the Merkle root over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.reports.merkle import merkle_root
from shared.kernel.canonical import canonical_json

FORMAT = "pilotline-evidence-pack/1"
MANIFEST = "manifest.json"
PIECE = 4096


@dataclass(frozen=True, slots=True)
class Described:
    """What the manifest says of one member. `pieces` are the SHA-256 of [0, 4096), [4096, 8192), …"""

    name: str
    size: int
    sha256: str
    pieces: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "sha256": self.sha256, "pieces": list(self.pieces)}


class Describing:
    """Describes a member while its bytes pass by."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._size = 0
        self._whole = hashlib.sha256()
        self._pieces: list[str] = []
        self._rest = bytearray()

    def add(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        self._whole.update(data)
        self._rest += data
        full = len(self._rest) - len(self._rest) % PIECE
        with memoryview(self._rest) as view:
            self._pieces += [hashlib.sha256(view[at : at + PIECE]).hexdigest() for at in range(0, full, PIECE)]
        del self._rest[:full]

    def described(self) -> Described:
        last = [hashlib.sha256(self._rest).hexdigest()] if self._rest else []
        return Described(self._name, self._size, self._whole.hexdigest(), (*self._pieces, *last))


def describe(name: str, data: bytes | memoryview) -> Described:
    """What the manifest has to say of a member with these bytes."""
    describing = Describing(name)
    for at in range(0, len(data), 1 << 20):
        describing.add(data[at : at + (1 << 20)])
    return describing.described()


def manifest(members: Iterable[Described]) -> bytes:
    """The manifest's bytes; the members in order of their names."""
    ordered = sorted(members, key=lambda member: member.name)
    return canonical_json(
        {
            "format": FORMAT,
            "members": [member.document() for member in ordered],
            "piece": PIECE,
            "merkle_root": members_root(ordered),
        }
    )


def members_root(ordered: Sequence[Described]) -> str:
    """The Merkle root over (name, size, SHA-256) of every member."""
    return merkle_root(canonical_json([member.name, member.size, member.sha256]) for member in ordered)
