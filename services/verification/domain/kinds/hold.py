"""hold: within the band without interruption for at least D, on the held value over [s, e).

margin = the best, over all windows [a, a + D) of the phase in which the value is defined throughout, of the worst band margin inside.
Only windows that end where a held value ends matter: inside one value a later window can only lose older, possibly worse ones. A
monotone queue over the values of the last D gives each window's minimum in O(1) amortised.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from services.verification.domain.kinds.band import limits, tolerance
from services.verification.domain.kinds.clock import clock
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    OPEN,
    OVERFLOW,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    PROVEN_PASS,
    RING,
    SLOTS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

DURATION = PARAMS
HAS, LAST_T, LAST_U, HEAD, SIZE = range(STATE, STATE + 5)
DEFINED, DEFINED_FROM = STATE + 5, STATE + 6  # clock at which the unbroken defined stretch began
IN_BAND, IN_FROM, LONGEST, LONGEST_FROM = range(STATE + 7, STATE + 11)
MAYBE_FROM, MAYBE_LONGEST, STARTED = range(STATE + 11, STATE + 14)  # stretches not proven out of band
WORST_AT, BEST_TO = STATE + 14, STATE + 15  # on the run clock
CARRY, FOUND = 0, 1


@njit(cache=True)
def hold_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = L[lane, 0], L[lane, 1], L[lane, 2], L[lane, 3]
        held = H[: H.shape[0] * L[lane, 4]]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high, duration = P[lane, 0], P[lane, 1], Q[lane, DURATION]
        ring, slots = Q[lane, RING], Q[lane, SLOTS]
        for k in range(count + closing):
            if k < count:
                x, t = X[x0 + k], min(T[t0 + k], end)
                if x != x:
                    continue
            else:
                x, t = 0.0, end
            if N[lane, STARTED] == 0 and t >= start:
                N[lane, STARTED] = 1
                N[lane, MAYBE_FROM] = clock(start, held)
            if N[lane, HAS] == 1:
                a, b = max(N[lane, LAST_T], start), min(t, N[lane, LAST_U])
                ca, cb = clock(a, held), clock(b, held)
                if b > a and cb > ca:
                    margin = min(F[lane, 0] - low, high - F[lane, 0])
                    if N[lane, DEFINED] == 0:
                        N[lane, DEFINED] = 1
                        N[lane, DEFINED_FROM] = ca
                    head, size = N[lane, HEAD], N[lane, SIZE]
                    while size > 0:
                        back = head + size - 1
                        back = ring + (back if back < slots else back - slots)
                        if RF[back, 0] > margin:
                            size -= 1
                        else:
                            break
                    while size > 0 and RN[ring + head, 0] <= cb - duration:
                        head = head + 1 if head + 1 < slots else 0
                        size -= 1
                    if size == slots:
                        N[lane, OVERFLOW] = 1
                        head = head + 1 if head + 1 < slots else 0
                        size -= 1
                    back = head + size
                    back = ring + (back if back < slots else back - slots)
                    RF[back, 0] = margin
                    RF[back, 1] = F[lane, 0]
                    RN[back, 0] = cb
                    RN[back, 1] = ca
                    for w in range(width):
                        RN[back, 2 + w] = W[lane, CARRY * width + w]
                    size += 1
                    N[lane, HEAD] = head
                    N[lane, SIZE] = size
                    if cb - N[lane, DEFINED_FROM] >= duration and RF[ring + head, 0] > F[lane, 1]:
                        front = ring + head
                        F[lane, 1] = RF[front, 0]
                        F[lane, 2] = RF[front, 1]
                        N[lane, WORST_AT] = max(RN[front, 1], cb - duration)
                        N[lane, BEST_TO] = cb
                        for w in range(width):
                            W[lane, FOUND * width + w] = RN[front, 2 + w]
                    if margin < 0.0:
                        N[lane, IN_BAND] = 0
                        N[lane, MAYBE_LONGEST] = max(N[lane, MAYBE_LONGEST], ca - N[lane, MAYBE_FROM])
                        N[lane, MAYBE_FROM] = cb
                    else:
                        if N[lane, IN_BAND] == 0:
                            N[lane, IN_BAND] = 1
                            N[lane, IN_FROM] = ca
                        length = cb - N[lane, IN_FROM]
                        if length > N[lane, LONGEST]:
                            N[lane, LONGEST] = length
                            N[lane, LONGEST_FROM] = N[lane, IN_FROM]
                        if length >= duration and N[lane, PROOF] == 0:
                            N[lane, PROOF] = PROVEN_PASS
                            N[lane, DECIDED_AT] = N[lane, IN_FROM] + duration
                            changed += 1
                undefined = max(N[lane, LAST_U], start)
                if undefined < t and clock(t, held) > clock(undefined, held):
                    N[lane, DEFINED] = 0
                    N[lane, IN_BAND] = 0
                    N[lane, SIZE] = 0
            if t >= end:
                break
            N[lane, HAS] = 1
            N[lane, LAST_T] = t
            N[lane, LAST_U] = U[t0 + k]
            F[lane, 0] = x
            for w in range(width):
                W[lane, CARRY * width + w] = R[r0 + k * width + w]
        if closing == 1:
            N[lane, CLOSED] = 1
            N[lane, MAYBE_LONGEST] = max(N[lane, MAYBE_LONGEST], clock(end, held) - N[lane, MAYBE_FROM])
            if N[lane, MAYBE_LONGEST] < duration and N[lane, PROOF] == 0:
                N[lane, PROOF] = PROVEN_FAIL
                N[lane, DECIDED_AT] = clock(end, held)
            changed += 1
    return changed


def judge_hold(view: View) -> Judgement:
    best = float(view.f[1])
    found = best > -math.inf
    duration, longest = int(view.q[DURATION]), int(view.n[LONGEST])
    proof = int(view.n[PROOF])
    window_end = int(view.n[BEST_TO])
    stretch = (window_end - duration, window_end) if found else None
    worst = view.unclock(int(view.n[WORST_AT])) if found else None
    return Judgement(
        margin=best if found else None,
        low=best,
        high=best if view.closed else math.inf,
        proof=proof if proof in (PROVEN_PASS, PROVEN_FAIL) else OPEN,
        decided_at=view.unclock(int(view.n[DECIDED_AT])) if proof else None,
        worst_at=worst,
        worst_value=float(view.f[2]) if found else None,
        time_margin=longest - duration,
        start=view.unclock(stretch[0]) if stretch else None,
        end=view.unclock(stretch[1]) if stretch else None,
        positions=(("worst", FOUND),) if found else (),
    )


KIND = Kind(
    name="hold",
    kernel=hold_kernel,
    judge=judge_hold,
    floats=(0.0, -math.inf, 0.0),
    ints=(0,) * 16,
    remembered=2,
    ring_floats=2,
    ring_ints=2,
    ring_positions=1,
    params=(2, 1),
)


def hold_lane(criterion: Any, measures: Measures) -> Lane:
    low, high = limits(criterion, measures)
    duration = measures.duration(criterion.duration, "duration")
    return Lane(
        floats=(low, high),
        ints=(duration,),
        unit=measures.unit,
        tolerance=tolerance(low, high),
        slots=measures.slots(duration),
        stops=criterion.clock_in_hold == "stop",
        window=duration,
    )
