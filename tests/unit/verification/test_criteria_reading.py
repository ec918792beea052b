"""What is read from a criteria file, in all three forms, and what is refused before anything is compiled (V-5, V-8)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.verification.domain.criteria import marks, reading
from services.verification.domain.criteria.reading import read_formula, read_text
from services.verification.domain.criteria.writing import set_text, set_yaml
from services.verification.domain.criteria_model import LONGEST_TEXT, CriteriaSet, load_criteria
from shared.kernel.errors import Invalid, Malformed, Problem, TooLarge

TITLE = {"en": "a", "zh": "甲"}
BAND = "kind: band, signal: one.x, high: {value: 5, unit: kPa}"
TEXT = 'criteria set version 1 "a" / "甲"\nphase p "a" / "甲"\ncriterion first "a" / "甲" in p:\n    '


def yaml_of(criterion: str = BAND, more: str = "") -> str:
    return (
        f"id: set\nversion: 1\ntitle: {{en: a, zh: 甲}}\nphases:\n  - {{id: p, title: {{en: a, zh: 甲}}}}\n{more}criteria:\n"
        f"  - {{id: first, title: {{en: a, zh: 甲}}, phase: p, {criterion}}}\n"
    )


def document(**facts: Any) -> dict[str, Any]:
    band = {"id": "first", "title": TITLE, "phase": "p", "kind": "band", "signal": "one.x"}
    return {
        "id": "set",
        "version": 1,
        "title": TITLE,
        "phases": [{"id": "p", "title": TITLE}],
        "criteria": [band | {"high": {"value": 5, "unit": "kPa"}} | facts],
    }


def refused(read: Callable[[], Any]) -> Problem:
    """Refused with code, line, field and remedy, and not only after all of it was worked out."""
    began = time.perf_counter()
    with pytest.raises(Problem) as caught:
        read()
    assert time.perf_counter() - began < 60
    problem = caught.value
    assert problem.field
    assert problem.remedy
    assert isinstance(problem.extra["line"], int)
    return problem


def bomb(width: int = 10, depth: int = 9) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * width)}]" for k in range(1, depth)]
    return "\n".join(lines) + "\n"


def merge_bomb(depth: int = 9) -> str:
    lines = ["m0: &m0 {a: 1}", *(f"m{k}: &m{k} {{<<: [{', '.join([f'*m{k - 1}'] * 10)}]}}" for k in range(1, depth))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("text", [bomb(), merge_bomb()], ids=["aliases", "merges"])
def test_aliases_that_would_fill_the_memory_are_refused(text: str) -> None:  # V-8
    problem = refused(lambda: load_criteria(text + yaml_of()))
    assert (problem.code, problem.extra["line"]) == ("criteria_size", 6)


def test_aliases_and_merges_are_written_out() -> None:  # V-5
    first = "  - &first {id: c1, title: {en: a, zh: 甲}, phase: p, " + BAND + "}\n"
    text = (
        yaml_of().split("criteria:\n")[0]
        + "criteria:\n"
        + first
        + "  - {<<: *first, id: c2, high: &h {value: 7, unit: kPa}}\n"
    )
    text += "  - {<<: [{id: c3}, *first], high: *h}\n"
    assert [(c.id, c.high.value) for c in load_criteria(text).criteria] == [("c1", 5.0), ("c2", 7.0), ("c3", 7.0)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "more: &f [*f]\n",
        "more: &f {a: *f}\n",
        "more: *none\n",
        "more: !!binary aGVsbG8=\n",
        "more: !!python/object/apply:os.system [x]\n",
        "more: !mine {a: 1}\n",
        "? [a, b]\n: 1\n",
        "a: 1\n--- \nb: 2\n",
        "more: \x07\n",
        'more: "\\ud83d"\n',
        "<<: 5\n",
    ],
)
def test_what_yaml_can_say_and_criteria_cannot_is_refused(text: str) -> None:  # V-8
    assert refused(lambda: load_criteria(text)).code == "criteria_malformed"


@pytest.mark.parametrize(
    "read",
    [
        lambda: load_criteria("more: " + "[" * 3000 + "]" * 3000),
        lambda: load_criteria("{" + '"a": {' * 3000 + "}" * 3001),
        lambda: load_criteria('{"a": ' + "[" * 100_000),
        lambda: read_text(TEXT + "band(" + "(" * 5000 + "one.x" + ")" * 5000 + ", high = 5 kPa)"),
        lambda: read_text(TEXT + "condition(of = " + "not(" * 5000 + "one.x <= 5 kPa" + ")" * 5001),
        lambda: load_criteria(bomb(1, 120)),
    ],
    ids=["yaml", "json mappings", "json lists", "parentheses", "not", "aliases in a row"],
)
def test_what_is_too_deep_is_refused(read: Callable[[], Any]) -> None:  # V-8
    assert refused(read).code == "criteria_size"


def test_a_document_is_as_deep_in_every_form() -> None:  # V-5
    deep: Any = {"op": "<=", "left": "one.x", "right": {"value": 5, "unit": "kPa"}}
    for _ in range(90):
        deep = {"op": "not", "of": deep}
    facts = document() | {"criteria": [document()["criteria"][0] | {"kind": "condition", "of": deep}]}
    del facts["criteria"][0]["signal"], facts["criteria"][0]["high"]
    whole = load_criteria(json.dumps(facts))
    assert load_criteria(set_text(whole)).digest() == load_criteria(set_yaml(whole)).digest() == whole.digest()


def test_more_values_than_a_document_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:  # V-8
    long = ", ".join(["5"] * (marks.MOST_VALUES + 10))
    assert refused(lambda: load_criteria(f"more: [{long}]")).code == "criteria_size"
    assert refused(lambda: load_criteria(f'{{"more": [{long}]}}')).code == "criteria_size"
    monkeypatch.setattr(reading, "MOST_TOKENS", 1000)
    assert refused(lambda: read_formula(f"[{long}]")).code == "criteria_size"


def test_a_file_that_is_too_long_is_refused() -> None:  # V-8
    text = yaml_of() + "# " + "x" * LONGEST_TEXT
    assert isinstance(refused(lambda: load_criteria(text)), TooLarge)
    assert refused(lambda: load_criteria(text.encode())).code == "criteria_size"


def test_a_number_of_thousands_of_digits_is_refused() -> None:  # V-8
    many = "9" * 5000
    assert refused(lambda: load_criteria(yaml_of().replace("version: 1", f"version: {many}"))).extra["line"] == 2
    assert (
        refused(lambda: load_criteria(json.dumps(document()).replace('"value": 5', f'"value": {many}'))).code
        == "criteria_size"
    )
    assert (
        refused(lambda: load_criteria(TEXT.replace("version 1", f"version {many}") + "band(one.x, high = 5 kPa)")).code
        == "criteria_size"
    )


@pytest.mark.parametrize("value", ["true", '"2895"', "0755", "0x1f", "2_895", "28:95", ".inf", ".nan", '"nan"', "~"])
def test_only_a_number_is_a_number(value: str) -> None:  # V-8
    problem = refused(lambda: load_criteria(yaml_of(BAND.replace("5", value))))
    assert (problem.code, problem.field) == ("criteria_invalid", "criteria[0].high.value")


@pytest.mark.parametrize(
    ("value", "is_"), [("1e3", 1e3), ("-1.5E3", -1.5e3), ("1.0e+3", 1e3), ("+5", 5.0), (".5", 0.5)]
)
def test_a_number_may_have_an_exponent(value: str, is_: float) -> None:  # V-5
    criterion: Any = load_criteria(yaml_of(BAND.replace("5", value))).criteria[0]
    assert criterion.high.value == is_


@pytest.mark.parametrize("version", ["true", '"1"', "1.5", "01", "1e3"])
def test_a_version_is_a_whole_number(version: str) -> None:  # V-8
    problem = refused(lambda: load_criteria(yaml_of().replace("version: 1", f"version: {version}")))
    assert (problem.field, problem.extra["line"]) == ("version", 2)


@pytest.mark.parametrize("count", ["true", "2.0", '"2"', "1000000000000"])
def test_what_is_counted_is_a_whole_number_with_a_bound(count: str) -> None:  # V-8
    kind = f"kind: window_statistics, signal: one.x, statistic: mean, high: {{value: 5, unit: kPa}}, min_count: {count}"
    assert refused(lambda: load_criteria(yaml_of(kind))).field == "criteria[0].min_count"


def test_a_name_that_yaml_takes_for_a_truth_is_a_name() -> None:  # V-5: `on` is a field of response
    compared = '{op: "<=", left: one.x, right: {value: 5, unit: kPa}}'
    kind = f"kind: response, trigger: {compared}, answer: {compared}, within: {{value: 5, unit: s}}, on: level"
    criterion: Any = load_criteria(yaml_of(kind)).criteria[0]
    assert criterion.on == "level"


@pytest.mark.parametrize(
    ("text", "field", "line"),
    [
        (yaml_of(BAND + ",\n  high: {value: 9, unit: kPa}"), "criteria[0].high", 8),
        (yaml_of(BAND.replace("value: 5", "value: 5, value: 6")), "criteria[0].high.value", 7),
        (yaml_of() + "version: 2\n", "version", 8),
        (json.dumps(document()).replace('"version": 1', '"version": 1,\n"version": 2'), "version", 2),
        (json.dumps(document()).replace('"kind"', '"phase": "q",\n"kind"'), "criteria[0].phase", 1),
        (TEXT + "band(one.x, high = 5 kPa,\n high = 9 kPa)", "criteria[0].high", 5),
        (TEXT + "band(one.x,\n one.y, high = 9 kPa)", "criteria[0].signal", 5),
        (TEXT + "band(one.x, high = 9 kPa, phase = q)", "criteria[0].phase", 4),
        (TEXT + "band(one.x, high = 9 kPa)\n decision(guard_band)\n decision(simple)", "criteria[0].decision", 6),
        (TEXT + "band(one.x, high = 9 kPa)\n decision(guard_band, rule = simple)", "criteria[0].decision.rule", 5),
        (TEXT.replace('p "a" / "甲"', 'p "a" / "甲" (planned = 1 h, planned = 2 h)') + "band(one.x, high = 9 kPa)",
         "phases[0].planned", 2),
        (TEXT.replace('p "a" / "甲"', 'p "a" / "甲" (id = q)') + "band(one.x, high = 9 kPa)", "phases[0].id", 2),
        (TEXT.replace('1 "a" / "甲"', '1 "a" / "甲" (version = 2)') + "band(one.x, high = 9 kPa)", "version", 1),
        (TEXT + "envelope(one.x, reference = {unit = kPa, step = 1 s,\n step = 2 s, mean = [1], sd = [1]})",
         "criteria[0].reference.step", 5),
    ],
)  # fmt: skip
def test_what_is_given_twice_is_refused_with_its_place(text: str, field: str, line: int) -> None:  # V-8
    problem = refused(lambda: load_criteria(text))
    assert (problem.code, problem.field, problem.extra["line"]) == ("criteria_repeated", field, line)


def test_everything_that_is_given_twice_is_listed() -> None:  # V-8
    problem = refused(lambda: load_criteria(yaml_of(BAND + ", phase: q, phase: r") + "id: other\n"))
    errors: Any = problem.extra["errors"]
    assert [item["field"] for item in errors] == ["criteria[0].phase", "criteria[0].phase", "id"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"id": "set",\n "version": 1,}', 2),
        ('{"id": "set"\n "version": 1}', 2),
        ('{"phases": [1,\n2,]}', 2),
        ("{id: set}", 1),
        ('{"id": NaN}', 1),
        ('{"id":\n "a\tb"}', 2),
        ('{"id": "a"}\n{}', 2),
        ('{"id": "\\ud800"}', 1),
        ('{"id": 01}', 1),
        ('{"id": "a', 1),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text: str, line: int) -> None:  # V-8
    problem = refused(lambda: load_criteria(text))
    assert (problem.code, problem.extra["line"]) == ("criteria_malformed", line)


ODD_TEXTS = [
    "😀",
    "\x7f",
    "\ufffe",
    "a\x85b",
    "a\u2028b\u2029",
    "\x01",
    "\r\n\t",
    " a  b ",
    "\\",
    '"',
    "1e3",
    "0755",
    "yes",
    "~",
    "2026-01-01",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_every_text_survives_every_form(text: str) -> None:  # V-5
    whole = CriteriaSet.model_validate(document(title={"en": text, "zh": text}, clause=text))
    facts = whole.model_dump(mode="json")
    forms = [json.dumps(facts), json.dumps(facts, ensure_ascii=False, indent="\t"), set_text(whole)]
    if text not in ("\x7f", "\ufffe", "\x01"):
        forms.append(set_yaml(whole))
    for form in forms:
        for start in ("", "\ufeff"):
            assert load_criteria(start + form).digest() == whole.digest()
            assert load_criteria((start + form).encode()).digest() == whole.digest()


@pytest.mark.parametrize(
    "unit", ["[in_i'H2O]", "'", "''", "k\nPa", "kPa ", '"', "\\", "'\"", "and", "/min", "10*3.m3{std}/h", "%"]
)
def test_every_unit_survives_the_text_form(unit: str) -> None:  # V-5
    whole = CriteriaSet.model_validate(document(high={"value": 5, "unit": unit}))
    assert load_criteria(set_text(whole)).digest() == whole.digest()


@pytest.mark.parametrize(
    ("text", "holds"),
    [("", "nothing"), ("# no more\n", "nothing"), ("- a\n", "a list"), ("hello", "one value"), ("[]", "a list")],
)
def test_a_file_without_a_set_says_what_it_holds(text: str, holds: str) -> None:  # V-8
    problem = refused(lambda: load_criteria(text))
    assert (problem.code, holds in problem.detail) == ("criteria_malformed", True)


def test_an_id_that_is_used_twice_names_the_second_place() -> None:  # V-8
    facts = document()
    facts["criteria"] = facts["criteria"] * 3
    facts["phases"] = facts["phases"] * 2
    problem = refused(lambda: load_criteria(json.dumps(facts)))
    errors: Any = problem.extra["errors"]
    assert [item["field"] for item in errors] == ["phases[1].id", "criteria[1].id", "criteria[2].id"]
    assert problem.detail == "phase id used twice: p; criterion id used twice: first"


def test_a_field_named_as_its_kind_is_named() -> None:  # V-8
    with pytest.raises(Invalid) as caught:
        load_criteria(yaml_of("kind: until, holds: {op: is, channel: one.x, code: 1}, until: {op: is, channel: one.x}"))
    assert caught.value.field == "criteria[0].until.code"


def test_what_would_fit_is_told_in_words() -> None:  # V-8
    with pytest.raises(Malformed) as caught:
        load_criteria(TEXT + "band(one.x high = 5 kPa)")
    assert caught.value.remedy is not None
    assert "`,`" in caught.value.remedy
    assert " or " in caught.value.remedy
    assert ",," not in caught.value.remedy


def test_a_text_with_an_unknown_escape_names_its_line() -> None:  # V-8
    problem = refused(lambda: load_criteria(TEXT.replace('first "a"', 'first "\\q"') + "band(one.x, high = 5 kPa)"))
    assert (problem.code, problem.extra["line"]) == ("criteria_syntax", 3)


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        ("kind: band, signal: 5, high: 5",
         [("signal", "wanted: a channel or arithmetic over channels"), ("high", "wanted: a quantity such as {value: 5, unit: kPa}")]),
        ('kind: condition, of: {op: "<=", left: one.x, right: {value: x, unit: kPa}}',
         [("of.right.value", "a number is wanted, in digits and without quotes")]),
        ('kind: condition, of: {op: "<=", left: one.x, right: {op: sum, of: [one.x]}}',
         [("of.right.of", "A list should have at least 2 items after validation, not 1")]),
        ('kind: condition, of: {op: "<=", left: one.x, right: [1]}',
         [("of.right", "wanted: a quantity such as {value: 5, unit: kPa} or a channel or arithmetic over channels")]),
        ("kind: condition, of: {op: is, channel: one.x, code: 1.5}", [("of.code", "wanted: true or false or a whole number or a text")]),
        ("kind: condition, of: {channel: one.x}", [("of", "op is missing")]),
        ("kind: condition, of: hello, clause: 5", [("of", "a mapping of fields is wanted"),
         ("clause", "a text is wanted; what looks like a number or a truth stands in quotes")]),
    ],
)  # fmt: skip
def test_an_error_of_the_form_is_told_once_and_in_the_words_of_the_file(
    criterion: str, told: list[tuple[str, str]]
) -> None:  # V-8
    errors: Any = refused(lambda: load_criteria(yaml_of(criterion))).extra["errors"]
    assert {(item["field"], item["detail"]) for item in errors} == {
        (f"criteria[0].{field}", said) for field, said in told
    }
