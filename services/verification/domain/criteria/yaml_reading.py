"""A YAML document with the places of its values, read from the parser's events: no recursion, and no more values than are allowed (V-8).

Scalars without quotes are numbers in decimal digits only: 0755, 0x1f, 1_000 and 28:30 are text. Names are text, whatever they look like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from services.verification.domain.criteria.marks import (
    DEEPEST,
    MOST_VALUES,
    Bare,
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

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*([eE][-+][0-9]+)?|\.[0-9]+([eE][-+][0-9]+)?")
_BARE = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NONE = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_BEYOND = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_TEXT = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTIONS = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_MERGE = "<<"


def marked_yaml(text: str) -> Marked:
    """Raises Malformed(criteria_malformed | criteria_size | criteria_repeated) with its line."""
    reading = _Reading()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            reading.take(event)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(1, 1) if at is None else Mark(at.line + 1, at.column + 1)
        raise unreadable(
            "criteria_malformed",
            f"not YAML: {error.problem or error.context}",
            mark,
            "check indentation and quotes at the line named",
        ) from error
    except yaml.YAMLError as error:
        raise _not_printable(text, error) from error
    return once(reading.document, reading.repeated)


def _not_printable(text: str, error: yaml.YAMLError) -> Exception:
    at = getattr(error, "position", None)
    before = text.encode()[: at or 0].decode(errors="ignore")
    mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
    reason = getattr(error, "reason", None) or str(error)
    return unreadable("criteria_malformed", f"not YAML: {reason}", mark, 'write the character as an escape in "quotes"')


@dataclass(frozen=True, slots=True)
class _Part:
    """A value that is complete; `size` counts the values in it with aliases written out, `depth` the levels."""

    marked: Marked
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read."""

    mark: Mark
    anchor: str | None
    items: dict[str, Marked] | list[Marked]
    name: tuple[str, Mark] | None = None
    merged: list[Marked] = field(default_factory=list)
    size: int = 1
    depth: int = 1


class _Reading:
    def __init__(self) -> None:
        self.document = Marked(None, Mark(1, 1))
        self.repeated: list[Repeated] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, _Part] = {}
        self._documents = 0

    def take(self, event: Any) -> None:
        mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise unreadable("criteria_malformed", "a second document begins", mark, "write one set in a file")
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._begin(event, mark)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._aliased(event.anchor, mark), mark)
        elif isinstance(event, yaml.ScalarEvent):
            if self._is_name():
                self._name(event.value, mark)
                return
            part = _Part(Marked(_scalar(event, mark), mark))
            self._remember(event.anchor, part)
            self._put(part, mark)

    def _is_name(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].items, dict) and self._open[-1].name is None

    def _begin(self, event: Any, mark: Mark) -> None:
        if self._is_name():
            raise unreadable("criteria_malformed", "a mapping or list stands where a name should", mark, "write a word")
        if event.tag is not None and event.tag not in _COLLECTIONS:
            raise _tagged(event.tag, mark)
        if len(self._open) >= DEEPEST:
            raise too_deep(mark)
        items: dict[str, Marked] | list[Marked] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(mark, event.anchor, items))

    def _end(self) -> None:
        here = self._open.pop()
        if isinstance(here.items, dict):
            inherited: dict[str, Marked] = {}
            for source in here.merged:
                inherited = {**source.value, **inherited}
            here.items = {**inherited, **here.items}
        part = _Part(Marked(here.items, here.mark), here.size, here.depth)
        self._remember(here.anchor, part)
        self._put(part, here.mark)

    def _name(self, name: str, mark: Mark) -> None:
        self._open[-1].name = (sound_text(name, mark), mark)

    def _put(self, part: _Part, mark: Mark) -> None:
        if not self._open:
            self.document = part.marked
            return
        here = self._open[-1]
        here.size += part.size
        here.depth = max(here.depth, part.depth + 1)
        if here.size > MOST_VALUES:
            raise too_many(mark)
        if len(self._open) + part.depth > DEEPEST:
            raise too_deep(mark)
        if isinstance(here.items, list):
            here.items.append(part.marked)
            return
        if here.name is None:
            raise unreadable("criteria_malformed", "an alias stands where a name should", mark, "write a word")
        (name, at), here.name = here.name, None
        if name == _MERGE:
            self._merge(here, part.marked, at)
            return
        first = here.items.setdefault(name, part.marked)
        if first is not part.marked:
            self.repeated.append(Repeated(name, first, at))

    def _merge(self, here: _Open, given: Marked, mark: Mark) -> None:
        sources = given.value if isinstance(given.value, list) else [given]
        if here.merged or not all(isinstance(source.value, Mapping) for source in sources):
            raise unreadable(
                "criteria_malformed",
                "<< takes one mapping, or one list of them",
                mark,
                "write << once in a mapping, with an alias or a list of aliases",
            )
        here.merged = list(sources)

    def _remember(self, anchor: str | None, part: _Part) -> None:
        if anchor is not None:
            self._anchors[anchor] = part

    def _aliased(self, anchor: str | None, mark: Mark) -> _Part:
        if any(here.anchor == anchor for here in self._open):
            raise unreadable(
                "criteria_malformed", f"*{anchor} stands inside of what it stands for", mark, "write it out"
            )
        if anchor is None or anchor not in self._anchors:
            raise unreadable("criteria_malformed", f"there is no &{anchor} before *{anchor}", mark, "write it out")
        part = self._anchors[anchor]
        return _Part(Marked(part.marked.value, mark), part.size, part.depth)


def _scalar(event: Any, mark: Mark) -> Any:
    if event.tag is not None and event.tag not in _TEXT:
        raise _tagged(event.tag, mark)
    text = sound_text(event.value, mark)
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _NONE:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _WHOLE.fullmatch(text):
        return whole_number(text, mark)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if text.lower() in _BEYOND:
        return _BEYOND[text.lower()]
    return Bare(text) if _BARE.fullmatch(text) and not text.lstrip("+-").isdecimal() else text


def _tagged(tag: str, mark: Mark) -> Exception:
    return unreadable("criteria_malformed", f"the tag {tag} means nothing here", mark, "write the value without a tag")
