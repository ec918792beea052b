"""Random runs for the evaluator's properties: two streams of different rate, gaps, NaNs, equal timestamps, two boots, phase borders, a hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.plan import RunPlan
from shared.contracts.frame import Frame, Quality, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded, RunHeld, RunRestarted
from shared.contracts.registry import Channel, Stream
from tests.property.brute_force import Phase, Sample

SECOND = 1_000_000
TITLE = {"en": "criterion", "zh": "准则"}
FAST = Stream(
    "line/fast",
    1,
    "platform",
    "line",
    "one",
    (Channel("x", "pressure", "kPa"), Channel("y", "pressure", "kPa")),
    SECOND,
    3 * SECOND,
)
SLOW = Stream("line/slow", 1, "platform", "line", "two", (Channel("z", "pressure", "kPa"),), 2 * SECOND, 7 * SECOND)
STREAMS = (FAST, SLOW)


@dataclass(frozen=True)
class Recording:
    """A run as it was recorded: `samples` are the valid samples of each channel in normative order."""

    start: int
    middle: int
    end: int
    held: tuple[tuple[int, int], ...]
    frames: tuple[Frame, ...]
    samples: dict[str, list[Sample]] = field(hash=False)

    def lifecycle(self) -> list[Lifecycle]:
        facts: dict[str, Any] = {"event_id": "e", "run": "run", "line": "line"}
        records: list[Lifecycle] = [PhaseStarted(at=self.start, phase="p", **facts)]
        for a, b in self.held:
            records += [RunHeld(at=a, **facts), RunRestarted(at=b, **facts)]
        records += [
            PhaseStarted(at=self.middle, phase="q", **facts),
            RunEnded(at=self.end, how="completed", **facts),
        ]
        return sorted(records, key=lambda record: record.at)

    def phase(self, name: str, *, stops: bool) -> Phase:
        a, b = (self.start, self.middle) if name == "p" else (self.middle, self.end)
        return Phase(a, b, self.held if stops else ())

    def plan(self, *criteria: dict[str, Any]) -> RunPlan:
        return RunPlan.build(run="run", criteria=criteria_set(*criteria), streams=STREAMS, start=self.start)


def criteria_set(*criteria: dict[str, Any]) -> CriteriaSet:
    return CriteriaSet.model_validate(
        {
            "id": "set",
            "version": 1,
            "title": TITLE,
            "phases": [
                {"id": "p", "title": TITLE, "planned": {"value": 1, "unit": "h"}},
                {"id": "q", "title": TITLE, "planned": {"value": 1, "unit": "h"}},
            ],
            "criteria": [{"id": f"c{k}", "title": TITLE} | criterion for k, criterion in enumerate(criteria)],
        }
    )


def kpa(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "kPa"}


def seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "s"}


VALUES = st.one_of(st.integers(-4, 4).map(float), st.sampled_from([math.nan, 0.5, 1.25]))


def _mostly(most: int, least: int = 0) -> st.SearchStrategy[int]:
    """Long rather than short: an example in which nothing is judged shows nothing."""
    return st.one_of(st.integers(most * 2 // 3, most), st.integers(most // 3, most), st.integers(least, most))


@st.composite
def _frames(draw: st.DrawFn, stream: Stream, steps: tuple[int, ...], most: int) -> list[Frame]:
    width = len(stream.channels)
    count = draw(_mostly(most))
    gaps = draw(st.lists(st.sampled_from(steps), min_size=count, max_size=count))
    cells = draw(st.lists(VALUES, min_size=count * width, max_size=count * width))
    times = np.cumsum(np.array([draw(st.integers(-4, 4)), *gaps], np.int64))[1:] * SECOND
    values = np.array(cells, np.float64).reshape(count, width)
    restart = draw(st.integers(0, count))
    frames = []
    at = 0
    while at < count:
        size = min(draw(st.integers(1, 5)), count - at)
        if at < restart:
            size = min(size, restart - at)
        boot, seq = ("b2", at) if at < restart else ("a1", at - restart)
        part = values[at : at + size]
        quality = np.where(np.isnan(part), int(Quality.MISSING), 0).astype(np.uint8)
        if draw(st.integers(0, 9)) > 0:  # otherwise a frame that was never sent
            frames.append(
                build_frame(
                    stream=stream.id,
                    registry_version=1,
                    boot=boot,
                    seq=seq,
                    times=times[at : at + size],
                    values=part,
                    quality=quality,
                )
            )
        at += size
    return frames


@st.composite
def recordings(draw: st.DrawFn, *, most: int = 30) -> Recording:
    fast = draw(_frames(FAST, (1, 1, 1, 1, 2, 5, 0), most))
    slow = draw(_frames(SLOW, (2, 2, 3, 9, 0), most // 2))
    start = draw(st.integers(-3, 3))
    middle = start + draw(_mostly(30, 1))
    end = middle + draw(_mostly(15, 1))
    held: tuple[tuple[int, int], ...] = ()
    if draw(st.booleans()):
        a = draw(st.integers(start, end - 1))
        held = ((a * SECOND, draw(st.integers(a + 1, end)) * SECOND),)
    frames = tuple(fast + slow)
    return Recording(start * SECOND, middle * SECOND, end * SECOND, held, frames, samples_of(frames))


def samples_of(frames: tuple[Frame, ...]) -> dict[str, list[Sample]]:
    """The valid samples per channel, in order of (time, boot, seq, row)."""
    rows: dict[str, list[tuple[int, str, int, int, float]]] = {}
    for stream in STREAMS:
        for column, channel in enumerate(stream.channels):
            rows[f"{stream.id.split('/')[1]}.{channel.name}"] = [
                (int(t), frame.boot, frame.seq, row, float(frame.values_array()[row, column]))
                for frame in frames
                if frame.stream == stream.id
                for row, t in enumerate(frame.times_array())
            ]
    return {
        path: [(t, x) for t, _, _, _, x in sorted(found, key=lambda r: r[:4]) if not math.isnan(x)]
        for path, found in rows.items()
    }
