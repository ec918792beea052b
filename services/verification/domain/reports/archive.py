"""The container of an evidence pack: a ZIP file of which every byte outside of the members follows from their names, sizes and checksums.

Stored, never compressed; ZIP64 fields always; the time fields fixed; nothing between members and no comment. Any unzip reads it. A reader
here writes the structure again and compares: no byte of it is left unseen.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.kernel.errors import PilotlineError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*\.(json|parquet|bin)")
MAX_NAME = 250

_VERSION, _MADE_BY, _DATE, _FULL = 45, 0x032D, 0x0021, 0xFFFFFFFF
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_EXTRA = struct.Struct("<HHQQ")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_CENTRAL_EXTRA = struct.Struct("<HHQQQ")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")
_TAIL = _END64.size + _LOCATOR.size + _END.size


class Unreadable(PilotlineError):
    """No layout fits the bytes: this is no pack, or much of its structure is gone. `offset`: where reading on became impossible."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(f"{detail} (at byte {offset})")
        self.offset = offset
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Entry:
    """A member: its local header begins at `start`, its bytes are [data, data + size) of the file."""

    name: str
    size: int
    crc: int
    start: int

    @property
    def data(self) -> int:
        return self.start + local_size(self.name)

    @property
    def end(self) -> int:
        return self.data + self.size


@dataclass(frozen=True, slots=True)
class Difference:
    """A byte of the structure that is not what the members ask for."""

    part: str
    offset: int
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the members are, and the bytes of the structure that differ from the canonical ones."""

    entries: tuple[Entry, ...]
    differences: tuple[Difference, ...]


def local_size(name: str) -> int:
    return _LOCAL.size + len(name) + _LOCAL_EXTRA.size


def local_header(name: str, size: int, crc: int) -> bytes:
    """What stands before a member's bytes."""
    head = _LOCAL.pack(
        b"PK\x03\x04", _VERSION, 0, 0, 0, _DATE, crc, _FULL, _FULL, len(name), _LOCAL_EXTRA.size
    )  # fmt: skip
    return head + name.encode("ascii") + _LOCAL_EXTRA.pack(1, 16, size, size)


def directory(entries: Sequence[Entry]) -> bytes:
    """What stands behind the last member."""
    start = entries[-1].end if entries else 0
    listed = b"".join(_central(entry) for entry in entries)
    end64 = _END64.pack(
        b"PK\x06\x06", 44, _VERSION, _VERSION, 0, 0, len(entries), len(entries), len(listed), start
    )  # fmt: skip
    locator = _LOCATOR.pack(b"PK\x06\x07", 0, start + len(listed), 1)
    return listed + end64 + locator + _END.pack(b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _FULL, _FULL, 0)


def _central(entry: Entry) -> bytes:
    head = _CENTRAL.pack(
        b"PK\x01\x02", _MADE_BY, _VERSION, 0, 0, 0, _DATE, entry.crc, _FULL, _FULL, len(entry.name),
        _CENTRAL_EXTRA.size, 0, 0, 0, 0o100644 << 16, _FULL,
    )  # fmt: skip
    return head + entry.name.encode("ascii") + _CENTRAL_EXTRA.pack(1, 24, entry.size, entry.size, entry.start)


def read_layout(data: memoryview, names: Sequence[str] | None = None) -> Layout:
    """The members and every structural byte that is wrong. Raises Unreadable.

    Local headers and directory say the same twice: where one of them is damaged, the other one shows the way. `names` of the members, when
    they are known from elsewhere, decide which of two names is the wrong one.
    """
    try:
        candidates = [_from_directory(data)]
    except Unreadable:
        candidates = []
    failure: Unreadable | None = None
    try:
        candidates.append(_from_headers(data))
    except Unreadable as error:
        failure = error
    layouts = [
        Layout(settled, _differences(data, settled))
        for entries in candidates
        if (settled := _settled(data, entries)) is not None
    ]
    if not layouts:
        raise failure or Unreadable(0, "the members do not fill the file")

    def doubt(layout: Layout) -> tuple[int, int]:
        strange = 0 if names is None else sum(entry.name not in names for entry in layout.entries)
        return strange, len(layout.differences)

    return min(layouts, key=doubt)


