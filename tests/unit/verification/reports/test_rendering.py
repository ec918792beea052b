"""HTML and PDF of a report, from one presentation, in both languages (V-23)."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from services.verification.adapters.reports.fonts import find_fonts, missing_characters, texts_of
from services.verification.adapters.reports.labels import Words
from services.verification.adapters.reports.presentation import present
from services.verification.adapters.reports.rendering import html, pdf
from services.verification.adapters.reports.wording import Wording, exact, number
from services.verification.domain.criteria.parts import QualityDemand
from services.verification.domain.criteria_model import KINDS, Criterion
from services.verification.domain.reports.document import compose
from services.verification.domain.reports.facts import Deviation
from shared.kernel.errors import Unavailable
from shared.kernel.times import from_rfc3339
from tests.unit.verification.building import kpa
from tests.unit.verification.reports.making import facts_of, particulars, profile, recorded, signed

pytestmark = pytest.mark.usefixtures("font")


def report(state: str = "issued", **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    criteria = [
        {"kind": "band", "signal": "one.x", "low": kpa(0.0), "high": kpa(1.0), "clause": "5.1"},
        {"kind": "hold", "signal": "one.x", "high": kpa(10.0), "duration": {"value": 30, "unit": "s"}, "clause": "5.2"},
        {
            "kind": "band",
            "signal": {"op": "absolute", "of": {"op": "difference", "of": ["one.x", "two.z"]}},
            "high": kpa(20.0),
        },
    ]
    deviation = Deviation("d-1", None, "procedure", "the pump was changed", "li", 7_000_000, "chen", 8_000_000)
    document = compose(
        number="VR-2026-000042", kind="verification", profile=profile(), particulars=particulars(),
        facts=facts_of(recorded(), *criteria, deviations=[deviation]), drafted_at=1_767_312_000_123_456,
        evidence={"root": "e" * 64, "parts": [{"part": "frames", "stream": "line/one", "registry_version": 1, "frames": 12, "rows": 120,
                                               "merkle_root": "a" * 64}]},
    )  # fmt: skip
    document |= changes
    issue = (
        {"number": document["number"], "digest": "d" * 64, "issued_at": 1_767_400_000_000_000}
        if state == "issued"
        else None
    )
    signatures = [item.document() for item in signed(document)] if state == "issued" else []
    return {"document": document, "digest": "d" * 64, "issue": issue, "state": state}, signatures


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in texts(item)]


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = ""

    def handle_data(self, data: str) -> None:
        self.found += data + "\n"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Verification report", "does not conform", "5.1", "not met", "End of report VR-2026-000042", "The results relate only to the",
                "simple acceptance", "2 kPa (k = 2)", "certificate 7", "the pump was changed", "as received from the customer", "1 (2)",
                "Acme (acme)", "1 Test Road, Wuhan", "2026-01-02", "+08:00"]),
        ("zh", ["中试验证报告", "不符合", "不满足", "报告 VR-2026-000042 正文结束", "仅对被测样品有效", "简单接受", "武汉市测试路1号",
                "爱克美 (acme)", "密封桶装", "由客户送样", "审核", "王芳"]),
    ],
)  # fmt: skip
def test_both_languages_show_every_field(language: str, words: list[str]) -> None:
    """V-23: what 7.8.2.1 asks for is on the page, in the reader's language."""
    parser = Text()
    parser.feed(html(*report(), language))
    for word in words:
        assert word.lower() in parser.found.replace("\N{NO-BREAK SPACE}", " ").lower(), word
    assert "<script" not in html(*report(), language)


