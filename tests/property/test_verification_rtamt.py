"""The kinds that signal temporal logic can express, against RTAMT's offline discrete-time evaluation (a second, foreign witness).

RTAMT's discrete time is index time, so the signals are regular. Its windows are closed at both ends and are cut short at the end of
the trace; the formulas are read where that does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.outcomes import CriterionState
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import build_frame
from tests.property.recordings import FAST, SECOND, Recording, kpa, samples_of, seconds

rtamt = pytest.importorskip("rtamt", reason="RTAMT supports Python up to 3.12")

VALUES = st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=40)


def robustness(formula: str, **signals: list[float]) -> list[float]:
    specification = rtamt.StlDiscreteTimeSpecification()
    for name in signals:
        specification.declare_var(name, "float")
    specification.spec = formula
    specification.parse()
    if all(
        len(values) == 1 for values in signals.values()
    ):  # RTAMT fails on one sample; a repeated one changes no always
        signals = {name: [*values, *values] for name, values in signals.items()}
    count = len(next(iter(signals.values())))
    return [value for _, value in specification.evaluate({"time": list(range(count)), **signals})]


def evaluate(criterion: dict[str, Any], xs: list[float], ys: list[float] | None = None) -> CriterionState:
    columns = np.column_stack([xs, ys if ys is not None else xs])
    frame = build_frame(
        stream=FAST.id,
        registry_version=1,
        boot="b",
        seq=0,
        times=np.arange(len(xs), dtype=np.int64) * SECOND,
        values=columns,
    )
    end = len(xs) * SECOND
    recording = Recording(0, end, end + SECOND, (), (frame,), samples_of((frame,)))
    plan = recording.plan({"phase": "p", "signal": "fast.x"} | criterion)
    return rebuild(plan, recording.lifecycle(), recording.frames).result().criteria[0]


@given(VALUES, st.integers(-9, 0), st.integers(0, 9))
def test_a_band_is_always_within(xs: list[float], low: int, high: int) -> None:  # V-7, V-26
    state = evaluate({"kind": "band", "low": kpa(low), "high": kpa(high)}, xs)
    assert state.margin == robustness(f"always((x >= {low}) and (x <= {high}))", x=xs)[0]


@given(VALUES, st.integers(1, 6), st.integers(-9, 9))
def test_a_hold_is_eventually_always_within(xs: list[float], duration: int, low: int) -> None:  # V-7, V-26
    """In band on [k s, (k + D) s) is: at the D samples k … k + D - 1; windows that run over the end are none."""
    state = evaluate({"kind": "hold", "low": kpa(low), "duration": seconds(duration)}, xs)
    inner = robustness(f"always[0:{duration - 1}](x >= {low})", x=xs)
    whole = inner[: max(len(xs) - duration + 1, 0)]
    assert state.margin == (max(whole) if whole else None)


@given(VALUES, st.integers(1, 8), st.integers(-3, 3), st.integers(0, 4))
def test_settling_is_always_within_from_then_on(
    xs: list[float], by: int, target: int, tolerance: int
) -> None:  # V-7, V-26
    criterion = {"kind": "settle", "target": kpa(target), "tolerance": kpa(tolerance), "by": seconds(by)}
    state = evaluate(criterion, xs)
    if by >= len(xs):
        assert state.reason == "not_reached"
    else:
        formula = f"always((x >= {target - tolerance}) and (x <= {target + tolerance}))"
        assert state.margin == robustness(formula, x=xs[by:])[0]


@given(VALUES, st.integers(1, 6), st.integers(-9, 9))
def test_no_longer_excursion_is_always_eventually_back(xs: list[float], allowed: int, high: int) -> None:  # V-7, V-26
    """An excursion lasts at most D when among any D + 1 samples one is within; windows over the end are none."""
    state = evaluate({"kind": "longest_excursion", "high": kpa(high), "at_most": seconds(allowed)}, xs)
    back = robustness(f"eventually[0:{allowed}](x <= {high})", x=xs)[: max(len(xs) - allowed, 0)]
    assert (state.outcome.name == "PASS") == all(value >= 0 for value in back)


@given(VALUES, VALUES, st.integers(-9, 9))
def test_a_difference_is_arithmetic_under_always(xs: list[float], ys: list[float], high: int) -> None:  # V-7, V-26
    count = min(len(xs), len(ys))
    signal = {"op": "difference", "of": ["fast.x", "fast.y"]}
    state = evaluate({"kind": "band", "signal": signal, "high": kpa(high)}, xs[:count], ys[:count])
    assert state.margin == robustness(f"always((x - y) <= {high})", x=xs[:count], y=ys[:count])[0]
