"""longest_excursion, cumulative_time_out: time out of band on the held value v over [s, e). Durations are exact integers (µs).

An undefined stretch is neither in nor out of band and ends an excursion. margin = allowed - found, in seconds.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.band import limits
from services.verification.domain.kinds.clock import clock
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
from shared.kernel.times import SECOND

ALLOWED, TOTAL_MODE = PARAMS, PARAMS + 1
HAS, LAST_T, LAST_U, OUT, OUT_FROM = STATE, STATE + 1, STATE + 2, STATE + 3, STATE + 4
LONGEST, LONGEST_FROM, LONGEST_TO, TOTAL, FIRST_OUT, LAST_OUT = range(STATE + 5, STATE + 11)
WORST_AT = STATE + 11
CARRY, RUNNING, FOUND = (
    0,
    1,
    2,
)  # remembered positions: the value now held, the excursion's first sample, the evidence's


@compiled
def time_out_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
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
        allowed, total_mode = pn[lane, ALLOWED], pn[lane, TOTAL_MODE]
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
                ca, cb = clock(a, held), clock(b, held)
                if b > a and cb > ca:
                    margin = min(sf[lane, 0] - low, high - sf[lane, 0])
                    if margin < 0.0:
                        if sn[lane, OUT] == 0:
                            sn[lane, OUT] = 1
                            sn[lane, OUT_FROM] = a
                            for w in range(width):
                                sw[lane, RUNNING * width + w] = sw[lane, CARRY * width + w]
                        if sn[lane, TOTAL] == 0:
                            sn[lane, FIRST_OUT] = a
                            if total_mode == 1:
                                for w in range(width):
                                    sw[lane, FOUND * width + w] = sw[lane, CARRY * width + w]
                        if margin < sf[lane, 1]:
                            sf[lane, 1] = margin
                            sf[lane, 2] = sf[lane, 0]
                            sn[lane, WORST_AT] = a
                        before = sn[lane, TOTAL]
                        sn[lane, TOTAL] = before + (cb - ca)
                        sn[lane, LAST_OUT] = b
                        length = cb - clock(sn[lane, OUT_FROM], held)
                        if length > sn[lane, LONGEST]:
                            sn[lane, LONGEST] = length
                            sn[lane, LONGEST_FROM] = sn[lane, OUT_FROM]
                            sn[lane, LONGEST_TO] = b
                            if total_mode == 0:
                                for w in range(width):
                                    sw[lane, FOUND * width + w] = sw[lane, RUNNING * width + w]
                        if sn[lane, PROOF] == 0:
                            if total_mode == 1 and sn[lane, TOTAL] > allowed:
                                sn[lane, PROOF] = PROVEN_FAIL
                                sn[lane, DECIDED_AT] = ca + (allowed - before)
                                changed += 1
                            elif total_mode == 0 and length > allowed:
                                sn[lane, PROOF] = PROVEN_FAIL
                                sn[lane, DECIDED_AT] = clock(sn[lane, OUT_FROM], held) + allowed
                                changed += 1
                    else:
                        sn[lane, OUT] = 0
                undefined = max(sn[lane, LAST_U], start)
                if undefined < t and clock(t, held) > clock(undefined, held):
                    sn[lane, OUT] = 0
            if t >= end:
                break
            sn[lane, HAS] = 1
            sn[lane, LAST_T] = t
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, 0] = x
            for w in range(width):
                sw[lane, CARRY * width + w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = closing
    return changed


def judge_time_out(view: View) -> Judgement:
    allowed, total_mode = int(view.q[ALLOWED]), bool(view.q[TOTAL_MODE])
    total, longest = int(view.n[TOTAL]), int(view.n[LONGEST])
    spare = allowed - (total if total_mode else longest)
    found = total > 0
    start = int(view.n[FIRST_OUT] if total_mode else view.n[LONGEST_FROM])
    end = int(view.n[LAST_OUT] if total_mode else view.n[LONGEST_TO])
    return Judgement(
        margin=spare / SECOND,
        low=spare / SECOND if view.closed else -math.inf,
        high=spare / SECOND,
        proof=int(view.n[PROOF]),
        decided_at=view.unclock(int(view.n[DECIDED_AT])) if view.n[PROOF] else None,
        worst_at=int(view.n[WORST_AT]) if found else None,
        worst_value=float(view.f[2]) if found else None,
        time_margin=spare,
        time_out=total,
        start=start if found else None,
        end=end if found else None,
        positions=(("first", FOUND),) if found else (),
    )


KIND = Kind(
    name="time_out",
    kernel=time_out_kernel,
    judge=judge_time_out,
    floats=(0.0, math.inf, 0.0),
    ints=(0,) * 12,
    remembered=3,
    params=(2, 2),
)


def _lane(criterion: Any, measures: Measures, total_mode: int) -> Lane:
    low, high = limits(criterion, measures)
    allowed = measures.duration(criterion.at_most, "at_most")
    return Lane(
        floats=(low, high),
        ints=(allowed, total_mode),
        unit="s",
        tolerance=allowed / SECOND if allowed else None,
        stops=criterion.clock_in_hold == "stop",
        window=allowed,
    )


def excursion_lane(criterion: Any, measures: Measures) -> Lane:
    return _lane(criterion, measures, 0)


def cumulative_lane(criterion: Any, measures: Measures) -> Lane:
    return _lane(criterion, measures, 1)