def test_html_and_pdf_come_from_one_presentation_and_the_html_escapes() -> None:
    """V-23"""
    made, signatures = report(opinions={"en": "<script>alert(1)</script>", "zh": "意见"})
    text = html(made, signatures, "en")
    assert "<script>" not in text
    parser = Text()
    parser.feed(text)
    shown = [part for text in texts(present(made, signatures, "en")["sections"]) for part in text.split("\n")]
    marks = {"code", "fail", "pass", "met", "not_met", "left", "right", "pairs", "table", "text", "verdict"}
    for part in shown:
        assert part in parser.found or part in text or part in marks or part.isdecimal(), part


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_pdf_numbers_every_page_and_is_the_same_every_time(language: str) -> None:
    """V-23: PDF/A, number and page x of y on every page, no dependence on the clock."""
    made, signatures = report()
    data = pdf(made, signatures, language)
    assert data.startswith(b"%PDF-1.7")
    assert b"<pdfaid:part>2</pdfaid:part>" in data
    assert b"VR-2026-000042" in data
    assert pdf(made, signatures, language) == data
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    text = subprocess.run(["pdftotext", "-", "-"], input=data, capture_output=True, check=True).stdout.decode()
    pages = text.split("\f")[:-1]
    assert len(pages) >= 2
    for index, page in enumerate(pages, 1):
        assert "VR-2026-000042" in page
        mark = f"Page{index}of{len(pages)}" if language == "en" else f"第{index}页共{len(pages)}页"
        assert mark in "".join(page.split())
    end = "End of report VR-2026-000042" if language == "en" else "报告 VR-2026-000042 正文结束"
    assert end in pages[-1]
    assert end not in pages[0]


def test_drafts_and_void_reports_say_so_and_amendments_name_what_they_replace() -> None:
    """V-23"""
    assert present(*report("draft"), "en")["mark"] == "DRAFT: not issued"
    assert present(*report("void"), "zh")["mark"] == "已作废"
    assert present(*report(), "en")["mark"] == ""
    rows = present(*report("draft"), "en")["sections"][-1]["blocks"][0]["rows"]
    assert [row[1]["text"] for row in rows] == ["missing"] * 3
    replaces = {"number": "VR-2026-000041", "digest": "0" * 64, "reason": "wrong item revision"}
    assert "VR-2026-000041. Reason: wrong item revision" in present(*report(replaces=replaces), "en")["replaces"]


def test_a_missing_font_or_character_is_an_error_with_remedy(tmp_path: Path) -> None:
    """V-23: never empty boxes."""
    made, signatures = report()
    with pytest.raises(Unavailable) as caught:
        pdf(made, signatures, "zh", places=[tmp_path])
    assert caught.value.code == "report_font_missing"
    assert "fonts-noto-cjk" in str(caught.value.remedy)
    assert missing_characters(["中试验证 °C ≤ ≥ − · ∞ é"], [find_fonts()[0]]) == []


def test_a_sign_that_no_font_has_is_printed_as_its_code_point() -> None:
    """V-23: what was recorded cannot be written otherwise any more, and hinders no report."""
    made, signatures = report(opinions={"en": "valve \N{ROCKET} open", "zh": "\N{ROCKET}"})
    assert "valve [U+1F680] open" in printed(pdf(made, signatures, "en"))


