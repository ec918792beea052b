"""Limit lines of a criterion in the unit of its signal, for curves and margin bars. What a verdict uses is compiled in the domain."""

from __future__ import annotations

from typing import Any

from services.verification.adapters.views import Limits
from services.verification.domain.computed import signal_of
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
        low, high = _bounds(criterion)
        return (
            Limits(
                low=None if low is None else convert(low, signal.unit, "low", difference=signal.difference),
                high=None if high is None else convert(high, signal.unit, "high", difference=signal.difference),
                guard=_guard(criterion, signal),
                unit=signal.unit,
            )
            if criterion.kind != "settle"
            else _around(criterion, signal)
        )
    except Invalid:
        return None  # the registry has changed since the run: the curve is drawn without lines


def _at_zero(criterion: Any, channels: Channels) -> Limits | None:
    """What is left of a tolerance holds where it is not negative."""
    try:
        return Limits(0.0, None, 0.0, signal_of(criterion, channels, "criterion").unit)
    except Invalid:
        return None


def _bounds(criterion: Any) -> tuple[Any, Any]:
    return (None, None) if criterion.kind == "settle" else (criterion.low, criterion.high)


def _around(criterion: Any, signal: Any) -> Limits:
    target = convert(criterion.target, signal.unit, "target", difference=signal.difference)
    tolerance = convert(criterion.tolerance, signal.unit, "tolerance", difference=True)
    return Limits(target - tolerance, target + tolerance, _guard(criterion, signal), signal.unit)


def _guard(criterion: Any, signal: Any) -> float:
    decision = criterion.decision
    if decision.rule == "simple":
        return 0.0
    if decision.uncertainty is not None:
        return float(decision.multiplier * convert(decision.uncertainty, signal.unit, "uncertainty", difference=True))
    known = signal.uncertainty
    return 0.0 if known is None else float(decision.multiplier * known.expanded)
