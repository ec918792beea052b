"""The life of a standard: who may do what, when; and that its parts hang together (V-19)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.verification.domain.standards import (
    Action,
    Standing,
    State,
    Step,
    after,
    check_effect,
    check_in_effect,
    load_standard,
    standard_of,
    standing,
    state_on,
)
from shared.kernel.errors import Forbidden, Invalid, Malformed, NotAllowed
from tests.unit.verification.building import TITLE, kpa

DOCUMENT: dict[str, Any] = {
    "id": "t-cstm-00123",
    "version": "1.0.0",
    "body": "CSTM",
    "number": "T/CSTM 00123",
    "year": 2025,
    "title": TITLE,
    "effective_from": "2026-01-01",
    "clauses": [{"id": "5.1", "title": TITLE}],
    "phases": [{"id": "p", "title": TITLE}],
    "criteria": [
        {
            "id": "limit",
            "clause": "5.1",
            "title": TITLE,
            "phase": "p",
            "kind": "band",
            "signal": "one.x",
            "high": kpa(5),
        }
    ],
}


def lived(*steps: tuple[str, str]) -> Standing:
    return standing([Step(Action(action), who) for action, who in steps])


DRAFTED = (("change", "ann"), ("submit", "ann"))


def test_two_other_people_approve() -> None:  # V-19
    assert lived(*DRAFTED, ("approve", "bob")).state is State.REVIEW
    now = lived(*DRAFTED, ("approve", "bob"), ("approve", "cai"))
    assert (now.state, now.approved_by, now.author) == (State.APPROVED, ("bob", "cai"), "ann")


@pytest.mark.parametrize("who", ["Ann", " ann", "BOB", "bob  "])
def test_a_name_typed_otherwise_is_the_same_person(who: str) -> None:  # V-19
    with pytest.raises(Forbidden) as caught:
        lived(*DRAFTED, ("approve", "bob"), ("approve", who))
    assert caught.value.code == "standard_same_person"


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_neither_the_author_nor_the_same_person_twice(who: str) -> None:  # V-19
    with pytest.raises(Forbidden) as caught:
        lived(*DRAFTED, ("approve", "bob"), ("approve", who))
    assert caught.value.code == "standard_same_person"


def test_who_changed_it_last_is_its_author_and_a_return_forgets_approvals() -> None:  # V-19
    now = lived(*DRAFTED, ("approve", "bob"), ("return", "cai"), ("change", "bob"), ("submit", "ann"))
    assert (now.state, now.author, now.approved_by) == (State.REVIEW, "bob", ())
    with pytest.raises(Forbidden):
        after(now, Step(Action.APPROVE, "bob"))
    assert after(after(now, Step(Action.APPROVE, "ann")), Step(Action.APPROVE, "cai")).state is State.APPROVED


@pytest.mark.parametrize(
    ("steps", "action", "allowed"),
    [
        ((("change", "ann"),), "approve", ["change", "submit"]),
        (DRAFTED, "change", ["approve", "return"]),
        ((*DRAFTED, ("approve", "b"), ("approve", "c")), "submit", ["effect", "withdraw"]),
        ((*DRAFTED, ("approve", "b"), ("approve", "c"), ("withdraw", "d")), "effect", []),
        ((*DRAFTED, ("approve", "b"), ("approve", "c"), ("effect", "d"), ("supersede", "d")), "withdraw", []),
    ],
)
def test_a_step_that_the_state_does_not_take_is_refused(steps: Any, action: str, allowed: list[str]) -> None:  # V-19
    with pytest.raises(NotAllowed) as caught:
        lived(*steps, (action, "x"))
    assert (caught.value.code, caught.value.extra["allowed"]) == ("standard_state", allowed)


def test_a_version_is_effective_within_its_dates() -> None:  # V-19
    bounded = standard_of(DOCUMENT | {"effective_to": "2026-12-31"})
    check_effect(bounded, date(2026, 1, 1))
    check_effect(bounded, date(2026, 12, 31))
    for day in (date(2025, 12, 31), date(2027, 1, 1)):
        with pytest.raises(NotAllowed) as caught:
            check_effect(bounded, day)
        assert caught.value.code == "standard_dates"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "1.0"}, "version"),
        ({"clauses": [{"id": "6", "title": TITLE}]}, "there is no clause"),
        ({"phases": [{"id": "q", "title": TITLE}]}, "there is no phase"),
        ({"clauses": DOCUMENT["clauses"] * 2}, "used twice"),
        ({"effective_to": "2025-01-01"}, "lies before"),
    ],
)
def test_what_does_not_hang_together_is_refused(change: dict[str, Any], said: str) -> None:  # V-19
    with pytest.raises(Invalid) as caught:
        standard_of(DOCUMENT | change)
    assert caught.value.code == "standard_invalid"
    assert said in f"{caught.value.field} {caught.value.detail}"


def test_text_that_is_no_yaml_is_refused() -> None:  # G14
    with pytest.raises(Malformed):
        load_standard("id: [")


def test_the_digest_is_of_the_content() -> None:  # V-19
    assert standard_of(DOCUMENT).digest() != standard_of(DOCUMENT | {"year": 2026}).digest()


def test_a_version_in_effect_expires_after_its_last_day() -> None:  # V-19
    bounded = standard_of(DOCUMENT | {"effective_to": "2026-12-31"})
    now = lived(*DRAFTED, ("approve", "bob"), ("approve", "cai"), ("effect", "ann"))
    assert state_on(bounded, now, date(2026, 12, 31)) is State.EFFECTIVE
    check_in_effect(bounded, now, date(2026, 12, 31))
    assert state_on(bounded, now, date(2027, 1, 1)) is State.EXPIRED
    with pytest.raises(NotAllowed) as caught:
        check_in_effect(bounded, now, date(2027, 1, 1))
    assert (caught.value.code, caught.value.extra["state"]) == ("standard_state", "expired")
    assert after(now, Step(Action.WITHDRAW, "ann")).state is State.WITHDRAWN


def test_only_what_is_in_effect_expires() -> None:  # V-19
    bounded = standard_of(DOCUMENT | {"effective_to": "2026-12-31"})
    assert state_on(bounded, lived(*DRAFTED), date(2027, 1, 1)) is State.REVIEW
    assert state_on(standard_of(DOCUMENT), Standing(State.EFFECTIVE), date(2999, 1, 1)) is State.EFFECTIVE


LIMIT = DOCUMENT["criteria"][0]


@pytest.mark.parametrize(
    ("criteria", "code", "field"),
    [
        ([LIMIT | {"high": {"value": 5, "unit": "frob"}}], "unit_unknown", "criteria[limit].high.unit"),
        ([LIMIT | {"low": {"value": 5, "unit": "m"}}], "unit_incommensurable", "criteria[limit].high.unit"),
        (
            [LIMIT, LIMIT | {"id": "other", "high": {"value": 5, "unit": "m"}}],
            "unit_incommensurable",
            "criteria[other].high.unit",
        ),
        (
            [LIMIT | {"decision": {"rule": "guard_band", "uncertainty": {"value": 1, "unit": "kPaa"}}}],
            "unit_unknown",
            "criteria[limit].decision.uncertainty.unit",
        ),
        (
            [LIMIT | {"quality": {"max_gap": {"value": 1, "unit": "kPa"}}}],
            "unit_incommensurable",
            "criteria[limit].quality.max_gap.unit",
        ),
        (
            [LIMIT | {"kind": "longest_excursion", "at_most": {"value": 1, "unit": "m"}}],
            "unit_incommensurable",
            "criteria[limit].at_most.unit",
        ),
        (
            [LIMIT | {"signal": {"op": "difference", "of": ["one.x", {"op": "constant", "value": 1, "unit": "frob"}]}}],
            "unit_unknown",
            "criteria[limit].signal.of[1].unit",
        ),
    ],
)
def test_units_are_units_and_what_is_compared_can_be(criteria: Any, code: str, field: str) -> None:  # V-19
    with pytest.raises(Invalid) as caught:
        standard_of(DOCUMENT | {"criteria": criteria})
    assert (caught.value.code, caught.value.field) == (code, field)


def test_a_phase_has_units_of_time() -> None:  # V-19
    with pytest.raises(Invalid) as caught:
        standard_of(DOCUMENT | {"phases": [{"id": "p", "title": TITLE, "planned": {"value": 1, "unit": "kPa"}}]})
    assert caught.value.field == "phases[p].planned.unit"


def test_limits_in_units_of_one_dimension_are_fine() -> None:  # V-19
    standard_of(DOCUMENT | {"criteria": [LIMIT | {"low": {"value": 0.001, "unit": "MPa"}}]})
