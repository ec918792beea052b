"""The flip table of a run: what changes between the verdict of record and a draft (V-20)."""

from __future__ import annotations

import math

import pytest

from services.verification.domain.what_if import Judged, check_names, compare
from shared.kernel.errors import Invalid
from tests.unit.verification.building import begun, criteria_of, ended, fed, kpa, one, plan_of

PLAN = plan_of(
    {"kind": "band", "signal": "one.x", "high": kpa(5)},
    {"kind": "band", "signal": "one.x", "high": kpa(9)},
    {"kind": "band", "signal": "one.x", "high": kpa(7)},
)
RESULT = fed(PLAN, begun(), one([(0, 6), (1, 2)]), ended(2)).result()


def test_a_flip_is_another_outcome_and_the_delta_is_in_the_margins_unit() -> None:  # V-20
    record = {
        "c0": Judged("pass", 2.0, "kPa", None),
        "c1": Judged("pass", 1.0, "kPa", None),
        "gone": Judged("fail", -1.0, "kPa", None),
    }
    table = compare("set@2", record, "pass", RESULT)
    assert (table.verdict.before, table.verdict.after, table.verdict.digest) == ("pass", "fail", RESULT.digest)
    assert [(f.criterion, f.flipped, f.delta) for f in table.flips] == [
        ("c0", True, -3.0),
        ("c1", False, 2.0),
        ("c2", True, None),
        ("gone", True, None),
    ]
    assert table.flips[2].before is None
    assert table.flips[3].after is None


def test_margins_of_other_units_or_without_a_number_have_no_delta() -> None:  # V-20
    record = {
        "c0": Judged("fail", -1.0, "Pa", None),
        "c1": Judged("inconclusive", None, "kPa", "no_data"),
        "c2": Judged("pass", math.inf, "kPa", None),
    }
    assert [flip.delta for flip in compare("set@2", record, "fail", RESULT).flips] == [None, None, None]


def test_two_drafts_of_one_name_are_refused() -> None:  # V-20
    one_, two = (criteria_of({"kind": "band", "signal": "one.x", "high": kpa(high)}) for high in (5, 6))
    check_names([("drafts[0]", one_)])
    with pytest.raises(Invalid) as caught:
        check_names([("drafts[0]", one_), ("criteria[0]", two)])
    assert (caught.value.code, caught.value.field) == ("what_if_draft_twice", "criteria[0]")
