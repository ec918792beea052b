"""One person however the name is typed."""

from __future__ import annotations

import pytest

from shared.kernel.errors import Invalid
from shared.kernel.persons import person_name, same_person


@pytest.mark.parametrize(
    "other", ["li wei", "Li Wei ", " LI\u3000WEI", "Li\u00a0\u00a0Wei", "\uff2c\uff49 Wei", "Li\tWei"]
)
def test_case_width_and_spaces_make_no_other_person(other: str) -> None:  # V-19
    assert same_person("Li Wei", other)


@pytest.mark.parametrize("other", ["Li Weiwei", "Wei Li", "", "李伟"])
def test_other_names_are_other_people(other: str) -> None:  # V-19
    assert not same_person("Li Wei", other)


def test_a_name_is_kept_as_written_with_single_spaces() -> None:
    assert person_name("  Li \u3000 Wei ") == "Li Wei"


@pytest.mark.parametrize("text", ["", "  ", "\u3000", "Li\u200bWei", "Li\x1b[31m"])
def test_no_name_and_what_nobody_sees_are_refused(text: str) -> None:  # V-19
    with pytest.raises(Invalid) as caught:
        person_name(text)
    assert (caught.value.code, caught.value.field) == ("person_name", "person")
