"""Limit lines of a criterion in the unit of its signal, for curves and margin bars. What a verdict uses is compiled in the domain."""

from __future__ import annotations

from typing import Any

from services.verification.adapters.views import Bounds, Limits
from services.verification.domain.computed import signal_of
from services.verification.domain.plan import guard_width, lane_alone
from services.verification.domain.signals import Channels, compile_signal, convert
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros

MAX_BOUNDS = 2_000
"""Steps of an envelope that are drawn; a longer reference shows every second, third, … of its points."""

_LEVELS = {
    "band",
    "hold",
    "longest_excursion",
    "cumulative_time_out",
    "fraction_in_band",
    "settle",
    "window_statistics",
}
_SLACKS = {"balance", "setpoint_band", "uniformity"}


def limits_of(criterion: Any, channels: Channels) -> Limits | None:
    """None for kinds whose limits are not values of the signal."""
    if criterion.kind in _SLACKS:
        return _at_zero(criterion, channels)
    if criterion.kind not in _LEVELS or (
        criterion.kind == "window_statistics" and criterion.statistic in {"sd", "rms"}
    ):
        return None
    try:
        signal = compile_signal(criterion.signal, channels, "signal")
        if criterion.kind == "settle":
            return _around(criterion, signal)
        low, high = (
            None if bound is None else convert(bound, signal.unit, "limit", difference=signal.difference)
            for bound in (criterion.low, criterion.high)
        )
        band = None if low is None or high is None else high - low
        return Limits(low=low, high=high, guard=guard_width(criterion, signal, band), unit=signal.unit)
    except Invalid:
        return None  # the registry has changed since the run: the curve is drawn without lines


def bounds_of(criterion: Any, channels: Channels, start: Micros, span: tuple[Micros, Micros]) -> Bounds | None:
    """The bounds of an envelope whose phase began at `start`, as far as they touch `span`; None for other kinds, and where a clock that stops in
    Held can have moved them."""
    if criterion.kind != "envelope" or criterion.clock_in_hold == "stop":
        return None
    try:
        signal = compile_signal(criterion.signal, channels, "signal")
        lane = lane_alone(criterion, signal)
    except Invalid:
        return None
    step, points = lane.ints[0], lane.ints[1]
    means, halves = lane.floats[1 : 1 + points], lane.floats[1 + points :]
    first, last = max((span[0] - start) // step, 0), min(-(-(span[1] - start) // step), points)
    shown = range(first, last, max(1, (last - first) // MAX_BOUNDS))
    return Bounds(
        at=tuple(start + j * step for j in shown),
        low=tuple(means[j] - halves[j] for j in shown),
        high=tuple(means[j] + halves[j] for j in shown),
    )


def _at_zero(criterion: Any, channels: Channels) -> Limits | None:
    """What is left of a tolerance holds where it is not negative."""
    try:
        return Limits(0.0, None, 0.0, signal_of(criterion, channels, "criterion").unit)
    except Invalid:
        return None


def _around(criterion: Any, signal: Any) -> Limits:
    target = convert(criterion.target, signal.unit, "target", difference=signal.difference)
    tolerance = convert(criterion.tolerance, signal.unit, "tolerance", difference=True)
    return Limits(target - tolerance, target + tolerance, guard_width(criterion, signal, 2 * tolerance), signal.unit)
