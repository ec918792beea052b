"""steady_state: n successive windows [s + jW, s + (j+1)W) in each of which the least-squares slope lies within ± g.

margin = max over runs of n successive windows of the min over them of g - |slope|. A window with fewer than `min_count` samples, or
with all of them at one instant, has no slope and breaks a run. PASS stands at the end of the first run in which no spacing is longer
than the gap allowed: nothing that could have been in it would have shown another slope.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    PARAMS,
    PROOF,
    PROVEN_PASS,
    RING,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

WINDOW, WINDOWS, MIN_COUNT, GAP = range(PARAMS, PARAMS + 4)
INDEX, COUNT, LAST_T, BROKEN, RUN, WHOLE, BEST_AT = range(STATE, STATE + 7)
BEST, MT, MX, TT, TX, SLOPE = range(6)
LAST, FOUND = 0, 1


@compiled
def steady_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        gradient = pf[lane, 0]
        window, windows, gap, ring = pn[lane, WINDOW], pn[lane, WINDOWS], pn[lane, GAP], pn[lane, RING]
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x or t < start:
                    continue
            else:
                x, t = 0.0, end
            while True:
                to = start + (sn[lane, INDEX] + 1) * window
                if to > end or t < to:
                    break
                n, tt = sn[lane, COUNT], sf[lane, TT]
                if n == 0 or to - sn[lane, LAST_T] > gap:
                    sn[lane, BROKEN] = 1
                if n >= pn[lane, MIN_COUNT] and tt > 0.0:
                    slope = sf[lane, TX] / tt
                    sn[lane, WHOLE] = 0 if sn[lane, BROKEN] == 1 else sn[lane, WHOLE] + 1
                    rf[ring + sn[lane, RUN] % windows, 0] = gradient - abs(slope)
                    sn[lane, RUN] += 1
                    if sn[lane, RUN] >= windows:
                        least = math.inf
                        for j in range(windows):
                            least = min(least, rf[ring + j, 0])
                        if least > sf[lane, BEST]:
                            sf[lane, BEST] = least
                            sf[lane, SLOPE] = slope
                            sn[lane, BEST_AT] = to
                            for w in range(width):
                                sw[lane, FOUND * width + w] = sw[lane, LAST * width + w]
                        if least >= 0.0 and sn[lane, WHOLE] >= windows and sn[lane, PROOF] == 0:
                            sn[lane, PROOF] = PROVEN_PASS
                            sn[lane, DECIDED_AT] = to
                            changed += 1
                else:
                    sn[lane, RUN], sn[lane, WHOLE] = 0, 0
                sn[lane, COUNT], sn[lane, BROKEN], sn[lane, LAST_T] = 0, 0, to
                sf[lane, MT], sf[lane, MX], sf[lane, TT], sf[lane, TX] = 0.0, 0.0, 0.0, 0.0
                following = sn[lane, INDEX] + 1
                if t < end and (t - start) // window > following:
                    following = (t - start) // window
                    sn[lane, RUN], sn[lane, WHOLE] = 0, 0
                sn[lane, INDEX] = following
            if t >= end:
                break
            from_ = start + sn[lane, INDEX] * window
            if t - (from_ if sn[lane, COUNT] == 0 else sn[lane, LAST_T]) > gap:
                sn[lane, BROKEN] = 1
            sn[lane, COUNT] += 1
            sn[lane, LAST_T] = t
            each = 1.0 / sn[lane, COUNT]
            ts = (t - start) * 1e-6
            dt, dx = ts - sf[lane, MT], x - sf[lane, MX]
            sf[lane, MT] += dt * each
            sf[lane, MX] += dx * each
            sf[lane, TT] += dt * (ts - sf[lane, MT])
            sf[lane, TX] += dt * (x - sf[lane, MX])
            for w in range(width):
                sw[lane, LAST * width + w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = closing
    return changed


def judge_steady(view: View) -> Judgement:
    margin = float(view.f[BEST])
    found = margin > -math.inf
    best, proof = int(view.n[BEST_AT]), int(view.n[PROOF])
    return Judgement(
        margin=margin if found else None,
        low=margin,
        high=margin if view.closed and found else float(view.p[0]),
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=best if found else None,
        worst_value=float(view.f[SLOPE]) if found else None,
        undecided=None if found else "no_window",
        start=best - int(view.q[WINDOW]) * int(view.q[WINDOWS]) if found else None,
        end=best if found else None,
        positions=(("last", FOUND),) if found else (),
    )


KIND = Kind(
    name="steady",
    kernel=steady_kernel,
    judge=judge_steady,
    floats=(-math.inf, 0.0, 0.0, 0.0, 0.0, 0.0),
    ints=(0,) * 7,
    remembered=2,
    ring_floats=1,
    params=(1, 4),
)


def steady_lane(criterion: Any, measures: Measures) -> Lane:
    unit = criterion.gradient.unit
    factor = measures.factor(unit, per_second=True, field="gradient")
    width = measures.guard(from_registry=False, unit=unit, band=2 * criterion.gradient.value)
    gradient = (criterion.gradient.value - width) / factor
    window = measures.duration(criterion.window, "window")
    return Lane(
        floats=(gradient,),
        ints=(window, criterion.windows, criterion.min_count, measures.gap),
        unit=unit,
        factor=factor,
        tolerance=criterion.gradient.value if criterion.gradient.value > 0 else None,
        slots=criterion.windows,
        window=window * criterion.windows,
    )
