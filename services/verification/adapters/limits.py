"""Limit lines of a criterion in the unit of its signal, for curves and margin bars. What a verdict uses is compiled in the domain."""

from __future__ import annotations

from typing import Any

from services.verification.adapters.views import Limits
from services.verification.domain.computed import signal_of
from services.verification.domain.plan import guard_width
from services.verification.domain.signals import Channels, compile_signal, convert
from shared.kernel.errors import Invalid

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
