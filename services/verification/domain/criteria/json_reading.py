"""A JSON document (RFC 8259) with the places of its values. JSON is read as JSON: tabs, escapes of surrogate pairs and every character that YAML
refuses or folds stay what they are, and what only YAML would read is refused (V-5, V-8)."""

from __future__ import annotations

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import Any

from services.verification.domain.criteria.marks import (
    DEEPEST,
    MOST_VALUES,
    Mark,
    Marked,
    Repeated,
    once,
    sound_text,
    too_deep,
    too_many,
    unreadable,
    whole_number,
)
from shared.kernel.errors import Malformed

_DECODER = JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z]+")


def marked_json(text: str) -> Marked:
    """Raises Malformed(criteria_malformed | criteria_size | criteria_repeated) with its line."""
    reading = _Reading(text)
    document, at = reading.value(0, 1)
    if at < len(text):
        raise reading.refused("more text behind the end of the document", at, "leave only the document")
    return once(document, reading.repeated)


class _Reading:
    def __init__(self, text: str) -> None:
        self.repeated: list[Repeated] = []
        self._text = text
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._values = 0

    def value(self, at: int, depth: int) -> tuple[Marked, int]:
        """The value at or behind `at`, and where the next thing stands."""
        at = self._blank(at)
        mark, first = self._mark(at), self._text[at : at + 1]
        self._values += 1
        if self._values > MOST_VALUES:
            raise too_many(mark)
        if depth > DEEPEST:
            raise too_deep(mark)
        found: Any
        if first == "{":
            found, at = self._object(at, depth)
        elif first == "[":
            found, at = self._list(at, depth)
        elif first == '"':
            found, at = self._string(at)
        else:
            found, at = self._scalar(at, mark)
        return Marked(found, mark), self._blank(at)

    def refused(
        self, detail: str, at: int, remedy: str = "write JSON, or YAML that does not begin with {"
    ) -> Malformed:
        return unreadable("criteria_malformed", f"not JSON: {detail}", self._mark(at), remedy)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Marked], int]:
        found: dict[str, Marked] = {}
        at = self._blank(at + 1)
        while self._text[at : at + 1] != "}" or found:
            if self._text[at : at + 1] != '"':
                raise self.refused("a name in quotes is missing", at)
            mark = self._mark(at)
            name, at = self._string(at)
            at = self._blank(at)
            if self._text[at : at + 1] != ":":
                raise self.refused("a colon is missing behind the name", at)
            item, at = self.value(at + 1, depth + 1)
            first = found.setdefault(name, item)
            if first is not item:
                self.repeated.append(Repeated(name, first, mark))
            if self._text[at : at + 1] == "}":
                break
            at = self._comma(at)
        return found, at + 1

    def _list(self, at: int, depth: int) -> tuple[list[Marked], int]:
        found: list[Marked] = []
        at = self._blank(at + 1)
        while self._text[at : at + 1] != "]" or found:
            item, at = self.value(at, depth + 1)
            found.append(item)
            if self._text[at : at + 1] == "]":
                break
            at = self._comma(at)
        return found, at + 1

    def _comma(self, at: int) -> int:
        if self._text[at : at + 1] != ",":
            raise self.refused("a comma or the closing bracket is missing", at)
        return self._blank(at + 1)

    def _string(self, at: int) -> tuple[str, int]:
        try:
            found, end = _DECODER.raw_decode(self._text, at)
        except JSONDecodeError as error:
            raise self.refused(
                error.msg, error.pos, "close the text, and write control characters as escapes"
            ) from error
        return sound_text(found, self._mark(at)), end

    def _scalar(self, at: int, mark: Mark) -> tuple[Any, int]:
        number = _NUMBER.match(self._text, at)
        if number is not None:
            whole, fraction, exponent = number.groups()
            if fraction is None and exponent is None:
                return whole_number(whole, mark), number.end()
            return float(number.group()), number.end()
        word = _WORD.match(self._text, at)
        if word is not None and word.group() in _WORDS:
            return _WORDS[word.group()], word.end()
        raise self.refused("a value is missing", at)

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return at if found is None else found.end()

    def _mark(self, at: int) -> Mark:
        line = bisect_right(self._lines, at)
        return Mark(line, at - self._lines[line - 1] + 1)
