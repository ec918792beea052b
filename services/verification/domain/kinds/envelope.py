"""envelope: the held value v within k standard deviations of a reference's mean, on [s, e), both aligned on the phase's start.

margin = min over the instants at which v is defined of half(c) - |v - mean(c)|, where c is the run clock since the start and
half = max(k sd, floor) less the guard band. With a time allowed outside: margin = allowed - found, in seconds. A phase that outlasts its reference
is undecided unless it has failed.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.kinds.clock import clock, resumed
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
from shared.kernel.times import SECOND, Micros

STEP, POINTS, ALLOWED = range(PARAMS, PARAMS + 3)  # ALLOWED -1: none, the envelope is never left
HAS, LAST_T, LAST_U, TOTAL, FIRST_OUT, LAST_OUT, WORST_AT, PAST = range(STATE, STATE + 8)
CARRY, WORST, FIRST = range(3)
MEANS = 1  # pf holds the widest half width, then the means, then the half widths


@compiled
def envelope_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        step, points, allowed = pn[lane, STEP], pn[lane, POINTS], pn[lane, ALLOWED]
        begun = clock(start, held)
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
                at, to = (clock(a, held), clock(b, held)) if b > a else (0, 0)
                while at < to:
                    j = (at - begun) // step
                    if j >= points:
                        sn[lane, PAST] = 1
                        break
                    upto = min(to, begun + (j + 1) * step)
                    margin = pf[lane, MEANS + points + j] - abs(sf[lane, 0] - pf[lane, MEANS + j])
                    if margin < sf[lane, 1]:
                        sf[lane, 1] = margin
                        sf[lane, 2] = sf[lane, 0]
                        sn[lane, WORST_AT] = resumed(at, held)
                        for w in range(width):
                            sw[lane, WORST * width + w] = sw[lane, CARRY * width + w]
                    if margin < 0.0:
                        if sn[lane, TOTAL] == 0:
                            sn[lane, FIRST_OUT] = resumed(at, held)
                            for w in range(width):
                                sw[lane, FIRST * width + w] = sw[lane, CARRY * width + w]
                        before = sn[lane, TOTAL]
                        sn[lane, TOTAL] = before + (upto - at)
                        sn[lane, LAST_OUT] = upto
                        if sn[lane, PROOF] == 0 and sn[lane, TOTAL] > allowed:
                            sn[lane, PROOF] = PROVEN_FAIL
                            sn[lane, DECIDED_AT] = resumed(at + max(allowed - before, 0), held)
                            changed += 1
                    at = upto
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


def judge_envelope(view: View) -> Judgement:
    worst, allowed, total = float(view.f[1]), int(view.q[ALLOWED]), int(view.n[TOTAL])
    seen, timed, past = worst < math.inf, allowed >= 0, bool(view.n[PAST])
    margin = (allowed - total) / SECOND if timed else min(worst, float(view.p[0]))
    found = total > 0
    at = int(view.n[WORST_AT])
    start, end = (int(view.n[FIRST_OUT]), view.unclock(int(view.n[LAST_OUT]))) if found else (at, at)
    role = ("first", FIRST) if timed and found else ("worst", WORST)
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen and not past else -math.inf,
        high=margin,
        proof=int(view.n[PROOF]),
        decided_at=int(view.n[DECIDED_AT]) if view.n[PROOF] else None,
        worst_at=at if seen else None,
        worst_value=float(view.f[2]) if seen else None,
        time_margin=allowed - total if timed else None,
        time_out=total,
        undecided="no_data" if not seen else "past_reference" if past else None,
        start=start if seen else None,
        end=end if seen else None,
        positions=(role,) if seen else (),
    )


KIND = Kind(
    name="envelope",
    kernel=envelope_kernel,
    judge=judge_envelope,
    floats=(0.0, math.inf, 0.0),
    ints=(0,) * 8,
    remembered=3,
    params=(MEANS, 3),
)


def envelope_lane(criterion: Any, measures: Measures) -> Lane:
    reference = criterion.reference
    step = measures.duration(reference.step, "reference.step")
    means = [measures.limit(_of(value, reference.unit), "reference.unit") for value in reference.mean]
    floor = 0.0 if criterion.floor is None else measures.span(criterion.floor, "floor")
    halves = [
        max(criterion.sigmas * measures.span(_of(sd, reference.unit), "reference.unit"), floor) for sd in reference.sd
    ]
    width = measures.guard(band=2 * min(halves))
    _covers(step * len(means), measures)
    allowed = -1 if criterion.at_most is None else measures.duration(criterion.at_most, "at_most")
    timed = criterion.at_most is not None
    return Lane(
        floats=(max(halves) - width, *means, *(half - width for half in halves)),
        ints=(step, len(means), allowed),
        unit="s" if timed else measures.unit,
        tolerance=allowed / SECOND if timed else None,
        stops=criterion.clock_in_hold == "stop",
        window=max(allowed, 0),
    )


def _of(value: float, unit: str) -> Quantity:
    return Quantity(value=value, unit=unit)


def _covers(length: Micros, measures: Measures) -> None:
    """What the phase is planned for has a reference. Raises Invalid(criteria_horizon)."""
    planned = measures.planned_length()
    if planned is not None and length < planned:
        raise Invalid(
            "criteria_horizon",
            f"the reference covers {length / SECOND:g} s of a phase planned for {planned / SECOND:g} s",
            field=measures.place("reference.mean"),
            remedy="take the reference from runs whose phase lasts as long, or plan a shorter phase",
        )
