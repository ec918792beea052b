"""Texts, numbers and times of the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.verification.entrypoints.web import texts
from services.verification.entrypoints.web.bar import margin_bar
from services.verification.entrypoints.web.presentation import written
from services.verification.entrypoints.web.texts import Language, language
from shared.kernel.times import DAY, HOUR, MINUTE, SECOND, from_rfc3339

WEB = Path(texts.__file__).parent
ENGLISH = Language("en", "Asia/Shanghai")
CHINESE = Language("zh", "Asia/Shanghai")


@pytest.mark.parametrize(
    ("requested", "accept", "code"),
    [
        ("zh", "en", "zh"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "fr, en;q=0.5, zh;q=0.2", "en"),
        ("xx", "", "en"),
        (None, "en;q=nonsense, zh", "zh"),
    ],
)
def test_the_switch_wins_over_the_browser_and_english_is_the_last_resort(
    requested: str | None, accept: str, code: str
) -> None:
    assert language(requested, accept, "UTC").code == code  # L-1


def test_every_text_of_the_templates_has_a_chinese_one() -> None:
    written = {
        message
        for file in (WEB / "templates").glob("*.html")
        for message in re.findall(r"_\((?:\"([^\"]+)\"|'([^']+)')\)", file.read_text(encoding="utf-8"))
        for message in message
        if message
    }
    assert len(written) > 30
    missing = {message for message in written if CHINESE.text(message) == message}
    assert not missing  # L-1, L-2


def test_limits_are_shown_as_they_were_published() -> None:
    """V-23: every digit, on the page as in the report."""
    band = {"kind": "band", "signal": "a.x", "high": {"value": 12345.675, "unit": "kPa"}}
    assert written(band) == "kind band · signal a.x · high 12345.675 kPa"


def test_times_are_shown_in_the_lines_zone_and_kept_in_utc() -> None:
    at = from_rfc3339("2026-03-02T00:00:00+08:00")
    assert CHINESE.instant(at) == ENGLISH.instant(at) == "2026-03-02 00:00:00"  # L-12
    assert ENGLISH.utc(at) == "2026-03-01T16:00:00Z"


def test_numbers_have_a_true_minus_and_their_unit() -> None:
    assert ENGLISH.number(-12.4, "kPa") == "\N{MINUS SIGN}12.4\N{NARROW NO-BREAK SPACE}kPa"
    assert ENGLISH.number(2895.123, "kPa") == "2895\N{NARROW NO-BREAK SPACE}kPa"
    assert ENGLISH.number(float("-inf")) == "\N{MINUS SIGN}\N{INFINITY}"
    assert ENGLISH.number(None) == texts.ABSENT


def test_durations_show_two_units() -> None:
    assert ENGLISH.duration(2 * DAY + 3 * HOUR + 4 * MINUTE).replace("\N{NARROW NO-BREAK SPACE}", "") == "2d 3h"
    assert ENGLISH.duration(-20 * SECOND).replace("\N{NARROW NO-BREAK SPACE}", "") == "\N{MINUS SIGN}20s"


def test_the_bar_says_its_interval_in_words_and_points_where_it_is_unbounded() -> None:
    svg = str(margin_bar(float("-inf"), 3.0, 8.0, 1.0, failed=False, label='up to "3"'))  # L-2
    assert 'aria-label="up to &#34;3&#34;"' in svg
    assert svg.count('class="arrow"') == 1
    assert 'class="guard"' in svg
    assert "fail" not in svg
    assert 'class="interval fail"' in str(margin_bar(-5.0, -2.0, 8.0, 0.0, failed=True, label="x"))
