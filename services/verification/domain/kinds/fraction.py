"""fraction_in_band: the share of time in band, on the held value over [s, e). margin = in / (in + out) - demanded.

An undefined stretch counts on neither side. FAIL is proven at the phase's end when even with all of it in band the share were too small.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.band import limits
from services.verification.domain.kinds.clock import clock
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    PROVEN_FAIL,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

HAS, LAST_T, LAST_U, IN, OUT, FIRST_OUT, LAST_OUT, WORST_AT = range(STATE, STATE + 8)
CARRY, FOUND = 0, 1


@compiled
def fraction_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    for lane in range(lanes.shape[0]):
        if sn[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2], lanes[lane, 3]
        held = holds[: holds.shape[0] * lanes[lane, 4]]
        x0, t0, count, r0, width = (
            signals[signal, 0],
            signals[signal, 1],
            signals[signal, 2],
            signals[signal, 3],
            signals[signal, 4],
        )
        low, high = pf[lane, 0], pf[lane, 1]
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x:
                    if until[t0 + k] <= t:  # a signal of arithmetic says that it is undefined from here on
                        sn[lane, LAST_U] = min(sn[lane, LAST_U], t)
                    continue
            else:
                x, t = 0.0, end
            if sn[lane, HAS] == 1:
                a, b = max(sn[lane, LAST_T], start), min(t, sn[lane, LAST_U])
                length = clock(b, held) - clock(a, held) if b > a else 0
                if length > 0:
                    margin = min(sf[lane, 0] - low, high - sf[lane, 0])
                    if margin >= 0.0:
                        sn[lane, IN] += length
                    else:
                        if sn[lane, OUT] == 0:
                            sn[lane, FIRST_OUT] = a
                            for w in range(width):
                                sw[lane, FOUND * width + w] = sw[lane, CARRY * width + w]
                        sn[lane, OUT] += length
                        sn[lane, LAST_OUT] = b
                        if margin < sf[lane, 1]:
                            sf[lane, 1] = margin
                            sf[lane, 2] = sf[lane, 0]
                            sn[lane, WORST_AT] = a
            if t >= end:
                break
            sn[lane, HAS] = 1
            sn[lane, LAST_T] = t
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, 0] = x
            for w in range(width):
                sw[lane, CARRY * width + w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = closing
    return 0


def judge_fraction(view: View) -> Judgement:
    demanded = float(view.p[2])
    inside, outside = int(view.n[IN]), int(view.n[OUT])
    seen = inside + outside > 0
    margin = inside / (inside + outside) - demanded if seen else None
    length = view.clock(view.end) - view.clock(view.start) if view.closed else 0
    proven = view.closed and length > 0 and (length - outside) / length < demanded
    found = outside > 0
    return Judgement(
        margin=margin,
        low=margin if view.closed and margin is not None else -demanded,
        high=margin if view.closed and margin is not None else 1.0 - demanded,
        proof=PROVEN_FAIL if proven else 0,
        decided_at=view.end if proven else None,
        worst_at=int(view.n[WORST_AT]) if found else None,
        worst_value=float(view.f[2]) if found else None,
        time_out=outside,
        undecided=None if seen else "no_data",
        start=int(view.n[FIRST_OUT]) if found else None,
        end=int(view.n[LAST_OUT]) if found else None,
        positions=(("first", FOUND),) if found else (),
    )


KIND = Kind(
    name="fraction",
    kernel=fraction_kernel,
    judge=judge_fraction,
    floats=(0.0, math.inf, 0.0),
    ints=(0,) * 8,
    remembered=2,
    params=(3, 0),
)


def fraction_lane(criterion: Any, measures: Measures) -> Lane:
    low, high = limits(criterion, measures)
    return Lane(
        floats=(low, high, criterion.at_least),
        ints=(),
        unit="1",
        tolerance=1.0 - criterion.at_least or None,
        stops=criterion.clock_in_hold == "stop",
    )
