"""rate_of_change: least-squares slope over every sliding window (t - W, t] that ends at an instant with a sample and t - W >= s.

The window's sums (of t, x, t², t·x) come from a two-stack queue: an evicted sample is never subtracted, so rounding does not build up
however long the run; the order of operations depends on the samples alone. Both stacks count time (µs, exact) and value from one sample
inside the window, the newest one when the stacks were turned, so that the sums stay as small as the window is wide. A window whose samples
share one instant has no slope and is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    OVERFLOW,
    PARAMS,
    PROOF,
    PROVEN_FAIL,
    RING,
    SLOTS,
    STATE,
    Judgement,
    Kind,
    Lane,
    Measures,
    View,
)
from shared.kernel.errors import Invalid

WINDOW, MIN_COUNT, GAP = range(PARAMS, PARAMS + 3)
HEAD, SIZE, FRONT, BREAK_AT, LAST_T, WORST_AT, JUDGED, ORIGIN = range(STATE, STATE + 8)
BEST, WORST_SLOPE, LEVEL, BT, BX, BTT, BTX = range(7)  # the origin's value, the back stack's sums
LAST = 0


@compiled
def turn(rf, rn, ring, slots, head, size):  # type: ignore[no-untyped-def]
    """Moves the back stack to the front: every slot gives up its value for the sums of itself and all newer samples, counted from the newest."""
    newest = head + size - 1
    newest = ring + (newest if newest < slots else newest - slots)
    origin, level = rn[newest], rf[newest, 0]
    t1, x1, tt, tx = 0.0, 0.0, 0.0, 0.0
    slot = newest
    for _ in range(size):
        dt, dx = float(rn[slot] - origin), rf[slot, 0] - level
        t1 += dt
        x1 += dx
        tt += dt * dt
        tx += dt * dx
        rf[slot, 0], rf[slot, 1], rf[slot, 2], rf[slot, 3] = t1, x1, tt, tx
        slot = slot - 1 if slot > ring else ring + slots - 1
    return origin, level


@compiled
def rate_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
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
        low, high = pf[lane, 0], pf[lane, 1]
        window, min_count, gap = pn[lane, WINDOW], pn[lane, MIN_COUNT], pn[lane, GAP]
        ring, slots = pn[lane, RING], pn[lane, SLOTS]
        head, size, front, origin = sn[lane, HEAD], sn[lane, SIZE], sn[lane, FRONT], sn[lane, ORIGIN]
        bt, bx, btt, btx, level = sf[lane, BT], sf[lane, BX], sf[lane, BTT], sf[lane, BTX], sf[lane, LEVEL]
        judged, latest, broken, best = sn[lane, JUDGED], sn[lane, LAST_T], sn[lane, BREAK_AT], sf[lane, BEST]
        for k in range(count):
            x = values[x0 + k]
            t = times[t0 + k]
            if x != x or t < start:
                continue
            if t >= end:
                break
            if t - (start if judged == 0 else latest) > gap:
                broken = t
            judged, latest = 1, t
            while size > 0 and rn[ring + head] <= t - window:
                if front == 0:
                    origin, level = turn(rf, rn, ring, slots, head, size)
                    front = size
                    bt, bx, btt, btx = 0.0, 0.0, 0.0, 0.0
                head += 1
                if head == slots:
                    head = 0
                size -= 1
                front -= 1
            if size == slots:
                sn[lane, OVERFLOW] = 1
                continue
            slot = head + size
            if slot >= slots:
                slot -= slots
            slot += ring
            rf[slot, 0] = x
            rn[slot] = t
            if size == 0:
                origin, level = t, x
                bt, bx, btt, btx = 0.0, 0.0, 0.0, 0.0
            size += 1
            dt, dx = float(t - origin), x - level
            bt += dt
            bx += dx
            btt += dt * dt
            btx += dt * dx
            if t - window < start or size < min_count or rn[ring + head] == t:
                continue
            later = k + 1  # all rows of an instant come in one call; the window is judged with the last of them
            while later < count and times[t0 + later] == t and values[x0 + later] != values[x0 + later]:
                later += 1
            if later < count and times[t0 + later] == t:
                continue
            t1, x1, tt, tx = bt, bx, btt, btx
            if front > 0:
                slot = ring + head
                t1 += rf[slot, 0]
                x1 += rf[slot, 1]
                tt += rf[slot, 2]
                tx += rf[slot, 3]
            slope = (size * tx - t1 * x1) / (size * tt - t1 * t1) * 1e6
            margin = min(slope - low, high - slope)
            if margin < 0.0 and sn[lane, PROOF] == 0 and broken <= t - window:
                sn[lane, PROOF] = PROVEN_FAIL
                sn[lane, DECIDED_AT] = t
                changed += 1
            if margin < best:
                best = margin
                sf[lane, WORST_SLOPE] = slope
                sn[lane, WORST_AT] = t
                for w in range(width):
                    sw[lane, w] = places[r0 + k * width + w]
        sf[lane, BT], sf[lane, BX], sf[lane, BTT], sf[lane, BTX], sf[lane, BEST] = bt, bx, btt, btx, best
        sf[lane, LEVEL], sn[lane, ORIGIN] = level, origin
        sn[lane, JUDGED], sn[lane, LAST_T], sn[lane, BREAK_AT] = judged, latest, broken
        sn[lane, HEAD], sn[lane, SIZE], sn[lane, FRONT] = head, size, front
        sn[lane, CLOSED] = lanes[lane, 3]
    return changed


def judge_rate(view: View) -> Judgement:
    margin = float(view.f[BEST])
    seen = margin < math.inf
    worst = int(view.n[WORST_AT])
    proof = int(view.n[PROOF])
    return Judgement(
        margin=margin if seen else None,
        low=margin if view.closed and seen else -math.inf,
        high=margin,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst if seen else None,
        worst_value=float(view.f[WORST_SLOPE]) if seen else None,
        undecided=None if seen else "no_window",
        start=worst - int(view.q[WINDOW]) if seen else None,
        end=worst if seen else None,
        positions=(("last", LAST),) if seen else (),
    )


KIND = Kind(
    name="rate",
    kernel=rate_kernel,
    judge=judge_rate,
    floats=(math.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ints=(0, 0, 0, -(2**62), 0, 0, 0, 0),
    remembered=1,
    ring_floats=4,
    ring_ints=1,
    params=(2, 3),
)


@dataclass(frozen=True, slots=True)
class Slopes:
    """Acceptance limits of a slope in the signal's unit per second, and what brings them back to the unit of the limits."""

    low: float
    high: float
    unit: str
    factor: float
    tolerance: float | None


