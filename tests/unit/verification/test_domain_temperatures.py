"""Arithmetic of values whose unit has an arbitrary zero: levels, differences, and what is neither (V-6, V-8). one.temperature is 20 Cel."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.rebuilding import rebuild
from tests.unit.verification.building import STREAMS, begun, criteria_of, ended, kpa, one, plan_of, verdict

T = "one.temperature"


def kelvin(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "K"}


def celsius(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "Cel"}


def constant(value: float, unit: str = "K") -> dict[str, Any]:
    return {"op": "constant", "value": value, "unit": unit}


def less(a: Any, b: Any) -> dict[str, Any]:
    return {"op": "difference", "of": [a, b]}


def plus(*parts: Any) -> dict[str, Any]:
    return {"op": "sum", "of": list(parts)}


def times(factor: float, of: Any) -> dict[str, Any]:
    return {"op": "scale", "factor": factor, "of": of}


def linear(*terms: tuple[float, Any]) -> dict[str, Any]:
    return {"op": "linear", "terms": [{"factor": factor, "of": of} for factor, of in terms]}


@pytest.mark.parametrize(
    ("signal", "high", "margin"),
    [
        (less(T, T), kelvin(5), 5.0),
        (linear((1, T), (-1, T)), kelvin(5), 5.0),
        (linear((1, T), (-1, T)), celsius(5), 5.0),
        (less(T, constant(15, "Cel")), kelvin(10), 5.0),
        ({"op": "absolute", "of": less(T, constant(15, "Cel"))}, kelvin(6), 1.0),
        (times(2, less(T, constant(15, "Cel"))), kelvin(11), 1.0),
        (less(constant(300), T), kelvin(10), 3.15),
        (less(T, less(T, T)), kelvin(300), 6.85),
        (linear((0.5, T), (0.5, T)), kelvin(300), 6.85),
        (times(0.5, plus(T, T)), kelvin(300), 6.85),
        (times(0.3333333333333333, plus(T, T, T)), kelvin(300), 6.85),
        (plus(T, constant(5)), kelvin(300), 1.85),
        (plus(constant(5), T), kelvin(300), 1.85),
        (less(T, constant(5)), kelvin(300), 11.85),
    ],
)
def test_levels_and_differences_keep_their_zero(signal: Any, high: Any, margin: float) -> None:  # V-6, V-8
    assert verdict({"kind": "band", "signal": signal, "high": high}, [1]).margin == pytest.approx(margin)


@pytest.mark.parametrize(
    "signal",
    [
        plus(T, T),
        times(2, T),
        times(0.5, T),
        linear((1, T), (-2, T)),
        {"op": "absolute", "of": T},
        plus(T, constant(5, "Cel")),
    ],
)
def test_what_is_neither_a_level_nor_a_difference_is_refused(signal: Any) -> None:  # V-8
    [finding] = check(criteria_of({"kind": "band", "signal": signal, "high": kelvin(320)}), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_unit", "criteria[0].signal")
    assert "neither a level nor a difference" in finding.detail


@pytest.mark.parametrize(
    ("criterion", "field"),
    [
        ({"kind": "window_statistics", "signal": T, "statistic": "rms", "high": kelvin(300)}, "statistic"),
        ({"kind": "compare_previous", "signal": T, "statistic": "rms", "high": kelvin(3)}, "statistic"),
        ({"kind": "balance", "inputs": [T], "outputs": [T], "fraction": 0.1}, "fraction"),
        ({"kind": "balance", "inputs": [T, T], "outputs": [T], "limit": kelvin(1)}, "outputs"),
        ({"kind": "setpoint_band", "signal": T, "setpoint": less(T, T), "within": kelvin(1)}, "setpoint"),
        (
            {"kind": "count", "at_most": 1, "event": {"op": "<=", "left": plus(T, T), "right": kelvin(300)}},
            "event.left",
        ),
        ({"kind": "count", "at_most": 1, "event": {"op": "<=", "left": T, "right": less(T, T)}}, "event.right"),
    ],
)
def test_a_use_that_needs_a_true_zero_is_refused(criterion: dict[str, Any], field: str) -> None:  # V-8
    [finding] = check(criteria_of(criterion, planned=3600), STREAMS).findings
    assert (finding.code, finding.field) == ("criteria_unit", f"criteria[0].{field}")


def test_a_ratio_and_a_root_mean_square_of_differences_have_a_meaning() -> None:  # V-6: (20 - 10) K / 5 kPa; 20 - 15
    apart = {"op": "ratio", "of": [less(T, constant(10, "Cel")), "one.x"]}
    slope = {"kind": "band", "signal": apart, "high": {"value": 3, "unit": "K/kPa"}}
    assert verdict(slope, [5]).margin == pytest.approx(1.0)
    rms = {"kind": "window_statistics", "signal": less(T, constant(15, "Cel")), "statistic": "rms", "high": kelvin(6)}
    assert verdict(rms, [5, 5]).margin == pytest.approx(1.0)


def test_a_constant_in_kelvin_is_a_level_beside_a_level() -> None:  # V-6: 20 Cel are 293.15 K
    near = {"kind": "setpoint_band", "signal": T, "setpoint": constant(294.15), "within": kelvin(2)}
    assert verdict(near, [1]).margin == pytest.approx(1.0)
    below = {"kind": "condition", "of": {"op": "<=", "left": T, "right": constant(294.15)}}
    assert verdict_of(below) == pytest.approx(1.0)


def test_the_size_of_a_difference_is_that_of_its_limit() -> None:  # V-7: 5 K less 2.5 K over 5 K, beside kPa over kPa
    apart = {"op": "<=", "left": less(T, constant(17.5, "Cel")), "right": kelvin(5)}
    mixed = {"kind": "condition", "of": {"op": "and", "of": [apart, {"op": "<=", "left": "one.x", "right": kpa(10)}]}}
    assert verdict_of(mixed) == pytest.approx(0.5)


def test_a_sum_of_levels_in_kelvin_has_a_limit_in_kelvin() -> (
    None
):  # V-8: 300 K - 293.15 K counts the zero of Cel -1 times
    signal = linear((1, constant(300)), (-1, T))
    assert verdict({"kind": "band", "signal": signal, "high": kelvin(10)}, [1]).margin == pytest.approx(3.15)
    for criterion, field in (
        ({"kind": "band", "signal": signal, "high": celsius(10)}, "high"),
        ({"kind": "count", "at_most": 1, "event": {"op": "<=", "left": signal, "right": celsius(10)}}, "event.right"),
    ):
        [finding] = check(criteria_of(criterion), STREAMS).findings
        assert (finding.code, finding.field) == ("criteria_unit", f"criteria[0].{field}")


def test_units_with_a_true_zero_are_added_freely() -> None:  # V-6
    assert verdict({"kind": "band", "signal": plus("one.x", "one.x"), "high": kpa(5)}, [2]).margin == 1.0


def verdict_of(condition: dict[str, Any]) -> float | None:
    plan = plan_of(condition)
    return rebuild(plan, [begun(), ended(2)], [one([(0, 1), (1, 1)])]).result().criteria[0].margin
