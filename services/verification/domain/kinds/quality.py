"""Data quality: coverage, longest gap, stuck value, values that are not numbers. It stands under every criterion (V-10) and is the kind data_quality.

coverage = measure{v defined} / (e - s); gap = longest spacing of valid samples in [s, e], s and e counted; stuck = longest time from
the first to the last of successive samples with one value; saturated = the same for successive samples at or beyond the registered range;
suspect = values whose clock was suspect. margin of data_quality = the smallest share left of any demand.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.compiled import compiled
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

MAX_GAP, MAX_STUCK, MAX_NAN, MAX_SATURATED, MAX_SUSPECT = range(PARAMS, PARAMS + 5)
HAS, LAST_T, LAST_U, SAMPLES, COVERED, FIRST_AT, LAST_AT = range(STATE, STATE + 7)
GAP, GAP_FROM, GAP_AFTER, STUCK_FROM, STUCK, STUCK_AT = range(STATE + 7, STATE + 13)  # GAP_AFTER: 1 behind a sample
SATURATED_FROM, SATURATED, SATURATED_AT, AT_RANGE = range(STATE + 13, STATE + 17)
LATEST, BEFORE_GAP = 0, 1


@compiled
def quality_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(lanes.shape[0]):
        if sn[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2], lanes[lane, 3]
        x0, t0, count, r0, width = (
            signals[signal, 0],
            signals[signal, 1],
            signals[signal, 2],
            signals[signal, 3],
            signals[signal, 4],
        )
        max_gap, max_stuck, max_saturated = pn[lane, MAX_GAP], pn[lane, MAX_STUCK], pn[lane, MAX_SATURATED]
        bottom, top = pf[lane, 1], pf[lane, 2]
        has, last_t, last_u, last_x = sn[lane, HAS], sn[lane, LAST_T], sn[lane, LAST_U], sf[lane, 0]
        samples, covered, last_at, longest = sn[lane, SAMPLES], sn[lane, COVERED], sn[lane, LAST_AT], sn[lane, GAP]
        stuck_from, stuck = sn[lane, STUCK_FROM], sn[lane, STUCK]
        latest = -1  # the sample held now; before this call's first one its position is the remembered one
        first = 0
        plain = max_stuck == FAR and max_saturated == FAR and count > 0 and times[t0 + count - 1] < end
        if plain and samples > 0 and last_t >= start:  # amid the phase, nothing is asked of the values themselves
            first = count
            for k in range(count):
                x, t = values[x0 + k], times[t0 + k]
                if x != x:
                    if until[t0 + k] <= t:
                        last_u = min(last_u, t)
                    continue
                covered += min(t, last_u) - last_t
                if t - last_t > longest:
                    if t - last_t > max_gap and sn[lane, PROOF] == 0:
                        sn[lane, PROOF] = PROVEN_FAIL
                        sn[lane, DECIDED_AT] = last_t + max_gap
                        changed += 1
                    longest = t - last_t
                    sn[lane, GAP_FROM] = last_t
                    sn[lane, GAP_AFTER] = 1
                    for w in range(width):
                        sw[lane, BEFORE_GAP * width + w] = (
                            sw[lane, LATEST * width + w] if latest < 0 else places[r0 + latest * width + w]
                        )
                samples += 1
                last_t, last_u, last_x, latest = t, until[t0 + k], x, k
            last_at, stuck_from = last_t, last_t
        for k in range(first, count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x:
                    if until[t0 + k] <= t:  # a signal of arithmetic says that it is undefined from here on
                        last_u = min(last_u, t)
                    continue
            else:
                x, t = 0.0, end
            if has == 1:
                covered += max(min(t, last_u) - max(last_t, start), 0)
            if t >= start:
                before = start if samples == 0 else last_at
                if t - before > longest:
                    longest = t - before
                    sn[lane, GAP_FROM] = before
                    sn[lane, GAP_AFTER] = 1 if samples > 0 else 0
                    for w in range(width):
                        sw[lane, BEFORE_GAP * width + w] = (
                            sw[lane, LATEST * width + w] if latest < 0 else places[r0 + latest * width + w]
                        )
                    if longest > max_gap and sn[lane, PROOF] == 0:
                        sn[lane, PROOF] = PROVEN_FAIL
                        sn[lane, DECIDED_AT] = before + max_gap
                        changed += 1
            if t >= end:
                break
            if t >= start:
                if samples == 0:
                    sn[lane, FIRST_AT] = t
                    stuck_from = t
                elif max_stuck == FAR or x != last_x:
                    stuck_from = t
                elif t - stuck_from > stuck:
                    stuck = t - stuck_from
                    sn[lane, STUCK_AT] = stuck_from
                    if stuck > max_stuck and sn[lane, PROOF] == 0:
                        sn[lane, PROOF] = PROVEN_FAIL
                        sn[lane, DECIDED_AT] = t
                        changed += 1
                if max_saturated == FAR:
                    pass
                elif bottom < x < top:
                    sn[lane, AT_RANGE] = 0
                elif sn[lane, AT_RANGE] == 0:
                    sn[lane, AT_RANGE] = 1
                    sn[lane, SATURATED_FROM] = t
                elif t - sn[lane, SATURATED_FROM] > sn[lane, SATURATED]:
                    sn[lane, SATURATED] = t - sn[lane, SATURATED_FROM]
                    sn[lane, SATURATED_AT] = sn[lane, SATURATED_FROM]
                    if sn[lane, SATURATED] > max_saturated and sn[lane, PROOF] == 0:
                        sn[lane, PROOF] = PROVEN_FAIL
                        sn[lane, DECIDED_AT] = t
                        changed += 1
                samples += 1
                last_at = t
            has, last_t, last_u, last_x, latest = 1, t, until[t0 + k], x, k
        sn[lane, HAS], sn[lane, LAST_T], sn[lane, LAST_U], sf[lane, 0] = has, last_t, last_u, last_x
        sn[lane, SAMPLES], sn[lane, COVERED], sn[lane, LAST_AT], sn[lane, GAP] = samples, covered, last_at, longest
        sn[lane, STUCK_FROM], sn[lane, STUCK] = stuck_from, stuck
        if latest >= 0:
            for w in range(width):
                sw[lane, LATEST * width + w] = places[r0 + latest * width + w]
        sn[lane, CLOSED] = closing
    return changed


def judge_quality(view: View) -> Judgement:
    length = view.end - view.start
    gap, stuck, saturated = int(view.n[GAP]), int(view.n[STUCK]), int(view.n[SATURATED])
    closing: list[float] = []
    if view.closed and length > 0:
        closing.append(int(view.n[COVERED]) / length - float(view.p[0]))
    falling: list[tuple[float, int, int]] = []
    stretches = ((MAX_GAP, gap, GAP_FROM), (MAX_STUCK, stuck, STUCK_AT), (MAX_SATURATED, saturated, SATURATED_AT))
    for limit, found, at in stretches:
        allowed = int(view.q[limit])
        if allowed < FAR:
            falling.append(((allowed - found) / max(allowed, 1), int(view.n[at]), found))
    proof, decided = int(view.n[PROOF]), int(view.n[DECIDED_AT])
    counts = ((MAX_NAN, view.nan_cells, view.first_nan_at), (MAX_SUSPECT, view.suspect_cells, view.first_suspect_at))
    for limit, found, first_at in counts:
        allowed = int(view.q[limit])
        if allowed < FAR:
            falling.append(((allowed - found) / max(allowed, 1), first_at, 0))
            if found > allowed and not proof:
                proof, decided = PROVEN_FAIL, first_at
    if view.closed and closing and closing[0] < 0 and not proof:
        proof, decided = PROVEN_FAIL, view.end
    worst = min(falling, default=None)
    high = min([share for share, _, _ in falling], default=math.inf)
    margin = min([high, *closing])
    shown = margin < math.inf
    by_stretch = worst is not None and worst[0] == margin
    by_gap = by_stretch and worst is not None and worst[1:] == (int(view.n[GAP_FROM]), gap)
    return Judgement(
        margin=margin if shown else None,
        low=margin if view.closed and shown else -math.inf,
        high=min(margin, 1.0),
        proof=proof,
        decided_at=decided if proof else None,
        worst_at=worst[1] if worst is not None and by_stretch else None,
        start=worst[1] if worst is not None and by_stretch else None,
        end=worst[1] + worst[2] if worst is not None and by_stretch else None,
        positions=(("first", BEFORE_GAP),) if by_gap and view.n[GAP_AFTER] else (),
    )


KIND = Kind(
    name="quality",
    kernel=quality_kernel,
    judge=judge_quality,
    floats=(0.0,),
    ints=(0,) * 17,
    remembered=2,
    params=(3, 5),
)

PLAIN = Lane(floats=(0.0, -math.inf, math.inf), ints=(FAR,) * 5, unit="1")
"""The lane under every criterion: it measures and demands nothing."""


def quality_lane(criterion: Any, measures: Measures) -> Lane:
    def demand(name: str) -> int:
        quantity = getattr(criterion, name)
        return FAR if quantity is None else measures.duration(quantity, name)

    def most(count: int | None) -> int:
        return FAR if count is None else count

    bottom, top = (-math.inf, math.inf) if criterion.max_saturated is None else measures.range("max_saturated")
    return Lane(
        floats=(-math.inf if criterion.min_coverage is None else criterion.min_coverage, bottom, top),
        ints=(
            demand("max_gap"),
            demand("max_stuck"),
            most(criterion.max_nan),
            demand("max_saturated"),
            most(criterion.max_clock_suspect),
        ),
        unit="1",
    )