def _from_directory(data: memoryview) -> list[Entry]:
    place = len(data) - _TAIL
    if place < 0:
        raise Unreadable(0, "shorter than an empty pack")
    *_, count, _, size, start = _END64.unpack_from(data, place)
    if start + size != place or count > size // (_CENTRAL.size + _CENTRAL_EXTRA.size + 1):
        raise Unreadable(place, "the directory is not where its end says")
    entries, at = [], start
    for _ in range(count):
        if at + _CENTRAL.size > place:
            raise Unreadable(at, "the directory is cut off")
        fields = _CENTRAL.unpack_from(data, at)
        length = fields[10]
        name = _name(data, at + _CENTRAL.size, length)
        extra = at + _CENTRAL.size + length
        if extra + _CENTRAL_EXTRA.size > place:
            raise Unreadable(at, "the directory is cut off")
        _, _, size, _, offset = _CENTRAL_EXTRA.unpack_from(data, extra)
        entries.append(Entry(name, size, fields[7], offset))
        at = extra + _CENTRAL_EXTRA.size
    if at != place:
        raise Unreadable(at, "the directory does not end where it should")
    return entries


def _from_headers(data: memoryview) -> list[Entry]:
    entries: list[Entry] = []
    at = 0
    while bytes(data[at : at + 4]) == b"PK\x03\x04":
        if at + _LOCAL.size > len(data):
            raise Unreadable(at, "a header is cut off")
        fields = _LOCAL.unpack_from(data, at)
        name = _name(data, at + _LOCAL.size, fields[9])
        extra = at + _LOCAL.size + len(name)
        if extra + _LOCAL_EXTRA.size > len(data):
            raise Unreadable(at, "a header is cut off")
        _, _, size, _ = _LOCAL_EXTRA.unpack_from(data, extra)
        entries.append(Entry(name, size, fields[6], at))
        at = entries[-1].end
    if not entries or at > len(data):
        raise Unreadable(min(at, len(data)), "no member begins or ends here")
    return entries


def _name(data: memoryview, at: int, length: int) -> str:
    if not 0 < length <= MAX_NAME or at + length > len(data):
        raise Unreadable(at, "a member's name is cut off or too long")
    return bytes(data[at : at + length]).decode("latin-1")


def _settled(data: memoryview, entries: Sequence[Entry]) -> tuple[Entry, ...] | None:
    """The entries with the checksum their bytes have, where one of its two copies says so; None when they do not fill the file."""
    if not entries or any(not entry.name.isascii() for entry in entries):
        return None
    at = 0
    for entry in entries:
        if entry.start != at or entry.end > len(data):
            return None
        at = entry.end
    if len(directory(entries)) != len(data) - at:
        return None
    settled, place = [], at
    for entry in entries:
        copies = {
            struct.unpack_from("<I", data, entry.start + 14)[0],
            struct.unpack_from("<I", data, place + 16)[0],
        }
        place += _CENTRAL.size + len(entry.name) + _CENTRAL_EXTRA.size
        actual = zlib.crc32(data[entry.data : entry.end])
        settled.append(replace(entry, crc=actual) if actual in copies else entry)
    return tuple(settled)


def _differences(data: memoryview, entries: Sequence[Entry]) -> tuple[Difference, ...]:
    found: list[Difference] = []
    for entry in entries:
        found += _compared(
            data, entry.start, local_header(entry.name, entry.size, entry.crc), f"header of {entry.name}"
        )
    return tuple(found + _compared(data, entries[-1].end, directory(entries), "directory"))


def _compared(data: memoryview, at: int, expected: bytes, part: str) -> list[Difference]:
    if data[at : at + len(expected)] == expected:
        return []
    return [
        Difference(part, at + index, byte, data[at + index])
        for index, byte in enumerate(expected)
        if data[at + index] != byte
    ]
