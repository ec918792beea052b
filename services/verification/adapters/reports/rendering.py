"""A report as HTML and as PDF, from the same presentation (V-23)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import typst
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.verification.adapters.reports.fonts import FAMILY, PLACES, check_characters, find_fonts
from services.verification.adapters.reports.presentation import present
from shared.kernel.errors import Unavailable
from shared.kernel.times import SECOND

LANGUAGES: Final = ("en", "zh")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_environment = Environment(
    loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)


def html(report: Mapping[str, Any], signatures: Sequence[Mapping[str, Any]], language: str) -> str:
    """One file, without scripts and without anything to load."""
    return _environment.get_template("report.html").render(report=present(report, signatures, language))


def pdf(
    report: Mapping[str, Any],
    signatures: Sequence[Mapping[str, Any]],
    language: str,
    *,
    places: Sequence[Path] = PLACES,
) -> bytes:
    """PDF/A-2b; the same report gives the same bytes. Raises Unavailable(report_font_missing | report_character_missing)."""
    shown = present(report, signatures, language)
    fonts = find_fonts(places)
    check_characters(_texts(shown), fonts[0])
    compiler = typst.Compiler(
        (_TEMPLATES / "report.typ").read_bytes(),
        font_paths=_loaded(fonts[0].parent),
        ignore_system_fonts=True,
        sys_inputs={"report": json.dumps(shown, ensure_ascii=False)},
    )
    drafted = datetime.fromtimestamp(report["document"]["dates"]["drafted_at"] // SECOND, UTC)
    made = compiler.compile(format="pdf", pdf_standards="a-2b", timestamp=drafted)
    if not isinstance(made, bytes):
        raise TypeError("typst gives a PDF as bytes")
    return made


@lru_cache(maxsize=2)
def _loaded(folder: Path) -> typst.Fonts:
    """The fonts of a folder, and no other: what a report looks like does not depend on the machine."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[folder])
    if FAMILY not in fonts.families():
        raise Unavailable(
            "report_font_missing", f"{folder} has no font family {FAMILY}", remedy="apt-get install fonts-noto-cjk"
        )
    return fonts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
