"""What judging costs through the public evaluator: ns per sample and criterion, by kind, at 1000 and at 10 rows per frame.

    python -m tests.perf.evaluator [--long]

A run of 40 criteria of one kind (10 where the windows are compared) over 10 channels of one stream at 10 Hz. Every frame is taken in and
judged by itself, the worst case for small frames; a worker gathers the frames of a commit interval first. Figures are CPU time of the one
thread that judges, the fastest of some runs; decoding, hashing and snapshots are not in them. The result of every measured run is compared
with a rebuild from the same frames: another digest is a wrong result.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded
from shared.contracts.registry import Channel, Stream
from tests.perf.report import Bar, WrongResult, line, publish

TITLE = {"en": "bench", "zh": "测量"}
CHANNELS, CRITERIA = 10, 40
PERIOD = 100_000
STREAM = Stream(
    "line/one",
    1,
    "platform",
    "line",
    "one",
    tuple(Channel(f"c{k}", "pressure", "kPa") for k in range(CHANNELS)),
    PERIOD,
    30 * PERIOD,
)
FACTS: dict[str, Any] = {"event_id": "e", "run": "run", "line": "line"}


def kpa(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "kPa"}


def window(seconds: float) -> dict[str, Any]:
    return {"value": seconds, "unit": "s"}


WIDE = {"low": kpa(-1e6), "high": kpa(1e6)}
SLIDING = {"kind": "window_statistics", "windows": "sliding"} | WIDE
KINDS: dict[str, tuple[dict[str, Any], float]] = {
    "band": ({"kind": "band"} | WIDE, 20),
    "statistics": ({"kind": "window_statistics", "statistic": "sd", "high": kpa(1e6)}, 20),
    "settle": ({"kind": "settle", "target": kpa(100), "tolerance": kpa(1e6), "by": window(60)}, 20),
    "excursion": ({"kind": "longest_excursion", "at_most": window(60)} | WIDE, 20),
    "quality": ({"kind": "data_quality", "max_gap": window(60)}, 20),
    "rate, 10 s": ({"kind": "rate_of_change", "window": window(10), "high": {"value": 1e6, "unit": "kPa/s"}}, 20),
    "rate, 10 h": ({"kind": "rate_of_change", "window": window(36_000), "high": {"value": 1e6, "unit": "kPa/s"}}, 20),
    "hold, 10 s": ({"kind": "hold", "duration": window(10)} | WIDE, 40),
    "hold, 10 h": ({"kind": "hold", "duration": window(36_000)} | WIDE, 40),
    "sliding mean, 10 s": (SLIDING | {"statistic": "mean", "window": window(10)}, 40),
    "sliding mean, 10 h": (SLIDING | {"statistic": "mean", "window": window(36_000)}, 40),
    "sliding max, 10 s": (SLIDING | {"statistic": "max", "window": window(10)}, 40),
    "sliding max, 10 h": (SLIDING | {"statistic": "max", "window": window(36_000)}, 40),
}


def plan_of(criterion: dict[str, Any], count: int) -> RunPlan:
    document = {
        "id": "bench",
        "version": 1,
        "title": TITLE,
        "phases": [{"id": "p", "title": TITLE}],
        "criteria": [
            {"id": f"c{k}", "title": TITLE, "phase": "p", "signal": f"one.c{k % CHANNELS}"} | criterion
            for k in range(count)
        ],
    }
    return RunPlan.build(run="run", criteria=CriteriaSet.model_validate(document), streams=(STREAM,), start=0)


def recording(rows: int, per_frame: int) -> list[Frame]:
    random = np.random.default_rng(7)
    times = np.arange(rows, dtype=np.int64) * PERIOD
    values = 100.0 + random.normal(size=(rows, CHANNELS))
    return [
        build_frame(
            stream=STREAM.id,
            registry_version=1,
            boot="boot",
            seq=at // per_frame,
            times=times[at : at + per_frame],
            values=values[at : at + per_frame],
        )
        for at in range(0, rows, per_frame)
    ]


def measure(plan: RunPlan, frames: list[Frame], every: int) -> tuple[float, str]:
    """ns per sample and criterion, and the result's digest. Frames are judged after every `every` of them."""
    ready = [
        (f.stream, f.boot, f.seq, f.content_hash(), f.times_array(), f.values_array()) for f in frames
    ]  # decoding and hashing belong to the worker's reading of the log
    evaluator = RunEvaluator(plan)
    evaluator.apply(PhaseStarted(at=0, phase="p", **FACTS))
    began = time.thread_time_ns()
    for number, frame in enumerate(ready, 1):
        evaluator.add(*frame)
        if number % every == 0:
            evaluator.advance()
    evaluator.advance()
    spent = time.thread_time_ns() - began
    rows = sum(frame.rows for frame in frames)
    evaluator.apply(RunEnded(at=rows * PERIOD, how="completed", **FACTS))
    return spent / (rows * len(plan.criteria)), evaluator.result().digest


def digest_of(plan: RunPlan, frames: list[Frame]) -> str:
    rows = sum(frame.rows for frame in frames)
    records: list[Lifecycle] = [
        PhaseStarted(at=0, phase="p", **FACTS),
        RunEnded(at=rows * PERIOD, how="completed", **FACTS),
    ]
    return rebuild(plan, records, frames, in_order=True).result().digest


def best(plan: RunPlan, frames: list[Frame], every: int, repeats: int) -> float:
    """The fastest of some runs: the others measure the neighbours. Raises WrongResult for another digest than a rebuild's."""
    expected = digest_of(plan, frames)
    figures = []
    for _ in range(repeats):
        figure, digest = measure(plan, frames, every)
        if digest != expected:
            raise WrongResult(f"live {digest}, rebuilt {expected}")
        figures.append(figure)
    return min(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="more rows and repeats")
    repeats = 5 if parser.parse_args().long else 2
    rows = 450_000  # more than 10 h at 10 Hz, so that the long windows are full and slide
    large = recording(rows, 1000)
    small = recording(20_000, 10)
    figures: dict[str, float] = {}
    bars: list[Bar] = []
    for name, (criterion, bar) in KINDS.items():
        ten_hours = name.endswith("10 h")
        plan = plan_of(criterion, CRITERIA)
        value = best(plan, large if ten_hours or "," in name else large[:100], 1, repeats)
        figures[f"{name}, 1000 rows"] = value
        bars.append(Bar(f"{name}, 1000 rows", bar, value, "at most"))
        if not ten_hours:
            figures[f"{name}, 10 rows"] = best(plan_of(criterion, CRITERIA), small, 1, repeats)
            bars.append(Bar(f"{name}, 10 rows", 150, figures[f"{name}, 10 rows"], "at most"))
    for name in ("rate", "hold", "sliding mean", "sliding max"):
        ratio = figures[f"{name}, 10 h, 1000 rows"] / figures[f"{name}, 10 s, 1000 rows"]
        figures[f"{name}, 10 h / 10 s"] = ratio
        bars.append(Bar(f"{name}, 10 h / 10 s", 1.2, ratio, "at most"))
    figures["band, one criterion, 10 rows"] = best(plan_of(KINDS["band"][0], 1), small, 1, repeats)
    figures["band, one criterion, 10 rows, judged every 10 frames"] = best(
        plan_of(KINDS["band"][0], 1), small, 10, repeats
    )
    publish(line("evaluator", unit="ns per sample and criterion", figures=figures, bars=bars))


if __name__ == "__main__":
    main()
