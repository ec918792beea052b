"""Every static error of a set that can be read: each field at fault, as its author wrote it, with code, line and remedy (V-8)."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.check import CheckReport, Finding, check
from services.verification.domain.criteria_model import read_criteria
from services.verification.domain.plan import RunPlan
from services.verification.domain.soundness import MOST_PARTS
from shared.contracts.registry import Channel, Stream
from shared.kernel.errors import Invalid
from tests.unit.verification.building import STREAMS, criteria_of, kpa

NOISE = Stream(
    "line/noise",
    1,
    "platform",
    "line",
    "noise",
    (Channel("level", "sound_pressure_level", "dB"),),
    1_000_000,
    3_000_000,
)
HEAD = 'criteria set version 1 "a" / "甲"\nphase p "a" / "甲" (planned = {planned})\n'
CRITERION = 'criterion c{n} "a" / "甲" in p:\n    {kind}\n'


def report(*kinds: str, planned: str = "1 h") -> CheckReport:
    """Of criteria in the text form; the first one's kind stands on line 4, the second's on line 6."""
    text = HEAD.format(planned=planned) + "".join(CRITERION.format(n=n, kind=kind) for n, kind in enumerate(kinds))
    criteria, marks = read_criteria(text)
    return check(criteria, (*STREAMS, NOISE), marks)


def only(*kinds: str, planned: str = "1 h") -> Finding:
    [finding] = report(*kinds, planned=planned).findings
    assert finding.remedy
    assert finding.line
    return finding


@pytest.mark.parametrize(
    ("kind", "code", "field"),
    [
        ("band(one.x, low = 9 kPa, high = 5 kPa)", "criteria_limit", "low"),
        ("band(one.x, low = 1 bar, high = 99 kPa)", "criteria_limit", "low"),
        ("band(one.temperature, low = 300 K, high = 20 Cel)", "criteria_limit", "low"),
        ("lab_result(low = 9 %, high = 0.05 '1')", "criteria_limit", "low"),
        ("lab_result(low = 92 foo)", "criteria_unit", "low"),
        ("lab_result(low = 92 foo, high = 95 foo)", "criteria_unit", "low"),
        ("window_statistics(one.x, statistic = cpk, low = 1 '1', lower_spec = 9 kPa, upper_spec = 5 kPa)", "criteria_limit", "lower_spec"),
        ("window_statistics(one.x, statistic = sd, high = -1 kPa)", "criteria_limit", "high"),
        ("window_statistics(one.x, statistic = rms, low = -1 kPa)", "criteria_limit", "low"),
        ("compare_previous(one.x, statistic = mean, relation = ratio, low = -5 %)", "criteria_limit", "low"),
        ("totaliser(one.x, high = 5 kPa, rollover = -5 kPa)", "criteria_limit", "rollover"),
        ("totaliser(one.x, high = -5 kPa)", "criteria_limit", "high"),
        ("settle(one.x, target = 5 kPa, tolerance = -1 kPa, by = 1 min)", "criteria_limit", "tolerance"),
        ("settle(one.x, target = 5 kPa, tolerance = 1 kPa, by = 1 min, overshoot = -1 kPa)", "criteria_limit", "overshoot"),
        ("ramp(one.x, from_level = 1 kPa, to_level = 5 kPa, rate = 1 kPa/min, tolerance = -1 kPa)", "criteria_limit", "tolerance"),
        ("setpoint_band(one.x, setpoint = two.z, within = -2 kPa)", "criteria_limit", "within"),
        ("steady_state(one.x, gradient = -1 kPa/min, window = 1 min)", "criteria_limit", "gradient"),
        ("balance(inputs = [one.x], outputs = [two.z], limit = -1 kPa)", "criteria_limit", "limit"),
        ("envelope(one.x, floor = -1 kPa, reference = {step = 1 h, unit = kPa, mean = [1], sd = [1]})", "criteria_limit", "floor"),
        ("count(event = one.x >= 1 kPa, at_least = 5, at_most = 2)", "criteria_limit", "at_least"),
        ("band(one.x, high = 1e308 MPa)", "criteria_unit", "high"),
        ("condition(of = one.x <= one.x scale 0 kPa)", "criteria_limit", "of.scale"),
        ("uniformity(places = [one.x, two.z, one.x], formula = sd, at_most = 0.1)", "criteria_signal", "places[2]"),
        ("band(one.x / (0 * two.z), high = 1 '1')", "criteria_signal", "signal.of[1]"),
        ("band(one.x / 0 kPa, high = 1 '1')", "criteria_signal", "signal.of[1]"),
        ("band(constant(1 h), high = 2 h)", "criteria_signal", "signal"),
        ("condition(of = constant(1 h) <= 2 h)", "criteria_signal", "of"),
        ("balance(inputs = [constant(1 h)], outputs = [constant(1 h)], fraction = 0.1)", "criteria_signal", ""),
        ("hold(one.x, high = 1 kPa, duration = 1e300 h)", "criteria_horizon", "duration"),
        ("hold(one.x, high = 1 kPa, duration = 1 kPa)", "criteria_unit", "duration"),
        ("band(one.x, high = 1 kPa) quality(max_gap = 1e300 h)", "criteria_horizon", "quality.max_gap"),
        ("formula(of = always[0 kPa, 30 min](one.x <= 1 kPa))", "criteria_unit", "of.within.after"),
        ("formula(of = always[0 s, 1e300 h](one.x <= 1 kPa))", "criteria_horizon", "of.within.upto"),
        ("response(trigger = one.x >= 1 kPa, answer = one.x <= 1 kPa, within = 0 kPa)", "criteria_unit", "within"),
        ("mtbf(failure = one.x >= 1 kPa, at_least = 1e300 h)", "criteria_horizon", "at_least"),
        ("rate_of_change(one.x, window = 1 min, high = 1 kPa/min, min_count = 1000)", "criteria_horizon", "min_count"),
        ("drift(one.x, high = 1 kPa/min, min_count = 100000)", "criteria_horizon", "min_count"),
        ("band(noise.level, high = 80 dB)", "criteria_unit", "high"),
        ("window_statistics(one.x, statistic = mean, high = 1 Np)", "criteria_unit", "high"),
        ("band(noise.level, high = 80 '1')", "criteria_unit", "signal"),
        ("condition(of = noise.level <= 80 '1')", "criteria_unit", "of.left"),
        ("band(one.x, high = 1 '10*999999999.kPa')", "criteria_unit", "high"),
        ("inspection() decision(guard_band)", "criteria_decision_rule", "decision.rule"),
        ("band(one.x, high = 1 kPa) decision(guard_band, uncertainty = 0 kPa)", "criteria_decision_rule", "decision.uncertainty"),
        ("band(one.x, high = 1 kPa) decision(uncertainty = -1 kPa)", "criteria_decision_rule", "decision.uncertainty"),
        ("band(one.x, low = 1 kPa, high = 4 kPa) decision(guard_band)", "criteria_decision_rule", "decision"),
        ("settle(one.x, target = 5 kPa, tolerance = 1 kPa, by = 1 min) decision(guard_band)", "criteria_decision_rule", "decision"),
        ("setpoint_band(one.x, setpoint = two.z, within = 1 kPa) decision(guard_band, uncertainty = 2 kPa)",
         "criteria_decision_rule", "decision"),
        ("lab_result(low = 1 kPa, high = 2 kPa) decision(guard_band, uncertainty = 1 kPa)", "criteria_decision_rule", "decision"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(kind: str, code: str, field: str) -> None:  # V-8
    problems = report(kind).findings
    assert (code, "criteria[0]" + (f".{field}" if field else "")) in [(found.code, found.field) for found in problems]
    assert all(found.remedy and found.line in (3, 4) for found in problems)


@pytest.mark.parametrize(
    "kind",
    [
        "band(one.x, low = 5 kPa, high = 5 kPa)",
        "band(one.temperature, low = -20 Cel, high = 300 K)",
        "settle(one.x, target = 5 kPa, tolerance = 0 kPa, by = 1 min, overshoot = 0 kPa)",
        "window_statistics(one.x, statistic = sd, low = 0 kPa, high = 5 kPa)",
        "count(event = one.x >= 1 kPa, at_least = 2, at_most = 2)",
        "band(one.x, low = 1 kPa, high = 5 kPa) decision(guard_band)",
        "response(trigger = one.x >= 1 kPa, answer = one.x <= 1 kPa, within = 0 s)",
        "data_quality(noise.level, min_coverage = 0.5)",
        "band(one.x - constant(1 kPa), high = 2 kPa)",
        "rate_of_change(one.x, window = 1 min, high = 1 kPa/min, min_count = 60)",
        "compare_previous(one.x, statistic = mean, low = -5 kPa)",
    ],
)
def test_what_can_be_meant_is_not(kind: str) -> None:  # V-8
    assert not report(kind).findings


@pytest.mark.parametrize(
    ("planned", "code"),
    [
        ("0 h", "criteria_horizon"),
        ("-8 h", "criteria_horizon"),
        ("1e300 h", "criteria_horizon"),
        ("8 kPa", "criteria_unit"),
    ],
)
def test_a_planned_length_is_a_positive_time(planned: str, code: str) -> None:  # V-8
    finding = only("window_statistics(one.x, statistic = percentile, percentile = 50, high = 5 kPa)", planned=planned)
    assert (finding.code, finding.field, finding.line) == (code, "phases[0].planned", 2)


@pytest.mark.parametrize("lasting", ["1e300 h", "-1 s", "1 kPa"])
def test_a_condition_of_a_phase_holds_for_a_time(lasting: str) -> None:  # V-3, V-8
    finding = only(
        "band(one.x, high = 5 kPa)", planned=f"1 h, starts_when = {{formula = one.x >= 1 kPa, for = {lasting}}}"
    )
    assert (finding.field, finding.line) == ("phases[0].starts_when.for", 2)


@pytest.mark.parametrize(
    ("kind", "field", "column"),
    [
        ("formula(of = always[30 min, 0 s](one.x <= 1 kPa))", "of.within", 24),
        ("response(trigger = one.x >= 1 kPa, answer = one.y <= 1 kPa, within = 1 s)", "answer.left", 49),
        ("response(trigger = one.x >= 1 Cel, answer = one.x <= 1 kPa, within = 1 s)", "trigger.right", 33),
        ("response(trigger = one.x >= 1 kPa, answer = one.x <= 1 kPa, after = 9 s, within = 1 s)", "within", 87),
        ("until(holds = one.x <= 1 kPa, until = one.y >= 1 kPa, within = 1 s)", "until.left", 43),
        ("since(trigger = one.x >= 1 kPa, holds = one.x <= 1 kPa, since = one.x is 3)", "since.code", 78),
        ("order(events = [one.x >= 1 kPa, one.y >= 1 kPa])", "events[1].left", 37),
        ("forbid(of = one.x >= 1 kPa, during = not(one.y >= 1 kPa))", "during.of.left", 46),
        ("condition(of = one.x <= 0 kPa and one.temperature <= 5 Cel)", "of.of[0].scale", 20),
        ("condition(of = always(one.x <= 1 kPa and one.y >= 1 kPa))", "of.of.of[1].left", 46),
    ],
)  # fmt: skip
def test_an_error_in_a_formula_is_told_where_its_author_wrote_it(
    kind: str, field: str, column: int
) -> None:  # V-7, V-8
    finding = only("band(one.x, high = 5 kPa)", kind)
    assert (finding.field, finding.line, finding.column) == (f"criteria[1].{field}", 6, column)


def test_what_is_too_much_as_a_whole_is_said_of_the_criterion() -> None:  # V-8: `response` has no field `of`
    finding = only(f"response(trigger = {'rise(' * 40}one.x >= 1 kPa{')' * 40}, answer = one.x <= 1 kPa, within = 1 s)")
    assert (finding.code, finding.field, finding.line) == ("criteria_formula", "criteria[0]", 3)


def test_arithmetic_has_a_bound() -> None:  # V-8
    sums = " + ".join([f"({' + '.join(['one.x'] * 32)})"] * 32)
    parts = f"({sums}) + ({sums})"
    assert len(parts) > MOST_PARTS
    assert (
        only(f"band(abs({parts}) + abs({' + '.join([f'abs({sums})'] * 31)}), high = 5 kPa)").code == "criteria_formula"
    )


def test_every_field_at_fault_is_listed() -> None:  # V-8
    found = report(
        "settle(one.x, target = 5 K, tolerance = -1 kPa, by = 0 s, overshoot = 1 K) decision(guard_band, uncertainty = 0 kPa)",
        "response(trigger = one.x >= 1 Cel, answer = one.y <= 1 kPa, within = -5 min) quality(max_gap = 0 s)",
        "band(one.y, high = 1 foo) quality(idle = 5 kPa)",
    ).findings
    assert {item.field for item in found} == {
        *(f"criteria[0].{name}" for name in ("target", "tolerance", "by", "overshoot", "decision.uncertainty")),
        *(f"criteria[1].{name}" for name in ("trigger.right", "answer.left", "within", "quality.max_gap")),
        *(f"criteria[2].{name}" for name in ("signal", "high", "quality.idle")),
    }
    assert all(item.remedy for item in found)
    assert [(item.line, item.column) for item in found] == sorted((item.line, item.column) for item in found)


def test_a_condition_may_be_as_deep_as_a_document() -> None:  # V-8
    assert not report(f"condition(of = {'not(' * 90}one.x <= 5 kPa{')' * 90})").findings


def test_a_set_that_was_never_checked_is_refused_all_the_same() -> None:  # V-8: a preview compiles a draft as it is
    constant = {"op": "constant", "value": 1, "unit": "kPa"}
    with pytest.raises(Invalid, match="criteria_signal"):
        RunPlan.build(
            run="r",
            criteria=criteria_of({"kind": "band", "signal": constant, "high": kpa(1)}),
            streams=STREAMS,
            start=0,
        )
    endless: Any = {"kind": "hold", "signal": "one.x", "high": kpa(1), "duration": {"value": 1e300, "unit": "h"}}
    with pytest.raises(Invalid, match="criteria_horizon"):
        RunPlan.build(run="r", criteria=criteria_of(endless), streams=STREAMS, start=0)
