"""rate_of_change: least-squares slope over every sliding window (t - W, t] that ends at a sample with t - W >= s.

The window's moments (count, means, Stt, Stx) come from a two-stack queue: an evicted sample is never subtracted, so rounding does not
build up however long the run; the order of operations depends on the samples alone. A window whose samples share one instant has no
slope and is left out.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    OVERFLOW,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    RING,
    SLOTS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)
from shared.kernel.errors import Invalid

WINDOW, MIN_COUNT, GAP = range(PARAMS, PARAMS + 3)
HEAD, SIZE, FRONT, BREAK_AT, LAST_T, WORST_AT, JUDGED = range(STATE, STATE + 7)
BEST, WORST_SLOPE, BT, BX, BTT, BTX = range(6)  # the back stack's moments
LAST = 0


@njit(cache=True)
def rate_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end = L[lane, 0], L[lane, 1], L[lane, 2]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high = P[lane, 0], P[lane, 1]
        window, min_count, gap = Q[lane, WINDOW], Q[lane, MIN_COUNT], Q[lane, GAP]
        ring, slots = Q[lane, RING], Q[lane, SLOTS]
        head, size, front = N[lane, HEAD], N[lane, SIZE], N[lane, FRONT]
        for k in range(count):
            x = X[x0 + k]
            t = T[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            before = start if N[lane, JUDGED] == 0 else N[lane, LAST_T]
            if t - before > gap:
                N[lane, BREAK_AT] = t
            N[lane, JUDGED] = 1
            N[lane, LAST_T] = t
            while size > 0 and RN[ring + head] <= t - window:
                if front == 0:
                    mt, mx, tt, tx = 0.0, 0.0, 0.0, 0.0
                    for j in range(size):
                        slot = head + size - 1 - j
                        if slot >= slots:
                            slot -= slots
                        slot += ring
                        ts = (RN[slot] - start) * 1e-6
                        dt = ts - mt
                        dx = RF[slot, 0] - mx
                        mt += dt / (j + 1)
                        mx += dx / (j + 1)
                        tt += dt * (ts - mt)
                        tx += dt * (RF[slot, 0] - mx)
                        RF[slot, 1], RF[slot, 2], RF[slot, 3], RF[slot, 4] = mt, mx, tt, tx
                    front = size
                    F[lane, BT], F[lane, BX], F[lane, BTT], F[lane, BTX] = 0.0, 0.0, 0.0, 0.0
                head += 1
                if head == slots:
                    head = 0
                size -= 1
                front -= 1
            if size == slots:
                N[lane, OVERFLOW] = 1
                continue
            slot = head + size
            if slot >= slots:
                slot -= slots
            slot += ring
            RF[slot, 0] = x
            RN[slot] = t
            size += 1
            nb = size - front
            ts = (t - start) * 1e-6
            dt = ts - F[lane, BT]
            dx = x - F[lane, BX]
            F[lane, BT] += dt / nb
            F[lane, BX] += dx / nb
            F[lane, BTT] += dt * (ts - F[lane, BT])
            F[lane, BTX] += dt * (x - F[lane, BX])
            if t - window < start or size < min_count:
                continue
            tt, tx = F[lane, BTT], F[lane, BTX]
            if front > 0:
                slot = ring + head
                dt = F[lane, BT] - RF[slot, 1]
                dx = F[lane, BX] - RF[slot, 2]
                share = front * nb / size
                tt = RF[slot, 3] + tt + dt * dt * share
                tx = RF[slot, 4] + tx + dt * dx * share
            if not tt > 0.0:
                continue
            slope = tx / tt
            margin = min(slope - low, high - slope)
            if margin < 0.0 and N[lane, PROOF] == 0 and N[lane, BREAK_AT] <= t - window:
                N[lane, PROOF] = PROVEN_FAIL
                N[lane, DECIDED_AT] = t
                changed += 1
            if margin < F[lane, BEST]:
                F[lane, BEST] = margin
                F[lane, WORST_SLOPE] = slope
                N[lane, WORST_AT] = t
                for w in range(width):
                    W[lane, w] = R[r0 + k * width + w]
        N[lane, HEAD], N[lane, SIZE], N[lane, FRONT] = head, size, front
        N[lane, CLOSED] = L[lane, 3]
    return changed


def judge_rate(view: View) -> Judgement:
    margin = float(view.f[BEST])
    seen = margin < math.inf
    worst = int(view.n[WORST_AT])
    proof = int(view.n[PROOF])
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[WORST_SLOPE]) if seen else None,
        undecided=None if seen else "no_window",
        start=worst - int(view.q[WINDOW]) if seen else None,
        end=worst if seen else None,
        positions=(("last", LAST),) if seen else (),
    )


KIND = Kind(
    name="rate",
    kernel=rate_kernel,
    judge=judge_rate,
    floats=(math.inf, 0.0, 0.0, 0.0, 0.0, 0.0),
    ints=(0, 0, 0, -(2**62), 0, 0, 0),
    remembered=1,
    ring_floats=5,
    ring_ints=1,
    params=(2, 3),
)


def rate_lane(criterion: Any, measures: Measures) -> Lane:
    """Limits are slopes in their own unit (for example kPa/min); the kernel works in the signal's unit per second."""
    unit = (criterion.low or criterion.high).unit
    factor = measures.factor(unit, per_second=True, field="low" if criterion.low else "high")
    width = measures.guard(from_registry=False, unit=unit)
    low = high = math.inf
    if criterion.low is not None:
        low = (criterion.low.value + width) / factor
    if criterion.high is not None:
        if criterion.high.unit != unit:
            raise Invalid("criteria_unit", "low and high differ in unit", field="high", remedy=f"use {unit}")
        high = (criterion.high.value - width) / factor
    low = low if criterion.low is not None else -math.inf
    window = measures.duration(criterion.window, "window")
    size = [abs(q.value) for q in (criterion.low, criterion.high) if q is not None]
    if criterion.low is not None and criterion.high is not None:
        size = [(criterion.high.value - criterion.low.value) / 2]
    return Lane(
        floats=(low, high),
        ints=(window, criterion.min_count, measures.gap),
        unit=unit,
        factor=factor,
        tolerance=size[0] if size[0] > 0 else None,
        slots=measures.slots(window),
        window=window,
    )
