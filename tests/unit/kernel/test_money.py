"""Money: exact products, one rounding, splits that sum."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.money import largest_remainder, multiply, round_to_fen, total

amounts = st.decimals(min_value="-1000000", max_value="1000000", places=2)


def test_ten_times_a_tenth_is_one() -> None:
    assert total([Decimal("0.1")] * 10) == Decimal(1)  # B-21


@pytest.mark.parametrize(("exact", "rounded"), [("0.005", "0.01"), ("-0.005", "-0.01"), ("1.0049999", "1.00")])
def test_half_a_fen_is_rounded_away_from_zero(exact: str, rounded: str) -> None:
    assert round_to_fen(Decimal(exact)) == Decimal(rounded)  # B-12


def test_a_product_of_the_widest_price_and_quantity_is_exact() -> None:
    price, quantity = Decimal("123456789.123456789012"), Decimal("987654321.987654321")
    assert multiply(price, quantity) == Decimal("121932631356500531.359055020976487120852")  # B-12


@given(amounts, st.lists(st.decimals(min_value=0, max_value=1000, places=3), min_size=1, max_size=8).filter(any))
def test_shares_sum_to_the_whole_and_stay_within_one_fen_of_their_part(whole: Decimal, weights: list[Decimal]) -> None:
    shares = largest_remainder(whole, weights)
    assert total(shares) == whole  # B-15, G8
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - whole * weight / sum(weights)) < Decimal("0.01")


def test_left_over_fen_go_to_the_largest_remainder_and_ties_to_the_first() -> None:
    assert largest_remainder(Decimal("10.00"), [Decimal(1)] * 3) == (Decimal("3.34"), Decimal("3.33"), Decimal("3.33"))
    assert largest_remainder(Decimal("-0.05"), [Decimal(1), Decimal(2)]) == (Decimal("-0.02"), Decimal("-0.03"))


def test_a_split_needs_a_weight_and_a_whole_number_of_steps() -> None:
    with pytest.raises(ValueError, match="weights"):
        largest_remainder(Decimal(1), [Decimal(0)])
    with pytest.raises(ValueError, match="multiple"):
        largest_remainder(Decimal("0.001"), [Decimal(1)])
