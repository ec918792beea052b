"""The kinds on processes and events against their brute-force witness, on random multi-rate runs with gaps, equal timestamps, a hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.verification.domain.bounds import clopper_pearson_lower, poisson_upper
from tests.property import brute_force as brute
from tests.property import brute_kinds as witness
from tests.property.recordings import SECOND, Recording, kpa, recordings, seconds
from tests.property.test_verification_kinds import (
    AGES,
    agree,
    common,
    evaluate,
    limits,
    quality_of,
    signal_of,
)

CLOCKS = st.sampled_from(["run", "stop"])
HIGH = {"op": ">=", "left": "fast.x", "right": kpa(1)}
LOW_Z = {"op": "<", "left": "slow.z", "right": kpa(2)}


def per_second(value: float, name: str = "plain") -> dict[str, Any]:
    return {"value": value, "unit": "/s" if name == "ratio" else "kPa/s"}


def over(recording: Recording, value: Any, *paths: str) -> brute.Signal:
    """A signal of the witness over channels."""
    return brute.Signal([recording.samples[p] for p in paths], [AGES[p.split(".")[0]] for p in paths], value)


def checked(
    recording: Recording, criterion: dict[str, Any], signal: brute.Signal, expected: brute.Expected, exact: bool = False
) -> None:
    """The evaluator's answer for a criterion without demands on quality."""
    state = evaluate(recording, criterion)
    seen = brute.quality(signal, recording.phase(criterion["phase"], stops=False))
    agree(state, expected, seen, None, None, exact=exact)


@given(recordings(), common(), st.data())
def test_fraction_in_band_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:
    """V-6, V-26, V-2."""
    name, phase, fields, coverage, gap = given_
    extra, low, high = data.draw(limits(name))
    share, clock = data.draw(st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])), data.draw(CLOCKS)
    criterion = fields | extra | {"kind": "fraction_in_band", "at_least": share, "clock_in_hold": clock}
    state = evaluate(recording, criterion)
    stops = clock == "stop"
    expected = witness.fraction_in_band(
        signal_of(recording, name), recording.phase(phase, stops=stops), low, high, share
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)


@given(recordings(), st.sampled_from(["p", "q"]), st.data())
def test_ramp_agrees_with_brute_force(recording: Recording, phase: str, data: st.DataObject) -> None:  # V-6, V-26
    first, last = data.draw(st.sampled_from([(-3.0, 3.0), (2.0, -2.0), (0.0, 4.0)]))
    rate, tolerance, clock = (
        data.draw(st.sampled_from([0.25, 1.0, 2.0])),
        data.draw(st.integers(0, 5)),
        data.draw(CLOCKS),
    )
    criterion = {
        "kind": "ramp", "phase": phase, "signal": "fast.x", "from_level": kpa(first), "to_level": kpa(last),
        "rate": per_second(rate), "tolerance": kpa(tolerance), "clock_in_hold": clock,
    }  # fmt: skip
    signal = signal_of(recording, "plain")
    expected = witness.ramp(signal, recording.phase(phase, stops=clock == "stop"), (first, last), rate, tolerance)
    checked(recording, criterion, signal, expected)


@given(recordings(), common(), st.data())
def test_steady_state_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:
    """V-6, V-26: windows that follow one another, broken by an empty one."""
    name, phase, fields, coverage, gap = given_
    window, windows, least = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 3)), data.draw(st.integers(2, 3))
    gradient = data.draw(st.sampled_from([0.25, 0.5, 1.5]))
    criterion = fields | {
        "kind": "steady_state", "gradient": per_second(gradient, name), "window": seconds(window), "windows": windows,
        "min_count": least,
    }  # fmt: skip
    state = evaluate(recording, criterion)
    expected = witness.steady_state(
        signal_of(recording, name), recording.phase(phase, stops=False), gradient, window * SECOND, windows, least
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap, exact=False)


@given(recordings(), common(), st.data())
def test_drift_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:  # V-6, V-26
    name, phase, fields, coverage, gap = given_
    low, high = sorted((data.draw(st.sampled_from([-1.0, 0.0])), data.draw(st.sampled_from([0.1, 1.0]))))
    criterion = fields | {
        "kind": "drift", "low": per_second(low, name), "high": per_second(high, name), "min_count": 3
    }  # fmt: skip
    state = evaluate(recording, criterion)
    expected = witness.drift(signal_of(recording, name), recording.phase(phase, stops=False), low, high, 3)
    agree(state, expected, quality_of(recording, name, phase), coverage, gap, exact=False)


@given(recordings(), common(), st.data())
def test_integral_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:  # V-6, V-26
    name, phase, fields, coverage, gap = given_
    unit = "s" if name == "ratio" else "kPa.s"
    low, high = sorted((data.draw(st.integers(-20, 5)), data.draw(st.integers(-5, 30))))
    clock = data.draw(CLOCKS)
    criterion = fields | {
        "kind": "integral", "low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit},
        "clock_in_hold": clock,
    }  # fmt: skip
    state = evaluate(recording, criterion)
    expected = witness.integral(signal_of(recording, name), recording.phase(phase, stops=clock == "stop"), low, high)
    agree(state, expected, quality_of(recording, name, phase), coverage, gap, exact=False)


