"""The windows of temporal operators: queues of two stacks over a semigroup, whatever their length.

A window is a queue of two stacks over a semigroup: minimum, maximum, or, for until and since, the maps u -> max(A, min(B, u)), which
are closed under composition (f until g at an instant is max(g, min(f, what follows))). So every node costs O(1) amortised per instant,
whatever its window (A. Donzé, T. Ferrère, O. Maler, CAV 2013, have the recursion).
"""

from __future__ import annotations

import math

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.kinds.lanes import FAR
from services.verification.domain.temporal import ALWAYS, EVENTUALLY, HISTORICALLY, SINCE, UNTIL

OP, LEFT, RIGHT, AFTER, UPTO, JUST_ONCE = range(6)
"""Columns of the table of nodes."""
COLUMNS = 6

MADE, PUSHED, HEAD, MID = range(4)
"""Columns of a node's state: answers given; next operand, first and middle of its window."""

NODE_FLOATS, BACK = 2, 4
"""Where the back stacks begin in a lane's floats; A_lo, A_hi, B_lo, B_hi of each node."""

OUT_LO, OUT_HI, F_ALO, F_AHI, F_BLO, F_BHI = range(6)
"""Columns of a ring slot: a node's answer, and the front stack of the window over its operand."""


@compiled
def composed(a1, b1, a2, b2):  # type: ignore[no-untyped-def]
    """u -> max(a1, min(b1, u)) after u -> max(a2, min(b2, u))."""
    return max(a1, min(b1, a2)), min(b1, b2)


@compiled
def folded(op, x, y):  # type: ignore[no-untyped-def]
    """Of the windows that have one number: the smallest or the largest."""
    return min(x, y) if op in (ALWAYS, HISTORICALLY) else max(x, y)


@compiled
def push(op, node, at, rf, sf, base_l, base_r, slots):  # type: ignore[no-untyped-def]
    """One operand more into the back stack of a window; `at` is its number."""
    slot = at % slots
    b = NODE_FLOATS + BACK * node
    lo, hi = rf[base_l + slot, OUT_LO], rf[base_l + slot, OUT_HI]
    if op in (UNTIL, SINCE):
        glo, ghi = rf[base_r + slot, OUT_LO], rf[base_r + slot, OUT_HI]
        if op == UNTIL:
            sf[b], sf[b + 2] = composed(sf[b], sf[b + 2], glo, lo)
            sf[b + 1], sf[b + 3] = composed(sf[b + 1], sf[b + 3], ghi, hi)
        else:
            sf[b], sf[b + 2] = composed(glo, lo, sf[b], sf[b + 2])
            sf[b + 1], sf[b + 3] = composed(ghi, hi, sf[b + 1], sf[b + 3])
    else:
        sf[b] = folded(op, sf[b], lo)
        sf[b + 1] = folded(op, sf[b + 1], hi)


@compiled
def empty_back(op, node, sf):  # type: ignore[no-untyped-def]
    """The neutral element."""
    b = NODE_FLOATS + BACK * node
    neutral = math.inf if op in (ALWAYS, HISTORICALLY) else -math.inf
    sf[b], sf[b + 1], sf[b + 2], sf[b + 3] = neutral, neutral, math.inf, math.inf


@compiled
def turn(op, first, behind, own, base_l, base_r, slots, rf):  # type: ignore[no-untyped-def]
    """Moves [first, behind) to the front stack: every slot gets the fold of itself and all that come after it."""
    neutral = math.inf if op in (ALWAYS, HISTORICALLY) else -math.inf
    alo, ahi, blo, bhi = neutral, neutral, math.inf, math.inf
    for back in range(behind - first):
        slot = (behind - 1 - back) % slots
        lo, hi = rf[base_l + slot, OUT_LO], rf[base_l + slot, OUT_HI]
        if op in (UNTIL, SINCE):
            glo, ghi = rf[base_r + slot, OUT_LO], rf[base_r + slot, OUT_HI]
            if op == UNTIL:
                alo, blo = composed(glo, lo, alo, blo)
                ahi, bhi = composed(ghi, hi, ahi, bhi)
            else:
                alo, blo = composed(alo, blo, glo, lo)
                ahi, bhi = composed(ahi, bhi, ghi, hi)
        else:
            alo, ahi = folded(op, alo, lo), folded(op, ahi, hi)
        rf[own + slot, F_ALO], rf[own + slot, F_AHI], rf[own + slot, F_BLO], rf[own + slot, F_BHI] = alo, ahi, blo, bhi


