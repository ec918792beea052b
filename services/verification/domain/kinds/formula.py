"""Formulas of temporal logic over the instants of a phase: robust semantics, every value an interval [lo, hi] (V-7, V-12).

Nodes are worked through in order, each as far as its operands allow: a node of the future answers for an instant once a sample beyond
its window has come, or the phase has ended. What lies beyond a phase's end is unknown: a window that reaches over it leaves [lo, hi]
open on the side that could still change, and so does a window in which there is no instant at all. Windows are closed, and clipped at
the phase's start.
"""

from __future__ import annotations

import math
from typing import Any

from services.verification.domain.criteria.temporal import Scope, core_of
from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.formula_windows import (
    BACK,
    COLUMNS,
    HEAD,
    JUST_ONCE,
    LEFT,
    MADE,
    NODE_FLOATS,
    OP,
    OUT_HI,
    OUT_LO,
    PUSHED,
    RIGHT,
    UPTO,
    advance_once,
    advance_window,
    empty_back,
)
from services.verification.domain.kinds.lanes import (
    CLOSED,
    DECIDED_AT,
    FAR,
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
from services.verification.domain.merging import higher, lower, opposite
from services.verification.domain.temporal import (
    ALWAYS,
    AND,
    FALL,
    HISTORICALLY,
    LEAF,
    MOST_NODES,
    NOT,
    ONCE,
    OR,
    RISE,
    SINCE,
    spans,
    steps_of,
)
from shared.kernel.errors import Invalid

EVERY, SOME, FIRST = range(3)
SCOPES = {Scope.EVERY: EVERY, Scope.SOME: SOME, Scope.FIRST: FIRST}

NODES, SCOPE, GAP, PAST, FUTURE, TABLE = range(PARAMS, PARAMS + 6)
POINTS, FIRST_T, LAST_T, BREAK_AT, JUDGED, WORST_AT, NODE = range(STATE, STATE + 7)
LOW, HIGH = 0, 1
WORST, BEGIN = 0, 1


@compiled
def advance_pointwise(node, table, state, ring, slots, points, rf):  # type: ignore[no-untyped-def]
    """Operators at one instant, and edges, which look at the one before."""
    op, left, right = table[node, OP], table[node, LEFT], table[node, RIGHT]
    given = state[left, MADE]
    if right >= 0:
        given = min(given, state[right, MADE])
    base_l, own = ring + left * slots, ring + node * slots
    base_r = ring + right * slots if right >= 0 else base_l
    done = state[node, MADE]
    if table[node, JUST_ONCE] == 1:  # again and again: what is known of the first instant only becomes narrower
        done, given = 0, min(given, 1)
    for k in range(done, given):
        slot = k % slots
        llo, lhi = rf[base_l + slot, OUT_LO], rf[base_l + slot, OUT_HI]
        if op == NOT:
            lo, hi = opposite(lhi), opposite(llo)
        elif op in (RISE, FALL):
            if k == 0:
                lo, hi = -math.inf, -math.inf
            else:
                before = (k - 1) % slots
                plo, phi = rf[base_l + before, OUT_LO], rf[base_l + before, OUT_HI]
                if op == RISE:
                    lo, hi = lower(llo, opposite(phi)), lower(lhi, opposite(plo))
                else:
                    lo, hi = lower(opposite(lhi), plo), lower(opposite(llo), phi)
        else:
            rlo, rhi = rf[base_r + slot, OUT_LO], rf[base_r + slot, OUT_HI]
            if op == AND:
                lo, hi = lower(llo, rlo), lower(lhi, rhi)
            elif op == OR:
                lo, hi = higher(llo, rlo), higher(lhi, rhi)
            else:
                lo, hi = higher(opposite(lhi), rlo), higher(opposite(llo), rhi)
        rf[own + slot, OUT_LO] = lo
        rf[own + slot, OUT_HI] = hi
        state[node, MADE] = k + 1


@compiled
def oldest(nodes, table, state, points):  # type: ignore[no-untyped-def]
    """The first instant that some node still needs."""
    least = points
    for node in range(nodes):
        op = table[node, OP]
        if op == LEAF:
            continue
        if table[node, JUST_ONCE] == 1:  # it keeps what it answers for the first instant; its window is only pushed to
            if op >= ALWAYS:
                least = min(least, state[node, PUSHED])
            continue
        needed = state[node, MADE] - 1 if op in (RISE, FALL) else state[node, MADE]
        least = min(least, max(needed, 0))
        if op >= ALWAYS:
            past = op in (HISTORICALLY, ONCE, SINCE)
            least = min(least, state[node, PUSHED] if past and table[node, UPTO] == FAR else state[node, HEAD])
    return least


@compiled
def formula_kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds):  # type: ignore[no-untyped-def]
    changed = 0
    for lane in range(lanes.shape[0]):
        if sn[lane, CLOSED] == 1:
            continue
        signal, start, end, closing = lanes[lane, 0], lanes[lane, 1], lanes[lane, 2], lanes[lane, 3]
        x0, t0, count, r0, width = (
            signals[signal, 0],
            signals[signal, 1],
            signals[signal, 2],
            signals[signal, 3],
            signals[signal, 4],
        )
        nodes, scope, gap, ring = pn[lane, NODES], pn[lane, SCOPE], pn[lane, GAP], pn[lane, RING]
        slots = pn[lane, SLOTS] // nodes
        table = pn[lane, TABLE : TABLE + COLUMNS * nodes].reshape((nodes, COLUMNS))
        state = sn[lane, NODE : NODE + 4 * nodes].reshape((nodes, 4))
        floats = sf[lane]
        instant = pn[lane, PAST] == 0 and pn[lane, FUTURE] == 0
        if sn[lane, POINTS] == 0:
            for node in range(nodes):
                if table[node, OP] >= ALWAYS:
                    empty_back(table[node, OP], node, floats)
        for k in range(count + closing):
            x, t = 0.0, end
            if k < count:
                x, t = values[x0 + k], times[t0 + k]
                if x != x or t < start:
                    continue
            if k == count or t >= end:
                if closing == 0:
                    break
                last_call = 1
            else:
                last_call = 0
                points = sn[lane, POINTS]
                if t - (start if points == 0 else sn[lane, LAST_T]) > gap:
                    sn[lane, BREAK_AT] = t
                if points - oldest(nodes, table, state, points) >= slots:
                    sn[lane, OVERFLOW] = 1
                    continue
                sn[lane, LAST_T] = t
                sn[lane, POINTS] = points + 1
                slot = points % slots
                rn[ring + slot, 0] = t
                for w in range(width):
                    rn[ring + slot, 1 + w] = places[r0 + k * width + w]
                if points == 0:
                    sn[lane, FIRST_T] = t
                    for w in range(width):
                        sw[lane, BEGIN * width + w] = places[r0 + k * width + w]
                for node in range(nodes):
                    if table[node, OP] == LEAF and (points == 0 or table[node, JUST_ONCE] == 0):
                        margin = values[x0 + table[node, LEFT] * count + k]
                        rf[ring + node * slots + slot, OUT_LO] = margin
                        rf[ring + node * slots + slot, OUT_HI] = margin
                        state[node, MADE] = points + 1
            for node in range(nodes):
                if table[node, OP] >= ALWAYS and table[node, JUST_ONCE] == 1:
                    advance_once(
                        node,
                        table,
                        state,
                        ring,
                        slots,
                        sn[lane, POINTS],
                        last_call,
                        sn[lane, FIRST_T],
                        end,
                        rf,
                        rn,
                        floats,
                    )
                elif table[node, OP] >= ALWAYS:
                    advance_window(node, table, state, ring, slots, sn[lane, POINTS], last_call, end, rf, rn, floats)
                elif table[node, OP] != LEAF:
                    advance_pointwise(node, table, state, ring, slots, sn[lane, POINTS], rf)
            changed += root(lane, nodes, scope, instant, ring, slots, state, sn, sf, sw, rf, rn, pn[lane, PAST], width)
            if last_call == 1:
                break
        sn[lane, CLOSED] = closing
    return changed


