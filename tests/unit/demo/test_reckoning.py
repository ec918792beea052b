"""Reckoning an explain tree from its leaves."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from deploy.demo.reckoning import fen, reaches_the_log, reckon, segments


def leaf(value: str) -> dict[str, Any]:
    evidence = {
        "ranges": [{"stream": "te1/reactor", "boot": "b", "seq_from": 1, "seq_to": 2}],
        "frames": 2,
        "offsets": {"partition": 0, "first": 7, "last": 9},
    }
    return {"op": "segment", "value": value, "evidence": evidence}


def constant(value: str) -> dict[str, Any]:
    return {"op": "constant", "value": value}


def test_hours_times_price_rounded_once() -> None:
    hours = {"op": "quotient", "by": "3600", "of": [{"op": "sum", "of": [leaf("1800"), leaf("600")]}]}
    tree = {"op": "round", "of": [{"op": "product", "of": [hours, constant("10")]}]}
    assert reckon(tree) == Fraction("6.67")
    assert len(list(segments(tree))) == 2


@pytest.mark.parametrize(("units", "amount"), [("5", 5), ("10", 10), ("15", "12.5"), ("0", 0)])
def test_graduated_prices_count_for_the_units_inside_their_tier(units: str, amount: str | int) -> None:
    tiers = [{"up_to": "10", "price": "1"}, {"up_to": None, "price": "0.5"}]
    assert reckon({"op": "graduated", "of": [leaf(units)], "tiers": tiers}) == Fraction(amount)


@pytest.mark.parametrize(("used", "added"), [("0", 0), ("10", 120), ("100", 30), ("101", 29), ("130", 0)])
def test_a_session_is_brought_up_to_its_minimum_then_to_a_step(used: str, added: int) -> None:
    topped = {"op": "top_up", "of": [leaf(used)], "minimum": "100", "step": "65"}
    assert reckon(topped) == added


@pytest.mark.parametrize(
    ("amount", "rounded"), [("0.005", "0.01"), ("0.0049999999", "0.00"), ("2.675", "2.68"), ("10", "10.00")]
)
def test_half_a_fen_is_rounded_up(amount: str, rounded: str) -> None:
    assert fen(Fraction(amount)) == Decimal(rounded)


def test_a_leaf_without_its_place_in_the_log_does_not_reach_it() -> None:
    assert reaches_the_log(leaf("1"))
    broken = leaf("1")
    broken["evidence"]["offsets"] = None
    assert not reaches_the_log(broken)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(KeyError):
        reckon({"op": "guess", "of": [leaf("1")]})
