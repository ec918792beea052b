"""window_statistics over sliding windows: a two-stack queue of moments or extrema, an ordered store for a percentile.

An evicted sample is never subtracted, so rounding does not build up; every sample enters each stack once, so the cost does not grow
with the window (a percentile's does: it moves the ordered values).
"""

from __future__ import annotations

import math

import numpy as np
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
    percentile_of,
    value_of,
)

HEAD, SIZE, FRONT, BREAK_AT, JUDGED = range(STATE + 2, STATE + 7)


@njit(cache=True)
def refill(RF, RN, ring, slots, head, size, code):  # type: ignore[no-untyped-def]
    """Moves the back stack to the front: every slot gets the moments (or extremum) of itself and all newer samples."""
    mean, m2 = 0.0, 0.0
    for j in range(size):
        slot = head + size - 1 - j
        if slot >= slots:
            slot -= slots
        x = RF[ring + slot, 0]
        if code == MIN:
            mean = x if j == 0 else min(mean, x)
        elif code == MAX:
            mean = x if j == 0 else max(mean, x)
        else:
            delta = x - mean
            mean += delta / (j + 1)
            m2 += delta * (x - mean)
        RF[ring + slot, 1] = mean
        RF[ring + slot, 2] = m2


@njit(cache=True)
def insert_ordered(RF, ring, size, x):  # type: ignore[no-untyped-def]
    """Puts x into the ordered values RF[ring : ring + size, 1]."""
    at = np.searchsorted(RF[ring : ring + size, 1], x)
    for j in range(size, at, -1):
        RF[ring + j, 1] = RF[ring + j - 1, 1]
    RF[ring + at, 1] = x


@njit(cache=True)
def remove_ordered(RF, ring, size, x):  # type: ignore[no-untyped-def]
    """Takes one x out of the ordered values RF[ring : ring + size, 1]."""
    at = np.searchsorted(RF[ring : ring + size, 1], x)
    for j in range(at, size - 1):
        RF[ring + j, 1] = RF[ring + j + 1, 1]


@njit(cache=True)
def sliding_kernel(T, U, X, R, S, L, P, Q, F, N, W, RF, RN, H):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(L.shape[0]):
        if N[lane, CLOSED] == 1:
            continue
        signal, start, end = L[lane, 0], L[lane, 1], L[lane, 2]
        x0, t0, count, r0, width = S[signal, 0], S[signal, 1], S[signal, 2], S[signal, 3], S[signal, 4]
        low, high, rank = P[lane, 0], P[lane, 1], P[lane, 2]
        window, min_count, gap, code = Q[lane, WINDOW], Q[lane, MIN_COUNT], Q[lane, GAP], Q[lane, CODE]
        ring, slots = Q[lane, RING], Q[lane, SLOTS]
        head, size, front = N[lane, HEAD], N[lane, SIZE], N[lane, FRONT]
        back_mean, back_m2 = F[lane, M1], F[lane, M2]
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
                if code == PERCENTILE:
                    remove_ordered(RF, ring, size, RF[ring + head, 0])
                elif front == 0:
                    refill(RF, RN, ring, slots, head, size, code)
                    front = size
                    back_mean, back_m2 = 0.0, 0.0
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
            RF[ring + slot, 0] = x
            RN[ring + slot] = t
            if code == PERCENTILE:
                front = 0
                insert_ordered(RF, ring, size, x)
            size += 1
            nb = size - front
            if code == MIN:
                back_mean = x if nb == 1 else min(back_mean, x)
            elif code == MAX:
                back_mean = x if nb == 1 else max(back_mean, x)
            else:
                delta = x - back_mean
                back_mean += delta / nb
                back_m2 += delta * (x - back_mean)
            if t - window < start or size < min_count:
                continue
            mean, m2 = back_mean, back_m2
            if code == PERCENTILE:
                value = percentile_of(RF[ring : ring + size, 1], size, rank)
            else:
                if front > 0:
                    older, older_m2 = RF[ring + head, 1], RF[ring + head, 2]
                    if code == MIN:
                        mean = min(mean, older)
                    elif code == MAX:
                        mean = max(mean, older)
                    else:
                        delta = back_mean - older
                        mean = older + delta * (nb / size)
                        m2 = older_m2 + back_m2 + delta * delta * (front * nb / size)
                value = value_of(code, size, mean, m2, mean, mean, RF[0:0, 0], rank)
            margin = min(value - low, high - value)
            if margin < 0.0 and N[lane, PROOF] == 0:
                beyond = (code == MIN and value < low) or (code == MAX and value > high)
                if beyond or N[lane, BREAK_AT] <= t - window:
                    N[lane, PROOF] = PROVEN_FAIL
                    N[lane, DECIDED_AT] = t
                    changed += 1
            if margin < F[lane, BEST]:
                F[lane, BEST] = margin
                F[lane, WORST] = value
                N[lane, WORST_AT] = t
                for w in range(width):
                    W[lane, w] = R[r0 + k * width + w]
        F[lane, M1], F[lane, M2] = back_mean, back_m2
        N[lane, HEAD], N[lane, SIZE], N[lane, FRONT] = head, size, front
        N[lane, CLOSED] = L[lane, 3]
    return changed


def judge_sliding(view: View) -> Judgement:
    return judge_windows(view, math.inf)


KIND = Kind(
    name="statistics_sliding",
    kernel=sliding_kernel,
    judge=judge_sliding,
    floats=(math.inf, 0.0, 0.0, 0.0),
    ints=(0, 0, 0, 0, 0, -(2**62), 0),
    remembered=1,
    ring_floats=3,
    ring_ints=1,
    params=(3, 4),
)
