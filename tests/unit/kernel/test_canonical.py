"""Canonical bytes: one per value."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from shared.kernel.canonical import canonical_json, decimal_text, digest
from shared.kernel.ids import stable_id


def test_order_of_keys_and_writing_of_decimals_do_not_change_the_bytes() -> None:
    left = canonical_json({"b": Decimal("1.50"), "a": [1, 0.1, None, True]})
    assert (
        left == canonical_json({"a": [1, 0.1, None, True], "b": Decimal("1.5")}) == b'{"a":[1,0.1,null,true],"b":"1.5"}'
    )


def test_numbers_that_json_cannot_carry_become_words() -> None:
    assert canonical_json([math.nan, math.inf, -math.inf]) == b'["NaN","Infinity","-Infinity"]'


@pytest.mark.parametrize(
    ("value", "text"), [("1E+3", "1000"), ("-0.00", "0"), ("1.230", "1.23"), ("1E-9", "0.000000001")]
)
def test_a_decimal_is_written_plainly(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        canonical_json(object())
    with pytest.raises(TypeError, match="text keys"):
        canonical_json({1: 2})


def test_the_same_facts_give_the_same_id_and_digest() -> None:
    assert stable_id("segment", "te1", 5) == stable_id("segment", "te1", 5)
    assert stable_id("segment", "te1", 5) != stable_id("verdict", "te1", 5)
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
