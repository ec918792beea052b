"""The report as data: the fields of ISO/IEC 17025:2017, 7.8.2.1, the decision rule, clauses, and when no report may be written (V-23)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.verification.domain.reports.document import compose, document_digest
from services.verification.domain.reports.facts import Deviation, RunFacts
from services.verification.domain.reports.profile import load_particulars, load_profile
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid, Malformed, Problem
from tests.unit.verification.building import SECOND, kpa
from tests.unit.verification.reports.making import (
    LENGTH,
    PARTICULARS_TEXT,
    PROFILE_TEXT,
    facts_of,
    particulars,
    profile,
    recorded,
)

EVIDENCE = {"root": "e" * 64, "parts": []}
UNDECIDED = {"kind": "band", "signal": "one.x", "high": kpa(10.0), "clause": "5.3", "quality": {"min_coverage": 1.0}}


def written(facts: RunFacts, **more: Any) -> dict[str, Any]:
    wanted = {"number": "VR-2026-000007", "kind": "verification", "profile": profile(), "particulars": particulars(),
              "facts": facts, "evidence": EVIDENCE, "drafted_at": 5, **more}  # fmt: skip
    return compose(**wanted)


def accepted(criterion: str, by: str | None = "chen") -> Deviation:
    return Deviation("d-1", criterion, "data", "the logger was off for 3 s", "li", 7, by, None if by is None else 8)


def refusal(facts: RunFacts, **more: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        written(facts, **more)
    return caught.value


def half() -> RunFacts:
    """Half of the run has no data: a criterion that demands full coverage is not decided."""
    frames = [frame for frame in recorded() if frame.stream == "line/two" or frame.seq < 6]
    return facts_of(frames, UNDECIDED, {"kind": "band", "signal": "two.z", "high": {"value": 40.0, "unit": "Pa"}})


def test_every_field_of_17025_is_there() -> None:
    """V-23: 7.8.2.1 a) to p), in its order; j) is the record of issue beside the document, written by the last step."""
    document = written(facts_of(recorded()))
    assert document["title"] == {"en": "Verification report", "zh": "中试验证报告"}  # a
    assert document["laboratory"]["address"]["zh"] == "武汉市测试路1号"  # b
    assert document["location"]["en"] == "1 Test Road, Wuhan"  # c
    assert document["number"] in document["end_mark"]["en"]  # d
    assert document["number"] in document["end_mark"]["zh"]
    assert document["customer"]["name"]["en"] == "Acme"  # e
    assert document["customer"]["contact"]["en"] == "Ms Zhang, zhang@example.com"
    assert (document["method"]["criteria_set"], document["method"]["criteria_version"]) == ("set", 1)  # f
    assert document["item"] | {"description": 0} == {
        "name": "resin", "revision": "B", "description": 0, "condition": {"en": "Sealed drum", "zh": "密封桶装"},
    }  # fmt: skip  # g
    assert document["dates"]["item_received_on"] == "2026-01-02"  # h
    assert (document["dates"]["performed_from"], document["dates"]["performed_to"]) == (0, LENGTH * SECOND)  # i
    assert document["sampling"]["zh"] == "由客户送样"  # k
    assert "only to the items" in document["statements"]["items_only"]["en"]  # l
    assert [item["unit"] for item in document["results"]] == ["kPa", "Pa", "kPa"]  # m
    assert document["deviations"] == []  # n
    assert document["signatures"] == ["performed", "reviewed", "approved"]  # o
    assert document["externals"] == []  # p


def test_results_carry_requirement_decision_rule_and_uncertainty() -> None:
    """V-23: 7.8.6 decision rule per criterion; U with k, unit and source; an agreed U stands before the registry's."""
    guarded = {"rule": "guard_band", "multiplier": 1.0, "uncertainty": {"value": 0.5, "unit": "kPa"}}
    band = {"kind": "band", "signal": "one.x", "high": kpa(10.0)}
    document = written(facts_of(recorded(), band, band | {"decision": guarded}))
    plain, agreed = document["results"]
    assert plain["requirement"] == [
        {"name": "signal", "value": "one.x"},
        {"name": "high", "value": {"value": 10.0, "unit": "kPa"}},
    ]
    assert plain["decision"]["rule"] == "simple"
    assert plain["uncertainty"] == [
        {"of": "one.x", "expanded": 2.0, "unit": "kPa", "coverage_factor": 2.0, "source": "certificate 7",
         "calibration_due": "2026-01-31", "calibration_valid": True},
    ]  # fmt: skip
    assert (agreed["decision"]["rule"], agreed["uncertainty"][0]["expanded"]) == ("guard_band", 0.5)
    assert plain["margin"] - agreed["margin"] == pytest.approx(0.5)


