"""What the number of a new version says, held against what has changed (V-19)."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.domain.standards import Standard, standard_of
from services.verification.domain.succession import changes, check_newest, check_number, next_version, predecessor
from shared.kernel.errors import Invalid, NotAllowed
from tests.unit.verification.building import TITLE, kpa
from tests.unit.verification.test_domain_standards import DOCUMENT

LIMIT = DOCUMENT["criteria"][0]
SECOND = LIMIT | {"id": "second"}


def version(number: str, **facts: Any) -> Standard:
    return standard_of(DOCUMENT | {"version": number} | facts)


def refused(before: Standard, wanted: Standard) -> Invalid:
    with pytest.raises(Invalid) as caught:
        check_number(before, wanted)
    assert (caught.value.code, caught.value.field) == ("standard_version", "version")
    return caught.value


BEFORE = version("1.0.0", criteria=[LIMIT, SECOND])
LOOSER = [LIMIT | {"high": kpa(6)}, SECOND]
TIGHTER = [LIMIT | {"high": kpa(4)}, SECOND]
CLAUSES = [*DOCUMENT["clauses"], {"id": "5.2", "title": TITLE}]


@pytest.mark.parametrize(
    "facts",
    [
        {"criteria": LOOSER},
        {"criteria": [LIMIT]},
        {"criteria": [LIMIT | {"high": kpa(4)}, SECOND | {"high": kpa(6)}]},
        {"criteria": [LIMIT | {"signal": "one.y"}, SECOND]},
    ],
)
def test_what_loosens_or_removes_needs_a_major_version(facts: dict[str, Any]) -> None:  # V-19
    for number in ("1.0.1", "1.4.0"):
        problem = refused(BEFORE, version(number, **facts))
        assert problem.remedy is not None
        assert "2.0.0" in problem.remedy
    check_number(BEFORE, version("2.0.0", **facts))


@pytest.mark.parametrize(
    "facts",
    [
        {"criteria": TIGHTER},
        {"criteria": [LIMIT, SECOND, LIMIT | {"id": "third"}]},
        {"criteria": [LIMIT, SECOND], "clauses": CLAUSES},
    ],
)
def test_what_tightens_or_adds_needs_a_minor_version(facts: dict[str, Any]) -> None:  # V-19
    problem = refused(BEFORE, version("1.0.1", **facts))
    assert problem.remedy is not None
    assert "1.1.0" in problem.remedy
    for number in ("1.1.0", "2.0.0"):
        check_number(BEFORE, version(number, **facts))


def test_wording_needs_no_more_than_a_patch() -> None:  # V-19
    worded = [item | {"title": {"en": "Other", "zh": "其他"}} for item in (LIMIT, SECOND)]
    wanted = version("1.0.1", criteria=worded, effective_from="2026-02-01")
    assert changes(BEFORE, wanted) == ()
    check_number(BEFORE, wanted)


def test_the_refusal_names_every_finding() -> None:  # V-19
    problem = refused(version("1.0.0", clauses=CLAUSES, criteria=[LIMIT, SECOND]), version("1.0.1", criteria=LOOSER))
    found: Any = problem.extra["changes"]
    assert [(item["digit"], item["criterion"], item["field"]) for item in found] == [
        ("major", "limit", "high"),
        ("major", "", "clauses[5.2]"),
    ]
    assert problem.detail.endswith("limit.high: is 6 kPa, the standard has 5 kPa")


def test_the_first_version_promises_nothing() -> None:  # V-19
    check_number(None, version("0.0.1"))


def test_versions_are_ordered_as_numbers() -> None:  # V-19
    nine, ten = version("1.9.0"), version("1.10.0")
    assert predecessor(version("2.0.0"), [ten, nine]) == ten
    assert predecessor(nine, [ten]) is None
    assert next_version("1.9.3", "patch") == "1.9.4"


def test_no_version_takes_the_place_of_a_newer_one() -> None:  # V-19
    check_newest(version("1.10.0"), [version("1.9.0")])
    with pytest.raises(NotAllowed) as caught:
        check_newest(version("1.0.5"), [version("1.1.0")])
    assert (caught.value.code, caught.value.field) == ("standard_older", "version")