@given(recordings(), st.sampled_from(["p", "q"]), st.integers(0, 12), st.integers(0, 30), st.sampled_from([None, 6]))
def test_totaliser_agrees_with_brute_force(
    recording: Recording, phase: str, low: int, more: int, rollover: int | None
) -> None:  # V-6, V-26
    criterion = {"kind": "totaliser", "phase": phase, "signal": "fast.y", "low": kpa(low), "high": kpa(low + more)}
    if rollover is not None:
        criterion["rollover"] = kpa(rollover)
    signal = over(recording, lambda y: y, "fast.y")
    expected = witness.totaliser(signal, recording.phase(phase, stops=False), low, low + more, rollover or 0)
    checked(recording, criterion, signal, expected)


@pytest.mark.parametrize("formula", ["half_range", "range", "sd"])
@given(recordings(), st.sampled_from([0.2, 1.0, 3.0]))
def test_uniformity_agrees_with_brute_force(formula: str, recording: Recording, limit: float) -> None:  # V-6, V-26
    paths = ("fast.x", "fast.y", "slow.z")
    signal = over(recording, lambda *places: limit - witness.uniformity(places, formula), *paths)
    criterion = {"kind": "uniformity", "phase": "p", "places": list(paths), "formula": formula, "at_most": limit}
    checked(recording, criterion, signal, brute.band(signal, recording.phase("p", stops=False), 0.0, math.inf))


@given(recordings(), st.sampled_from([None, 1.0, 3.0]), st.sampled_from([0.25, 1.0]))
def test_setpoint_band_agrees_with_brute_force(recording: Recording, within: float | None, share: float) -> None:
    """V-6, V-26."""

    def slack(x: float, z: float) -> float:
        return (abs(z) * share if within is None else within) - abs(x - z)

    signal = over(recording, slack, "fast.x", "slow.z")
    tolerance = {"fraction": share} if within is None else {"within": kpa(within)}
    criterion = {"kind": "setpoint_band", "phase": "p", "signal": "fast.x", "setpoint": "slow.z"} | tolerance
    checked(recording, criterion, signal, brute.band(signal, recording.phase("p", stops=False), 0.0, math.inf), True)


@given(recordings(), st.sampled_from(["p", "q"]), st.sampled_from([None, 0, 1, 2, 5]), st.sampled_from([None, 0, 1, 3]))
def test_count_agrees_with_brute_force(recording: Recording, phase: str, most: int | None, least: int | None) -> None:
    """V-6, V-26: a limit that is not there takes no part in the margin."""
    assume(most is not None or least is not None)
    signal = over(recording, lambda x: float(x >= 1), "fast.x")
    found = len(witness.edges(signal, recording.phase(phase, stops=False), bool))
    criterion = {"kind": "count", "phase": phase, "event": HIGH, "at_least": least, "at_most": most}
    margin = min(math.inf if least is None else float(found - least), math.inf if most is None else float(most - found))
    proven = most is not None and found > most
    seen = brute.quality(signal, recording.phase(phase, stops=False))
    state = evaluate(recording, criterion)
    if most is None and least is not None and found >= least > 0:
        assert state.outcome.name == "PASS"
    assert state.margin == margin
    agree(state, brute.Expected(margin, proven), seen, None, None)


@given(recordings(), st.sampled_from([0.3, 0.6, 0.95]), st.integers(1, 3))
def test_success_rate_agrees_with_brute_force(recording: Recording, demanded: float, least: int) -> None:
    """V-6, V-26: the bound is worked out from the witness's counts."""
    signal = over(recording, lambda x, z: float(x >= 1) + 2.0 * float(z < 2), "fast.x", "slow.z")
    trials = witness.edges(signal, recording.phase("p", stops=False), lambda v: int(v) & 1 == 1)
    good = sum(int(v) & 2 == 2 for _, v in trials)
    criterion = {
        "kind": "success_rate", "phase": "p", "trial": HIGH, "success": LOW_Z, "at_least": demanded,
        "min_trials": least, "confidence": 0.9,
    }  # fmt: skip
    enough = len(trials) >= least
    margin = clopper_pearson_lower(good, len(trials), 0.9) - demanded if enough else None
    checked(recording, criterion, signal, brute.Expected(margin, False, answered=enough), True)


@given(recordings(), st.booleans(), st.sampled_from([1.0, 5.0]), CLOCKS)
def test_mtbf_agrees_with_brute_force(recording: Recording, always: bool, demanded: float, clock: str) -> None:
    """V-2, V-6, V-26: failures in a hold do not count when the clock stops in it."""
    phase = recording.phase("p", stops=clock == "stop")
    if always:
        signal = over(recording, lambda x: float(x >= 1) + 2.0, "fast.x")
    else:
        signal = over(recording, lambda x, z: float(x >= 1) + 2.0 * float(z < 2), "fast.x", "slow.z")
    failures = sum(not phase.is_held(t) for t, _ in witness.edges(signal, phase, lambda v: int(v) & 1 == 1))
    operated = witness.true_time(signal, phase, lambda v: int(v) & 2 == 2)
    criterion = {"kind": "mtbf", "phase": "p", "failure": HIGH, "at_least": seconds(demanded), "confidence": 0.8}
    criterion["clock_in_hold"] = clock
    if not always:
        criterion["operating"] = LOW_Z
    margin = operated / 1e6 / poisson_upper(failures, 0.8) - demanded if operated else None
    checked(recording, criterion, signal, brute.Expected(margin, False, answered=operated > 0))
