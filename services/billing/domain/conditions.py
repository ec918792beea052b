"""Conditions with hysteresis and dwell, and the three-valued logic of the rules over them: True, False, None for unknown."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.billing.domain.segment import RunContext
from services.billing.domain.state_model import (
    AllOf,
    AnyOf,
    Condition,
    Expression,
    Holds,
    Not,
    PhaseIs,
    RunActivity,
    RunIs,
)
from shared.kernel.times import Micros


class ComparatorState(msgspec.Struct, array_like=True):
    """`latch` follows the limits with hysteresis, `output` follows the latch after the dwell. None before the first value. `since` is when
    the latch left the output, None while they agree or the channel has no value."""

    latch: bool | None = None
    output: bool | None = None
    since: Micros | None = None


def observe(state: ComparatorState, condition: Condition, value: float | None, now: Micros) -> None:
    """Take the channel's value at `now`; None: it has none any more, and a pending change is forgotten."""
    if value is None:
        state.since = None
        return
    on = value > condition.on if condition.above else value < condition.on
    off = (value < condition.off if condition.above else value > condition.off) or condition.on == condition.off
    if on:
        state.latch = True
    elif off or state.latch is None:
        state.latch = False
    if state.output is None:
        state.output = state.latch
    if state.latch == state.output:
        state.since = None
    elif state.since is None:
        state.since = now
    settle(state, condition, now)


def settle(state: ComparatorState, condition: Condition, now: Micros) -> None:
    """Let a change that has lasted long enough take effect."""
    if state.since is not None and now >= state.since + condition.dwell:
        state.output, state.since = state.latch, None


def due(state: ComparatorState, condition: Condition) -> Micros | None:
    """When a pending change takes effect unless something happens."""
    return None if state.since is None else state.since + condition.dwell


def activity(context: RunContext) -> RunActivity:
    if not context.run:
        return RunActivity.NONE
    return RunActivity.HELD if context.held else RunActivity.ACTIVE


def decide(expression: Expression, conditions: Mapping[str, bool | None], context: RunContext) -> bool | None:
    """Kleene's logic: a conjunction with a false part is false whatever is unknown, a disjunction with a true part true."""
    if isinstance(expression, Holds):
        return conditions[expression.condition]
    if isinstance(expression, RunIs):
        return activity(context) in expression.activities
    if isinstance(expression, PhaseIs):
        return context.phase in expression.phases
    if isinstance(expression, Not):
        inner = decide(expression.of, conditions, context)
        return None if inner is None else not inner
    stopper = isinstance(expression, AnyOf)
    return _combine(expression, conditions, context, stopper=stopper)


def _combine(
    expression: AllOf | AnyOf, conditions: Mapping[str, bool | None], context: RunContext, *, stopper: bool
) -> bool | None:
    unknown = False
    for part in expression.of:
        value = decide(part, conditions, context)
        if value is stopper:
            return stopper
        unknown = unknown or value is None
    return None if unknown else not stopper
