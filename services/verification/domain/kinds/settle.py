"""settle: within the tolerance of the target at every sample from `by` on, and never more than `overshoot` beyond the target.

margin = min(min over samples at or after s + by of tolerance - |x - target|, min over samples of overshoot - o(x)), where
o(x) is how far x lies beyond the target as seen from the phase's first sample (|x - target| when that one is on the target).
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

BY = PARAMS
HAS, STAY_AT, OVER_AT, SETTLED, SETTLED_AT = range(STATE, STATE + 5)
STAY, OVER = 0, 1


@compiled
def settle_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        target, tolerance, overshoot = pf[lane, 0], pf[lane, 1], pf[lane, 2]
        from_ = clock(start, held) + pn[lane, BY]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            if is_held(t, held):
                continue
            if sn[lane, HAS] == 0:
                sn[lane, HAS] = 1
                sf[lane, 0] = x
            away = abs(x - target)
            if sf[lane, 0] < target:
                beyond = x - target
            elif sf[lane, 0] > target:
                beyond = target - x
            else:
                beyond = away
            worst = min(sf[lane, 1], sf[lane, 2])
            over = overshoot - beyond
            if over < sf[lane, 2]:
                sf[lane, 2] = over
                sf[lane, 4] = x
                sn[lane, OVER_AT] = t
                for w in range(width):
                    sw[lane, OVER * width + w] = places[r0 + k * width + w]
            stay = tolerance - away
            if stay < 0.0:
                sn[lane, SETTLED] = 0
            elif sn[lane, SETTLED] == 0:
                sn[lane, SETTLED] = 1
                sn[lane, SETTLED_AT] = t
            if clock(t, held) >= from_ and stay < sf[lane, 1]:
                sf[lane, 1] = stay
                sf[lane, 3] = x
                sn[lane, STAY_AT] = t
                for w in range(width):
                    sw[lane, STAY * width + w] = places[r0 + k * width + w]
            if not worst < 0.0 and min(sf[lane, 1], sf[lane, 2]) < 0.0:
                sn[lane, PROOF] = PROVEN_FAIL
                sn[lane, DECIDED_AT] = t
                changed += 1
        sn[lane, CLOSED] = lanes[lane, 3]
    return changed


def judge_settle(view: View) -> Judgement:
    stay, over = float(view.f[1]), float(view.f[2])
    margin = min(stay, over)
    answered = stay < math.inf
    by_over = over < stay or (over == stay and view.n[OVER_AT] < view.n[STAY_AT])
    seen = margin < math.inf
    worst = int(view.n[OVER_AT] if by_over else view.n[STAY_AT])
    settled = view.clock(int(view.n[SETTLED_AT])) - view.clock(view.start) if view.n[SETTLED] else None
    proof = int(view.n[PROOF])
    return Judgement(
        margin=margin if answered or proof else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[4] if by_over else view.f[3]) if seen else None,
        time_margin=int(view.q[BY]) - settled if settled is not None else None,
        undecided=None if answered or proof else "not_reached",
        start=worst if seen else None,
        end=worst if seen else None,
        positions=(("worst", OVER if by_over else STAY),) if seen else (),
    )


KIND = Kind(
    name="settle",
    kernel=settle_kernel,
    judge=judge_settle,
    floats=(0.0, math.inf, math.inf, 0.0, 0.0),
    ints=(0,) * 5,
    remembered=2,
    params=(3, 1),
)


def settle_lane(criterion: Any, measures: Measures) -> Lane:
    tolerance = measures.span(criterion.tolerance, "tolerance")
    width = measures.guard(band=2 * tolerance)
    overshoot = math.inf if criterion.overshoot is None else measures.span(criterion.overshoot, "overshoot") - width
    by = measures.duration(criterion.by, "by")
    return Lane(
        floats=(measures.limit(criterion.target, "target"), tolerance - width, overshoot),
        ints=(by,),
        unit=measures.unit,
        tolerance=tolerance if tolerance > 0 else None,
        stops=criterion.clock_in_hold == "stop",
        window=by,
    )
