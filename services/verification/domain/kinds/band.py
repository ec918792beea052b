"""band, balance: every sample of the phase within the limits. margin = min over samples of min(x - low, high - x)."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

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


@njit(cache=True)
def band_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end = L[lane, 0], L[lane, 1], L[lane, 2]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high, best = P[lane, 0], P[lane, 1], F[lane, 0]
        for k in range(count):
            x = X[x0 + k]
            t = T[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            margin = min(x - low, high - x)
            if margin < best:
                if margin < 0.0 and not best < 0.0:
                    N[lane, PROOF] = PROVEN_FAIL
                    N[lane, DECIDED_AT] = t
                    changed += 1
                best = margin
                F[lane, 1] = x
                N[lane, WORST_AT] = t
                for w in range(width):
                    W[lane, w] = R[r0 + k * width + w]
        F[lane, 0] = best
        N[lane, CLOSED] = L[lane, 3]
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
    width = measures.guard()
    low = -math.inf if criterion.low is None else measures.limit(criterion.low, "low") + width
    high = math.inf if criterion.high is None else measures.limit(criterion.high, "high") - width
    return low, high


def tolerance(low: float, high: float) -> float | None:
    """Half the width of a band, the limit itself when there is only one; None when that is nothing."""
    if math.isfinite(low) and math.isfinite(high):
        size = (high - low) / 2
    else:
        size = abs(low if math.isfinite(low) else high)
    return size if size > 0 and math.isfinite(size) else None


def band_lane(criterion: Any, measures: Measures) -> Lane:
    low, high = limits(criterion, measures)
    return Lane(floats=(low, high), ints=(), unit=measures.unit, tolerance=tolerance(low, high))


def balance_lane(criterion: Any, measures: Measures) -> Lane:
    """The signal is the slack itself (`compiling.py` builds it), so the acceptance limit is its guard band."""
    width = measures.guard(from_registry=False)
    allowed = None if criterion.limit is None else measures.span(criterion.limit, "limit")
    return Lane(floats=(width, math.inf), ints=(), unit=measures.unit, tolerance=allowed)
