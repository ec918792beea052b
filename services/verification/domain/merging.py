"""The values of signals over several channels: one point at every instant of any of them, each channel by its held value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.kinds.compiled import compiled
from services.verification.domain.signals import (
    ABSOLUTE,
    ADD,
    CHANNEL,
    CONSTANT,
    DIVIDE,
    HIGHER,
    IS,
    LOWER,
    NEGATE,
    PLUS,
    ROOT,
    SQUARE,
    SUBTRACT,
    TIMES,
    TRUTH,
    SignalPlan,
)

NEVER = -(2**62)

JUST_BELOW = -5e-324
"""The largest number below zero: the margin of a strict comparison at equality, so that the sign of a margin is always its truth."""


@compiled
def opposite(margin):  # type: ignore[no-untyped-def]
    """The margin of the negation. What holds with equality does not hold negated: 0 becomes the largest number below it."""
    return JUST_BELOW if margin == 0.0 else -margin


@compiled
def lower(a, b):  # type: ignore[no-untyped-def]
    """The smaller one; what is undefined stays undefined."""
    return a if a != a or a <= b else b


@compiled
def higher(a, b):  # type: ignore[no-untyped-def]
    """The larger one; what is undefined stays undefined."""
    return a if a != a or a >= b else b


@compiled
def compute(codes, constants, held, stack):  # type: ignore[no-untyped-def]
    """Leaves the program's values for the held values on the stack and answers the first; NaN for a division by zero."""
    top = 0
    for k in range(codes.shape[0]):
        code = codes[k]
        if code == CHANNEL:
            stack[top] = held[int(constants[k])]
            top += 1
        elif code == CONSTANT:
            stack[top] = constants[k]
            top += 1
        elif code == TIMES:
            stack[top - 1] *= constants[k]
        elif code == PLUS:
            stack[top - 1] += constants[k]
        elif code == ABSOLUTE:
            stack[top - 1] = abs(stack[top - 1])
        elif code == NEGATE:
            stack[top - 1] = opposite(stack[top - 1])
        elif code == IS:
            stack[top - 1] = np.inf if stack[top - 1] == constants[k] else -np.inf
        elif code == SQUARE:
            stack[top - 1] *= stack[top - 1]
        elif code == ROOT:
            stack[top - 1] = np.sqrt(stack[top - 1]) if stack[top - 1] > 0.0 else stack[top - 1] * 0.0
        elif code == TRUTH:
            if stack[top - 1] == stack[top - 1]:
                stack[top - 1] = 1.0 if stack[top - 1] >= 0.0 else 0.0
        else:
            top -= 1
            if code == ADD:
                stack[top - 1] += stack[top]
            elif code == SUBTRACT:
                stack[top - 1] -= stack[top]
            elif code == DIVIDE:
                stack[top - 1] = stack[top - 1] / stack[top] if stack[top] != 0.0 else np.nan
            elif code == LOWER:
                stack[top - 1] = lower(stack[top - 1], stack[top])
            elif code == HIGHER:
                stack[top - 1] = higher(stack[top - 1], stack[top])
    return stack[0]


@compiled
def computed_rows(codes, constants, held):  # type: ignore[no-untyped-def]
    """The program's value for every column of held values (channels, n); NaN where a channel has none."""
    out = np.empty(held.shape[1], np.float64)
    stack = np.empty(codes.shape[0], np.float64)
    for k in range(held.shape[1]):
        defined = True
        for c in range(held.shape[0]):
            defined = defined and held[c, k] == held[c, k]
        out[k] = compute(codes, constants, held[:, k], stack) if defined else np.nan
    return out


def values_of(signal: SignalPlan, held: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values (n,) of a signal of arithmetic from the held values (channels, n) of its inputs."""
    codes = np.array([code for code, _ in signal.program], np.int64)
    constants = np.array([constant for _, constant in signal.program], np.float64)
    found: NDArray[np.float64] = computed_rows(codes, constants, held)
    return found


@compiled
def merge_kernel(  # type: ignore[no-untyped-def]
    times,
    values,
    places,
    inputs,
    codes,
    constants,
    outputs,
    each,
    held,
    until,
    out_times,
    out_until,
    out_values,
    out_places,
):
    """Writes the points of one signal and returns their number.

    `inputs` has a row per channel: offset in times, count, offset in values, offset in places, maximum age. `held` and `until`
    are the signal's state: the value of each channel; until when it holds and its position. Where the value becomes undefined by a division, a point
    with NaN and no duration says so.
    """
    channels = inputs.shape[0]
    at = np.zeros(channels, np.int64)
    stack = np.empty(codes.shape[0], np.float64)
    points = 0
    while True:
        t = np.int64(2**62)
        for c in range(channels):
            if at[c] < inputs[c, 1]:
                t = min(t, times[inputs[c, 0] + at[c]])
        if t == 2**62:
            return points
        sampled = False
        for c in range(channels):
            while at[c] < inputs[c, 1] and times[inputs[c, 0] + at[c]] == t:
                x = values[inputs[c, 2] + at[c]]
                if x == x:
                    held[c] = x
                    until[c, 0] = t + inputs[c, 4]
                    until[c, 1] = places[inputs[c, 3] + 2 * at[c]]
                    until[c, 2] = places[inputs[c, 3] + 2 * at[c] + 1]
                    sampled = True
                at[c] += 1
                if each:
                    break
        if not sampled:
            continue
        upto = until[0, 0]
        for c in range(1, channels):
            upto = min(upto, until[c, 0])
        if upto <= t:
            continue
        value = compute(codes, constants, held, stack)
        for j in range(1, outputs):
            value = value if value != value or stack[j] == stack[j] else np.nan
        out_times[points] = t
        out_values[0, points] = value
        for j in range(1, outputs):
            out_values[j, points] = stack[j] if value == value else np.nan
        out_until[points] = upto if value == value else t
        for c in range(channels):
            out_places[points, 2 * c] = until[c, 1]
            out_places[points, 2 * c + 1] = until[c, 2]
        points += 1


class MergedSignal:
    """A signal of arithmetic with its state between calls."""

    def __init__(self, plan: SignalPlan) -> None:
        channels = len(plan.inputs)
        self.codes = np.array([code for code, _ in plan.program], np.int64)
        self.constants = np.array([constant for _, constant in plan.program], np.float64)
        self.outputs = plan.outputs
        self.each = channels == 1 and not plan.instants
        self.ages = [item.max_age for item in plan.inputs]
        self.held = np.zeros(channels, np.float64)
        self.until = np.full((channels, 3), NEVER, np.int64)

    def points(
        self,
        times: NDArray[np.int64],
        values: NDArray[np.float64],
        places: NDArray[np.int64],
        spans: list[tuple[int, int, int, int]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Times, ends of validity, values (one row per output of the plan, one behind the other) and positions of the new points.

        `spans` gives each channel's offset in times, count, offset in values and offset in places.
        """
        inputs = np.array([(*span, age) for span, age in zip(spans, self.ages, strict=True)], np.int64)
        room = int(inputs[:, 1].sum())
        out_times, out_until = np.empty(room, np.int64), np.empty(room, np.int64)
        out_values = np.empty((self.outputs, room), np.float64)
        out_places = np.empty((room, 2 * len(spans)), np.int64)
        n = merge_kernel(
            times,
            values,
            places,
            inputs,
            self.codes,
            self.constants,
            self.outputs,
            self.each,
            self.held,
            self.until,
            out_times,
            out_until,
            out_values,
            out_places,
        )
        return out_times[:n], out_until[:n], out_values[:, :n].ravel(), out_places[:n]
