"""State models from YAML: what is accepted, what is refused and under which code."""

from __future__ import annotations

import pytest

from services.billing.domain.state_model_file import load_state_model
from shared.kernel.errors import Problem
from shared.kernel.times import MINUTE
from tests.unit.billing.domain_builders import MODEL, STREAMS


# B-1
def test_limits_come_in_the_unit_of_the_channel() -> None:
    over = load_state_model(MODEL, STREAMS).instruments[0].conditions[0]
    assert (over.on, over.off, over.dwell) == (2950.0, 2900.0, 6 * MINUTE)


# B-2
def test_an_integral_knows_its_unit_exactly() -> None:
    heat = load_state_model(MODEL, STREAMS).instruments[1].quantities[0]
    assert (heat.numerator, heat.denominator) == (18, 5)


# B-1
@pytest.mark.parametrize(
    ("before", "after", "code", "field"),
    [
        ("reactor.pressure > 2.95 MPa", "reactor.preßure > 2.95 MPa", "state_model_condition", "conditions.over.enter"),
        ("reactor.pressure > 2.95 MPa", "reactor.level > 2.95 MPa", "state_model_unknown_channel", "over.enter"),
        ("reactor.pressure > 2.95 MPa", "reactor.pressure > 2.95 Cel", "state_model_unit", "over.enter"),
        ("reactor.pressure > 2.95 MPa", "reactor.pressure > 2.95 bars", "unit_unknown", "unit"),
        ("reactor.pressure < 2900 kPa", "reactor.pressure < 2960 kPa", "state_model_condition", "over.leave"),
        ("reactor.pressure < 2900 kPa", "reactor.pressure > 2900 kPa", "state_model_condition", "over.leave"),
        ("reactor.pressure < 2900 kPa", "reactor.feed < 2900 kg/h", "state_model_condition", "over.leave"),
        ("channel: reactor.feed, unit: kg", "channel: reactor.feed, unit: m3", "state_model_unit", "feed.unit"),
        ("channel: reactor.feed, unit: kg", "condition: over, unit: kg", "state_model_quantity", "quantities.feed"),
        ("condition: over, unit", "condition: under, unit", "state_model_quantity", "quantities.trips"),
        ("{when: turning,", "{when: idle,", "state_model_condition", "rules.0.when"),
        ("instrument: l1/drive", "instrument: l1/reactor", "state_model_duplicate", "instruments"),
        ("dwell: 6 min", "dwell: 6 minutes", "state_model_malformed", "dwell"),
        ("state: productive}", "state: busy}", "state_model_malformed", "state"),
        ("id: line", "id: [", "state_model_malformed", None),
        ("id: line", "colour: red", "state_model_malformed", "id"),
    ],
)
def test_a_wrong_model_is_refused_with_a_stable_code_and_the_place(
    before: str, after: str, code: str, field: str | None
) -> None:
    assert before in MODEL
    with pytest.raises(Problem) as refusal:
        load_state_model(MODEL.replace(before, after), STREAMS)
    assert refusal.value.code == code
    assert refusal.value.remedy
    assert field is None or field in (refusal.value.field or "")


# B-1
def test_the_digest_names_what_the_model_says_and_not_its_version() -> None:
    digest = load_state_model(MODEL, STREAMS).digest
    assert load_state_model(MODEL.replace("version: 1", "version: 2"), STREAMS).digest == digest
    assert load_state_model(MODEL.replace("2900", "2901"), STREAMS).digest != digest
