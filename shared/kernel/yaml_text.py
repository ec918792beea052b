"""YAML from outside, read as plain values."""

from __future__ import annotations

from typing import Any

import yaml

MOST_VALUES = 1_000_000
"""Values of a document with its aliases written out: a text of a few hundred bytes can ask for more than memory holds."""


def read_yaml_text(text: str | bytes) -> Any:
    """Raises yaml.YAMLError for whatever cannot be read: also for a day that no calendar has, a number of thousands of digits, depth that
    exceeds the stack, merges, and more values than MOST_VALUES."""
    try:
        document = _Reader(text).get_single_data()
    except (ValueError, OverflowError) as error:
        raise yaml.YAMLError(str(error)) from error
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
    _check_size(document)
    return document


class _Reader(yaml.SafeLoader):
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges of merges grow with every level, and are worked out before anybody could count them."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem="merges (<<) are not read", problem_mark=key.start_mark)


def _check_size(document: Any) -> None:
    waiting, found = [document], 0
    while waiting:
        value = waiting.pop()
        found += 1
        if found > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES} values, aliases written out")
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
