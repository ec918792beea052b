"""window_statistics: mean, sd, min, max, rms, percentile or cpk of the whole phase, of tumbling windows or of sliding windows.

margin = min over windows of min(statistic - low, high - statistic). sd has n - 1; a percentile is linear between order statistics at
rank q(n - 1). Tumbling windows are [s + jW, s + (j+1)W) and are judged when they fit the phase; sliding windows are (t - W, t], end at
every instant with a sample and t - W >= s. A window with fewer than `min_count` samples has no value.

A violated window proves FAIL at once only when nothing can be missing in it: no spacing in it is longer than the gap allowed. A single
value beyond the limit of a minimum or maximum always proves it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from services.verification.domain.kinds.band import limits, span, tolerance
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import DECIDED_AT, PARAMS, PROOF, STATE, Judgement, Lane, Measures, View

MEAN, SD, MIN, MAX, RMS, PERCENTILE, CPK = range(7)
CODES = {"mean": MEAN, "sd": SD, "min": MIN, "max": MAX, "rms": RMS, "percentile": PERCENTILE, "cpk": CPK}

WINDOW, MIN_COUNT, GAP, CODE = range(PARAMS, PARAMS + 4)  # WINDOW 0: the whole phase
LAST_T, WORST_AT = STATE, STATE + 1
BEST, WORST, M1, M2 = range(4)


@compiled
def value_of(code, count, mean, m2, lowest, highest, values, rank, lower, upper):  # type: ignore[no-untyped-def]
    """The statistic of a window, NaN when it has none (the sd of one sample)."""
    if code == MEAN:
        return mean
    if code == SD:
        return math.sqrt(m2 / (count - 1)) if count > 1 else math.nan
    if code == MIN:
        return lowest
    if code == MAX:
        return highest
    if code == CPK:
        return cpk_of(count, mean, m2, lower, upper)
    if code == RMS:
        return math.sqrt(mean * mean + m2 / count)
    return percentile_of(np.sort(values), count, rank)


@compiled
def cpk_of(count, mean, m2, lower, upper):  # type: ignore[no-untyped-def]
    """Process capability; a window without spread is infinitely capable where its mean is not outside, and the opposite where it is."""
    if count < 2:
        return math.nan
    room = min(upper - mean, mean - lower)
    if m2 > 0.0:
        return room / (3.0 * math.sqrt(m2 / (count - 1)))
    return math.inf if room >= 0.0 else -math.inf


@compiled
def percentile_of(ordered, count, rank):  # type: ignore[no-untyped-def]
    """Linear between order statistics at rank q(n - 1)."""
    place = rank * (count - 1)
    below = int(place)
    if below >= count - 1:
        return ordered[count - 1]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def judge_windows(view: View, high: float) -> Judgement:
    margin = float(view.f[BEST])
    seen = margin < math.inf
    worst, window = int(view.n[WORST_AT]), int(view.q[WINDOW])
    proof = int(view.n[PROOF])
    start = view.start if window == 0 else worst - window
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin if view.closed or window else high,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[WORST]) if seen else None,
        undecided=None if seen else "no_window",
        start=start if seen else None,
        end=worst if seen else None,
        positions=(("last", 0),) if seen else (),
    )


def statistics_lane(criterion: Any, measures: Measures) -> Lane:
    code = CODES[criterion.statistic]
    window = 0 if criterion.window is None else measures.duration(criterion.window, "window")
    unit = measures.unit
    specs = [-math.inf, math.inf]
    if code == CPK:
        unit = "1"
        low = -math.inf if criterion.low is None else measures.total(criterion.low, "1", "low")
        high = math.inf if criterion.high is None else measures.total(criterion.high, "1", "high")
        width = measures.guard(from_registry=False, unit="1", band=span(low, high))
        low, high = low + width, high - width
        for side, name in enumerate(("lower_spec", "upper_spec")):
            if getattr(criterion, name) is not None:
                specs[side] = measures.limit(getattr(criterion, name), name)
    elif code == SD:
        low, high = spread_limits(criterion, measures)
    elif code == RMS:
        demand_size(measures)
        low, high = limits(criterion, measures)
    else:
        low, high = limits(criterion, measures)
    slots = 0
    if criterion.windows == "sliding":
        slots = measures.slots(window)
    elif code == PERCENTILE:
        slots = measures.slots(window or measures.planned("percentile"))
    return Lane(
        floats=(low, high, (criterion.percentile or 0.0) / 100.0, *specs),
        ints=(window, criterion.min_count, measures.gap, code),
        unit=unit,
        tolerance=tolerance(low, high),
        slots=slots,
        window=window,
    )


def demand_size(measures: Measures) -> None:
    """Raises Invalid(criteria_unit) for a root mean square of levels whose zero is arbitrary."""
    measures.demand_true_zero(
        "a root mean square", "statistic", "take sd, the difference to a level first, or a channel in K"
    )


def spread_limits(criterion: Any, measures: Measures) -> tuple[float, float]:
    """Limits of a standard deviation: differences, so that a limit in K fits a channel in Cel; the registry's U does not speak of spread."""
    low = -math.inf if criterion.low is None else measures.span(criterion.low, "low")
    high = math.inf if criterion.high is None else measures.span(criterion.high, "high")
    width = measures.guard(from_registry=False, band=span(low, high))
    return low + width, high - width
