"""The fonts of PDF reports: the CJK one found or refused, and every character of a text looked up in it. Never empty boxes.

A second font, where it is installed, has the signs that the first one lacks: subscripts, thin spaces, Latin letters with a stroke. It is
loaded for reports with such a sign only, so that all others are the same on every machine.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.kernel.errors import Unavailable

FAMILY = "Noto Sans CJK SC"
PLACES = (
    Path("/usr/share/fonts/opentype/noto"),
    Path("/usr/share/fonts/noto-cjk"),
    Path("/usr/share/fonts/google-noto-cjk"),
    Path("/usr/local/share/fonts"),
)
"""Where Debian, Arch and Fedora put it, and where an administrator does."""
SECOND_PLACES = (
    Path("/usr/share/fonts/truetype/dejavu"),
    Path("/usr/share/fonts/TTF"),
    Path("/usr/share/fonts/dejavu-sans-fonts"),
    Path("/usr/local/share/fonts"),
)
"""The same of DejaVu Sans."""
_SECOND = "DejaVuSans.ttf"
_NAMES = ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", "NotoSansCJKsc-Regular.otf", "NotoSansCJKsc-Bold.otf")
_INVISIBLE = frozenset("\n\t\u200b")


def find_fonts(places: Sequence[Path] = PLACES) -> list[Path]:
    """Regular first, then bold. Raises Unavailable(report_font_missing)."""
    for place in places:
        found = [place / name for name in _NAMES if (place / name).is_file()]
        if any("Regular" in font.name for font in found):
            return found
    raise Unavailable(
        "report_font_missing", f"no {FAMILY} in {', '.join(map(str, places))}; a report without it would have empty boxes",
        remedy="install it: apt-get install fonts-noto-cjk",
    )  # fmt: skip


def find_second(places: Sequence[Path] = SECOND_PLACES) -> list[Path]:
    """The second font; empty where it is not installed."""
    return next(([place / _SECOND] for place in places if (place / _SECOND).is_file()), [])


def texts_of(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a tree of plain values, with its field."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from texts_of(item, f"{field}.{name}" if field else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from texts_of(item, f"{field}[{index}]")


def missing_characters(texts: Iterable[str], fonts: Sequence[Path]) -> list[str]:
    """Those that none of the fonts has, in order of their code points."""
    return sorted(
        character
        for character in set().union(*texts) - _INVISIBLE
        if not any(_covers(font, ord(character)) for font in fonts)
    )


def named(characters: Sequence[str]) -> str:
    """The first ten of them, with their code points."""
    return ", ".join(f"{character} (U+{ord(character):04X})" for character in characters[:10])


def spelled(value: Any, signs: Mapping[int, str]) -> Any:
    """The same tree of plain values with these signs written otherwise."""
    if isinstance(value, str):
        return value.translate(signs)
    if isinstance(value, Mapping):
        return {name: spelled(item, signs) for name, item in value.items()}
    return [spelled(item, signs) for item in value] if isinstance(value, list | tuple) else value


def _covers(font: Path, point: int) -> bool:
    starts, ends = _coverage(font)
    place = bisect_right(starts, point) - 1
    return place >= 0 and point <= ends[place]


@lru_cache(maxsize=4)
def _coverage(font: Path) -> tuple[list[int], list[int]]:
    """First and last code points of the font's ranges, ascending: its cmap subtable of format 12 (OpenType)."""
    data = font.read_bytes()
    start = struct.unpack_from(">I", data, 12)[0] if data[:4] == b"ttcf" else 0
    (tables,) = struct.unpack_from(">H", data, start + 4)
    records = (struct.unpack_from(">4sIII", data, start + 12 + 16 * index) for index in range(tables))
    cmap = next(offset for tag, _, offset, _ in records if tag == b"cmap")
    (count,) = struct.unpack_from(">H", data, cmap + 2)
    for index in range(count):
        at = cmap + struct.unpack_from(">HHI", data, cmap + 4 + 8 * index)[2]
        if struct.unpack_from(">H", data, at)[0] == 12:
            (groups,) = struct.unpack_from(">I", data, at + 12)
            ranges = [struct.unpack_from(">II", data, at + 16 + 12 * group) for group in range(groups)]
            return [first for first, _ in ranges], [last for _, last in ranges]
    raise Unavailable(
        "report_font_missing", f"{font} has no full character map", remedy="apt-get install fonts-noto-cjk"
    )
