"""window_statistics over the whole phase or tumbling windows: one set of moments (Welford), and the values themselves for a percentile."""

from __future__ import annotations

import math

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
    value_of,
)

COUNT, BROKEN, INDEX = range(STATE + 2, STATE + 5)
LOWEST, HIGHEST = 4, 5


@compiled
def blocks_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        low, high, rank, lower, upper = pf[lane, 0], pf[lane, 1], pf[lane, 2], pf[lane, 3], pf[lane, 4]
        window, min_count, gap, code = pn[lane, WINDOW], pn[lane, MIN_COUNT], pn[lane, GAP], pn[lane, CODE]
        ring, slots = pn[lane, RING], pn[lane, SLOTS]
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x or t < start:
                    continue
            else:
                x, t = 0.0, end
            while True:
                to = end if window == 0 else start + (sn[lane, INDEX] + 1) * window
                if to > end or t < to:
                    break
                n = sn[lane, COUNT]
                if n >= min_count and n > 0:
                    kept = rf[ring : ring + n, 0] if code == PERCENTILE else rf[0:0, 0]
                    value = value_of(
                        code,
                        n,
                        sf[lane, M1],
                        sf[lane, M2],
                        sf[lane, LOWEST],
                        sf[lane, HIGHEST],
                        kept,
                        rank,
                        lower,
                        upper,
                    )
                    margin = min(value - low, high - value)
                    whole = sn[lane, BROKEN] == 0 and to - sn[lane, LAST_T] <= gap
                    beyond = (code == MIN and value < low) or (code == MAX and value > high)
                    if margin < 0.0 and sn[lane, PROOF] == 0 and window > 0 and (whole or beyond):
                        sn[lane, PROOF] = PROVEN_FAIL
                        sn[lane, DECIDED_AT] = to
                        changed += 1
                    if margin < sf[lane, BEST]:
                        sf[lane, BEST] = margin
                        sf[lane, WORST] = value
                        sn[lane, WORST_AT] = to
                        for w in range(width):
                            sw[lane, w] = sw[lane, width + w]
                sn[lane, COUNT], sn[lane, BROKEN] = 0, 0
                sf[lane, M1], sf[lane, M2] = 0.0, 0.0
                sf[lane, LOWEST], sf[lane, HIGHEST] = math.inf, -math.inf
                if window == 0:
                    break
                sn[lane, INDEX] = max(sn[lane, INDEX] + 1, (t - start) // window if t < end else sn[lane, INDEX] + 1)
            if t >= end:
                break
            n = sn[lane, COUNT]
            from_ = start if window == 0 else start + sn[lane, INDEX] * window
            if t - (from_ if n == 0 else sn[lane, LAST_T]) > gap:
                sn[lane, BROKEN] = 1
            if code == PERCENTILE:
                if n == slots:
                    sn[lane, OVERFLOW] = 1
                    continue
                rf[ring + n, 0] = x
            n += 1
            delta = x - sf[lane, M1]
            sf[lane, M1] += delta / n
            sf[lane, M2] += delta * (x - sf[lane, M1])
            sf[lane, LOWEST] = min(sf[lane, LOWEST], x)
            sf[lane, HIGHEST] = max(sf[lane, HIGHEST], x)
            sn[lane, COUNT] = n
            sn[lane, LAST_T] = t
            for w in range(width):
                sw[lane, width + w] = places[r0 + k * width + w]
            beyond = (code == MIN and sf[lane, LOWEST] < low) or (code == MAX and sf[lane, HIGHEST] > high)
            if beyond and window == 0 and n >= min_count and sn[lane, PROOF] == 0:
                sn[lane, PROOF] = PROVEN_FAIL
                sn[lane, DECIDED_AT] = t
                changed += 1
        sn[lane, CLOSED] = closing
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
    params=(5, 4),
)
