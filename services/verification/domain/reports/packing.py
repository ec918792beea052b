"""Writes an evidence pack: every member is read twice, first to describe it, then to write it; memory does not grow with the pack."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.verification.domain.reports.archive import Entry, directory, local_header
from services.verification.domain.reports.manifest import MANIFEST, Described, Describing, manifest, members_root


@dataclass(frozen=True, slots=True)
class Source:
    """A member to be written. `read` gives its bytes from the beginning, the same ones every time."""

    name: str
    read: Callable[[], Iterable[bytes]]


def whole(name: str, data: bytes) -> Source:
    """A member that is in memory."""
    return Source(name, lambda: (data,))


def write_pack(sources: Sequence[Source], write: Callable[[bytes], object]) -> str:
    """Writes the pack through `write`, from its first byte to its last, and answers the Merkle root over its members."""
    ordered = sorted(sources, key=lambda source: source.name)
    described: list[Described] = []
    sums: list[int] = []
    for source in ordered:
        describing, crc = Describing(source.name), 0
        for piece in source.read():
            describing.add(piece)
            crc = zlib.crc32(piece, crc)
        described.append(describing.described())
        sums.append(crc)
    head = manifest(described)
    sizes = [len(head), *(member.size for member in described)]
    entries: list[Entry] = []
    for source, size, crc in zip([whole(MANIFEST, head), *ordered], sizes, [zlib.crc32(head), *sums], strict=True):
        entries.append(Entry(source.name, size, crc, entries[-1].end if entries else 0))
        write(local_header(source.name, size, crc))
        for piece in source.read():
            write(piece)
    write(directory(entries))
    return members_root(described)
