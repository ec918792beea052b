"""What judging costs through the public evaluator: ns per sample and criterion, by kind, at 1000 and at 10 rows per frame.

    python -m tests.perf.evaluator [--long]

A run of 40 criteria of one kind over 10 channels of one stream at 10 Hz. Every frame is taken in and
judged by itself, the worst case for small frames; a worker gathers the frames of a commit interval first. Figures are CPU time of the one
thread that judges, the fastest of some runs, windows of 10 s and 10 h in turn; decoding, hashing and snapshots are
not in them. The result of every measured run is compared with a rebuild from the same frames: another digest is a wrong result.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
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
    return best_of([plan], frames, every, repeats)[0]


def best_of(plans: Sequence[RunPlan], frames: list[Frame], every: int, repeats: int) -> list[float]:
    """Each plan's fastest run, the plans in turn: what the machine does in a minute meets all of them."""
    expected = [digest_of(plan, frames) for plan in plans]
    figures = [math.inf] * len(plans)
    for _ in range(repeats):
        for number, plan in enumerate(plans):
            figure, digest = measure(plan, frames, every)
            if digest != expected[number]:
                raise WrongResult(f"live {digest}, rebuilt {expected[number]}")
            figures[number] = min(figures[number], figure)
    return figures


def _bar(figure: str) -> float:
    """What is promised of a figure: a frame of ten rows, a ratio, or the kind's own bar."""
    if figure.endswith("/ 10 s"):
        return 1.2
    return 150 if figure.endswith(", 10 rows") else KINDS[figure.removesuffix(", 1000 rows")][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="more rows and repeats")
    repeats = 5 if parser.parse_args().long else 2
    rows = 450_000  # more than 10 h at 10 Hz, so that the long windows are full and slide
    large = recording(rows, 1000)
    small = recording(20_000, 10)
    plans = {name: plan_of(criterion, CRITERIA) for name, (criterion, _) in KINDS.items()}
    figures: dict[str, float] = {}
    for name, plan in plans.items():
        if "," not in name:
            figures[f"{name}, 1000 rows"] = best(plan, large[:100], 1, repeats)
        elif name.endswith("10 s"):
            wide = name.replace("10 s", "10 h")
            pair = best_of([plan, plans[wide]], large, 1, repeats)
            figures[f"{name}, 1000 rows"], figures[f"{wide}, 1000 rows"] = pair
            figures[f"{wide} / 10 s"] = pair[1] / pair[0]
        if not name.endswith("10 h"):
            figures[f"{name}, 10 rows"] = best(plan, small, 1, repeats)
    bars = [Bar(name, _bar(name), value, "at most") for name, value in figures.items()]
    figures["band, one criterion, 10 rows"] = best(plan_of(KINDS["band"][0], 1), small, 1, repeats)
    figures["band, one criterion, 10 rows, judged every 10 frames"] = best(
        plan_of(KINDS["band"][0], 1), small, 10, repeats
    )
    publish(line("evaluator", unit="ns per sample and criterion", figures=figures, bars=bars))


if __name__ == "__main__":
    main()
