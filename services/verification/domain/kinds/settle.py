"""settle: within the tolerance of the target at every sample from `by` on, and never more than `overshoot` beyond the target.

margin = min(min over samples at or after s + by of tolerance - |x - target|, min over samples of overshoot - o(x)), where
o(x) is how far x lies beyond the target as seen from the phase's first sample (|x - target| when that one is on the target).
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from services.verification.domain.kinds.clock import clock, is_held
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

BY = PARAMS
HAS, STAY_AT, OVER_AT, SETTLED, SETTLED_AT = range(STATE, STATE + 5)
STAY, OVER = 0, 1


@njit(cache=True)
def settle_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end = L[lane, 0], L[lane, 1], L[lane, 2]
        held = H[: H.shape[0] * L[lane, 4]]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        target, tolerance, overshoot = P[lane, 0], P[lane, 1], P[lane, 2]
        from_ = clock(start, held) + Q[lane, BY]
        for k in range(count):
            x = X[x0 + k]
            t = T[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            if is_held(t, held):
                continue
            if N[lane, HAS] == 0:
                N[lane, HAS] = 1
                F[lane, 0] = x
            away = abs(x - target)
            if F[lane, 0] < target:
                beyond = x - target
            elif F[lane, 0] > target:
                beyond = target - x
            else:
                beyond = away
            worst = min(F[lane, 1], F[lane, 2])
            over = overshoot - beyond
            if over < F[lane, 2]:
                F[lane, 2] = over
                F[lane, 4] = x
                N[lane, OVER_AT] = t
                for w in range(width):
                    W[lane, OVER * width + w] = R[r0 + k * width + w]
            stay = tolerance - away
            if stay < 0.0:
                N[lane, SETTLED] = 0
            elif N[lane, SETTLED] == 0:
                N[lane, SETTLED] = 1
                N[lane, SETTLED_AT] = t
            if clock(t, held) >= from_ and stay < F[lane, 1]:
                F[lane, 1] = stay
                F[lane, 3] = x
                N[lane, STAY_AT] = t
                for w in range(width):
                    W[lane, STAY * width + w] = R[r0 + k * width + w]
            if not worst < 0.0 and min(F[lane, 1], F[lane, 2]) < 0.0:
                N[lane, PROOF] = PROVEN_FAIL
                N[lane, DECIDED_AT] = t
                changed += 1
        N[lane, CLOSED] = L[lane, 3]
    return changed


def judge_settle(view: View) -> Judgement:
    stay, over = float(view.f[1]), float(view.f[2])
    margin = min(stay, over)
    answered = stay < math.inf
    by_over = over < stay or (over == stay and view.n[OVER_AT] < view.n[STAY_AT])
    seen = margin < math.inf
    worst = int(view.n[OVER_AT] if by_over else view.n[STAY_AT])
    settled = view.clock(int(view.n[SETTLED_AT])) - view.clock(view.start) if view.n[SETTLED] else None
    proof = int(view.n[PROOF])
    return Judgement(
        margin=margin if answered or proof else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[4] if by_over else view.f[3]) if seen else None,
        time_margin=int(view.q[BY]) - settled if settled is not None else None,
        undecided=None if answered or proof else "not_reached",
        start=worst if seen else None,
        end=worst if seen else None,
        positions=(("worst", OVER if by_over else STAY),) if seen else (),
    )


KIND = Kind(
    name="settle",
    kernel=settle_kernel,
    judge=judge_settle,
    floats=(0.0, math.inf, math.inf, 0.0, 0.0),
    ints=(0,) * 5,
    remembered=2,
    params=(3, 1),
)


def settle_lane(criterion: Any, measures: Measures) -> Lane:
    width = measures.guard()
    tolerance = measures.span(criterion.tolerance, "tolerance")
    overshoot = math.inf if criterion.overshoot is None else measures.span(criterion.overshoot, "overshoot") - width
    by = measures.duration(criterion.by, "by")
    return Lane(
        floats=(measures.limit(criterion.target, "target"), tolerance - width, overshoot),
        ints=(by,),
        unit=measures.unit,
        tolerance=tolerance if tolerance > 0 else None,
        stops=criterion.clock_in_hold == "stop",
        window=by,
    )
