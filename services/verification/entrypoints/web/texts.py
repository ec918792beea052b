"""Texts of the pages: English in the templates, other languages from message catalogues, read once and compiled in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from services.verification.adapters.unit_signs import shown_unit
from shared.kernel.times import DAY, HOUR, MINUTE, SECOND, Micros, to_rfc3339, utc

LANGUAGES: Final = ("en", "zh")
_TAGS: Final = {"en": "en", "zh": "zh-CN"}
_LOCALES: Final = {"en": "en_GB", "zh": "zh_Hans_CN"}
_HERE: Final = Path(__file__).parent

MINUS: Final = "\N{MINUS SIGN}"
NARROW: Final = "\N{NARROW NO-BREAK SPACE}"
ABSENT: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Language:
    """One reader's language and zone: every text, number and time of a page goes through it."""

    code: str
    zone: str

    @property
    def tag(self) -> str:
        """BCP 47, for `lang`."""
        return _TAGS[self.code]

    def text(self, message: str) -> str:
        return _catalogue(self.code).gettext(message)

    def local_name(self, names: dict[str, str] | str) -> str:
        """A name that the registry holds in several languages."""
        return names if isinstance(names, str) else names.get(self.code) or next(iter(names.values()), "")

    def instant(self, at: Micros | None) -> str:
        """Date and time in the line's zone, seconds shown."""
        if at is None:
            return ABSENT
        return format_datetime(utc(at), "yyyy-MM-dd HH:mm:ss", tzinfo=ZoneInfo(self.zone), locale=_LOCALES[self.code])

    def utc(self, at: Micros | None) -> str:
        return "" if at is None else to_rfc3339(at)

    def duration(self, length: Micros | None) -> str:
        """The two largest units, as 1 d 4 h or 3 min 20 s."""
        if length is None:
            return ABSENT
        sign, rest = (MINUS if length < 0 else ""), abs(length)
        parts: list[str] = []
        for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
            count, rest = divmod(rest, size)
            if count or parts:
                parts.append(f"{count}{NARROW}{self.text(unit)}")
        if len(parts) < 2:
            parts.append(f"{rest // SECOND}{NARROW}{self.text('s')}")
        return sign + " ".join(parts[:2])

    def number(self, value: float | None, unit: str = "", digits: int = 3) -> str:
        """A reading with `digits` significant decimals for its size, a true minus and its unit."""
        if value is None:
            return ABSENT
        if value in (float("inf"), float("-inf")):
            return (MINUS if value < 0 else "") + "\N{INFINITY}"
        text = f"{value:.{_decimals(abs(value), digits)}f}".replace("-", MINUS)
        return f"{text}{NARROW}{shown_unit(unit)}" if unit and unit != "1" else text


def language(requested: str | None, accept: str, zone: str) -> Language:
    """The language asked for by the switch, else the best of `Accept-Language`, else English."""
    if requested in LANGUAGES:
        return Language(str(requested), zone)
    ranked = []
    for position, item in enumerate(accept.split(",")):
        name, _, weight = item.strip().partition(";q=")
        try:
            ranked.append((-float(weight or 1), position, name.lower().split("-")[0]))
        except ValueError:
            continue
    return Language(next((code for _, _, code in sorted(ranked) if code in LANGUAGES), "en"), zone)


def _decimals(size: float, digits: int) -> int:
    return max(0, digits - 1 - len(str(int(size))) + 1) if size >= 1 else digits


@lru_cache(maxsize=len(LANGUAGES))
def _catalogue(code: str) -> NullTranslations:
    source = _HERE / "locale" / code / "pages.po"
    if not source.exists():
        return NullTranslations()
    compiled = BytesIO()
    with source.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code))
    compiled.seek(0)
    return Translations(compiled)