def test_a_worst_value_is_told_in_the_unit_of_its_signal() -> None:
    """V-23: the margin of an excursion is a time, that of a fraction a share; the worst value of both is a pressure."""
    limit = {"signal": "one.x", "high": kpa(6.0)}
    excursion = {"kind": "longest_excursion", "at_most": {"value": 3, "unit": "s"}} | limit
    fraction = {"kind": "fraction_in_band", "at_least": 0.5} | limit
    results = written(facts_of(recorded(), excursion, fraction, {"kind": "band"} | limit))["results"]
    assert [(item["unit"], item.get("worst_unit"), item["worst_value"]) for item in results] == [
        ("s", "kPa", 6.5),
        ("1", "kPa", 6.5),
        ("kPa", None, 6.5),
    ]


def test_what_was_measured_is_told_and_not_what_is_left_of_an_allowance() -> None:
    """V-23: 7.8.2.1 m) asks for the result in its unit. one.x is 5.0 to 6.5 kPa and two.z 20 to 24 Pa; x leaves 6 kPa for 2 s of 7."""
    deviation = {
        "kind": "setpoint_band",
        "signal": "one.x",
        "setpoint": {"op": "constant", "value": 5.0, "unit": "kPa"},
    }
    above = {"signal": "one.x", "high": kpa(6.0)}
    three = {"at_most": {"value": 3, "unit": "s"}}
    results = written(
        facts_of(
            recorded(),
            {"kind": "balance", "inputs": ["one.x"], "outputs": ["two.z"], "limit": {"value": 8000.0, "unit": "Pa"}},
            deviation | {"within": kpa(2.0)},
            deviation | {"fraction": 0.5},
            {"kind": "uniformity", "places": ["one.x", "two.z"], "formula": "half_range", "at_most": 1.5},
            {"kind": "longest_excursion"} | three | above,
            {"kind": "cumulative_time_out"} | three | above,
            {"kind": "fraction_in_band", "at_least": 0.25} | above,
            {"kind": "band"} | above,
        )
    )["results"]
    found = [item.get("measured") for item in results]
    assert found[0] == {"value": pytest.approx(6.5 - 0.02), "unit": "kPa"}
    assert found[0]["value"] + results[0]["margin"] == pytest.approx(8.0)
    assert found[1] == {"value": 1.5, "unit": "kPa"}
    assert (found[2], found[7]) == (None, None)
    assert found[3]["value"] == pytest.approx((6.5 - 0.02) / (6.5 + 0.02))
    assert found[4] == {"value": 2.0, "unit": "s"}
    assert found[5] == {"value": results[5]["time_out"] / SECOND, "unit": "s"}
    assert found[6]["value"] == pytest.approx(1 - results[6]["time_out"] / SECOND / LENGTH)


def test_nothing_is_measured_where_there_were_no_data() -> None:
    """V-23, V-10: an excursion of 0 s would be a statement about values that nobody has."""
    criterion = {"kind": "longest_excursion", "signal": "one.x", "high": kpa(6.0), "at_most": {"value": 3, "unit": "s"}}
    frames = [frame for frame in recorded() if frame.stream == "line/two"]
    (result,) = written(facts_of(frames, criterion, deviations=[accepted("c0")]))["results"]
    assert (result["outcome"], result.get("measured")) == ("INCONCLUSIVE", None)


def test_values_at_a_limit_are_explained_by_the_rules_that_were_used() -> None:
    """V-23: 7.8.6: what equality means depends on the decision rule, and in conditions on the sign of comparison."""

    def said(*criteria: dict[str, Any]) -> str:
        return str(written(facts_of(recorded(), *criteria))["statements"]["comparison"]["en"])

    band = {"kind": "band", "signal": "one.x", "high": kpa(10.0)}
    guarded = band | {"decision": {"rule": "guard_band", "uncertainty": kpa(0.5)}}
    level = band | {"decision": {"rule": "four_level", "uncertainty": kpa(0.5)}}
    low = {"op": "<=", "left": "one.x", "right": kpa(0.0)}
    equal = "a value equal to its limit conforms"
    assert equal in said(band)
    assert "drawn in" not in said(band)
    assert equal not in said(guarded)
    assert "equal to the limit drawn in conforms" in said(guarded)
    assert "conforms conditionally" in said(level)
    assert equal in said(band, guarded)
    forbidden = said({"kind": "forbid", "of": low, "during": low})
    assert equal not in forbidden
    assert "< and > do not" in forbidden


