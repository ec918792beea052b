"""A report as HTML and as PDF, from the same presentation (V-23)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import typst
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from services.verification.adapters.reports.fonts import (
    FAMILY,
    PLACES,
    SECOND_PLACES,
    find_fonts,
    find_second,
    missing_characters,
    spelled,
    texts_of,
)
from services.verification.adapters.reports.presentation import present
from shared.kernel.errors import Unavailable
from shared.kernel.times import SECOND

LANGUAGES: Final = ("en", "zh")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)


def _css(text: str) -> Markup:
    """A text inside a CSS string: whatever could end it stands as its code point."""
    return Markup("".join(sign if sign.isalnum() or sign in " -._" else f"\\{ord(sign):x} " for sign in text))


_environment.filters["css"] = _css


def html(report: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], language: str) -> str:
    """One file, without scripts and without anything to load."""
    return _environment.get_template("report.html").render(report=present(report, signatures, language))


def pdf(
    report: Mapping[str, Any],
    signatures: Sequence[Mapping[str, Any]],
    language: str,
    *,
    places: Sequence[Path] = PLACES,
    second: Sequence[Path] = SECOND_PLACES,
) -> bytes:
    """PDF/A-2b; the same report gives the same bytes. A sign that no font has is printed as its code point, never as an
    empty box. Raises Unavailable(report_font_missing)."""
    shown = present(report, signatures, language)
    texts = [text for _, text in texts_of(shown)]
    fonts = [find_fonts(places)[0]]
    if missing_characters(texts, fonts):
        fonts += find_second(second)
        if len(fonts) == 1:
            raise Unavailable(
                "report_font_missing", "no second font for the signs that the first one lacks",
                remedy="install it: apt-get install fonts-dejavu-core",
            )  # fmt: skip
        shown = spelled(shown, {ord(sign): f"[U+{ord(sign):04X}]" for sign in missing_characters(texts, fonts)})
    compiler = typst.Compiler(
        (_TEMPLATES / "report.typ").read_bytes(),
        font_paths=_loaded(tuple(font.parent for font in fonts)),
        ignore_system_fonts=True,
        sys_inputs={"report": json.dumps(shown, ensure_ascii=False)},
    )
    drafted = datetime.fromtimestamp(report["document"]["dates"]["drafted_at"] // SECOND, UTC)
    made = compiler.compile(format="pdf", pdf_standards="a-2b", timestamp=drafted)
    if not isinstance(made, bytes):
        raise TypeError("typst gives a PDF as bytes")
    return made


@lru_cache(maxsize=4)
def _loaded(folders: tuple[Path, ...]) -> typst.Fonts:
    """The fonts of these folders, and no other: what a report looks like does not depend on the machine."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=list(folders))
    if FAMILY not in fonts.families():
        raise Unavailable(
            "report_font_missing", f"{folders[0]} has no font family {FAMILY}", remedy="apt-get install fonts-noto-cjk"
        )
    return fonts