@compiled
def root(lane, nodes, scope, instant, ring, slots, state, sn, sf, sw, rf, rn, past, width):  # type: ignore[no-untyped-def]
    """Takes in what the last node has answered: the worst (or best) so far, and whether it proves something."""
    own = ring + (nodes - 1) * slots
    changed = 0
    if scope == FIRST:
        if state[nodes - 1, MADE] > 0:
            sf[lane, LOW], sf[lane, HIGH] = rf[own, OUT_LO], rf[own, OUT_HI]
            sn[lane, JUDGED], sn[lane, WORST_AT] = 1, sn[lane, FIRST_T]
            for w in range(width):
                sw[lane, WORST * width + w] = sw[lane, BEGIN * width + w]
            if sn[lane, BREAK_AT] < sn[lane, FIRST_T]:
                changed += prove(lane, scope, sf[lane, LOW], sf[lane, HIGH], sn)
        return changed
    while sn[lane, JUDGED] < state[nodes - 1, MADE]:
        k = sn[lane, JUDGED]
        slot = k % slots
        lo, hi = rf[own + slot, OUT_LO], rf[own + slot, OUT_HI]
        t = rn[ring + slot, 0]
        if scope == SOME:
            better = hi > sf[lane, HIGH] or k == 0
            sf[lane, LOW] = lo if k == 0 else max(sf[lane, LOW], lo)
            sf[lane, HIGH] = hi if k == 0 else max(sf[lane, HIGH], hi)
        else:
            better = hi < sf[lane, HIGH] or k == 0
            sf[lane, LOW] = lo if k == 0 else min(sf[lane, LOW], lo)
            sf[lane, HIGH] = hi if k == 0 else min(sf[lane, HIGH], hi)
        if better:
            sn[lane, WORST_AT] = t
            for w in range(width):
                sw[lane, WORST * width + w] = rn[ring + slot, 1 + w]
        if instant or sn[lane, BREAK_AT] <= t - past:
            changed += prove(lane, scope, lo, hi, sn)
        sn[lane, JUDGED] = k + 1
    return changed


