"""Where in a text each value of a document stands: lines and columns by field path, for errors that people can find (V-8)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.kernel.errors import Malformed

MOST_VALUES = 200_000
"""Values of a document with its aliases written out: two envelopes of the longest reference and a thousand criteria."""

DEEPEST = 100
"""Mappings and lists inside of one another."""

LONGEST_NUMBER = 300
"""Digits of a whole number; more are beyond every double."""

_PART = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """Counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Marked:
    """A value of a document with its place: a scalar, or a mapping or sequence of marked values."""

    value: Any
    mark: Mark

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, Mapping):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            return [item.plain() for item in self.value]
        return self.value

    def at(self, field: str) -> Mark:
        """The place of a field (`criteria[3].high.unit`), or of the innermost thing around it that is there."""
        here = self
        for name, index in _PART.findall(field):
            found = _child(here.value, name or index)
            if found is None:
                break
            here = found
        return here.mark


class Bare(str):
    """Text without quotes that is a number where one is wanted, and text elsewhere: `1e3` is text to YAML 1.1 and a number to its readers."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A name that was given once more in one mapping, at `mark`; `value` is what was written first and stands in the document."""

    name: str
    value: Marked
    mark: Mark


def _child(value: Any, key: str) -> Marked | None:
    if isinstance(value, Mapping):
        return value.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if key.isdecimal():
        return value[int(key)] if int(key) < len(value) else None
    named = (item for item in value if isinstance(item.value, Mapping) and "id" in item.value)
    return next((item for item in named if item.value["id"].value == key), None)


def unreadable(code: str, detail: str, mark: Mark, remedy: str, field: str = "") -> Malformed:
    """The refusal of a text at a place of it; without a field its line is named."""
    return Malformed(
        code,
        detail,
        field=field or f"line {mark.line}",
        remedy=remedy,
        extra={"line": mark.line, "column": mark.column},
    )


def too_many(mark: Mark) -> Malformed:
    """The refusal of a document of more than MOST_VALUES values."""
    return unreadable(
        "criteria_size",
        f"the file has more than {MOST_VALUES} values, its aliases written out",
        mark,
        "split it into several sets, or write fewer aliases",
    )


def too_deep(mark: Mark) -> Malformed:
    """The refusal of what lies DEEPEST levels inside of other things."""
    return unreadable(
        "criteria_size", f"more than {DEEPEST} levels inside of one another", mark, "take some of the levels away"
    )


def whole_number(digits: str, mark: Mark) -> int:
    """Raises Malformed(criteria_size)."""
    if len(digits) > LONGEST_NUMBER:
        raise unreadable(
            "criteria_size", f"a number of more than {LONGEST_NUMBER} digits", mark, "write a smaller number"
        )
    return int(digits)


def sound_text(text: str, mark: Mark) -> str:
    """Raises Malformed(criteria_malformed) for half of a surrogate pair, which no file can hold."""
    if _HALF_A_PAIR.search(text):
        raise unreadable(
            "criteria_malformed",
            "half of a surrogate pair is no character",
            mark,
            "write the character itself, or in JSON both halves of its escape",
        )
    return text


def bounded(document: Marked) -> Marked:
    """The document, if it is neither too large nor too deep. Raises Malformed(criteria_size)."""
    waiting, found = [(document, 1)], 0
    while waiting:
        here, depth = waiting.pop()
        found += 1
        if found > MOST_VALUES:
            raise too_many(here.mark)
        if depth > DEEPEST:
            raise too_deep(here.mark)
        waiting += [(child, depth + 1) for _, child in _children(here)]
    return document


def once(document: Marked, repeated: Sequence[Repeated]) -> Marked:
    """The document, if no name was given twice. Raises Malformed(criteria_repeated) with the first, all of them under `errors`."""
    if not repeated:
        return document
    places = dict(_places(document, {id(item.value) for item in repeated}))
    listed: list[dict[str, object]] = [
        {
            "field": places.get(id(item.value), item.name),
            "detail": f"{item.name} is given more than once",
            "line": item.mark.line,
            "column": item.mark.column,
        }
        for item in repeated
    ]
    first = listed[0]
    raise Malformed(
        "criteria_repeated",
        str(first["detail"]),
        field=str(first["field"]),
        remedy="leave only the one that is meant",
        extra={"line": first["line"], "column": first["column"], "errors": listed},
    )


def _places(document: Marked, wanted: set[int]) -> Iterator[tuple[int, str]]:
    """Where the wanted values stand, by identity."""
    waiting = [("", document)]
    while waiting:
        path, here = waiting.pop()
        if id(here) in wanted:
            yield id(here), path
        for name, child in _children(here):
            step = f"[{name}]" if isinstance(name, int) else f".{name}" if path else name
            waiting.append((f"{path}{step}", child))


def _children(marked: Marked) -> list[tuple[int | str, Marked]]:
    if isinstance(marked.value, Mapping):
        return list(marked.value.items())
    if isinstance(marked.value, Sequence) and not isinstance(marked.value, str):
        return list(enumerate(marked.value))
    return []
