"""Units: UCUM in, one factor and one offset out."""

from __future__ import annotations

import math

import pytest

from shared.kernel.errors import Invalid
from shared.kernel.units import check_unit, commensurable, conversion, is_difference, is_logarithmic


def linear(source: str, target: str, *, difference: bool = False) -> tuple[float, float]:
    found = conversion(source, target, difference=difference)
    return found.factor, found.offset


@pytest.mark.parametrize(
    ("source", "target", "factor", "offset"),
    [
        ("bar", "kPa", 100.0, 0.0),
        ("Cel", "K", 1.0, 273.15),
        ("kW.h", "J", 3_600_000.0, 0.0),
        ("10*3.m3{std}/h", "m3/h", 1000.0, 0.0),
        ("%{mol}", "mol/mol", 0.01, 0.0),
        ("kPa", "kPa", 1.0, 0.0),
    ],
)
def test_values_are_converted_by_factor_and_offset(source: str, target: str, factor: float, offset: float) -> None:
    assert linear(source, target) == (factor, offset)  # I-3


def test_a_difference_of_temperatures_has_no_offset() -> None:
    assert linear("Cel", "K", difference=True) == (1.0, 0.0)  # I-3
    assert conversion("K/min", "K/h").offset == 0.0  # I-3
    assert is_difference("temperature_difference")
    assert not is_difference("temperature")


def test_units_of_other_dimensions_and_unknown_codes_have_stable_codes() -> None:
    with pytest.raises(Invalid) as incommensurable:
        conversion("kPa", "Cel")
    assert incommensurable.value.code == "unit_incommensurable"  # I-3
    with pytest.raises(Invalid) as unknown:
        check_unit("kscmh")
    assert unknown.value.code == "unit_unknown"  # I-3
    assert not commensurable("kPa", "Cel")


@pytest.mark.parametrize("code", ["Cel2", "[pH]", "m//s", "", "((("])
def test_what_cannot_be_computed_with_is_no_unit(code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_unit(code)
    assert refused.value.code == "unit_unknown"  # I-3


@pytest.mark.parametrize(
    "code", ["10*999999999.kPa", "kPa99999999", "m-100", "[degF]1000", "10*99.10*99.10*99", "km99"]
)
def test_a_unit_without_bounds_is_refused_at_once(code: str) -> None:  # V-8: working 10**999999999 out would not end
    with pytest.raises(Invalid, match="unit_unknown") as refused:
        check_unit(code)
    assert refused.value.remedy


@pytest.mark.parametrize("code", ["10*3.m3{std1000}/h", "m[H2O]", "10*-9", "10*99", "m-3", "((kPa)/s)/(m3)"])
def test_exponents_that_people_write_are_units(code: str) -> None:  # V-7
    check_unit(code)


@pytest.mark.parametrize(("code", "so"), [("dB", True), ("B[SPL]", True), ("Np", True), ("Cel", False), ("%", False)])
def test_a_unit_that_counts_in_a_logarithm_is_known(code: str, so: bool) -> None:  # V-8
    assert is_logarithmic(code) is so


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (4.35, "bar", "kPa", 435.0),
        (0.57, "MPa", "kPa", 570.0),
        (68.0, "[degF]", "Cel", 20.0),
        (293.15, "K", "Cel", 20.0),
        (0.1, "Cel", "K", 273.25),
        (1.1, "[in_i]", "mm", 27.94),
        (1e300, "MPa", "uPa", math.inf),
        (-1e300, "MPa", "uPa", -math.inf),
    ],
)
def test_a_written_number_is_converted_exactly_and_rounded_once(
    value: float, source: str, target: str, expected: float
) -> None:  # V-9: equality with a limit passes
    assert conversion(source, target).of(value) == expected


@pytest.mark.parametrize(("source", "target"), [("dB", "%"), ("B[SPL]", "kPa"), ("W", "B[W]")])
def test_a_logarithm_has_no_factor(source: str, target: str) -> None:  # I-3
    with pytest.raises(Invalid) as refused:
        conversion(source, target)
    assert refused.value.code == "unit_incommensurable"
    assert conversion(source, source).is_identity
