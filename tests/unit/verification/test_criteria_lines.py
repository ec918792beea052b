"""Every static error of a criteria file: code, line, column, field, remedy, in YAML and in the text form (V-8)."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.criteria.expanding import EXPANSIONS, expansion
from services.verification.domain.criteria.reading import read_formula
from services.verification.domain.criteria_model import KINDS, load_criteria, read_criteria
from shared.kernel.errors import Invalid, Malformed
from tests.unit.verification.building import STREAMS

HEAD = """id: set
version: 1
title: {en: a, zh: 甲}
phases:
  - {id: p, title: {en: a, zh: 甲}, planned: {value: 60, unit: s}}
criteria:
  - id: first
    title: {en: a, zh: 甲}
    phase: p
"""
TEXT = """criteria set version 1 "a" / "甲"
phase p "a" / "甲" (planned = 60 s)

criterion first "a" / "甲" in p:
    {kind}
"""


@pytest.mark.parametrize(
    ("lines", "code", "line", "field"),
    [
        (["kind: band", "signal: one.y", "high: {value: 1, unit: kPa}"], "criteria_unknown_channel", 11, "signal"),
        (["kind: band", "signal: one.x", "high: {value: 1, unit: K}"], "criteria_unit", 12, "high"),
        (["kind: hold", "signal: one.x", "high: {value: 1, unit: kPa}", "duration: {value: 2, unit: min}"],
         "criteria_horizon", 7, ""),
        (["kind: hold", "signal: one.x", "high: {value: 1, unit: kPa}", "duration: {value: 0, unit: min}"],
         "criteria_horizon", 13, "duration"),
        (["kind: band", "signal: one.temperature", "high: {value: 1, unit: Cel}", "decision: {rule: guard_band}"],
         "criteria_decision_rule", 13, "decision.uncertainty"),
        (["kind: count", "event: {op: always, of: {op: '<', left: one.x, right: {value: 1, unit: kPa}}}", "at_most: 1"],
         "criteria_condition", 11, "event"),
        (["kind: data_quality", "signal: one.x", "max_saturated: {value: 1, unit: s}"], "criteria_range", 12, "max_saturated"),
    ],
)  # fmt: skip
def test_a_finding_names_its_line(lines: list[str], code: str, line: int, field: str) -> None:  # V-8
    criteria, marks = read_criteria(HEAD + "".join(f"    {each}\n" for each in lines))
    [finding] = check(criteria, STREAMS, marks).findings
    where = f"criteria[0].{field}" if field else "criteria[0]"
    assert (finding.code, finding.line, finding.field) == (code, line, where)
    assert finding.remedy
    assert f"line {line}, column" in check(criteria, STREAMS, marks).text()


def test_a_phase_that_is_not_there_names_its_line() -> None:  # V-8
    text = (
        HEAD.replace("phase: p\n", "phase: q\n")
        + "    kind: band\n    signal: one.x\n    high: {value: 1, unit: kPa}\n"
    )
    [finding] = check(*_with(read_criteria(text))).findings
    assert (finding.code, finding.line) == ("criteria_phase_unknown", 9)


def test_memory_without_a_bound_is_refused_with_its_line() -> None:  # V-8
    text = HEAD.replace(", planned: {value: 60, unit: s}", "") + "".join(
        f"    {each}\n"
        for each in ("kind: window_statistics", "signal: one.x", "statistic: percentile", "percentile: 90",
                     "high: {value: 1, unit: kPa}")
    )  # fmt: skip
    [finding] = check(*_with(read_criteria(text))).findings
    assert (finding.code, finding.line, finding.field) == ("criteria_memory", 12, "criteria[0].percentile") or (
        finding.code,
        finding.field,
    ) == ("criteria_memory", "criteria[0].percentile")


def _with(read: Any) -> tuple[Any, Any, Any]:
    criteria, marks = read
    return criteria, STREAMS, marks


def test_a_set_that_needs_too_much_memory_is_refused() -> None:  # V-8
    lines = ["kind: rate_of_change", "signal: one.x", "high: {value: 1, unit: kPa/s}", "window: {value: 900, unit: d}"]
    text = HEAD.replace(", planned: {value: 60, unit: s}", "") + "".join(f"    {each}\n" for each in lines)
    [finding] = check(*_with(read_criteria(text))).findings
    assert finding.code == "criteria_memory"
    assert "MiB" in finding.detail


def test_all_errors_of_the_form_are_listed_with_their_lines() -> None:  # V-8
    with pytest.raises(Invalid) as caught:
        load_criteria(HEAD + "    kind: band\n    signal: one.x\n    hihg: {value: 1, unit: kPa}\n    clause: 5\n")
    errors: Any = caught.value.extra["errors"]
    assert {(item["field"], item["line"]) for item in errors} == {("criteria[0].hihg", 12), ("criteria[0].clause", 13)}
    assert caught.value.code == "criteria_invalid"


def test_text_that_is_no_yaml_names_its_line() -> None:  # V-8
    with pytest.raises(Malformed) as caught:
        load_criteria("id: set\ntitle: [a\n")
    assert (caught.value.code, caught.value.extra["line"]) == ("criteria_malformed", 3)


def test_bytes_that_are_no_text_are_refused() -> None:  # G14
    with pytest.raises(Malformed, match="UTF-8"):
        load_criteria(b"id: \xff")


@pytest.mark.parametrize(
    ("kind", "line", "column"),
    [
        ("band(one.x, high 5 kPa)", 5, 22),
        ("band(one.x, high = 5 kPa", 6, 1),
        ("band one.x", 5, 10),
        ("count(event = one.x <=, at_most = 1)", 5, 27),
    ],
)
def test_a_syntax_error_names_its_line_and_column(kind: str, line: int, column: int) -> None:  # V-5, V-8
    with pytest.raises(Malformed) as caught:
        load_criteria(TEXT.format(kind=kind))
    assert (caught.value.code, caught.value.extra) == ("criteria_syntax", {"line": line, "column": column})
    assert caught.value.remedy


def test_a_finding_in_the_text_form_names_its_line() -> None:  # V-5, V-8
    criteria, marks = read_criteria(TEXT.format(kind="band(one.x,\n        high = 5 K)"))
    [finding] = check(criteria, STREAMS, marks).findings
    assert (finding.code, finding.line, finding.column) == ("criteria_unit", 6, 16)


def test_a_field_that_the_kind_has_not_names_its_line() -> None:  # V-5, V-8
    with pytest.raises(Invalid) as caught:
        load_criteria(TEXT.format(kind="band(one.x, high = 5 kPa, upper = 6 kPa)"))
    assert (caught.value.field, caught.value.extra["line"]) == ("criteria[0].upper", 5)


def test_every_kind_says_what_it_stands_for() -> None:  # V-7
    assert set(EXPANSIONS) == set(KINDS)


def test_an_expansion_to_the_core_can_be_read_again() -> None:  # V-7
    criteria = load_criteria(TEXT.format(kind="band(one.x, low = 2 kPa, high = 5 kPa)"))
    text = expansion(criteria.criteria[0])
    assert text == "always(one.x >= 2 kPa and one.x <= 5 kPa)"
    assert read_formula(text)["op"] == "always"
