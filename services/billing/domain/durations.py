"""Durations in YAML files: `15 min`, `450 s`, `2 h`, as µs."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from shared.kernel.times import DAY, HOUR, MINUTE, SECOND, Micros

_PATTERN = re.compile(r"^([0-9]{1,9}(?:\.[0-9]{1,6})?) (s|min|h|d)$")
_UNITS: dict[str, Micros] = {"s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}


def duration(text: object) -> Micros:
    """µs of `<number> s|min|h|d`. Raises ValueError for anything else and for parts of a µs."""
    match = _PATTERN.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"'{text}' is not a duration: write for example 15 min, 450 s, 2 h or 1 d")
    exact = Decimal(match[1]) * _UNITS[match[2]]
    if exact != int(exact):
        raise ValueError(f"'{text}' is finer than a microsecond")
    return int(exact)


Duration = Annotated[int, BeforeValidator(duration)]
