"""window_statistics over sliding windows: a two-stack queue of moments or extrema, an ordered store for a percentile.

An evicted sample is never subtracted, so rounding does not build up; every sample enters each stack once, so the cost does not grow
with the window (a percentile's does: it moves the ordered values).
"""

from __future__ import annotations

import math

import numpy as np

from services.verification.domain.kinds.compiled import compiled
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


@compiled
def refill(rf, rn, ring, slots, head, size, code):  # type: ignore[no-untyped-def]
    """Moves the back stack to the front: every slot gets the moments (or extremum) of itself and all newer samples."""
    mean, m2 = 0.0, 0.0
    for j in range(size):
        slot = head + size - 1 - j
        if slot >= slots:
            slot -= slots
        x = rf[ring + slot, 0]
        if code == MIN:
            mean = x if j == 0 else min(mean, x)
        elif code == MAX:
            mean = x if j == 0 else max(mean, x)
        else:
            delta = x - mean
            mean += delta / (j + 1)
            m2 += delta * (x - mean)
        rf[ring + slot, 1] = mean
        rf[ring + slot, 2] = m2


@compiled
def insert_ordered(rf, ring, size, x):  # type: ignore[no-untyped-def]
    """Puts x into the ordered values rf[ring : ring + size, 1]."""
    at = np.searchsorted(rf[ring : ring + size, 1], x)
    for j in range(size, at, -1):
        rf[ring + j, 1] = rf[ring + j - 1, 1]
    rf[ring + at, 1] = x


@compiled
def remove_ordered(rf, ring, size, x):  # type: ignore[no-untyped-def]
    """Takes one x out of the ordered values rf[ring : ring + size, 1]."""
    at = np.searchsorted(rf[ring : ring + size, 1], x)
    for j in range(at, size - 1):
        rf[ring + j, 1] = rf[ring + j + 1, 1]


@compiled
def sliding_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        low, high, rank, lower, upper = pf[lane, 0], pf[lane, 1], pf[lane, 2], pf[lane, 3], pf[lane, 4]
        window, min_count, gap, code = pn[lane, WINDOW], pn[lane, MIN_COUNT], pn[lane, GAP], pn[lane, CODE]
        ring, slots = pn[lane, RING], pn[lane, SLOTS]
        head, size, front = sn[lane, HEAD], sn[lane, SIZE], sn[lane, FRONT]
        back_mean, back_m2 = sf[lane, M1], sf[lane, M2]
        judged, latest, broken, best = sn[lane, JUDGED], sn[lane, LAST_T], sn[lane, BREAK_AT], sf[lane, BEST]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            if t - (start if judged == 0 else latest) > gap:
                broken = t
            judged, latest = 1, t
            while size > 0 and rn[ring + head] <= t - window:
                if code == PERCENTILE:
                    remove_ordered(rf, ring, size, rf[ring + head, 0])
                elif front == 0:
                    refill(rf, rn, ring, slots, head, size, code)
                    front = size
                    back_mean, back_m2 = 0.0, 0.0
                head += 1
                if head == slots:
                    head = 0
                size -= 1
                front -= 1
            if size == slots:
                sn[lane, OVERFLOW] = 1
                continue
            slot = head + size
            if slot >= slots:
                slot -= slots
            rf[ring + slot, 0] = x
            rn[ring + slot] = t
            if code == PERCENTILE:
                front = 0
                insert_ordered(rf, ring, size, x)
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
            later = k + 1  # all rows of an instant come in one call; the window is judged with the last of them
            while later < count and times[t0 + later] == t and values[x0 + later] != values[x0 + later]:
                later += 1
            if later < count and times[t0 + later] == t:
                continue
            mean, m2 = back_mean, back_m2
            if code == PERCENTILE:
                value = percentile_of(rf[ring : ring + size, 1], size, rank)
            else:
                if front > 0:
                    older, older_m2 = rf[ring + head, 1], rf[ring + head, 2]
                    if code == MIN:
                        mean = min(mean, older)
                    elif code == MAX:
                        mean = max(mean, older)
                    else:
                        delta = back_mean - older
                        mean = older + delta * (nb / size)
                        m2 = older_m2 + back_m2 + delta * delta * (front * nb / size)
                value = value_of(code, size, mean, m2, mean, mean, rf[0:0, 0], rank, lower, upper)
            margin = min(value - low, high - value)
            if margin < 0.0 and sn[lane, PROOF] == 0:
                beyond = (code == MIN and value < low) or (code == MAX and value > high)
                if beyond or broken <= t - window:
                    sn[lane, PROOF] = PROVEN_FAIL
                    sn[lane, DECIDED_AT] = t
                    changed += 1
            if margin < best:
                best = margin
                sf[lane, WORST] = value
                sn[lane, WORST_AT] = t
                for w in range(width):
                    sw[lane, w] = places[r0 + k * width + w]
        sf[lane, M1], sf[lane, M2], sf[lane, BEST] = back_mean, back_m2, best
        sn[lane, JUDGED], sn[lane, LAST_T], sn[lane, BREAK_AT] = judged, latest, broken
        sn[lane, HEAD], sn[lane, SIZE], sn[lane, FRONT] = head, size, front
        sn[lane, CLOSED] = lanes[lane, 3]
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
    params=(5, 4),
)
