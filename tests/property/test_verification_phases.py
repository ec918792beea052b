"""Phases by condition: the same boundaries as a reading of the definition instant by instant, whatever the cuts and the order of arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded
from shared.contracts.registry import Channel, Stream

SECOND = 1_000_000
TITLE = {"en": "a", "zh": "甲"}
AGES = {"one": 3, "two": 4}
STREAMS = tuple(
    Stream(f"line/{name}", 1, "p", "line", name, (Channel("x", "pressure", "kPa"),), SECOND, age * SECOND)
    for name, age in AGES.items()
)
FACTS: dict[str, Any] = {"event_id": "e", "run": "run", "line": "line"}
Samples = dict[str, list[tuple[int, float]]]
END = 24


@dataclass(frozen=True, slots=True)
class Condition:
    """x of a stream is at least `level` for `lasting` seconds."""

    stream: str
    level: int
    lasting: int

    def document(self) -> dict[str, Any]:
        limit = {"value": self.level, "unit": "kPa"}
        formula = {"op": ">=", "left": f"{self.stream}.x", "right": limit}
        return {"formula": formula, "for": {"value": self.lasting, "unit": "s"}}

    def holds(self, samples: Samples, second: int) -> bool:
        """By the value held over [second, second + 1)."""
        known = [(t, x) for t, x in samples[self.stream] if t <= second]
        return bool(known) and second < known[-1][0] + AGES[self.stream] and known[-1][1] >= self.level

    def reached(self, samples: Samples, armed: int, at: int) -> bool:
        """Whether it has held on [at - lasting, at), all of it since it was armed; without a duration: at this instant."""
        if self.lasting == 0:
            return at >= armed and self.holds(samples, at)
        return at - self.lasting >= armed and all(self.holds(samples, s) for s in range(at - self.lasting, at))


Phases = list[tuple[Condition | None, Condition | None]]
CONDITIONS = st.none() | st.builds(Condition, st.sampled_from(sorted(AGES)), st.integers(0, 2), st.integers(0, 4))


def naive(phases: Phases, commands: Sequence[tuple[int, int]], samples: Samples) -> list[tuple[int, int, int]]:
    """(phase, start, end), second by second; every boundary lies on a second because the samples do."""
    spans: dict[int, list[int]] = {}
    place, armed, current = -1, 0, -1
    by_condition: set[int] = set()

    def begin(phase: int, at: int) -> None:
        nonlocal place, armed, current
        if current >= 0:
            spans[current][1] = at
        current = -1
        if phase not in spans:
            spans[phase] = [at, END]
            current, place, armed = phase, max(place, phase), at

    for at in range(END):
        for _, phase in sorted((item for item in commands if item[0] == at), key=lambda item: item[0]):
            if phase not in by_condition:
                begin(phase, at)
        while True:
            following = place + 1
            start = phases[following][0] if following < len(phases) else None
            finish = phases[place][1] if current == place and place >= 0 else None
            if start is not None and start.reached(samples, armed, at):
                by_condition.add(following)
                begin(following, at)
            elif finish is not None and finish.reached(samples, armed, at):
                spans[current][1] = at
                current = -1
            else:
                break
    return sorted((phase, start, end) for phase, (start, end) in spans.items())


def plan_of(phases: Phases) -> RunPlan:
    listed = [
        {"id": f"p{k}", "title": TITLE}
        | {name: c.document() for name, c in (("starts_when", start), ("ends_when", end)) if c is not None}
        for k, (start, end) in enumerate(phases)
    ]
    criteria = [
        {"id": f"c{k}", "title": TITLE, "phase": f"p{k}", "kind": "window_statistics", "statistic": "mean", "signal": "one.x",
         "high": {"value": 9, "unit": "kPa"}}
        for k in range(len(phases))
    ]  # fmt: skip
    document = {"id": "set", "version": 1, "title": TITLE, "phases": listed, "criteria": criteria}
    return RunPlan.build(run="run", criteria=CriteriaSet.model_validate(document), streams=STREAMS, start=0)


def frames_of(samples: Samples, cuts: Sequence[int]) -> list[Frame]:
    frames = []
    for name, rows in samples.items():
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(rows)}), len(rows)]
        for seq, (first, behind) in enumerate(pairwise(edges)):
            times = np.array([t * SECOND for t, _ in rows[first:behind]], np.int64)
            values = np.array([[x] for _, x in rows[first:behind]], np.float64)
            if times.size:
                stream = f"line/{name}"
                frame = build_frame(stream=stream, registry_version=1, boot="boot", seq=seq, times=times, values=values)
                frames.append(frame)
    return frames


def seconds(evaluator: RunEvaluator) -> list[tuple[int, int, int]]:
    found = []
    for span in evaluator.phases:
        assert span.end is not None  # the run has ended
        found.append((int(span.phase[1:]), span.start // SECOND, span.end // SECOND))
    return sorted(found)


SAMPLES = st.fixed_dictionaries(
    {
        name: st.lists(
            st.tuples(st.integers(0, END - 1), st.sampled_from([0.0, 1.0, 2.0])), max_size=16, unique_by=lambda r: r[0]
        ).map(sorted)
        for name in AGES
    }
)


@given(
    phases=st.lists(st.tuples(CONDITIONS, CONDITIONS), min_size=1, max_size=3),
    commands=st.lists(st.tuples(st.integers(0, END - 1), st.integers(0, 2)), max_size=2, unique_by=lambda c: c[1]),
    samples=SAMPLES,
    cuts=st.lists(st.integers(1, 12), max_size=4),
    data=st.data(),
)
def test_boundaries_follow_from_the_definition_and_from_nothing_else(
    phases: Phases, commands: list[tuple[int, int]], samples: Samples, cuts: list[int], data: st.DataObject
) -> None:
    # V-3, V-11, V-16
    commands = sorted((at, phase) for at, phase in commands if phase < len(phases))
    wanted = naive(phases, commands, samples)
    plan, frames = plan_of(phases), frames_of(samples, cuts)
    records: list[Lifecycle] = [PhaseStarted(at=at * SECOND, phase=f"p{phase}", **FACTS) for at, phase in commands]
    end = RunEnded(at=END * SECOND, how="completed", **FACTS)
    stored = rebuild(plan, [*records, end], frames)
    result = stored.result()
    assert seconds(stored) == wanted
    ordered = sorted(frames, key=lambda frame: int(frame.times_array()[0]))
    assert rebuild(plan, [*records, end], ordered, in_order=True).result().digest == result.digest
    # Live: frames in any order, commands in theirs, a snapshot somewhere; what comes too late asks for a rebuild and is never wrong.
    places = data.draw(st.permutations([*frames, *([None] * len(records))]))
    following = iter(records)
    arrivals = [next(following) if place is None else place for place in places]
    lose = data.draw(st.integers(0, len(arrivals)))
    live = RunEvaluator(plan)
    for number, item in enumerate([*arrivals, end]):
        if isinstance(item, Frame):
            live.add_frame(item)
        else:
            live.apply(item)
        live.advance()
        if number == lose:
            live = RunEvaluator.restore(plan, live.snapshot())
    live.finish()
    if not live.needs_rebuild:
        assert seconds(live) == wanted
        assert live.result().digest == result.digest
