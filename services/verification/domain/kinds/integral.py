"""integral: the integral of the held value over [s, e); undefined stretches add nothing. margin = min(total - low, high - total).

The terms are the stretches between successive samples, added in order with Neumaier's compensation (ZAMM 54 (1974) 39): the sum does
not depend on how the samples were cut into messages, and its rounding does not grow with their number.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.band import span
from services.verification.domain.kinds.clock import clock
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import CLOSED, STATE, Judgement, Kind, Lane, Measures, View

HAS, LAST_T, LAST_U, FIRST_AT, LAST_AT, COVERED = range(STATE, STATE + 6)
HELD, SUM, REST = range(3)
CARRY, FIRST = 0, 1


@compiled
def integral_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
                    term = sf[lane, HELD] * (length * 1e-6)
                    before = sf[lane, SUM]
                    total = before + term
                    if abs(before) >= abs(term):
                        sf[lane, REST] += (before - total) + term
                    else:
                        sf[lane, REST] += (term - total) + before
                    sf[lane, SUM] = total
                    if sn[lane, COVERED] == 0:
                        sn[lane, FIRST_AT] = a
                        for w in range(width):
                            sw[lane, FIRST * width + w] = sw[lane, CARRY * width + w]
                    sn[lane, COVERED] += length
                    sn[lane, LAST_AT] = b
            if t >= end:
                break
            sn[lane, HAS] = 1
            sn[lane, LAST_T] = t
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, HELD] = x
            for w in range(width):
                sw[lane, CARRY * width + w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = closing
    return 0


def judge_integral(view: View) -> Judgement:
    seen = int(view.n[COVERED]) > 0
    total = float(view.f[SUM]) + float(view.f[REST])
    margin = min(total - float(view.p[0]), float(view.p[1]) - total) if seen else None
    final = view.closed and margin is not None
    return Judgement(
        margin=margin,
        low=margin if final and margin is not None else -math.inf,
        high=margin if final and margin is not None else math.inf,
        proof=0,
        worst_value=total if seen else None,
        undecided=None if seen else "no_data",
        start=int(view.n[FIRST_AT]) if seen else None,
        end=int(view.n[LAST_AT]) if seen else None,
        positions=(("first", FIRST), ("last", CARRY)) if seen else (),
    )


KIND = Kind(
    name="integral",
    kernel=integral_kernel,
    judge=judge_integral,
    floats=(0.0, 0.0, 0.0),
    ints=(0,) * 6,
    remembered=2,
    params=(2, 0),
)


def integral_lane(criterion: Any, measures: Measures) -> Lane:
    """Limits are totals in their own unit (for example kW.h); the kernel works in the signal's unit times seconds."""
    low, high = criterion.low, criterion.high
    unit = (low or high).unit
    factor = measures.integral_factor(unit, "low" if low else "high")
    bottom = -math.inf if low is None else measures.total(low, unit, "low")
    top = math.inf if high is None else measures.total(high, unit, "high")
    width = measures.guard(from_registry=False, unit=unit, band=span(bottom, top))
    bounds = [bottom + width, top - width]
    size = [abs(bound) for bound in bounds if math.isfinite(bound)]
    whole = (bounds[1] - bounds[0]) / 2 if len(size) == 2 else size[0]
    return Lane(
        floats=(bounds[0] / factor, bounds[1] / factor),
        ints=(),
        unit=unit,
        factor=factor,
        tolerance=whole if whole > 0 else None,
        stops=criterion.clock_in_hold == "stop",
    )