@compiled
def window_value(op, node, head, mid, own, slots, rf, sf):  # type: ignore[no-untyped-def]
    """A_lo, A_hi, B_lo, B_hi of the whole window: front and back."""
    b = NODE_FLOATS + BACK * node
    alo, ahi, blo, bhi = sf[b], sf[b + 1], sf[b + 2], sf[b + 3]
    if head < mid:
        slot = own + head % slots
        flo, fhi, glo, ghi = rf[slot, F_ALO], rf[slot, F_AHI], rf[slot, F_BLO], rf[slot, F_BHI]
        if op == UNTIL:
            alo, blo = composed(flo, glo, alo, blo)
            ahi, bhi = composed(fhi, ghi, ahi, bhi)
        elif op == SINCE:
            alo, blo = composed(alo, blo, flo, glo)
            ahi, bhi = composed(ahi, bhi, fhi, ghi)
        else:
            alo, ahi = folded(op, flo, alo), folded(op, fhi, ahi)
    return alo, ahi, blo, bhi


@compiled
def advance_once(node, table, state, ring, slots, points, closing, begin, end, rf, rn, sf):  # type: ignore[no-untyped-def]
    """The window of the phase's first instant: what is known of its value so far, at every call. Nothing ever leaves it."""
    op, upto = table[node, OP], table[node, UPTO]
    future = op in (ALWAYS, EVENTUALLY, UNTIL)
    first = begin + table[node, AFTER] if future else begin
    last = (FAR if upto == FAR else begin + upto) if future else begin - table[node, AFTER]
    left, right = table[node, LEFT], table[node, RIGHT]
    base_l, own = ring + left * slots, ring + node * slots
    base_r = ring + right * slots if right >= 0 else base_l
    given = state[left, MADE] if right < 0 else min(state[left, MADE], state[right, MADE])
    pushed = state[node, PUSHED]
    while pushed < given and rn[ring + pushed % slots, 0] <= last:
        if rn[ring + pushed % slots, 0] >= first:
            push(op, node, pushed, rf, sf, base_l, base_r, slots)
            state[node, HEAD] = 1
        pushed += 1
    state[node, PUSHED] = pushed
    if given == 0:
        return
    b = NODE_FLOATS + BACK * node
    lo, hi = sf[b], sf[b + 1]
    if state[node, HEAD] == 0:
        lo, hi = -math.inf, math.inf
    elif future:
        seen = pushed < given or (closing == 1 and given == points and last < end)
        if not seen and not (closing == 1 and upto == FAR):
            if op == ALWAYS:
                lo = -math.inf
            elif op == UNTIL:
                hi = max(hi, sf[b + 3])
            else:
                hi = math.inf
    rf[own, OUT_LO], rf[own, OUT_HI] = lo, hi
    state[node, MADE] = 1


@compiled
def advance_window(node, table, state, ring, slots, points, closing, end, rf, rn, sf):  # type: ignore[no-untyped-def]
    """Answers for as many instants as can be answered."""
    op, after, upto = table[node, OP], table[node, AFTER], table[node, UPTO]
    future = op in (ALWAYS, EVENTUALLY, UNTIL)
    left, right = table[node, LEFT], table[node, RIGHT]
    base_l, own = ring + left * slots, ring + node * slots
    base_r = ring + right * slots if right >= 0 else base_l
    given = state[left, MADE]
    if right >= 0:
        given = min(given, state[right, MADE])
    made, pushed, head, mid = state[node, MADE], state[node, PUSHED], state[node, HEAD], state[node, MID]
    while made < points:
        t = rn[ring + made % slots, 0]
        if future:
            first = t + after
            last = FAR if upto == FAR else t + upto
        else:
            first = -FAR if upto == FAR else t - upto
            last = t - after
        while pushed < given and rn[ring + pushed % slots, 0] <= last:
            push(op, node, pushed, rf, sf, base_l, base_r, slots)
            pushed += 1
        if future:
            beyond = pushed < given
            if not beyond and not (closing == 1 and given == points):
                break
        elif given <= made and not (closing == 1 and given == points):
            break
        while head < pushed and rn[ring + head % slots, 0] < first:
            if head >= mid:
                turn(op, head, pushed, own, base_l, base_r, slots, rf)
                mid = pushed
                empty_back(op, node, sf)
            head += 1
        if head >= mid and head == pushed:
            empty_back(op, node, sf)
            mid = head
        alo, ahi, _blo, bhi = window_value(op, node, head, mid, own, slots, rf, sf)
        lo, hi = alo, ahi
        if head == pushed:
            lo, hi = -math.inf, math.inf
        elif future and upto < FAR and last >= end:  # part of it lies beyond the phase
            if op == ALWAYS:
                lo = -math.inf
            elif op == UNTIL:
                hi = max(ahi, bhi)
            else:
                hi = math.inf
        rf[own + made % slots, OUT_LO] = lo
        rf[own + made % slots, OUT_HI] = hi
        made += 1
    state[node, MADE], state[node, PUSHED], state[node, HEAD], state[node, MID] = made, pushed, head, mid
