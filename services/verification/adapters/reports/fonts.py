"""The CJK font of PDF reports: found or refused, and every character of a text checked against it. Never empty boxes."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from shared.kernel.errors import Unavailable

FAMILY = "Noto Sans CJK SC"
PLACES = (
    Path("/usr/share/fonts/opentype/noto"),
    Path("/usr/share/fonts/noto-cjk"),
    Path("/usr/share/fonts/google-noto-cjk"),
    Path("/usr/local/share/fonts"),
)
"""Where Debian, Arch and Fedora put it, and where an administrator does."""
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


def check_characters(texts: Iterable[str], font: Path) -> None:
    """Raises Unavailable(report_character_missing) for the first characters that the font does not have."""
    starts, ends = _coverage(font)
    missing = sorted(
        {
            character
            for character in set().union(*texts) - _INVISIBLE
            if (place := bisect_right(starts, ord(character)) - 1) < 0 or ord(character) > ends[place]
        }
    )
    if missing:
        shown = ", ".join(f"{character} (U+{ord(character):04X})" for character in missing[:10])
        raise Unavailable(
            "report_character_missing", f"the font {font.name} has no sign for: {shown}",
            remedy="write the text with other characters",
        )  # fmt: skip


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
