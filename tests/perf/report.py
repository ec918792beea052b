"""The last line of a benchmark: one JSON object, and the exit code. `docs/performance.md` is generated from these lines.

    {"bench", "figures": {name: value}, "unit", "ceiling": {...}, "ratio", "bars": [{"name", "bar", "value", "ok"}], "machine"}

A missed bar is said in the line and leaves the exit code 0; a wrong result (lost, doubled, another digest) raises WrongResult.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

LINES = Path("build") / "bench"


class WrongResult(Exception):
    """The benchmark measured something that is not right: nothing it printed counts."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A promised figure. `sense` says on which side of `bar` the value has to lie, both ends included."""

    name: str
    bar: float
    value: float
    sense: Literal["at least", "at most"]

    @property
    def ok(self) -> bool:
        return self.value >= self.bar if self.sense == "at least" else self.value <= self.bar


def line(
    bench: str,
    *,
    unit: str,
    figures: Mapping[str, float],
    bars: Sequence[Bar],
    ceiling: Mapping[str, float] | None = None,
    ratio: float | None = None,
) -> str:
    """The JSON line of O-12. Figures are rounded to four significant digits: more would pretend a precision the machine has not."""
    return json.dumps(
        {
            "bench": bench,
            "figures": {name: _rounded(value) for name, value in figures.items()},
            "unit": unit,
            "ceiling": {name: _rounded(value) for name, value in (ceiling or {}).items()},
            "ratio": None if ratio is None else _rounded(ratio),
            "bars": [asdict(bar) | {"value": _rounded(bar.value), "ok": bar.ok} for bar in bars],
            "machine": machine(),
        },
        ensure_ascii=False,
    )


def publish(text: str) -> None:
    """Print the line as the last one and keep it for the performance page."""
    LINES.mkdir(parents=True, exist_ok=True)
    (LINES / f"{json.loads(text)['bench']}.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def machine() -> str:
    """Cores, memory and processor, as the reader needs them to compare."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