@compiled
def prove(lane, scope, lo, hi, sn):  # type: ignore[no-untyped-def]
    """Of an instant in whose windows nothing can be missing."""
    if sn[lane, PROOF] != 0:
        return 0
    if scope != SOME and hi < 0.0:
        sn[lane, PROOF] = PROVEN_FAIL
    elif scope != EVERY and lo >= 0.0:
        sn[lane, PROOF] = PROVEN_PASS
    else:
        return 0
    sn[lane, DECIDED_AT] = sn[lane, LAST_T]
    return 1


def judge_formula(view: View) -> Judgement:
    seen = int(view.n[JUDGED]) > 0
    low, high = float(view.f[LOW]), float(view.f[HIGH])
    scope, proof = int(view.q[SCOPE]), int(view.n[PROOF])
    margin = None
    if seen and (low >= 0 or high < 0):
        margin = low if low >= 0 else high
    low_now, high_now = low, high
    if not view.closed or not seen:
        low_now = low if seen and scope != EVERY else -math.inf
        high_now = high if seen and scope != SOME else math.inf
    worst = int(view.n[WORST_AT]) if seen else None
    return Judgement(
        margin=margin,
        low=low_now,
        high=high_now,
        proof=proof,
        decided_at=int(view.n[DECIDED_AT]) if proof else None,
        worst_at=worst,
        undecided=None if margin is not None else "undecided" if seen else "no_data",
        start=None if worst is None else max(view.start, worst - int(view.q[PAST])),
        end=None if worst is None else worst + int(view.q[FUTURE]),
        positions=(("worst", WORST),) if seen else (),
    )


KIND = Kind(
    name="formula",
    kernel=formula_kernel,
    judge=judge_formula,
    floats=(0.0,) * (NODE_FLOATS + BACK * MOST_NODES),
    ints=(0, 0, 0, -(2**62), 0, 0) + (0,) * (4 * MOST_NODES),
    remembered=2,
    ring_floats=6,
    ring_ints=1,
    ring_positions=1,
    params=(0, 5 + COLUMNS * MOST_NODES),
)


def formula_lane(criterion: Any, measures: Measures) -> Lane:
    scope, formula = core_of(criterion)

    def duration(quantity: Any, field: str) -> int:
        return 0 if quantity.value == 0 else measures.duration(quantity, field)

    steps = steps_of(formula, duration, once=scope is Scope.FIRST, where=measures.place("of"))
    try:
        looks = spans(steps, None)
    except ValueError:
        looks = spans(steps, measures.planned("of"))
    past, future = max(look[0] for look in looks), max(look[1] for look in looks)
    rows = [
        (
            step.op,
            step.left,
            step.right,
            step.after,
            FAR if step.upto is None else step.upto,
            int(step.once),
        )
        for step in steps
    ]
    table = [value for row in rows for value in row] + [0] * (COLUMNS * (MOST_NODES - len(steps)))
    if past + future >= FAR:
        raise Invalid("criteria_horizon", "the windows are longer than time", field=measures.place("of"))
    return Lane(
        floats=(),
        ints=(len(steps), SCOPES[scope], measures.gap, past, future, *table),
        unit=measures.unit,
        slots=measures.slots(past + future) * len(steps),
        window=max(max(look) for look in spans(steps, 0)),
    )
