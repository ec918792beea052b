"""band: every sample of the phase within the limits. margin = min over samples of min(x - low, high - x).

balance, setpoint_band and uniformity are bands too, on what is left of their tolerance.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    PROOF,
    PROVEN_FAIL,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

WORST_AT = STATE


@compiled
def band_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(lanes.shape[0]):
        if sn[lane, CLOSED] == 1:
            continue
        signal, start, end = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2]
        x0, t0, count, r0, width = (
            signals[signal, 0],
            signals[signal, 1],
            signals[signal, 2],
            signals[signal, 3],
            signals[signal, 4],
        )
        low, high, best = pf[lane, 0], pf[lane, 1], sf[lane, 0]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            margin = min(x - low, high - x)
            if margin < best:
                if margin < 0.0 and not best < 0.0:
                    sn[lane, PROOF] = PROVEN_FAIL
                    sn[lane, DECIDED_AT] = t
                    changed += 1
                best = margin
                sf[lane, 1] = x
                sn[lane, WORST_AT] = t
                for w in range(width):
                    sw[lane, w] = places[r0 + k * width + w]
        sf[lane, 0] = best
        sn[lane, CLOSED] = lanes[lane, 3]
    return changed


def judge_band(view: View) -> Judgement:
    margin = float(view.f[0])
    seen = margin < math.inf
    worst = int(view.n[WORST_AT])
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin,
        proof=int(view.n[PROOF]),
        decided_at=int(view.n[DECIDED_AT]) if view.n[PROOF] else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[1]) if seen else None,
        start=worst if seen else None,
        end=worst if seen else None,
        positions=(("worst", 0),) if seen else (),
    )


KIND = Kind(
    name="band", kernel=band_kernel, judge=judge_band, floats=(math.inf, 0.0), ints=(0,), remembered=1, params=(2, 0)
)


def limits(criterion: Any, measures: Measures) -> tuple[float, float]:
    """Acceptance limits in the signal's unit: the criterion's less the guard band, infinite where there is none."""
    low = -math.inf if criterion.low is None else measures.limit(criterion.low, "low")
    high = math.inf if criterion.high is None else measures.limit(criterion.high, "high")
    width = measures.guard(band=span(low, high))
    return low + width, high - width


def span(low: float, high: float) -> float | None:
    """The distance of two limits; None where there is only one."""
    return high - low if math.isfinite(low) and math.isfinite(high) else None


def tolerance(low: float, high: float) -> float | None:
    """Half the width of a band, the limit itself when there is only one; None when that is nothing."""
    one_sided = abs(low if math.isfinite(low) else high)
    size = (high - low) / 2 if math.isfinite(low) and math.isfinite(high) else one_sided
    return size if size > 0 and math.isfinite(size) else None


def band_lane(criterion: Any, measures: Measures) -> Lane:
    low, high = limits(criterion, measures)
    return Lane(floats=(low, high), ints=(), unit=measures.unit, tolerance=tolerance(low, high))


def slack_lane(criterion: Any, measures: Measures) -> Lane:
    """The signal is what is left of the tolerance (`computed.py` builds it), so the acceptance limit is its guard band."""
    if criterion.kind == "uniformity":  # never below zero: one limit, from above
        allowed, width = criterion.at_most, measures.guard(from_registry=False)
    else:
        name = "limit" if criterion.kind == "balance" else "within"
        quantity = getattr(criterion, name)
        allowed = None if quantity is None else measures.span(quantity, name)
        both = None if allowed is None else 2 * allowed
        width = measures.guard(from_registry=False, band=both, moving=allowed is None)
    return Lane(floats=(width, math.inf), ints=(), unit=measures.unit, tolerance=allowed or None)
