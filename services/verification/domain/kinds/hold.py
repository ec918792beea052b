"""hold: within the band without interruption for at least D, on the held value over [s, e).

margin = the best, over all windows [a, a + D) of the phase in which the value is defined throughout, of the worst band margin inside.
Only windows that end where a held value ends matter: inside one value a later window can only lose older, possibly worse ones. A
monotone queue over the values of the last D gives each window's minimum in O(1) amortised.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.band import limits, tolerance
from services.verification.domain.kinds.clock import clock
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    OPEN,
    OVERFLOW,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    PROVEN_PASS,
    RING,
    SLOTS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)

DURATION = PARAMS
HAS, LAST_T, LAST_U, HEAD, SIZE = range(STATE, STATE + 5)
DEFINED, DEFINED_FROM = STATE + 5, STATE + 6  # clock at which the unbroken defined stretch began
IN_BAND, IN_FROM, LONGEST, LONGEST_FROM = range(STATE + 7, STATE + 11)
MAYBE_FROM, MAYBE_LONGEST, STARTED = range(STATE + 11, STATE + 14)  # stretches not proven out of band
WORST_AT, BEST_TO = STATE + 14, STATE + 15  # on the run clock
CARRY, FOUND = 0, 1


@compiled
def hold_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        low, high, duration = pf[lane, 0], pf[lane, 1], pn[lane, DURATION]
        ring, slots = pn[lane, RING], pn[lane, SLOTS]
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x:
                    if until[t0 + k] <= t:  # a signal of arithmetic says that it is undefined from here on
                        sn[lane, LAST_U] = min(sn[lane, LAST_U], t)
                    continue
            else:
                x, t = 0.0, end
            if sn[lane, STARTED] == 0 and t >= start:
                sn[lane, STARTED] = 1
                sn[lane, MAYBE_FROM] = clock(start, held)
            if sn[lane, HAS] == 1:
                a, b = max(sn[lane, LAST_T], start), min(t, sn[lane, LAST_U])
                ca, cb = clock(a, held), clock(b, held)
                if b > a and cb > ca:
                    margin = min(sf[lane, 0] - low, high - sf[lane, 0])
                    if sn[lane, DEFINED] == 0:
                        sn[lane, DEFINED] = 1
                        sn[lane, DEFINED_FROM] = ca
                    head, size = sn[lane, HEAD], sn[lane, SIZE]
                    while size > 0:
                        back = head + size - 1
                        back = ring + (back if back < slots else back - slots)
                        if rf[back, 0] > margin:
                            size -= 1
                        else:
                            break
                    while size > 0 and rn[ring + head, 0] <= cb - duration:
                        head = head + 1 if head + 1 < slots else 0
                        size -= 1
                    if size == slots:
                        sn[lane, OVERFLOW] = 1
                        head = head + 1 if head + 1 < slots else 0
                        size -= 1
                    back = head + size
                    back = ring + (back if back < slots else back - slots)
                    rf[back, 0] = margin
                    rf[back, 1] = sf[lane, 0]
                    rn[back, 0] = cb
                    rn[back, 1] = ca
                    for w in range(width):
                        rn[back, 2 + w] = sw[lane, CARRY * width + w]
                    size += 1
                    sn[lane, HEAD] = head
                    sn[lane, SIZE] = size
                    if cb - sn[lane, DEFINED_FROM] >= duration and rf[ring + head, 0] > sf[lane, 1]:
                        front = ring + head
                        sf[lane, 1] = rf[front, 0]
                        sf[lane, 2] = rf[front, 1]
                        sn[lane, WORST_AT] = max(rn[front, 1], cb - duration)
                        sn[lane, BEST_TO] = cb
                        for w in range(width):
                            sw[lane, FOUND * width + w] = rn[front, 2 + w]
                    if margin < 0.0:
                        sn[lane, IN_BAND] = 0
                        sn[lane, MAYBE_LONGEST] = max(sn[lane, MAYBE_LONGEST], ca - sn[lane, MAYBE_FROM])
                        sn[lane, MAYBE_FROM] = cb
                    else:
                        if sn[lane, IN_BAND] == 0:
                            sn[lane, IN_BAND] = 1
                            sn[lane, IN_FROM] = ca
                        length = cb - sn[lane, IN_FROM]
                        if length > sn[lane, LONGEST]:
                            sn[lane, LONGEST] = length
                            sn[lane, LONGEST_FROM] = sn[lane, IN_FROM]
                        if length >= duration and sn[lane, PROOF] == 0:
                            sn[lane, PROOF] = PROVEN_PASS
                            sn[lane, DECIDED_AT] = sn[lane, IN_FROM] + duration
                            changed += 1
                undefined = max(sn[lane, LAST_U], start)
                if undefined < t and clock(t, held) > clock(undefined, held):
                    sn[lane, DEFINED] = 0
                    sn[lane, IN_BAND] = 0
                    sn[lane, SIZE] = 0
            if t >= end:
                break
            sn[lane, HAS] = 1
            sn[lane, LAST_T] = t
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, 0] = x
            for w in range(width):
                sw[lane, CARRY * width + w] = places[r0 + k * width + w]
        if closing == 1:
            sn[lane, CLOSED] = 1
            sn[lane, MAYBE_LONGEST] = max(sn[lane, MAYBE_LONGEST], clock(end, held) - sn[lane, MAYBE_FROM])
            if sn[lane, MAYBE_LONGEST] < duration and sn[lane, PROOF] == 0:
                sn[lane, PROOF] = PROVEN_FAIL
                sn[lane, DECIDED_AT] = clock(end, held)
            changed += 1
    return changed


def judge_hold(view: View) -> Judgement:
    best = float(view.f[1])
    found = best > -math.inf
    duration, longest = int(view.q[DURATION]), int(view.n[LONGEST])
    proof = int(view.n[PROOF])
    window_end = int(view.n[BEST_TO])
    stretch = (window_end - duration, window_end) if found else None
    worst = view.unclock(int(view.n[WORST_AT])) if found else None
    return Judgement(
        margin=best if found else None,
        low=best,
        high=best if view.closed else math.inf,
        proof=proof if proof in (PROVEN_PASS, PROVEN_FAIL) else OPEN,
        decided_at=view.unclock(int(view.n[DECIDED_AT])) if proof else None,
        worst_at=worst,
        worst_value=float(view.f[2]) if found else None,
        time_margin=longest - duration,
        start=view.unclock(stretch[0]) if stretch else None,
        end=view.unclock(stretch[1]) if stretch else None,
        positions=(("worst", FOUND),) if found else (),
    )


KIND = Kind(
    name="hold",
    kernel=hold_kernel,
    judge=judge_hold,
    floats=(0.0, -math.inf, 0.0),
    ints=(0,) * 16,
    remembered=2,
    ring_floats=2,
    ring_ints=2,
    ring_positions=1,
    params=(2, 1),
)


def hold_lane(criterion: Any, measures: Measures) -> Lane:
    low, high = limits(criterion, measures)
    duration = measures.duration(criterion.duration, "duration")
    return Lane(
        floats=(low, high),
        ints=(duration,),
        unit=measures.unit,
        tolerance=tolerance(low, high),
        slots=measures.slots(duration),
        stops=criterion.clock_in_hold == "stop",
        window=duration,
    )
