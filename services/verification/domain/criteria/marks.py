"""Where in a text each value of a document stands: lines and columns by field path, for errors that people can find (V-8)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_PART = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


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


def _child(value: Any, key: str) -> Marked | None:
    if isinstance(value, Mapping):
        return value.get(key)
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if key.isdecimal():
        return value[int(key)] if int(key) < len(value) else None
    named = (item for item in value if isinstance(item.value, Mapping) and "id" in item.value)
    return next((item for item in named if item.value["id"].value == key), None)


def marked_yaml(text: str) -> Marked:
    """A YAML or JSON document. Raises yaml.YAMLError."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return Marked(None, Mark(1, 1))
    return _marked(node, yaml.SafeLoader(""))


def _marked(node: yaml.Node, loader: yaml.SafeLoader) -> Marked:
    mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        pairs = [(_key(key, loader), _marked(item, loader)) for key, item in node.value]
        return Marked(dict(pairs), mark)
    if isinstance(node, yaml.SequenceNode):
        return Marked([_marked(item, loader) for item in node.value], mark)
    return Marked(_value(node, loader), mark)


def _key(node: yaml.Node, loader: yaml.SafeLoader) -> Any:
    key = _value(node, loader)
    return key if isinstance(key, str | int | float | bool | None) else str(key)


def _value(node: yaml.Node, loader: yaml.SafeLoader) -> Any:
    """Also a day that no calendar has, and a number of thousands of digits, is an error of YAML with its place."""
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
