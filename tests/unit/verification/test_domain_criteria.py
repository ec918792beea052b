"""The criteria file and what is said about it before it is published."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.check import check, require_valid
from services.verification.domain.criteria_model import load_criteria
from services.verification.domain.plan import RunPlan
from shared.contracts.registry import Channel, Stream
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.units import check_unit
from tests.unit.verification.building import STREAMS, criteria_of, kpa, seconds

BAND: dict[str, Any] = {"kind": "band", "signal": "one.x", "high": kpa(110)}
TEXT = """
id: acceptance
version: 3
title: {en: Acceptance, zh: 验收}
phases:
  - {id: p, title: {en: Test, zh: 试验}, planned: {value: 2, unit: h}}
criteria:
  - id: pressure
    clause: "5.1"
    title: {en: Pressure, zh: 压力}
    phase: p
    kind: band
    signal: one.x
    high: {value: 110, unit: kPa}
"""


def test_yaml_and_json_give_the_same_digest() -> None:  # V-5, G7
    criteria = load_criteria(TEXT)
    assert load_criteria(criteria.model_dump_json()) == criteria
    assert load_criteria(criteria.model_dump_json()).digest() == criteria.digest()
    assert load_criteria(TEXT.replace("110", "111")).digest() != criteria.digest()


def test_what_is_not_yaml_is_malformed() -> None:  # V-8
    with pytest.raises(Malformed) as caught:
        load_criteria("id: [")
    assert caught.value.code == "criteria_malformed"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("unit: kPa}", "unitt: kPa}"), "criteria[0].high.unit"),
        (("kind: band", "kind: bond"), "criteria[0]"),
        (("    high: {value: 110, unit: kPa}", ""), "criteria[0]"),
        (("version: 3", "version: 0"), "version"),
        (("signal: one.x", "signal: {op: difference, of: [one.x]}"), "criteria[0].signal.of[1]"),
    ],
)
def test_an_error_names_its_field(change: tuple[str, str], field: str) -> None:  # V-8
    with pytest.raises(Invalid) as caught:
        load_criteria(TEXT.replace(*change))
    fields = [entry["field"] for entry in caught.value.extra["errors"]]  # type: ignore[attr-defined]
    assert caught.value.code == "criteria_invalid"
    assert field in fields


def test_an_id_is_used_once() -> None:  # V-5
    with pytest.raises(ValueError, match="criterion id used twice: c0"):
        criteria_of(BAND, BAND | {"id": "c0"})


@pytest.mark.parametrize(
    ("criterion", "code", "field"),
    [
        (BAND | {"signal": "one.y"}, "criteria_unknown_channel", "criteria[0].signal"),
        (BAND | {"phase": "r"}, "criteria_phase_unknown", "criteria[0].phase"),
        (BAND | {"high": {"value": 1, "unit": "Cel"}}, "criteria_unit", "criteria[0].high"),
        (BAND | {"high": {"value": 1, "unit": "kilopascal"}}, "criteria_unit", "criteria[0].high"),
        (
            BAND | {"signal": {"op": "sum", "of": ["one.x", {"op": "scale", "factor": 2, "of": "one.temperature"}]}},
            "criteria_unit",
            "criteria[0].signal",
        ),
        (
            BAND | {"signal": {"op": "ratio", "of": ["one.temperature", "one.x"]}},
            "criteria_unit",
            "criteria[0].signal.of[0]",
        ),
        (
            BAND | {"kind": "hold", "duration": {"value": 2, "unit": "h"}},
            "criteria_horizon",
            "criteria[0]",
        ),
        (BAND | {"kind": "hold", "duration": seconds(0)}, "criteria_horizon", "criteria[0].duration"),
        (BAND | {"kind": "hold", "duration": kpa(3)}, "criteria_unit", "criteria[0].duration"),
        (
            BAND | {"signal": "two.z", "decision": {"rule": "guard_band"}},
            "criteria_decision_rule",
            "criteria[0].decision.uncertainty",
        ),
        (
            {
                "kind": "rate_of_change",
                "signal": "one.x",
                "window": seconds(60),
                "high": {"value": 1, "unit": "kPa/s"},
                "decision": {"rule": "guard_band"},
            },
            "criteria_decision_rule",
            "criteria[0].decision.uncertainty",
        ),
    ],
)
def test_a_static_error_has_a_code_a_field_and_a_remedy(
    criterion: dict[str, Any], code: str, field: str
) -> None:  # V-8
    report = check(criteria_of(criterion, planned=3600), STREAMS)
    assert [(f.code, f.field) for f in report.findings] == [(code, field)]
    assert report.findings[0].remedy
    with pytest.raises(Invalid) as caught:
        require_valid(criteria_of(criterion, planned=3600), STREAMS)
    assert caught.value.code == code


def test_every_error_is_found_not_only_the_first() -> None:  # V-8
    report = check(criteria_of(BAND | {"signal": "one.y"}, BAND, BAND | {"high": {"value": 1, "unit": "K"}}), STREAMS)
    assert [f.field for f in report.findings] == ["criteria[0].signal", "criteria[2].high"]


def test_the_memory_bound_is_printed_and_follows_window_and_rate() -> None:  # V-8
    hold = BAND | {"kind": "hold"}
    short, long = hold | {"duration": seconds(10)}, hold | {"duration": seconds(1000)}
    memory = dict(check(criteria_of(short, long, planned=3600), STREAMS).memory)
    slot = 8 * (2 + 2 + 2)  # margin, value, clock end, clock start, seq, row
    assert memory == {"c0": 36 * slot + 16 + 1024, "c1": 2016 * slot + 16 + 1024}  # and the two limits
    assert "c1: at most 95.5 KiB" in check(criteria_of(short, long, planned=3600), STREAMS).text()


def test_a_window_that_needs_too_much_memory_is_refused() -> None:  # V-8, G12: 10 h at 1 kHz
    fast = Stream("line/one", 1, "p", "line", "one", (Channel("x", "pressure", "kPa"),), 1000, 1_000_000)
    mean = {"kind": "window_statistics", "statistic": "mean", "signal": "one.x", "windows": "sliding", "high": kpa(1)}
    report = check(criteria_of(mean | {"window": {"value": 10, "unit": "h"}}), (fast,))
    assert [f.code for f in report.findings] == ["criteria_memory"]


def test_a_percentile_of_a_phase_needs_the_phases_planned_length() -> None:  # V-8
    percentile = {
        "kind": "window_statistics",
        "statistic": "percentile",
        "percentile": 95,
        "signal": "one.x",
        "high": kpa(1),
    }
    assert [f.code for f in check(criteria_of(percentile), STREAMS).findings] == ["criteria_memory"]
    assert check(criteria_of(percentile, planned=60), STREAMS).findings == ()


def test_a_planned_length_that_is_no_time_is_a_finding() -> None:  # V-8
    text = TEXT.replace("unit: h", "unit: kPa")
    assert [f.field for f in check(load_criteria(text), STREAMS).findings] == ["phases[0].planned"]


def test_a_guard_band_of_a_temperature_is_a_difference() -> None:  # V-9: 2 K are 2 Cel of difference, not -271 Cel
    band = {"kind": "band", "signal": "one.temperature", "high": {"value": 100, "unit": "Cel"}}
    rule = {"decision": {"rule": "guard_band", "uncertainty": {"value": 2, "unit": "K"}}}
    plan = RunPlan.build(run="r", criteria=criteria_of(band | rule), streams=STREAMS, start=0)
    assert plan.criteria[0].lane.floats[1] == 98.0


def test_units_run_through_expressions() -> None:  # V-7: kPa over Pa is a pure number, Pa is brought to kPa in a sum
    ratio = {"kind": "band", "signal": {"op": "ratio", "of": ["one.x", "two.z"]}, "high": {"value": 50, "unit": "%"}}
    product = {"kind": "band", "signal": {"op": "ratio", "of": ["one.x", {"op": "constant", "value": 2, "unit": "h"}]}}
    product |= {"high": {"value": 1, "unit": "kPa/s"}}
    plan = RunPlan.build(run="r", criteria=criteria_of(ratio, product), streams=STREAMS, start=0)
    assert [criterion.signal.unit for criterion in plan.criteria] == ["1", "(kPa)/(h)"]
    assert [criterion.lane.floats[1] for criterion in plan.criteria] == [0.5, pytest.approx(3600.0)]
    check_unit(plan.criteria[1].signal.unit)
