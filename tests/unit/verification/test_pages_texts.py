"""Texts, numbers and times of the pages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from services.verification.entrypoints.web import texts
from services.verification.entrypoints.web.bar import margin_bar
from services.verification.entrypoints.web.presentation import written
from services.verification.entrypoints.web.reasons import REASONS, reason_text
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


def reasons_given() -> set[str]:
    """The codes in the sources of evaluator, kinds and entries: what `undecided` may be, and the reasons of rulings and states."""
    domain = WEB.parents[1] / "domain"
    places: list[ast.expr] = []
    for file in (domain / "judging.py", domain / "entries.py", *(domain / "kinds").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                places += [keyword.value for keyword in node.keywords if keyword.arg == "undecided"]
                if isinstance(node.func, ast.Name) and node.func.id in ("_Ruling", "_state"):
                    places += node.args[2:3]
            elif isinstance(node, ast.FunctionDef) and node.name == "_lacking":
                returned = [item.value for item in ast.walk(node) if isinstance(item, ast.Return)]
                places += [value.elts[0] for value in returned if isinstance(value, ast.Tuple)]
            elif (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == "reason"
            ):
                places.append(node.value)
    constants = [node for place in places for node in ast.walk(place) if isinstance(node, ast.Constant)]
    return {node.value for node in constants if isinstance(node.value, str)}


def test_every_reason_has_a_sentence_in_both_languages() -> None:
    """L-1"""
    given = reasons_given()
    assert {"gap", "no_window", "awaiting_result", "past_reference", "result_unit", "phase_not_run"} <= given
    assert given <= set(REASONS)
    state = {"quality": {"bad_samples": 3, "coverage": 0.5, "longest_gap": 90 * SECOND}}
    for code in REASONS:
        assert reason_text(code, "said", state, ENGLISH) == "said"
        assert re.search("[\u4e00-\u9fff]", reason_text(code, "said", state, CHINESE)), code
    assert reason_text("gap", "", state, CHINESE).startswith("连续 1\N{NARROW NO-BREAK SPACE}")
    assert reason_text(None, "said", state, CHINESE) == ""


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
