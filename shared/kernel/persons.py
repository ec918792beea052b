"""People by name: one person however the name is typed."""

from __future__ import annotations

import unicodedata

from shared.kernel.errors import Invalid


def person_name(text: str) -> str:
    """The name as it is kept: NFKC with single spaces. Raises Invalid(person_name) for none, or one with characters that nobody sees."""
    name = " ".join(unicodedata.normalize("NFKC", text).split())
    if not name or not name.isprintable():
        raise Invalid(
            "person_name",
            f"{text!r} is no name of a person",
            field="person",
            remedy="give the name as it is written, without control characters",
        )
    return name


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's: letter case, width and spaces make no difference."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())
