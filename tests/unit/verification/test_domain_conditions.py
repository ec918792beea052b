"""Conditions: margins by hand, the sign at equality, what cannot be a condition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from services.verification.domain.conditions import compile_condition
from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.merging import JUST_BELOW, MergedSignal
from services.verification.domain.signals import channels_of
from shared.contracts.registry import Channel, ChannelKind, Stream
from shared.kernel.errors import Invalid
from tests.unit.verification.building import SECOND, STREAMS, kpa

MODE = Channel("mode", "state", "1", kind=ChannelKind.ENUMERATION, codes=((0, "idle"), (3, "heating")))
OPEN = Channel("open", "state", "1", kind=ChannelKind.BOOLEAN)
CHANNELS = channels_of(
    (*STREAMS, Stream("line/plc", 1, "platform", "line", "plc", (MODE, OPEN), SECOND, 3 * SECOND)),
)
HIGH = {"op": ">=", "left": "one.x", "right": kpa(5)}
HOT = {"op": ">", "left": "one.temperature", "right": {"value": 300, "unit": "K"}}


def margins(document: dict[str, Any], *columns: list[float]) -> tuple[str, list[float]]:
    """The unit and the margins at 0 s, 1 s, … of a condition whose channels, in order, have these values."""
    formula: Any = TypeAdapter(Formula).validate_python(document)
    plan = compile_condition(formula, CHANNELS, "c")
    count = len(columns[0])
    times = np.arange(count, dtype=np.int64) * SECOND
    spans = [(0, count, k * count, 0) for k in range(len(columns))]
    places = np.zeros(2 * count, np.int64)
    _, _, values, _ = MergedSignal(plan).points(times, np.array(columns, np.float64).ravel(), places, spans)
    return plan.unit, values.tolist()


def test_the_sign_of_a_margin_is_its_truth() -> None:  # V-6, V-7
    assert margins(HIGH, [4, 5, 7]) == ("kPa", [-1.0, 0.0, 2.0])
    assert margins({"op": "not", "of": HIGH}, [4, 5, 7]) == ("kPa", [1.0, JUST_BELOW, -2.0])
    assert margins({"op": ">", "left": "one.x", "right": kpa(5)}, [4, 5, 7])[1] == [-1.0, JUST_BELOW, 2.0]
    assert margins({"op": "<", "left": "one.x", "right": kpa(5)}, [4, 5, 7])[1] == [1.0, JUST_BELOW, -2.0]


def test_dimensions_that_differ_give_shares() -> None:  # V-7: units are checked and converted
    unit, values = margins({"op": "and", "of": [HIGH, {**HOT, "scale": {"value": 10, "unit": "K"}}]}, [10], [27.85])
    assert unit == "1"
    assert values == pytest.approx([0.1])


def test_codes_and_booleans_have_no_distance() -> None:  # V-6: enumeration and boolean conditions
    heating = {"op": "is", "channel": "plc.mode", "code": "heating"}
    shut = {"op": "is", "channel": "plc.open", "code": False}
    assert margins(heating, [0, 3])[1] == [-math.inf, math.inf]
    assert margins({"op": "implies", "of": [heating, shut]}, [0, 3, 3], [1, 1, 0])[1] == [math.inf, -math.inf, math.inf]
    assert margins({"op": "or", "of": [heating, HIGH]}, [0, 3], [4, 4])[1] == [-1.0, math.inf]


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        ({"op": "is", "channel": "plc.mode", "code": "cooling"}, "criteria_condition", "c.code"),
        ({"op": "is", "channel": "one.x", "code": 3}, "criteria_condition", "c.code"),
        ({"op": "rise", "of": HIGH}, "criteria_condition", "c"),
        ({"op": "not", "of": {"op": "always", "of": HIGH}}, "criteria_condition", "c.of"),
        ({"op": "<=", "left": "one.x", "right": {"value": 1, "unit": "Cel"}}, "criteria_unit", "c.right"),
        ({"op": "<=", "left": "one.y", "right": kpa(1)}, "criteria_unknown_channel", "c.left"),
        (
            {"op": "and", "of": [HOT, {"op": "<=", "left": "one.x", "right": "two.z"}]},
            "criteria_unit",
            "c.of[1].scale",
        ),
    ],
)
def test_what_cannot_be_a_condition_is_named(document: dict[str, Any], code: str, field: str) -> None:  # V-8
    with pytest.raises(Invalid) as caught:
        margins(document, [1.0])
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.remedy
