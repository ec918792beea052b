"""The benchmark line and the page made from it."""

from __future__ import annotations

import json

from tests.perf.page import page
from tests.perf.report import Bar, line


def test_the_line_holds_bars_with_their_outcome_and_says_a_missed_one() -> None:
    text = line(
        "sink",
        unit="samples/s",
        figures={"rate": 5_123_456.7},
        ceiling={"bare loop": 8_000_000},
        ratio=0.64,
        bars=[Bar("rate", 5e6, 5_123_456.7, "at least"), Bar("p99 ms", 50, 71.3, "at most")],
    )
    entry = json.loads(text)  # O-12
    assert "\n" not in text
    assert set(entry) == {"bench", "figures", "unit", "ceiling", "ratio", "bars", "machine"}
    assert [bar["ok"] for bar in entry["bars"]] == [True, False]
    assert entry["figures"] == {"rate": 5_123_000.0}


def test_the_page_shows_what_was_not_reached() -> None:
    entry = json.loads(line("sink", unit="ms", figures={"p99": 71.3}, bars=[Bar("p99", 50, 71.3, "at most")]))
    text = page([entry], "Notes.")  # O-12
    assert "| p99 | at most 50 | 71.3 | not reached |" in text
    assert text.endswith("Notes.\n")
