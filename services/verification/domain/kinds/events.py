"""count, success_rate, mtbf: instants at which a condition becomes true, how many of them well, and the time in which they could.

The signal is the truth of the conditions as one number: 1 where the event holds, and 2 where success (or operation) does. An event is
an instant at which the first is true and was not at the instant before, which lies in the phase or holds into it; at the first instant
of all there is none. A stretch in which a channel is undefined hides what happened in it: an event is then counted once, where it is found
true after having been false.

A bound takes as many steps as there were events: it is worked out when the phase is over, not with every sample.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.bounds import clopper_pearson_lower, poisson_upper
from services.verification.domain.kinds.clock import clock, is_held
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    FAR,
    OPEN,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    PROVEN_PASS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)
from shared.kernel.times import SECOND

AT_LEAST, AT_MOST = PARAMS, PARAMS + 1
HAS, LAST_T, LAST_U, EVENTS, GOOD, TIME, FIRST_AT, LAST_AT, BAD_AT = range(STATE, STATE + 9)
FIRST, LAST, BAD = 0, 1, 2
NONE_ASKED = -1


@compiled
def events_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        for k in range(count + closing):
            if k < count:
                x, t = values[x0 + k], min(times[t0 + k], end)
                if x != x:
                    if until[t0 + k] <= t:  # a signal of arithmetic says that it is undefined from here on
                        sn[lane, LAST_U] = min(sn[lane, LAST_U], t)
                    continue
            else:
                x, t = 0.0, end
            before = int(sf[lane, 0])
            if sn[lane, HAS] == 1 and before & 2 == 2:
                a, b = max(sn[lane, LAST_T], start), min(t, sn[lane, LAST_U])
                if b > a:
                    sn[lane, TIME] += clock(b, held) - clock(a, held)
            if t >= end:
                break
            now = int(x)
            known = sn[lane, HAS] == 1 and (sn[lane, LAST_T] >= start or sn[lane, LAST_U] > start)
            if known and t >= start and now & 1 == 1 and before & 1 == 0 and not is_held(t, held):
                sn[lane, EVENTS] += 1
                if now & 2 == 2:
                    sn[lane, GOOD] += 1
                elif sn[lane, EVENTS] - sn[lane, GOOD] == 1:
                    sn[lane, BAD_AT] = t
                    for w in range(width):
                        sw[lane, BAD * width + w] = places[r0 + k * width + w]
                if sn[lane, EVENTS] == 1:
                    sn[lane, FIRST_AT] = t
                    for w in range(width):
                        sw[lane, FIRST * width + w] = places[r0 + k * width + w]
                sn[lane, LAST_AT] = t
                for w in range(width):
                    sw[lane, LAST * width + w] = places[r0 + k * width + w]
                if sn[lane, PROOF] == 0:
                    if sn[lane, EVENTS] > pn[lane, AT_MOST]:
                        sn[lane, PROOF] = PROVEN_FAIL
                    elif pn[lane, AT_MOST] == FAR and sn[lane, EVENTS] >= pn[lane, AT_LEAST]:
                        sn[lane, PROOF] = PROVEN_PASS
                    if sn[lane, PROOF] != 0:
                        sn[lane, DECIDED_AT] = t
                        changed += 1
            sn[lane, HAS] = 1
            sn[lane, LAST_T] = t
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, 0] = x
        sn[lane, CLOSED] = closing
    return changed


def judge_count(view: View) -> Judgement:
    """The number can only grow: with `at_least` alone the margin can only rise, and with `at_most` it is bounded from above."""
    found, least, most = int(view.n[EVENTS]), int(view.q[AT_LEAST]), int(view.q[AT_MOST])
    below = math.inf if least == NONE_ASKED else float(found - least)
    above = math.inf if most == FAR else float(most - found)
    margin = min(below, above)
    proof = int(view.n[PROOF])
    low = margin if view.closed or most == FAR else -math.inf
    return Judgement(
        margin=margin,
        low=low,
        high=margin if view.closed else above,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_value=float(found),
        **_stretch(view, found),
    )


def judge_success(view: View) -> Judgement:
    trials, good = int(view.n[EVENTS]), int(view.n[GOOD])
    demanded, confidence = float(view.p[0]), float(view.p[1])
    enough = trials >= max(1, int(view.q[PARAMS + 2]))
    bound = clopper_pearson_lower(good, trials, confidence) if enough and view.closed else None
    margin = None if bound is None else bound - demanded
    failed = trials > good
    return Judgement(
        margin=margin,
        low=-demanded if margin is None else margin,
        high=1.0 - demanded if margin is None else margin,
        proof=OPEN,
        worst_at=int(view.n[BAD_AT]) if failed else None,
        worst_value=bound,
        undecided=None if enough else "too_few_trials",
        **_stretch(view, trials, (("worst", BAD),) if failed else ()),
    )


def judge_mtbf(view: View) -> Judgement:
    failures, operated = int(view.n[EVENTS]), int(view.n[TIME])
    demanded, confidence, second = float(view.p[0]), float(view.p[1]), float(view.p[2])
    seen = operated > 0
    bound = operated / SECOND * second / poisson_upper(failures, confidence) if seen and view.closed else None
    margin = None if bound is None else bound - demanded
    return Judgement(
        margin=margin,
        low=-demanded if margin is None else margin,
        high=math.inf if margin is None else margin,
        proof=OPEN,
        worst_value=bound,
        undecided=None if seen else "no_operation",
        **_stretch(view, failures),
    )


def _stretch(view: View, events: int, more: tuple[tuple[str, int], ...] = ()) -> dict[str, Any]:
    if not events:
        return {}
    return {
        "start": int(view.n[FIRST_AT]),
        "end": int(view.n[LAST_AT]),
        "positions": (("first", FIRST), ("last", LAST), *more),
    }


def _kind(name: str, judge: Any) -> Kind:
    return Kind(name=name, kernel=events_kernel, judge=judge, floats=(0.0,), ints=(0,) * 9, remembered=3, params=(3, 3))


COUNT = _kind("count", judge_count)
SUCCESS = _kind("success", judge_success)
MTBF = _kind("mtbf", judge_mtbf)


def count_lane(criterion: Any, _measures: Measures) -> Lane:
    least = NONE_ASKED if criterion.at_least is None else criterion.at_least
    most = FAR if criterion.at_most is None else criterion.at_most
    size = most if criterion.at_least is None else least
    return Lane(floats=(0.0, 0.0, 0.0), ints=(least, most, 0), unit="1", tolerance=float(size) if size else None)


def success_lane(criterion: Any, _measures: Measures) -> Lane:
    return Lane(
        floats=(criterion.at_least, criterion.confidence, 0.0),
        ints=(FAR, FAR, criterion.min_trials),
        unit="1",
        tolerance=1.0 - criterion.at_least,
    )


def mtbf_lane(criterion: Any, measures: Measures) -> Lane:
    """The bound is worked out in the unit of `at_least`."""
    micros = measures.duration(criterion.at_least, "at_least")
    demanded = criterion.at_least.value
    return Lane(
        floats=(demanded, criterion.confidence, demanded / (micros / SECOND)),
        ints=(FAR, FAR, 0),
        unit=criterion.at_least.unit,
        tolerance=demanded,
        stops=criterion.clock_in_hold == "stop",
    )