def printed(data: bytes) -> str:
    """The text that people copy from a PDF."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    return subprocess.run(["pdftotext", "-", "-"], input=data, capture_output=True, check=True).stdout.decode()


def test_what_is_copied_from_a_page_is_what_was_signed() -> None:
    """V-23, V-24: lines end inside digests and addresses without a character that is not in them."""
    contact = {"en": "first.last_of_somebody@department.example.com", "zh": "联系人"}
    made, signatures = report()
    made["document"]["customer"]["contact"] = contact
    text = printed(pdf(made, signatures, "en"))
    assert "\u200b" not in text
    whole = "".join(text.split())
    for wanted in (made["document"]["method"]["criteria_digest"], signatures[0]["signature"], contact["en"]):
        assert wanted in whole


def test_a_reason_longer_than_a_page_is_printed_to_its_end() -> None:
    """V-23: 7.8.2.1 n: deviations may take 4000 characters; no heading stands alone, no identifier over its neighbour."""
    identifier = "3f2b8c1e-9a47-4d0c-8e21-5b6a7c9d0e1f"
    reason = " ".join(f"word{number}" for number in range(500))
    deviation = {"id": identifier, "criterion": "c0", "kind": "procedure", "reason": reason, "recorded_by": "li",
                 "recorded_at": 0, "accepted_by": "wang", "accepted_at": 5}  # fmt: skip
    assert 3700 < len(reason) < 4000
    made, signatures = report(deviations=[deviation])
    for results in (1, 8, 12):
        made["document"]["results"] = (made["document"]["results"] * 12)[:results]
        text = printed(pdf(made, signatures, "en"))
        assert set(reason.split()) <= set(text.split())
        assert identifier.replace("-", "") in "".join(text.split()).replace("-", "")
        assert identifier not in text
        for page in text.split("\f")[:-1]:
            assert not page.rstrip().splitlines()[-3].startswith("8"), page


def test_signs_that_the_first_font_lacks_come_from_the_second(tmp_path: Path) -> None:
    """V-23: units of chemistry are printed; a report without them is the same with and without the second font."""
    chemistry = "CO₂ 0.5 mol·L⁻¹, 3 ⋅ 10⁵, Michał"
    made, signatures = report(opinions={"en": chemistry, "zh": chemistry})
    assert "mol·L⁻¹" in printed(pdf(made, signatures, "en"))
    with pytest.raises(Unavailable) as caught:
        pdf(made, signatures, "en", second=[tmp_path])
    assert (caught.value.code, "fonts-dejavu-core" in str(caught.value.remedy)) == ("report_font_missing", True)
    made, signatures = report()
    assert pdf(made, signatures, "zh", second=[tmp_path]) == pdf(made, signatures, "zh")


def test_texts_are_found_with_their_fields() -> None:
    """V-23: what cannot be printed is refused by the name of its field."""
    tree = {"opinions": {"en": "a"}, "results": [{"title": {"zh": "乙"}, "margin": 1.5}]}
    assert list(texts_of(tree)) == [("opinions.en", "a"), ("results[0].title.zh", "乙")]
    assert missing_characters(["a\N{ROCKET}", "乙\n"], [find_fonts()[0]]) == ["\N{ROCKET}"]


@pytest.mark.parametrize(("language", "page"), [("en", '"Page " counter(page)'), ("zh", '"第 " counter(page)')])
def test_the_html_on_paper_has_number_and_page_and_its_whole_width(language: str, page: str) -> None:
    """V-23: 7.8.2.1 d; the last column of a table is not cut off, a name cannot leave the style sheet."""
    made, signatures = report()
    made["document"]["laboratory"]["name"] = dict.fromkeys(("en", "zh"), '"} </style><i>')
    text = html(made, signatures, language)
    style = text[: text.index("</style>")]
    assert "VR-2026-000042" in style[style.index("@page") :]
    assert page in style
    assert "counter(pages)" in style
    assert ".scroll { overflow: visible; }" in style[style.index("@media print") :]
    assert "<i>" not in text
    assert r"\22 \7d  \3c \2f style\3e \3c i\3e " in style


def test_long_tables_break_over_pages() -> None:
    """V-23: two hundred criteria in well under a second, the head repeated."""
    made, signatures = report()
    made["document"]["results"] = made["document"]["results"] * 70
    data = pdf(made, signatures, "zh")
    assert len(data) > 100_000
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed")
    text = subprocess.run(["pdftotext", "-", "-"], input=data, capture_output=True, check=True).stdout.decode()
    assert text.count("判定规则\n") >= len(text.split("\f")) // 2


def test_numbers_and_demands_read_as_people_write_them() -> None:
    """V-23: rounded for display, units with their signs, conditions as formulas."""
    assert [number(value) for value in (2.0, -0.25617, 1234.5, 1e-7, "Infinity", 3)] == [
        "2",
        "−0.2562",
        "1234",
        "1 · 10^-7".replace("-", "−"),
        "∞",
        "3",
    ]
    assert [number(value) for value in (12345.6, -0.0, 5e-324, 99999.9, 1e15, 7.0000001)] == [
        "12346", "0", "0", "100000", "1 · 10^15", "7",
    ]  # fmt: skip
    say = Wording("en", "UTC")
    demands = json.loads(
        '[{"name":"signal","value":{"op":"difference","of":["a.x","b.y"]}},{"name":"high","value":{"value":5.0,"unit":"Cel"}},'
        '{"name":"duration","value":{"value":30.0,"unit":"s"}},{"name":"windows","value":"phase"}]'
    )
    assert (
        say.requirement("band", demands)
        == "level within limits; (a.x − b.y); ≤\N{NO-BREAK SPACE}5\N{NO-BREAK SPACE}°C; for at least 30\N{NO-BREAK SPACE}s"
    )
    assert (
        say.expression({"op": "<=", "left": "a.x", "right": {"op": "constant", "value": 1.5, "unit": "kPa"}})
        == "(a.x ≤ 1.5\N{NO-BREAK SPACE}kPa)"
    )
    assert Words("zh").known("brand_new_field") == "brand new field"


def test_what_was_agreed_is_written_with_every_digit() -> None:
    """V-23: a limit of 2895.4 kPa is not 2895 kPa; only results are rounded."""
    assert [exact(value) for value in (2895.4, 100.25, 12345.6, 0.00012345, 1e15, -0.5, 30.0, 3, 1e-7, 1.25e-30)] == [
        "2895.4", "100.25", "12345.6", "0.00012345", "1000000000000000", "−0.5", "30", "3", "0.0000001", "1.25 · 10^−30",
    ]  # fmt: skip
    made, signatures = report()
    result = made["document"]["results"][0]
    result["requirement"][-1]["value"] = {"value": 2895.4, "unit": "kPa"}
    result["decision"] = {"rule": "guard_band", "multiplier": 1.00125}
    result["uncertainty"][0]["expanded"] = 12.34567
    sections = present(made, signatures, "en")["sections"]
    row = sections[5 - 1]["blocks"][0]["rows"][0]
    assert "2895.4\N{NO-BREAK SPACE}kPa" in row[1]["text"]
    assert "1.00125" in row[4]["text"]
    assert sections[6 - 1]["blocks"][0]["rows"][0][2]["text"].startswith("12.34567\N{NO-BREAK SPACE}kPa")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_kinds_that_demand_the_same_words_are_told_apart_and_so_are_phases(language: str) -> None:
    """V-23: 7.8.2.1 f, m: the kind of every requirement and the phase of every result."""
    words = Words(language)
    names = [words.of("kind", kind) for kind in KINDS]
    assert len(set(names)) == len(KINDS)
    assert language == "en" or not [name for name in names if name.isascii()]
    made, signatures = report()
    made["document"]["method"]["phases"] = [{"id": "p", "title": {"en": "Lining out", "zh": "稳定阶段"}}]
    made["document"]["results"][0]["kind"] = "cumulative_time_out"
    row = present(made, signatures, language)["sections"][5 - 1]["blocks"][0]["rows"][0]
    assert row[1]["text"].startswith(words("kind_cumulative_time_out"))
    assert row[0]["text"].endswith({"en": "Lining out", "zh": "稳定阶段"}[language])


def test_everything_that_a_criterion_can_demand_has_a_word_in_both_languages() -> None:
    """V-23: no name of a field of the criteria language stands in a Chinese report, and none is taken for another word."""
    fields = {
        name
        for model in get_args(get_args(Criterion)[0])
        for name in model.model_fields
        if name not in {"id", "clause", "title", "phase", "kind", "decision", "quality", "low", "high"}
    } | set(QualityDemand.model_fields)
    assert len(fields) > 50
    assert not {name for name in fields if Words("zh").of("field", name) == name.replace("_", " ")}
    assert Wording("en", "UTC").requirement("ramp", [{"name": "rate", "value": {"value": 5.0, "unit": "K/min"}}]) == (
        "following a ramp; rate 5\N{NO-BREAK SPACE}K/min"
    )


def test_conditions_read_as_in_the_criteria_language() -> None:
    """V-23"""
    low = {"op": "<=", "left": "a.x", "right": {"value": 1.5, "unit": "kPa"}}
    within = {"after": {"value": 0.0, "unit": "s"}, "upto": {"value": 30.0, "unit": "min"}}
    say = Wording("en", "UTC")
    assert say.expression({"op": "always", "of": low, "within": within}).replace("\N{NO-BREAK SPACE}", " ") == (
        "always[0 s, 30 min](a.x ≤ 1.5 kPa)"
    )
    state = {"op": "is", "channel": "a.mode", "code": "heating"}
    assert say.expression({"op": "not", "of": state}) == "not(a.mode = heating)"
    assert say.expression({"op": "until", "of": [state, state]}) == "((a.mode = heating) until (a.mode = heating))"


def test_the_result_is_the_measured_value_and_what_is_left_is_called_so() -> None:
    """V-23: 7.8.2.1 m."""

    def shown(**changes: Any) -> list[str]:
        made, signatures = report()
        made["document"]["results"][0] |= changes
        cell = present(made, signatures, "en")["sections"][5 - 1]["blocks"][0]["rows"][0][2]
        return [line.replace("\N{NO-BREAK SPACE}", " ") for line in cell["text"].split("\n")]

    slack = {"kind": "balance", "worst_value": 0.25, "unit": "kPa"}
    assert shown(**slack, measured={"value": 1.75, "unit": "kPa"})[0] == "1.75 kPa"
    assert shown(**slack)[0] == "0.25 kPa left of the tolerance"
    none = {"worst_value": None, "worst_at": None, "unit": "s", "time_out": 0, "measured": {"value": 0.0, "unit": "s"}}
    assert shown(kind="longest_excursion", **none) == ["0 s"]
    out = {"worst_value": 6.5, "worst_unit": "kPa", "unit": "s", "time_out": 5_000_000}
    lines = shown(kind="longest_excursion", **out, measured={"value": 2.0, "unit": "s"})
    assert (lines[0], lines[1], lines[-1]) == ("2 s", "worst value 6.5 kPa", "out of band 5 s")
    quality = {"worst_value": None, "worst_at": None, "time_out": None, "coverage": 0.993, "longest_gap": 960_000_000}
    assert shown(kind="data_quality", **quality) == ["99.3 % covered", "Longest gap 960 s"]


def test_the_margin_of_data_quality_says_what_it_is() -> None:
    """V-23: a share left of the tightest of several demands."""
    made, signatures = report()
    made["document"]["results"][0] |= {"kind": "data_quality", "margin": 0.01, "unit": "1", "share": None}
    row = present(made, signatures, "en")["sections"][5 - 1]["blocks"][0]["rows"][0]
    assert row[3]["text"] == "1.0 %\nleft of the tightest demand"


@pytest.mark.parametrize(("language", "words"), [("en", "in UTC"), ("zh", "按 UTC 计")])
def test_the_day_against_which_calibration_is_held_is_named(language: str, words: str) -> None:
    """V-23: shown instants are in the platform's zone, the day of a calibration is that of UTC."""
    made, signatures = report()
    made["document"]["dates"]["performed_from"] = from_rfc3339("2026-02-01T00:30:00+08:00")
    section = present(made, signatures, language)["sections"][6 - 1]
    assert "UTC" in section["blocks"][0]["columns"][-1]["title"]
    assert words in section["blocks"][1]["text"]
    assert "2026-01-31" in section["blocks"][1]["text"]


