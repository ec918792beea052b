"""Small runs for the unit tests: one stream every second with two channels, one every two seconds, written as lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.outcomes import CriterionState
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame, Quality, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded, RunHeld, RunRestarted
from shared.contracts.registry import Channel, Stream, Uncertainty

SECOND = 1_000_000
TITLE = {"en": "criterion", "zh": "准则"}
STREAMS = (
    Stream(
        "line/one",
        1,
        "platform",
        "line",
        "one",
        (
            Channel("x", "pressure", "kPa", uncertainty=Uncertainty(2.0, 2.0, "certificate 7", date(2026, 1, 31))),
            Channel("temperature", "temperature", "Cel"),
        ),
        SECOND,
        3 * SECOND,
    ),
    Stream("line/two", 1, "platform", "line", "two", (Channel("z", "pressure", "Pa"),), 2 * SECOND, 5 * SECOND),
)
FACTS: dict[str, Any] = {"event_id": "e", "run": "run", "line": "line"}


def kpa(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "kPa"}


def seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "s"}


def criteria_of(*criteria: dict[str, Any], planned: float | None = None) -> CriteriaSet:
    """Criteria c0, c1, … of the phase p."""
    phase = {"id": "p", "title": TITLE, "planned": None if planned is None else seconds(planned)}
    return CriteriaSet.model_validate(
        {
            "id": "set",
            "version": 1,
            "title": TITLE,
            "phases": [phase, {"id": "q", "title": TITLE}],
            "criteria": [{"id": f"c{k}", "title": TITLE, "phase": "p"} | c for k, c in enumerate(criteria)],
        }
    )


def plan_of(*criteria: dict[str, Any], start: int = 0) -> RunPlan:
    return RunPlan.build(run="run", criteria=criteria_of(*criteria, planned=3600), streams=STREAMS, start=start)


def one(rows: Sequence[tuple[float, float]], *, seq: int = 0, boot: str = "boot", marks: int = 0) -> Frame:
    """A frame of line/one: (second, x) rows; the temperature is 20 Cel throughout. `marks` are quality bits of every x."""
    values = np.array([(x, 20.0) for _, x in rows], np.float64)
    quality = np.zeros(values.shape, np.uint8)
    quality[:, 0] = marks
    quality[np.isnan(values)] |= int(Quality.MISSING)
    times = np.array([round(t * SECOND) for t, _ in rows], np.int64)
    return build_frame(
        stream="line/one", registry_version=1, boot=boot, seq=seq, times=times, values=values, quality=quality
    )


def two(rows: Sequence[tuple[float, float]], *, seq: int = 0) -> Frame:
    times = np.array([round(t * SECOND) for t, _ in rows], np.int64)
    values = np.array([[z] for _, z in rows], np.float64)
    return build_frame(stream="line/two", registry_version=1, boot="boot", seq=seq, times=times, values=values)


def begun(at: float = 0, phase: str = "p") -> PhaseStarted:
    return PhaseStarted(at=round(at * SECOND), phase=phase, **FACTS)


def ended(at: float) -> RunEnded:
    return RunEnded(at=round(at * SECOND), how="completed", **FACTS)


def held(a: float, b: float) -> list[Lifecycle]:
    return [RunHeld(at=round(a * SECOND), **FACTS), RunRestarted(at=round(b * SECOND), **FACTS)]


def verdict(
    criterion: dict[str, Any],
    xs: Sequence[float],
    *,
    end: float | None = None,
    holds: Sequence[Lifecycle] = (),
    marks: int = 0,
) -> CriterionState:
    """The final state of a criterion on one.x over [0, end) for values at 0 s, 1 s, …; NaN where there is no sample."""
    frames = [one([(t, x) for t, x in enumerate(xs)], marks=marks)] if xs else []
    records = [begun(), *holds, ended(len(xs) if end is None else end)]
    plan = plan_of({"signal": "one.x"} | criterion)
    return rebuild(plan, records, frames).result().criteria[0]


def fed(plan: RunPlan, *records: Frame | Lifecycle) -> RunEvaluator:
    """A live evaluator that has judged the records one after another."""
    evaluator = RunEvaluator(plan)
    for record in records:
        if isinstance(record, Frame):
            evaluator.add_frame(record)
        else:
            evaluator.apply(record)
        evaluator.advance()
    return evaluator


NAN = math.nan
