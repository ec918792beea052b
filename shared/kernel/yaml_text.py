"""YAML from outside, read as plain values."""

from __future__ import annotations

from typing import Any

import yaml


def read_yaml_text(text: str | bytes) -> Any:
    """Raises yaml.YAMLError for whatever cannot be read: also for a day that no calendar has, a number of thousands of digits, and depth that
    exceeds the stack."""
    try:
        return yaml.safe_load(text)
    except (ValueError, OverflowError) as error:
        raise yaml.YAMLError(str(error)) from error
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply") from error