def test_a_worst_value_is_shown_in_its_own_unit() -> None:
    """V-23: beside a margin that is a time."""
    made, signatures = report()
    made["document"]["results"][0] |= {"unit": "s", "worst_unit": "kPa", "worst_value": 6.5, "margin": -2.0}
    row = present(made, signatures, "en")["sections"][5 - 1]["blocks"][0]["rows"][0]
    assert (row[2]["text"].splitlines()[0], row[3]["text"].splitlines()[0]) == (
        "6.5\N{NO-BREAK SPACE}kPa",
        "\N{MINUS SIGN}2\N{NO-BREAK SPACE}s",
    )


def test_a_share_reads_as_people_say_it() -> None:
    """V-23: the number before the words in English, behind them in Chinese."""
    made, signatures = report()
    made["document"]["results"][0] |= {"unit": "kPa", "margin": 2.0, "share": 0.25}
    said = [
        present(made, signatures, language)["sections"][5 - 1]["blocks"][0]["rows"][0][3]["text"].splitlines()[1]
        for language in ("en", "zh")
    ]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in said] == ["25.0 % of the tolerance", "占公差 25.0 %"]


def test_levels_and_rules_with_parameters_are_shown() -> None:
    """V-9, V-23: a conditional pass is named as such, a rule with its parameters."""
    made, signatures = report()
    result = made["document"]["results"][0]
    result |= {"level": "conditional_pass", "decision": {"rule": "four_level", "multiplier": 1.5, "uncertainty": None}}
    row = present(made, signatures, "en")["sections"][5 - 1]["blocks"][0]["rows"][0]
    assert row[5]["text"].startswith("conditional pass")
    assert row[4]["text"] == "four levels (ILAC-G8); multiplier 1.5"
