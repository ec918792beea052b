"""Every compiled kernel: the same bytes however the samples are cut into calls, and the same bytes when interpreted (`py_func`)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.verification.domain.criteria.parts import Ratio, Sum
from services.verification.domain.groups import CLOSING, LaneSet
from services.verification.domain.kinds import clock as clock_module
from services.verification.domain.kinds.lanes import FAR, Lane
from services.verification.domain.kinds.registry import KERNELS
from services.verification.domain.kinds.statistics import CPK, MAX, MEAN, PERCENTILE, RMS, SD
from services.verification.domain.merging import MergedSignal, merge_kernel
from services.verification.domain.plan import RunPlan
from services.verification.domain.signals import channels_of, compile_signal
from tests.property.recordings import SECOND, STREAMS, criteria_set

S = SECOND
LANES: dict[str, list[Lane]] = {
    "band": [Lane((-1.0, 2.0), (), "kPa")],
    "time_out": [Lane((-1.0, 1.0), (3 * S, mode), "s", stops=bool(mode)) for mode in (0, 1)],
    "hold": [Lane((-2.0, 2.0), (4 * S,), "kPa", slots=64, stops=stops) for stops in (False, True)],
    "settle": [Lane((0.0, 2.0, 1.0), (5 * S,), "kPa", stops=True)],
    "rate": [Lane((-0.5, 0.5), (5 * S, 2, 3 * S), "kPa/s", slots=64)],
    "quality": [
        Lane((0.5, -2.0, 2.0), (4 * S, 3 * S, 5, 2 * S, 5), "1"),
        Lane((0.5, -math.inf, math.inf), (4 * S, FAR, 5, FAR, 5), "1"),
    ],
    "statistics_blocks": [
        Lane((-1.0, 1.0, 0.9, -2.0, 2.0), (w, 1, 3 * S, code), "kPa", slots=256)
        for w in (0, 6 * S)
        for code in (SD, PERCENTILE, RMS, CPK)
    ],
    "statistics_sliding": [
        Lane((-1.0, 1.0, 0.9, -2.0, 2.0), (5 * S, 2, 3 * S, code), "kPa", slots=64)
        for code in (MEAN, SD, MAX, PERCENTILE, CPK)
    ],
    "fraction": [Lane((-1.0, 1.0, 0.5), (), "1", stops=stops) for stops in (False, True)],
    "ramp": [Lane((-1.0, 2.0, 0.25, 2.0), (12 * S,), "kPa", stops=stops) for stops in (False, True)],
    "steady": [Lane((0.5,), (4 * S, 2, 2, 3 * S), "kPa/s", slots=2)],
    "envelope": [
        Lane((2.0, -1.0, 0.0, 0.5, 1.0, 0.0, 2.0), (7 * S, 3, allowed), "kPa", stops=allowed < 0)
        for allowed in (-1, 3 * S)
    ],
    "previous": [
        Lane((-1.0, 1.0, 0.9, -math.inf, math.inf), (0, 1, 3 * S, code, has), "kPa", slots=256)
        for code, has in ((MEAN, 1), (PERCENTILE, 1), (SD, 0))
    ],
    "drift": [Lane((-0.5, 0.5), (2,), "kPa/s")],
    "integral": [Lane((-5.0, 5.0), (), "kPa.s", stops=stops) for stops in (False, True)],
    "totaliser": [Lane((1.0, 9.0, 3.0), (), "kPa")],
    "count": [Lane((0.0, 0.0, 0.0), (1, 4, 0), "1")],
    "success": [Lane((0.5, 0.9, 0.0), (FAR, FAR, 2), "1")],
    "mtbf": [Lane((5.0, 0.9, 1.0), (FAR, FAR, 0), "s")],
}


def _formula(of: dict[str, Any], kind: str) -> Lane:
    criterion = {"kind": kind, "phase": "p", "of": of}
    [plan] = RunPlan.build(run="r", criteria=criteria_set(criterion), streams=STREAMS, start=0).criteria
    return plan.lane


_LEAF = {"op": "<=", "left": "fast.x", "right": {"value": 1, "unit": "kPa"}}
_WINDOW = {"after": {"value": 1, "unit": "s"}, "upto": {"value": 4, "unit": "s"}}
LANES["formula"] = [
    _formula({"op": "until", "of": [_LEAF, {"op": "rise", "of": _LEAF}], "within": _WINDOW}, "condition"),
    _formula({"op": "not", "of": {"op": "since", "of": [_LEAF, _LEAF], "within": _WINDOW}}, "condition"),
    _formula({"op": "and", "of": [_LEAF, {"op": "eventually", "of": {"op": "once", "of": _LEAF}}]}, "formula"),
]


@st.composite
def samples(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    steps = draw(st.lists(st.sampled_from([0, 1, 1, 1, 1, 2, 5]), min_size=1, max_size=60))
    values = draw(st.lists(st.floats(-3, 3) | st.just(math.nan), min_size=len(steps), max_size=len(steps)))
    return np.cumsum(np.array(steps, np.int64)) * S, np.array(values, np.float64)


HELD = np.array([[20 * S, 24 * S]], np.int64)


def run(
    name: str, interpreted: bool, times: NDArray[np.int64], values: NDArray[np.float64], cuts: list[int]
) -> list[bytes]:
    """The state after the samples, given in the pieces between the cuts, and after the end."""
    lanes = LaneSet(KERNELS[name], [(lane, 0, "p", 2) for lane in LANES[name]])
    lanes.set_phase("p", 3 * S, 50 * S)
    kernel: Any = lanes.kind.kernel
    borders = [0, *sorted(cuts), len(times)]
    for a, b in pairwise(borders):
        lanes.bounds[:, CLOSING] = 1 if b == len(times) else 0
        part, n = times[a:b], b - a
        places = np.column_stack([np.arange(a, b), np.zeros(n, np.int64)]).astype(np.int64).ravel()
        signals = np.array([[0, 0, n, 0, 2]], np.int64)
        arrays = (part, part + 3 * S, values[a:b], places, signals, lanes.bounds, lanes.pf, lanes.pn)
        (kernel.py_func if interpreted else kernel)(*arrays, lanes.sf, lanes.sn, lanes.sw, lanes.rf, lanes.rn, HELD)
    return [array.tobytes() for array in lanes.state()]


@pytest.mark.parametrize("name", sorted(LANES))
@given(samples(), st.data())
def test_cutting_gives_the_same_bytes(name: str, recorded: Any, data: st.DataObject) -> None:  # V-11
    times, values = recorded
    times, values = times[times < 50 * S], values[: int((times < 50 * S).sum())]
    cuts = data.draw(st.lists(st.integers(0, len(times)), max_size=8))
    once, often = run(name, False, times, values, []), run(name, False, times, values, [*cuts, len(times)])
    assert once == often


@pytest.mark.parametrize("name", sorted(LANES))
@settings(max_examples=30)
@given(recorded=samples())
def test_interpreted_code_gives_the_same_bytes(name: str, recorded: Any) -> None:  # V-11
    times, values = recorded
    assert run(name, False, times, values, []) == run(name, True, times, values, [])


@settings(max_examples=30)
@given(samples(), st.integers(0, 60))
def test_points_of_a_signal_are_the_same_interpreted_and_cut(recorded: Any, cut: int) -> None:  # V-11
    times, values = recorded
    expression = Ratio(op="ratio", of=("fast.x", Sum(op="sum", of=("fast.y", "fast.x"))))
    plan = compile_signal(expression, channels_of(STREAMS), "signal")
    both = np.concatenate([values, values[::-1]])
    places = np.zeros(2 * len(times), np.int64)
    whole = MergedSignal(plan).points(times, both, places, _spans(len(times)))
    pieces: list[tuple[NDArray[Any], ...]] = []
    merged = MergedSignal(plan)
    cut = _cut_between_instants(times, cut)
    for a, b in ((0, cut), (cut, len(times))):
        part = np.concatenate([values[a:b], values[::-1][a:b]])
        pieces.append(merged.points(times[a:b], part, places, _spans(b - a)))
    for k, array in enumerate(whole):
        assert array.tobytes() == np.concatenate([piece[k] for piece in pieces]).tobytes()
    interpreted = MergedSignal(plan)
    out = (np.empty(2 * len(times), np.int64), np.empty(2 * len(times), np.int64), np.empty((1, 2 * len(times))))
    spots = np.empty((2 * len(times), 4), np.int64)
    inputs = np.array([(*span, age) for span, age in zip(_spans(len(times)), merged.ages, strict=True)], np.int64)
    code: Any = merge_kernel
    n = code.py_func(
        times,
        both,
        places,
        inputs,
        merged.codes,
        merged.constants,
        1,
        False,
        interpreted.held,
        interpreted.until,
        *out,
        spots,
    )
    assert [array[:n].tobytes() for array in (*out[:2], out[2][0], spots)] == [array.tobytes() for array in whole]


def _spans(n: int) -> list[tuple[int, int, int, int]]:
    return [(0, n, 0, 0), (0, n, n, 0)]


def _cut_between_instants(times: NDArray[np.int64], cut: int) -> int:
    """Samples of one instant are released together."""
    return int(np.searchsorted(times, times[min(cut, len(times) - 1)], "left"))


@given(st.integers(-5, 60), st.lists(st.integers(0, 50), min_size=4, max_size=4, unique=True))
def test_the_run_clock_counts_what_is_not_held(t: int, marks: list[int]) -> None:  # V-2
    a, b, c, d = sorted(marks)
    held = np.array([[a, b], [c, d]], np.int64)
    counted = clock_module.clock(t, held)
    assert counted == t - sum(1 for k in range(-5, t) if a <= k < b or c <= k < d)
    first = min(u for u in range(-100, 200) if clock_module.clock(u, held) == counted)
    assert clock_module.unclock(counted, held) == first


def test_every_kernel_is_covered() -> None:  # V-11
    assert set(LANES) == set(KERNELS)
