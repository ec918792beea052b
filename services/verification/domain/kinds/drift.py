"""drift: the least-squares slope over all samples of the phase. margin = min(slope - low, high - slope), known at the phase's end."""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    PARAMS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)
from services.verification.domain.kinds.rate import slope_limits

MIN_COUNT = PARAMS
COUNT, FIRST_AT, LAST_AT = range(STATE, STATE + 3)
MT, MX, TT, TX = range(4)
FIRST, LAST = 0, 1


@compiled
def drift_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        n, mt, mx, tt, tx = sn[lane, COUNT], sf[lane, MT], sf[lane, MX], sf[lane, TT], sf[lane, TX]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            n += 1
            ts = (t - start) * 1e-6
            dt, dx = ts - mt, x - mx
            mt += dt / n
            mx += dx / n
            tt += dt * (ts - mt)
            tx += dt * (x - mx)
            if n == 1:
                sn[lane, FIRST_AT] = t
                for w in range(width):
                    sw[lane, FIRST * width + w] = places[r0 + k * width + w]
            sn[lane, LAST_AT] = t
            for w in range(width):
                sw[lane, LAST * width + w] = places[r0 + k * width + w]
        sn[lane, COUNT], sf[lane, MT], sf[lane, MX], sf[lane, TT], sf[lane, TX] = n, mt, mx, tt, tx
        sn[lane, CLOSED] = lanes[lane, 3]
    return 0


def judge_drift(view: View) -> Judgement:
    tt = float(view.f[TT])
    seen = int(view.n[COUNT]) >= int(view.q[MIN_COUNT]) and tt > 0.0
    slope = float(view.f[TX]) / tt if seen else 0.0
    margin = min(slope - float(view.p[0]), float(view.p[1]) - slope) if seen else None
    final = view.closed and margin is not None
    return Judgement(
        margin=margin,
        low=margin if final and margin is not None else -math.inf,
        high=margin if final and margin is not None else math.inf,
        proof=0,
        worst_value=slope if seen else None,
        undecided=None if seen else "no_window",
        start=int(view.n[FIRST_AT]) if seen else None,
        end=int(view.n[LAST_AT]) if seen else None,
        positions=(("first", FIRST), ("last", LAST)) if seen else (),
    )


KIND = Kind(
    name="drift",
    kernel=drift_kernel,
    judge=judge_drift,
    floats=(0.0, 0.0, 0.0, 0.0),
    ints=(0, 0, 0),
    remembered=2,
    params=(2, 1),
)


def drift_lane(criterion: Any, measures: Measures) -> Lane:
    slopes = slope_limits(criterion, measures)
    return Lane(
        floats=(slopes.low, slopes.high),
        ints=(criterion.min_count,),
        unit=slopes.unit,
        factor=slopes.factor,
        tolerance=slopes.tolerance,
    )
