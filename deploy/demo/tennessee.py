"""The recorded Tennessee Eastman runs that the project carries (`data/README.md`): arrays, and where each column goes.

A row is one instant, 3 minutes apart; the first lies at the run's start. Columns are XMEAS 1–41, then XMV 1–11. The analysers' columns
hold a value for two rows (6 min) or five rows (15 min): the rows in between are no samples of their own.
"""

from __future__ import annotations

import csv
import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.kernel.times import MINUTE, Micros

DATA = Path(__file__).parent / "data" / "tennessee-eastman.csv.gz"
RUNS = tuple(f"d{number:02d}" for number in range(11))
ROWS = 960
ROW_PERIOD: Micros = 3 * MINUTE
FAULT_ROW = 160
"""The fault enters after this many rows (8 h)."""

COLUMNS = tuple(f"xmeas_{number}" for number in range(1, 42)) + tuple(f"xmv_{number}" for number in range(1, 12))

LAYOUT: dict[str, tuple[int, tuple[int, ...]]] = {
    "reactor": (1, (1, 2, 3, 4, 5, 6, 7, 8, 9, 21)),
    "separator": (1, (10, 11, 12, 13, 14, 20, 22)),
    "stripper": (1, (15, 16, 17, 18, 19, *range(42, 53))),
    "feed-analyser": (2, tuple(range(23, 29))),
    "purge-analyser": (2, tuple(range(29, 37))),
    "product-analyser": (5, tuple(range(37, 42))),
}
"""By stream of line te1: every how many rows a value is new, and the source's columns (counted from 1) in the order of its channels."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray[np.float64]]:
    with gzip.open(DATA, "rt", encoding="ascii") as lines:
        reader = csv.reader(lines)
        if next(reader) != ["run", "row", *COLUMNS]:
            raise ValueError(f"{DATA.name} has other columns than expected")
        rows: dict[str, list[list[float]]] = {run: [] for run in RUNS}
        for run, _, *values in reader:
            rows[run].append([float(value) for value in values])
    tables = {run: np.array(values) for run, values in rows.items()}
    for run, table in tables.items():
        if table.shape != (ROWS, len(COLUMNS)):
            raise ValueError(f"{DATA.name}: {run} has shape {table.shape}")
        table.flags.writeable = False
    return tables


def load_run(run: str) -> NDArray[np.float64]:
    """One run ("d00" … "d10"), shape (960, 52), read-only, in the source's units. Raises KeyError."""
    return _tables()[run]


def stream_samples(run: str, stream: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Samples of one stream ("reactor", …) of a run: times (n,) in µs after the run's start, values (n, k). Raises KeyError."""
    every, columns = LAYOUT[stream]
    values = load_run(run)[::every, [column - 1 for column in columns]]
    return np.arange(len(values), dtype=np.int64) * every * ROW_PERIOD, values
