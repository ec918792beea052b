"""longest_excursion, cumulative_time_out: time out of band on the held value v over [s, e). Durations are exact integers (µs).

An undefined stretch is neither in nor out of band and ends an excursion. margin = allowed - found, in seconds.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from services.verification.domain.kinds.band import limits
from services.verification.domain.kinds.clock import clock
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
from shared.kernel.times import SECOND

ALLOWED, TOTAL_MODE = PARAMS, PARAMS + 1
HAS, LAST_T, LAST_U, OUT, OUT_FROM = STATE, STATE + 1, STATE + 2, STATE + 3, STATE + 4
LONGEST, LONGEST_FROM, LONGEST_TO, TOTAL, FIRST_OUT, LAST_OUT = range(STATE + 5, STATE + 11)
WORST_AT = STATE + 11
CARRY, RUNNING, FOUND = 0, 1, 2  # remembered positions: the value now held, the excursion's first sample, the evidence's


@njit(cache=True)
def time_out_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = L[lane, 0], L[lane, 1], L[lane, 2], L[lane, 3]
        held = H[: H.shape[0] * L[lane, 4]]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high = P[lane, 0], P[lane, 1]
        allowed, total_mode = Q[lane, ALLOWED], Q[lane, TOTAL_MODE]
        for k in range(count + closing):
            if k < count:
                x, t = X[x0 + k], min(T[t0 + k], end)
                if x != x:
                    continue
            else:
                x, t = 0.0, end
            if N[lane, HAS] == 1:
                a, b = max(N[lane, LAST_T], start), min(t, N[lane, LAST_U])
                ca, cb = clock(a, held), clock(b, held)
                if b > a and cb > ca:
                    margin = min(F[lane, 0] - low, high - F[lane, 0])
                    if margin < 0.0:
                        if N[lane, OUT] == 0:
                            N[lane, OUT] = 1
                            N[lane, OUT_FROM] = a
                            for w in range(width):
                                W[lane, RUNNING * width + w] = W[lane, CARRY * width + w]
                        if N[lane, TOTAL] == 0:
                            N[lane, FIRST_OUT] = a
                            if total_mode == 1:
                                for w in range(width):
                                    W[lane, FOUND * width + w] = W[lane, CARRY * width + w]
                        if margin < F[lane, 1]:
                            F[lane, 1] = margin
                            F[lane, 2] = F[lane, 0]
                            N[lane, WORST_AT] = a
                        before = N[lane, TOTAL]
                        N[lane, TOTAL] = before + (cb - ca)
                        N[lane, LAST_OUT] = b
                        length = cb - clock(N[lane, OUT_FROM], held)
                        if length > N[lane, LONGEST]:
                            N[lane, LONGEST] = length
                            N[lane, LONGEST_FROM] = N[lane, OUT_FROM]
                            N[lane, LONGEST_TO] = b
                            if total_mode == 0:
                                for w in range(width):
                                    W[lane, FOUND * width + w] = W[lane, RUNNING * width + w]
                        if N[lane, PROOF] == 0:
                            if total_mode == 1 and N[lane, TOTAL] > allowed:
                                N[lane, PROOF] = PROVEN_FAIL
                                N[lane, DECIDED_AT] = ca + (allowed - before)
                                changed += 1
                            elif total_mode == 0 and length > allowed:
                                N[lane, PROOF] = PROVEN_FAIL
                                N[lane, DECIDED_AT] = clock(N[lane, OUT_FROM], held) + allowed
                                changed += 1
                    else:
                        N[lane, OUT] = 0
                undefined = max(N[lane, LAST_U], start)
                if undefined < t and clock(t, held) > clock(undefined, held):
                    N[lane, OUT] = 0
            if t >= end:
                break
            N[lane, HAS] = 1
            N[lane, LAST_T] = t
            N[lane, LAST_U] = U[t0 + k]
            F[lane, 0] = x
            for w in range(width):
                W[lane, CARRY * width + w] = R[r0 + k * width + w]
        N[lane, CLOSED] = closing
    return changed


def judge_time_out(view: View) -> Judgement:
    allowed, total_mode = int(view.q[ALLOWED]), bool(view.q[TOTAL_MODE])
    total, longest = int(view.n[TOTAL]), int(view.n[LONGEST])
    spare = allowed - (total if total_mode else longest)
    found = total > 0
    start = int(view.n[FIRST_OUT] if total_mode else view.n[LONGEST_FROM])
    end = int(view.n[LAST_OUT] if total_mode else view.n[LONGEST_TO])
    return Judgement(
        margin=spare / SECOND,
        low=spare / SECOND if view.closed else -math.inf,
        high=spare / SECOND,
        proof=int(view.n[PROOF]),
        decided_at=view.unclock(int(view.n[DECIDED_AT])) if view.n[PROOF] else None,
        worst_at=int(view.n[WORST_AT]) if found else None,
        worst_value=float(view.f[2]) if found else None,
        time_margin=spare,
        time_out=total,
        start=start if found else None,
        end=end if found else None,
        positions=(("first", FOUND),) if found else (),
    )


KIND = Kind(
    name="time_out",
    kernel=time_out_kernel,
    judge=judge_time_out,
    floats=(0.0, math.inf, 0.0),
    ints=(0,) * 12,
    remembered=3,
    params=(2, 2),
)


def _lane(criterion: Any, measures: Measures, total_mode: int) -> Lane:
    low, high = limits(criterion, measures)
    allowed = measures.duration(criterion.at_most, "at_most")
    return Lane(
        floats=(low, high),
        ints=(allowed, total_mode),
        unit="s",
        tolerance=allowed / SECOND if allowed else None,
        stops=criterion.clock_in_hold == "stop",
        window=allowed,
    )


def excursion_lane(criterion: Any, measures: Measures) -> Lane:
    return _lane(criterion, measures, 0)


def cumulative_lane(criterion: Any, measures: Measures) -> Lane:
    return _lane(criterion, measures, 1)
