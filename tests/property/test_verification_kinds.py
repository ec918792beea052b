"""Every kind against the brute-force witness, on random multi-rate runs with gaps, equal timestamps and phase borders."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.outcomes import CriterionState
from services.verification.domain.rebuilding import rebuild
from tests.property import brute_force as brute
from tests.property.recordings import FAST, SECOND, SLOW, Recording, kpa, recordings, seconds

SIGNALS: dict[str, tuple[Any, tuple[str, ...], Callable[..., float]]] = {
    "plain": ("fast.x", ("fast.x",), lambda x: x),
    "scaled": ({"op": "scale", "factor": 2.0, "of": "fast.y"}, ("fast.y",), lambda y: 2.0 * y),
    "one stream": ({"op": "sum", "of": ["fast.x", "fast.y"]}, ("fast.x", "fast.y"), lambda x, y: x + y),
    "two streams": ({"op": "difference", "of": ["fast.x", "slow.z"]}, ("fast.x", "slow.z"), lambda x, z: x - z),
    "ratio": (
        {"op": "ratio", "of": ["slow.z", "fast.y"]},
        ("slow.z", "fast.y"),
        lambda z, y: z / y if y else math.nan,
    ),
}

LIMIT = st.sampled_from([-3.0, -1.0, 0.0, 1.0, 2.0, 3.0])
AGES = {"fast": FAST.max_age, "slow": SLOW.max_age}


def signal_of(recording: Recording, name: str) -> brute.Signal:
    _, paths, value = SIGNALS[name]
    return brute.Signal([recording.samples[p] for p in paths], [AGES[p.split(".")[0]] for p in paths], value)


@st.composite
def common(draw: st.DrawFn) -> tuple[str, str, dict[str, Any], float | None, int | None]:
    """Signal, phase, and the demands on data quality."""
    name = draw(st.sampled_from(sorted(SIGNALS)))
    coverage = draw(st.sampled_from([None, None, 0.5, 0.9]))
    gap = draw(st.sampled_from([None, None, 2, 4]))
    quality = {
        "min_coverage": coverage,
        "max_gap": None if gap is None else seconds(gap),
    }
    fields = {"signal": SIGNALS[name][0], "phase": draw(st.sampled_from(["p", "q"])), "quality": quality}
    return name, fields["phase"], fields, coverage, None if gap is None else gap * SECOND


@st.composite
def limits(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], float, float]:
    unit = "1" if name == "ratio" else "kPa"
    low, high = sorted((draw(LIMIT), draw(LIMIT)))
    fields = {"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}
    missing = draw(st.sampled_from(["", "low", "high"]))
    if missing:
        del fields[missing]
    return fields, -math.inf if missing == "low" else low, math.inf if missing == "high" else high


def evaluate(recording: Recording, criterion: dict[str, Any]) -> CriterionState:
    return rebuild(recording.plan(criterion), recording.lifecycle(), recording.frames).result().criteria[0]


def agree(
    state: CriterionState,
    expected: brute.Expected,
    seen: brute.Quality,
    coverage: float | None,
    gap: int | None,
    *,
    exact: bool = True,
) -> None:
    assert (state.quality.samples, state.quality.longest_gap) == (seen.samples, seen.longest_gap)
    assert state.quality.coverage == pytest.approx(seen.coverage, abs=1e-12)
    if expected.margin is None:
        assert state.margin is None
    elif exact:
        assert state.margin == expected.margin
    else:
        assert state.margin == pytest.approx(expected.margin, rel=1e-9, abs=1e-9)
    borderline = not exact and expected.margin is not None and abs(expected.margin) < 1e-9
    if not borderline:
        assert state.outcome.name == brute.outcome(expected, seen, coverage, gap)
    if expected.worst_at is not None and exact:
        assert state.worst_at == expected.worst_at
    if expected.time_out is not None:
        assert state.time_out == expected.time_out
    if expected.time_margin is not None:
        assert state.time_margin == expected.time_margin


def quality_of(recording: Recording, name: str, phase: str) -> brute.Quality:
    return brute.quality(signal_of(recording, name), recording.phase(phase, stops=False))


@given(recordings(), common(), st.data())
def test_band_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:  # V-26, V-6
    name, phase, fields, coverage, gap = given_
    extra, low, high = data.draw(limits(name))
    state = evaluate(recording, fields | extra | {"kind": "band"})
    expected = brute.band(signal_of(recording, name), recording.phase(phase, stops=False), low, high)
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)
    assert expected.worst_at == state.worst_at


@given(recordings(), common(), st.data())
def test_hold_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:  # V-26, V-2
    name, phase, fields, coverage, gap = given_
    extra, low, high = data.draw(limits(name))
    duration, clock = data.draw(st.integers(1, 12)), data.draw(st.sampled_from(["run", "stop"]))
    criterion = fields | extra | {"kind": "hold", "duration": seconds(duration), "clock_in_hold": clock}
    state = evaluate(recording, criterion)
    expected = brute.hold(
        signal_of(recording, name), recording.phase(phase, stops=clock == "stop"), low, high, duration * SECOND
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)


@pytest.mark.parametrize(
    ("kind", "witness"),
    [("longest_excursion", brute.longest_excursion), ("cumulative_time_out", brute.cumulative_time_out)],
)
@given(recordings(), common(), st.data())
def test_time_out_of_band_agrees_with_brute_force(
    kind: str, witness: Any, recording: Recording, given_: Any, data: st.DataObject
) -> None:  # V-26, V-2
    name, phase, fields, coverage, gap = given_
    extra, low, high = data.draw(limits(name))
    allowed, clock = data.draw(st.integers(1, 9)), data.draw(st.sampled_from(["run", "stop"]))
    state = evaluate(recording, fields | extra | {"kind": kind, "at_most": seconds(allowed), "clock_in_hold": clock})
    expected = witness(
        signal_of(recording, name), recording.phase(phase, stops=clock == "stop"), low, high, allowed * SECOND
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)


@given(recordings(), common(), st.data())
def test_settle_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:  # V-26, V-2
    name, phase, fields, coverage, gap = given_
    unit = "1" if name == "ratio" else "kPa"
    target, tolerance = data.draw(LIMIT), data.draw(st.sampled_from([0.0, 1.0, 2.0]))
    by, clock = data.draw(st.integers(1, 12)), data.draw(st.sampled_from(["run", "stop"]))
    overshoot = data.draw(st.sampled_from([None, 0.0, 1.0, 3.0]))
    criterion = fields | {
        "kind": "settle",
        "target": {"value": target, "unit": unit},
        "tolerance": {"value": tolerance, "unit": unit},
        "by": seconds(by),
        "overshoot": None if overshoot is None else {"value": overshoot, "unit": unit},
        "clock_in_hold": clock,
    }
    state = evaluate(recording, criterion)
    expected = brute.settle(
        signal_of(recording, name),
        recording.phase(phase, stops=clock == "stop"),
        target,
        tolerance,
        by * SECOND,
        math.inf if overshoot is None else overshoot,
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)


@given(recordings(), common(), st.data())
def test_rate_of_change_agrees_with_brute_force(
    recording: Recording, given_: Any, data: st.DataObject
) -> None:  # V-26, V-11
    name, phase, fields, coverage, gap = given_
    unit = "/s" if name == "ratio" else "kPa/s"
    low, high = sorted((data.draw(LIMIT) / 2, data.draw(LIMIT) / 2))
    window, least = data.draw(st.integers(1, 8)), data.draw(st.integers(2, 3))
    criterion = fields | {
        "kind": "rate_of_change",
        "low": {"value": low, "unit": unit},
        "high": {"value": high, "unit": unit},
        "window": seconds(window),
        "min_count": least,
    }
    state = evaluate(recording, criterion)
    signal, span = signal_of(recording, name), recording.phase(phase, stops=False)
    windows = brute.Windows(low, high, max_age(name) if gap is None else gap)
    samples = brute.judged(signal, span)
    expected = brute.sliding(samples, span, windows, window * SECOND, least, brute.slope)
    agree(state, expected, quality_of(recording, name, phase), coverage, gap, exact=False)


@given(recordings(), common(), st.data())
def test_window_statistics_agree_with_brute_force(
    recording: Recording, given_: Any, data: st.DataObject
) -> None:  # V-26, V-11
    name, phase, fields, coverage, gap = given_
    extra, low, high = data.draw(limits(name))
    which = data.draw(st.sampled_from(["mean", "sd", "min", "max", "rms", "percentile"]))
    kind, length = data.draw(st.sampled_from(["phase", "tumbling", "sliding"])), data.draw(st.integers(1, 8))
    least, rank = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([0.0, 25.0, 50.0, 90.0, 100.0]))
    criterion = fields | extra | {"kind": "window_statistics", "statistic": which, "windows": kind, "min_count": least}
    if kind != "phase":
        criterion["window"] = seconds(length)
    if which == "percentile":
        criterion["percentile"] = rank
    state = evaluate(recording, criterion)
    signal, span = signal_of(recording, name), recording.phase(phase, stops=False)
    windows = brute.Windows(low, high, max_age(name) if gap is None else gap, which)
    samples = brute.judged(signal, span)

    def value(window: Any) -> float | None:
        return brute.statistic([x for _, x in window], which, rank / 100.0)

    if kind == "phase":
        expected = brute.whole_phase(samples, span, windows, least, value)
    else:
        slide = brute.sliding if kind == "sliding" else brute.tumbling
        expected = slide(samples, span, windows, length * SECOND, least, value)
    agree(state, expected, quality_of(recording, name, phase), coverage, gap, exact=False)


@given(recordings(), st.sampled_from(["p", "q"]), st.sampled_from([0.5, 2.0]))
def test_a_balance_within_a_limit_is_a_band_around_zero(
    recording: Recording, phase: str, limit: float
) -> None:  # V-6, V-26
    criterion = {
        "kind": "balance",
        "phase": phase,
        "inputs": ["fast.x", "fast.y"],
        "outputs": ["slow.z"],
        "limit": kpa(limit),
    }
    state = evaluate(recording, criterion)
    paths = ("fast.x", "fast.y", "slow.z")
    signal = brute.Signal(
        [recording.samples[p] for p in paths], [AGES[p.split(".")[0]] for p in paths], lambda x, y, z: x + y - z
    )
    span = recording.phase(phase, stops=False)
    agree(state, brute.band(signal, span, -limit, limit), brute.quality(signal, span), None, None)


@given(recordings(), common(), st.integers(1, 8), st.sampled_from([0.3, 0.9]))
def test_data_quality_agrees_with_brute_force(
    recording: Recording, given_: Any, gap: int, coverage: float
) -> None:  # V-10, V-26
    name, phase, fields, _, _ = given_
    criterion = {"kind": "data_quality", "signal": fields["signal"], "phase": phase}
    criterion |= {"min_coverage": coverage, "max_gap": seconds(gap)}
    state = evaluate(recording, criterion)
    seen = quality_of(recording, name, phase)
    fine = seen.coverage >= coverage and seen.longest_gap <= gap * SECOND
    # A value that holds into a phase without a sample of its own can cover it; that still passes nothing.
    assert state.outcome.name == ("FAIL" if not fine else "PASS" if seen.samples else "INCONCLUSIVE")


def max_age(name: str) -> int:
    return min(AGES[path.split(".")[0]] for path in SIGNALS[name][1])
