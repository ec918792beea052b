"""window_statistics over the whole phase or tumbling windows: one set of moments (Welford), and the values themselves for a percentile."""

from __future__ import annotations

import math

from numba import njit

from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    OVERFLOW,
    PROOF,
    PROVEN_FAIL,
    RING,
    SLOTS,
    STATE,
    Judgement,
    Kind,
    View,
)
from services.verification.domain.kinds.statistics import (
    BEST,
    CODE,
    GAP,
    LAST_T,
    M1,
    M2,
    MAX,
    MIN,
    MIN_COUNT,
    PERCENTILE,
    WINDOW,
    WORST,
    WORST_AT,
    judge_windows,
    value_of,
)

COUNT, BROKEN, INDEX = range(STATE + 2, STATE + 5)
LOWEST, HIGHEST = 4, 5


@njit(cache=True)
def blocks_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = L[lane, 0], L[lane, 1], L[lane, 2], L[lane, 3]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high, rank = P[lane, 0], P[lane, 1], P[lane, 2]
        window, min_count, gap, code = Q[lane, WINDOW], Q[lane, MIN_COUNT], Q[lane, GAP], Q[lane, CODE]
        ring, slots = Q[lane, RING], Q[lane, SLOTS]
        for k in range(count + closing):
            if k < count:
                x, t = X[x0 + k], min(T[t0 + k], end)
                if x != x or t < start:
                    continue
            else:
                x, t = 0.0, end
            while True:
                to = end if window == 0 else start + (N[lane, INDEX] + 1) * window
                if to > end or t < to:
                    break
                n = N[lane, COUNT]
                if n >= min_count and n > 0:
                    kept = RF[ring : ring + n, 0] if code == PERCENTILE else RF[0:0, 0]
                    value = value_of(code, n, F[lane, M1], F[lane, M2], F[lane, LOWEST], F[lane, HIGHEST], kept, rank)
                    margin = min(value - low, high - value)
                    whole = N[lane, BROKEN] == 0 and to - N[lane, LAST_T] <= gap
                    beyond = (code == MIN and value < low) or (code == MAX and value > high)
                    if margin < 0.0 and N[lane, PROOF] == 0 and window > 0 and (whole or beyond):
                        N[lane, PROOF] = PROVEN_FAIL
                        N[lane, DECIDED_AT] = to
                        changed += 1
                    if margin < F[lane, BEST]:
                        F[lane, BEST] = margin
                        F[lane, WORST] = value
                        N[lane, WORST_AT] = to
                        for w in range(width):
                            W[lane, w] = W[lane, width + w]
                N[lane, COUNT], N[lane, BROKEN] = 0, 0
                F[lane, M1], F[lane, M2] = 0.0, 0.0
                F[lane, LOWEST], F[lane, HIGHEST] = math.inf, -math.inf
                if window == 0:
                    break
                N[lane, INDEX] = max(N[lane, INDEX] + 1, (t - start) // window if t < end else N[lane, INDEX] + 1)
            if t >= end:
                break
            n = N[lane, COUNT]
            from_ = start if window == 0 else start + N[lane, INDEX] * window
            if t - (from_ if n == 0 else N[lane, LAST_T]) > gap:
                N[lane, BROKEN] = 1
            if code == PERCENTILE:
                if n == slots:
                    N[lane, OVERFLOW] = 1
                    continue
                RF[ring + n, 0] = x
            n += 1
            delta = x - F[lane, M1]
            F[lane, M1] += delta / n
            F[lane, M2] += delta * (x - F[lane, M1])
            F[lane, LOWEST] = min(F[lane, LOWEST], x)
            F[lane, HIGHEST] = max(F[lane, HIGHEST], x)
            N[lane, COUNT] = n
            N[lane, LAST_T] = t
            for w in range(width):
                W[lane, width + w] = R[r0 + k * width + w]
            beyond = (code == MIN and F[lane, LOWEST] < low) or (code == MAX and F[lane, HIGHEST] > high)
            if beyond and window == 0 and n >= min_count and N[lane, PROOF] == 0:
                N[lane, PROOF] = PROVEN_FAIL
                N[lane, DECIDED_AT] = t
                changed += 1
        N[lane, CLOSED] = closing
    return changed


def judge_blocks(view: View) -> Judgement:
    """While the phase is open, a minimum can only fall and a maximum only rise: that bounds the margin from above."""
    code = int(view.q[CODE])
    high = math.inf
    if code == MIN:
        high = float(view.f[LOWEST]) - float(view.p[0])
    elif code == MAX:
        high = float(view.p[1]) - float(view.f[HIGHEST])
    return judge_windows(view, high)


KIND = Kind(
    name="statistics_blocks",
    kernel=blocks_kernel,
    judge=judge_blocks,
    floats=(math.inf, 0.0, 0.0, 0.0, math.inf, -math.inf),
    ints=(0,) * 5,
    remembered=2,
    ring_floats=1,
    params=(3, 4),
)
