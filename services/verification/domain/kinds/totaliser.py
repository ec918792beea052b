"""totaliser: what a counter has counted in the phase. margin = min(total - low, high - total).

The total is the sum of the steps between successive readings, the last reading before the phase included while its value still holds.
A reading below the one before is a counter that began again at zero, or that rolled over where `rollover` is given. A gap between two
readings loses nothing: the counter went on counting.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.kinds.band import span
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
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

HAS, LAST_U, FIRST_AT, LAST_AT, STEPS = range(STATE, STATE + 5)
READING, SUM, REST = range(3)
LAST, FIRST = 0, 1


@compiled
def totaliser_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
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
        low, high, rollover = pf[lane, 0], pf[lane, 1], pf[lane, 2]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x:
                continue
            if t >= end:
                break
            if t >= start and sn[lane, STEPS] == 0:
                if sn[lane, HAS] == 0 or sn[lane, LAST_U] <= start:
                    sf[lane, READING] = x
                    for w in range(width):
                        sw[lane, FIRST * width + w] = places[r0 + k * width + w]
                    sn[lane, FIRST_AT] = t
                else:
                    for w in range(width):
                        sw[lane, FIRST * width + w] = sw[lane, LAST * width + w]
                    sn[lane, FIRST_AT] = start
            if t >= start:
                term = x - sf[lane, READING]
                if term < 0.0:
                    term = max(x, 0.0) + max(rollover - sf[lane, READING], 0.0)
                before = sf[lane, SUM]
                total = before + term
                if abs(before) >= abs(term):
                    sf[lane, REST] += (before - total) + term
                else:
                    sf[lane, REST] += (term - total) + before
                sf[lane, SUM] = total
                sn[lane, STEPS] += 1
                sn[lane, LAST_AT] = t
                total = sf[lane, SUM] + sf[lane, REST]
                if sn[lane, PROOF] == 0:
                    if total > high:
                        sn[lane, PROOF] = PROVEN_FAIL
                    elif high == math.inf and total >= low:
                        sn[lane, PROOF] = PROVEN_PASS
                    if sn[lane, PROOF] != 0:
                        sn[lane, DECIDED_AT] = t
                        changed += 1
            sn[lane, HAS] = 1
            sn[lane, LAST_U] = until[t0 + k]
            sf[lane, READING] = x
            for w in range(width):
                sw[lane, LAST * width + w] = places[r0 + k * width + w]
        sn[lane, CLOSED] = lanes[lane, 3]
    return changed


def judge_totaliser(view: View) -> Judgement:
    seen = int(view.n[STEPS]) > 0
    total = float(view.f[SUM]) + float(view.f[REST])
    below, above = total - float(view.p[0]), float(view.p[1]) - total
    margin = min(below, above) if seen else None
    proof = int(view.n[PROOF])
    final = view.closed and margin is not None
    return Judgement(
        margin=margin,
        low=margin if final and margin is not None else (below if above == math.inf else -math.inf),
        high=margin if final and margin is not None else above,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_value=total if seen else None,
        undecided=None if seen else "no_data",
        start=int(view.n[FIRST_AT]) if seen else None,
        end=int(view.n[LAST_AT]) if seen else None,
        positions=(("first", FIRST), ("last", LAST)) if seen else (),
    )


KIND = Kind(
    name="totaliser",
    kernel=totaliser_kernel,
    judge=judge_totaliser,
    floats=(0.0, 0.0, 0.0),
    ints=(0,) * 5,
    remembered=2,
    params=(3, 0),
)


def totaliser_lane(criterion: Any, measures: Measures) -> Lane:
    low = -math.inf if criterion.low is None else measures.span(criterion.low, "low")
    high = math.inf if criterion.high is None else measures.span(criterion.high, "high")
    width = measures.guard(from_registry=False, band=span(low, high))
    low, high = low + width, high - width
    rollover = 0.0 if criterion.rollover is None else measures.span(criterion.rollover, "rollover")
    size = [abs(bound) for bound in (low, high) if math.isfinite(bound)]
    whole = (high - low) / 2 if len(size) == 2 else size[0]
    return Lane(floats=(low, high, rollover), ints=(), unit=measures.unit, tolerance=whole if whole > 0 else None)
