"""ramp: every sample within the tolerance of a line that begins at the phase's start and, having reached its end, stays there.

margin = min over samples of tolerance - |x - target(t)|; target runs on the run clock, so that a hold that stops it stops the ramp.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.clock import clock, is_held
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
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
from shared.kernel.errors import Invalid

REACHED = PARAMS  # µs after the start at which the ramp has reached its end
WORST_AT = STATE


@compiled
def ramp_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(lanes.shape[0]):
        if sn[lane, CLOSED] == 1:
            continue
        signal, start, end = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2]
        held = holds[: holds.shape[0] * lanes[lane, 4]]
        x0, t0, count, r0, width = (
            signals[signal, 0],
            signals[signal, 1],
            signals[signal, 2],
            signals[signal, 3],
            signals[signal, 4],
        )
        first, last, rate, tolerance = pf[lane, 0], pf[lane, 1], pf[lane, 2], pf[lane, 3]
        begun = clock(start, held)
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            if is_held(t, held):
                continue
            gone = clock(t, held) - begun
            target = last if gone >= pn[lane, REACHED] else first + rate * (gone * 1e-6)
            margin = tolerance - abs(x - target)
            if margin < sf[lane, 0]:
                if margin < 0.0 and sn[lane, PROOF] == 0:
                    sn[lane, PROOF] = PROVEN_FAIL
                    sn[lane, DECIDED_AT] = t
                    changed += 1
                sf[lane, 0] = margin
                sf[lane, 1] = x
                sn[lane, WORST_AT] = t
                for w in range(width):
                    sw[lane, w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = lanes[lane, 3]
    return changed


def judge_ramp(view: View) -> Judgement:
    margin = float(view.f[0])
    seen = margin < math.inf
    worst = int(view.n[WORST_AT]) if seen else None
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen else -math.inf,
        high=min(margin, float(view.p[3])),
        proof=int(view.n[PROOF]),
        decided_at=int(view.n[DECIDED_AT]) if view.n[PROOF] else None,
        worst_at=worst,
        worst_value=float(view.f[1]) if seen else None,
        undecided=None if seen else "no_data",
        start=worst,
        end=worst,
        positions=(("worst", 0),) if seen else (),
    )


KIND = Kind(
    name="ramp", kernel=ramp_kernel, judge=judge_ramp, floats=(math.inf, 0.0), ints=(0,), remembered=1, params=(4, 1)
)


def ramp_lane(criterion: Any, measures: Measures) -> Lane:
    first, last = measures.limit(criterion.from_level, "from_level"), measures.limit(criterion.to_level, "to_level")
    factor = measures.factor(criterion.rate.unit, per_second=True, field="rate")
    rate = criterion.rate.value / factor
    if first == last or not rate > 0:
        raise Invalid(
            "criteria_horizon",
            "a ramp goes from one level to another, with a positive rate",
            field=measures.place("rate" if first != last else "to_level"),
            remedy="give two different levels and a rate above 0; the direction follows from the levels",
        )
    reached = math.ceil(abs(last - first) / rate * 1e6)
    tolerance = measures.span(criterion.tolerance, "tolerance")
    width = measures.guard(band=2 * tolerance)
    return Lane(
        floats=(first, last, math.copysign(rate, last - first), tolerance - width),
        ints=(reached,),
        unit=measures.unit,
        tolerance=tolerance if tolerance > 0 else None,
        stops=criterion.clock_in_hold == "stop",
        window=reached,
    )
