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
        ring, slots, last_slot = pn[lane, RING], pn[lane, SLOTS], pn[lane, RING] + pn[lane, SLOTS] - 1
        head, size, best = ring + sn[lane, HEAD], sn[lane, SIZE], sf[lane, 1]
        has, last_t, last_u, value = sn[lane, HAS], sn[lane, LAST_T], sn[lane, LAST_U], sf[lane, 0]
        defined, defined_from, in_band, in_from = (
            sn[lane, DEFINED],
            sn[lane, DEFINED_FROM],
            sn[lane, IN_BAND],
            sn[lane, IN_FROM],
        )
        longest, maybe_from, maybe_longest = sn[lane, LONGEST], sn[lane, MAYBE_FROM], sn[lane, MAYBE_LONGEST]
        stops = held.shape[0] > 0
        latest = -1  # the sample held now; before this call's first one its position is the remembered one
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x:
                    if until[t0 + k] <= t:  # a signal of arithmetic says that it is undefined from here on
                        last_u = min(last_u, t)
                    continue
            else:
                x, t = 0.0, end
            if t >= start and sn[lane, STARTED] == 0:
                sn[lane, STARTED] = 1
                maybe_from = clock(start, held)
            if has == 1:
                a, b = max(last_t, start), min(t, last_u)
                ca, cb = a, b
                if stops:
                    ca, cb = clock(a, held), clock(b, held)
                if b > a and cb > ca:
                    margin = min(value - low, high - value)
                    if defined == 0:
                        defined = 1
                        defined_from = ca
                    back = head + size - 1
                    if back > last_slot:
                        back -= slots
                    while size > 0 and rf[back, 0] > margin:
                        size -= 1
                        back = back - 1 if back > ring else last_slot
                    while size > 0 and rn[head, 0] <= cb - duration:
                        head = head + 1 if head < last_slot else ring
                        size -= 1
                    if size == slots:
                        sn[lane, OVERFLOW] = 1
                        head = head + 1 if head < last_slot else ring
                        size -= 1
                    back = head + size
                    if back > last_slot:
                        back -= slots
                    rf[back, 0] = margin
                    rf[back, 1] = value
                    rn[back, 0] = cb
                    rn[back, 1] = ca
                    if latest < 0:
                        for w in range(width):
                            rn[back, 2 + w] = sw[lane, CARRY * width + w]
                    else:
                        for w in range(width):
                            rn[back, 2 + w] = places[r0 + latest * width + w]
                    size += 1
                    if cb - defined_from >= duration and rf[head, 0] > best:
                        best = rf[head, 0]
                        sf[lane, 2] = rf[head, 1]
                        sn[lane, WORST_AT] = max(rn[head, 1], cb - duration)
                        sn[lane, BEST_TO] = cb
                        for w in range(width):
                            sw[lane, FOUND * width + w] = rn[head, 2 + w]
                    if margin < 0.0:
                        in_band = 0
                        maybe_longest = max(maybe_longest, ca - maybe_from)
                        maybe_from = cb
                    else:
                        if in_band == 0:
                            in_band = 1
                            in_from = ca
                        if cb - in_from > longest:
                            longest = cb - in_from
                            sn[lane, LONGEST_FROM] = in_from
                        if cb - in_from >= duration and sn[lane, PROOF] == 0:
                            sn[lane, PROOF] = PROVEN_PASS
                            sn[lane, DECIDED_AT] = in_from + duration
                            changed += 1
                undefined = max(last_u, start)
                if undefined < t and (not stops or clock(t, held) > clock(undefined, held)):
                    defined, in_band, size = 0, 0, 0
            if t >= end:
                break
            has, last_t, last_u, value, latest = 1, t, until[t0 + k], x, k
        sn[lane, HEAD], sn[lane, SIZE], sf[lane, 1] = head - ring, size, best
        sn[lane, HAS], sn[lane, LAST_T], sn[lane, LAST_U], sf[lane, 0] = has, last_t, last_u, value
        sn[lane, DEFINED], sn[lane, DEFINED_FROM], sn[lane, IN_BAND], sn[lane, IN_FROM] = (
            defined,
            defined_from,
            in_band,
            in_from,
        )
        sn[lane, LONGEST], sn[lane, MAYBE_FROM], sn[lane, MAYBE_LONGEST] = longest, maybe_from, maybe_longest
        if latest >= 0:
            for w in range(width):
                sw[lane, CARRY * width + w] = places[r0 + latest * width + w]
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
        undecided=None if found or proof else "no_window",
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
