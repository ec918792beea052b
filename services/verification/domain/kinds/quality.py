"""Data quality: coverage, longest gap, stuck value, values that are not numbers. It stands under every criterion (V-10) and is the kind data_quality.

coverage = measure{v defined} / (e - s); gap = longest spacing of valid samples in [s, e], s and e counted; stuck = longest time from
the first to the last of successive samples with one value. margin of data_quality = the smallest share left of any demand.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    FAR,
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

MAX_GAP, MAX_STUCK, MAX_NAN = range(PARAMS, PARAMS + 3)
HAS, LAST_T, LAST_U, SAMPLES, COVERED, FIRST_AT, LAST_AT = range(STATE, STATE + 7)
GAP, GAP_FROM, STUCK_FROM, STUCK, STUCK_AT = range(STATE + 7, STATE + 12)
LATEST, BEFORE_GAP = 0, 1


@njit(cache=True)
def quality_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = L[lane, 0], L[lane, 1], L[lane, 2], L[lane, 3]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        max_gap, max_stuck = Q[lane, MAX_GAP], Q[lane, MAX_STUCK]
        for k in range(count + closing):
            if k < count:
                x, t = X[x0 + k], min(T[t0 + k], end)
                if x != x:
                    continue
            else:
                x, t = 0.0, end
            if N[lane, HAS] == 1:
                a, b = max(N[lane, LAST_T], start), min(t, N[lane, LAST_U])
                if b > a:
                    N[lane, COVERED] += b - a
            if t >= start:
                before = start if N[lane, SAMPLES] == 0 else N[lane, LAST_AT]
                if t - before > N[lane, GAP]:
                    N[lane, GAP] = t - before
                    N[lane, GAP_FROM] = before
                    for w in range(width):
                        W[lane, BEFORE_GAP * width + w] = W[lane, LATEST * width + w]
                    if t - before > max_gap and N[lane, PROOF] == 0:
                        N[lane, PROOF] = PROVEN_FAIL
                        N[lane, DECIDED_AT] = before + max_gap
                        changed += 1
            if t >= end:
                break
            if t >= start:
                if N[lane, SAMPLES] == 0:
                    N[lane, FIRST_AT] = t
                    N[lane, STUCK_FROM] = t
                elif x != F[lane, 0]:
                    N[lane, STUCK_FROM] = t
                elif t - N[lane, STUCK_FROM] > N[lane, STUCK]:
                    N[lane, STUCK] = t - N[lane, STUCK_FROM]
                    N[lane, STUCK_AT] = N[lane, STUCK_FROM]
                    if N[lane, STUCK] > max_stuck and N[lane, PROOF] == 0:
                        N[lane, PROOF] = PROVEN_FAIL
                        N[lane, DECIDED_AT] = t
                        changed += 1
                N[lane, SAMPLES] += 1
                N[lane, LAST_AT] = t
            N[lane, HAS] = 1
            N[lane, LAST_T] = t
            N[lane, LAST_U] = U[t0 + k]
            F[lane, 0] = x
            for w in range(width):
                W[lane, LATEST * width + w] = R[r0 + k * width + w]
        N[lane, CLOSED] = closing
    return changed


def judge_quality(view: View) -> Judgement:
    length = view.end - view.start
    gap, stuck, nan_cells = int(view.n[GAP]), int(view.n[STUCK]), view.nan_cells
    closing: list[float] = []
    if view.closed and length > 0:
        closing.append(int(view.n[COVERED]) / length - float(view.p[0]))
    falling: list[tuple[float, int, int]] = []
    for limit, found, at in ((MAX_GAP, gap, GAP_FROM), (MAX_STUCK, stuck, STUCK_AT)):
        allowed = int(view.q[limit])
        if allowed < FAR:
            falling.append(((allowed - found) / max(allowed, 1), int(view.n[at]), found))
    proof, decided = int(view.n[PROOF]), int(view.n[DECIDED_AT])
    if int(view.q[MAX_NAN]) < FAR:
        allowed = int(view.q[MAX_NAN])
        falling.append(((allowed - nan_cells) / max(allowed, 1), view.first_nan_at, 0))
        if nan_cells > allowed and not proof:
            proof, decided = PROVEN_FAIL, view.first_nan_at
    if view.closed and closing and closing[0] < 0 and not proof:
        proof, decided = PROVEN_FAIL, view.end
    worst = min(falling, default=None)
    high = min([share for share, _, _ in falling], default=math.inf)
    margin = min([high, *closing])
    shown = margin < math.inf
    by_stretch = worst is not None and worst[0] == margin
    return Judgement(
        margin=margin if shown else None,
        low=margin if view.closed and shown else -math.inf,
        high=min(margin, 1.0),
        proof=proof,
        decided_at=decided if proof else None,
        worst_at=worst[1] if worst is not None and by_stretch else None,
        start=worst[1] if worst is not None and by_stretch else None,
        end=worst[1] + worst[2] if worst is not None and by_stretch else None,
        positions=(("last", BEFORE_GAP),) if by_stretch and int(view.n[SAMPLES]) else (),
    )


KIND = Kind(
    name="quality",
    kernel=quality_kernel,
    judge=judge_quality,
    floats=(0.0,),
    ints=(0,) * 12,
    remembered=2,
    params=(1, 3),
)

PLAIN = Lane(floats=(0.0,), ints=(FAR, FAR, FAR), unit="1")
"""The lane under every criterion: it measures and demands nothing."""


def quality_lane(criterion: Any, measures: Measures) -> Lane:
    def demand(name: str) -> int:
        quantity = getattr(criterion, name)
        return FAR if quantity is None else measures.duration(quantity, name)

    return Lane(
        floats=(-math.inf if criterion.min_coverage is None else criterion.min_coverage,),
        ints=(demand("max_gap"), demand("max_stuck"), FAR if criterion.max_nan is None else criterion.max_nan),
        unit="1",
    )