def slope_limits(criterion: Any, measures: Measures) -> Slopes:
    """Limits are slopes in their own unit (for example kPa/min). Raises Invalid(criteria_unit)."""
    unit = (criterion.low or criterion.high).unit
    factor = measures.factor(unit, per_second=True, field="low" if criterion.low else "high")
    if criterion.low is not None and criterion.high is not None and criterion.high.unit != unit:
        raise Invalid(
            "criteria_unit", "low and high differ in unit", field=measures.place("high"), remedy=f"use {unit}"
        )
    both = criterion.low is not None and criterion.high is not None
    width = measures.guard(
        from_registry=False, unit=unit, band=criterion.high.value - criterion.low.value if both else None
    )
    size = [abs(q.value) for q in (criterion.low, criterion.high) if q is not None]
    if criterion.low is not None and criterion.high is not None:
        size = [(criterion.high.value - criterion.low.value) / 2]
    return Slopes(
        low=-math.inf if criterion.low is None else (criterion.low.value + width) / factor,
        high=math.inf if criterion.high is None else (criterion.high.value - width) / factor,
        unit=unit,
        factor=factor,
        tolerance=size[0] if size[0] > 0 else None,
    )


def rate_lane(criterion: Any, measures: Measures) -> Lane:
    slopes = slope_limits(criterion, measures)
    window = measures.duration(criterion.window, "window")
    return Lane(
        floats=(slopes.low, slopes.high),
        ints=(window, criterion.min_count, measures.gap),
        unit=slopes.unit,
        factor=slopes.factor,
        tolerance=slopes.tolerance,
        slots=measures.slots(window),
        window=window,
    )