def test_clauses_are_met_not_met_or_not_decided() -> None:
    """V-23: a clause is met when all of its criteria pass, not met when one fails."""
    narrow = {"kind": "band", "signal": "one.x", "high": kpa(1.0), "clause": "5.1"}
    wide = {"kind": "band", "signal": "one.x", "high": kpa(10.0), "clause": "5.1"}
    other = wide | {"clause": "5.2"}
    frames = [frame for frame in recorded() if frame.stream == "line/two" or frame.seq < 6]
    document = written(facts_of(frames, narrow, wide, other, UNDECIDED, deviations=[accepted("c3")]))
    assert {item["clause"]: item["state"] for item in document["clauses"]} == {
        "5.1": "not_met", "5.2": "met", "5.3": "not_decided",
    }  # fmt: skip
    assert [item["deviations"] for item in document["results"]] == [[], [], [], ["d-1"]]


def test_the_document_is_canonical_and_its_digest_covers_everything() -> None:
    """V-24: what is signed is one byte string."""
    document = written(facts_of(recorded()))
    assert document_digest(document) == document_digest(written(facts_of(recorded())))
    assert canonical_json(document)
    others = [
        written(facts_of(recorded()), number="VR-2026-000008"),
        written(facts_of(recorded()), evidence=EVIDENCE | {"root": "f" * 64}),
        written(facts_of(recorded()), replaces={"number": "VR-2026-000001", "digest": "0", "reason": "typing error"}),
    ]
    assert len({document_digest(item) for item in (document, *others)}) == 4
    assert others[2]["replaces"]["reason"] == "typing error"


def test_no_report_over_a_mismatch() -> None:
    """V-23, V-16"""
    facts = facts_of(recorded())
    assert facts.evaluation is not None
    found = refusal(replace(facts, evaluation=replace(facts.evaluation, mismatch=True)))
    assert (found.code, found.status) == ("report_mismatch", 409)


def test_no_report_over_an_evaluation_that_is_not_final() -> None:
    """V-23"""
    facts = facts_of(recorded())
    assert facts.evaluation is not None
    assert refusal(replace(facts, evaluation=replace(facts.evaluation, final=False))).code == "report_not_final"
    assert refusal(replace(facts, run={**facts.run, "ended_at": None})).code == "report_run_open"
    assert refusal(replace(facts, evaluation=None)).code == "report_run_open"


def test_no_report_over_an_undecided_criterion_without_an_accepted_deviation() -> None:
    """V-23: a deviation counts once it is accepted, and only for its criterion."""
    facts = half()
    found = refusal(facts)
    assert (found.code, found.extra["criteria"]) == ("report_undecided", ["c0"])
    assert refusal(replace(facts, deviations=[accepted("c0", by=None)])).code == "report_undecided"
    assert refusal(replace(facts, deviations=[accepted("c1")])).code == "report_undecided"
    document = written(replace(facts, deviations=[accepted("c0")]))
    assert (document["verdict"], document["deviations"][0]["accepted_by"]) == ("inconclusive", "chen")


def test_no_report_without_a_profile_or_of_an_unknown_type() -> None:
    """V-23"""
    found = refusal(facts_of(recorded()), profile=None)
    assert (found.code, found.status) == ("report_profile_missing", 404)
    assert "pilotline reports profile apply" in str(found.remedy)
    assert refusal(facts_of(recorded()), kind="scene").code == "report_type_unknown"


def test_forms_name_the_field_at_fault() -> None:
    """V-23: profile and particulars are closed forms; a text may be given once for both languages."""
    assert load_particulars(PARTICULARS_TEXT).customer_contact.zh == "Ms Zhang, zhang@example.com"
    with pytest.raises(Invalid) as caught:
        load_profile(PROFILE_TEXT.replace("[performed, reviewed, approved]", "[performed, performed]"))
    assert (caught.value.code, caught.value.field) == ("report_form_invalid", "report_types.verification")
    with pytest.raises(Invalid) as caught:
        load_particulars(PARTICULARS_TEXT.replace("item_received_on: 2026-01-02", ""))
    assert caught.value.field == "item_received_on"
    with pytest.raises(Malformed):
        load_profile("laboratory: [")


def test_data_quality_is_told_per_stream() -> None:
    """V-23: late, gaps, quarantined, conflicts; frames and rows are those of the evidence."""
    parts = [
        {"part": "frames", "stream": "line/one", "registry_version": version, "frames": 6, "rows": 60}
        for version in (1, 2)
    ]
    written_down = written(facts_of(recorded()), evidence=EVIDENCE | {"parts": parts})["data_quality"]["streams"]
    assert [item["frames"] for item in written_down] == [12, 0]
    assert written_down[0] == {
        "stream": "line/one", "frames": 12, "rows": 120, "late_frames": 1, "gaps": 1, "missing_frames": 2,
        "quarantined": {"out_of_range": 3}, "conflicts": 1,
    }  # fmt: skip
