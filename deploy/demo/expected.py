"""What the criteria must say about the recorded runs, computed from the data and the conventions of the criteria language.

Plain NumPy over whole arrays, a second way to the same answer: nothing of the evaluator's kernels is used, only its file format. Slow and
short on purpose. Where the conventions leave a verdict to what is not seen, "seen" is judged here by undefined stretches of the held value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.kernel.times import HOUR, MINUTE, SECOND, Micros

PASS, INCONCLUSIVE, FAIL = "PASS", "INCONCLUSIVE", "FAIL"
_SECONDS = {"s": SECOND, "min": MINUTE, "h": HOUR}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """The valid samples of a signal: times (n,), values (n,), and until when each value holds (n,)."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    until: NDArray[np.int64]
    bad: NDArray[np.int64]  # instants of values that are no numbers

    def held(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """v(τ) at each instant: the last value at or before it that is not too old, else NaN."""
        index = np.searchsorted(self.times, at, side="right") - 1
        values = np.where(index >= 0, self.values[np.maximum(index, 0)], np.nan)
        return np.where((index >= 0) & (at < self.until[np.maximum(index, 0)]), values, np.nan)

    def pieces(self, start: Micros, end: Micros) -> list[tuple[Micros, Micros, float]]:
        """The held value over [start, end) as (from, to, value), defined stretches only."""
        ends = np.minimum(np.append(self.times[1:], np.iinfo(np.int64).max), self.until)
        cut = zip(np.maximum(self.times, start), np.minimum(ends, end), self.values, strict=True)
        return [(int(a), int(b), float(x)) for a, b, x in cut if a < b]

    def inside(self, start: Micros, end: Micros) -> Samples:
        """The samples with start <= t < end."""
        keep = (self.times >= start) & (self.times < end)
        bad = self.bad[(self.bad >= start) & (self.bad < end)]
        return Samples(self.times[keep], self.values[keep], self.until[keep], bad)


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A channel as delivered, with its maximum age and expanded uncertainty."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    max_age: Micros
    uncertainty: float

    def samples(self) -> Samples:
        valid = np.isfinite(self.values)
        times = self.times[valid]
        return Samples(times, self.values[valid], times + self.max_age, self.times[~valid])


@dataclass(frozen=True, slots=True)
class Found:
    """What a kind says by itself: margin (None without a number), and whether a failure is proven: nothing unseen could undo it."""

    margin: float | None
    fails: bool


def expected_outcome(
    criterion: Any, channels: Mapping[str, Channel], start: Micros, end: Micros
) -> tuple[str, float | None]:
    """Outcome and margin of a criterion (as the criteria file has it) over the phase [start, end)."""
    signal = _signal(criterion, channels)
    found = _KINDS[criterion["kind"]](criterion, signal, channels, start, end)
    here = signal.inside(start, end)
    if found.fails:
        return FAIL, found.margin
    if found.margin is None or not len(here.times):
        return INCONCLUSIVE, found.margin
    if _quality_wanting(criterion, signal, start, end):
        return INCONCLUSIVE, found.margin
    return FAIL if found.margin < 0 else PASS, found.margin


def worst(outcomes: list[str]) -> str:
    """The verdict of a run: the worst of its criteria."""
    return max(outcomes, key=(PASS, INCONCLUSIVE, FAIL).index)


def _quality_wanting(criterion: Any, signal: Samples, start: Micros, end: Micros) -> bool:
    demand = criterion.get("quality", {})
    here = signal.inside(start, end)
    if demand.get("on_bad_quality") == "inconclusive" and len(here.bad):
        return True
    if "min_coverage" in demand and coverage(signal, start, end) < demand["min_coverage"]:
        return True
    return "max_gap" in demand and longest_gap(here, start, end) > _micros(demand["max_gap"])


def coverage(signal: Samples, start: Micros, end: Micros) -> float:
    """The share of [start, end) over which the held value is defined."""
    return sum(b - a for a, b, _ in signal.pieces(start, end)) / (end - start)


def longest_gap(here: Samples, start: Micros, end: Micros) -> Micros:
    """The longest spacing of valid samples, start and end counted."""
    return int(np.diff(np.concatenate(([start], here.times, [end]))).max())


def _signal(criterion: Any, channels: Mapping[str, Channel]) -> Samples:
    if criterion["kind"] == "balance":
        terms = [*criterion["inputs"], *criterion["outputs"]]
        signs = [1.0] * len(criterion["inputs"]) + [-1.0] * len(criterion["outputs"])
        return _combined(terms, channels, lambda values: sum(s * v for s, v in zip(signs, values, strict=True)))
    if isinstance(criterion["signal"], str):
        return channels[criterion["signal"]].samples()
    operands: list[Any] = criterion["signal"]["of"]
    if criterion["signal"]["op"] == "ratio":
        return _combined(operands, channels, lambda values: values[0] / values[1])
    return _combined(operands, channels, lambda values: values[0] - values[1])


def _combined(terms: list[Any], channels: Mapping[str, Channel], compute: Callable[..., Any]) -> Samples:
    """Arithmetic at every instant of any operand at which all are defined; it holds as long as all of them do."""
    parts = [channels[term].samples() for term in terms if isinstance(term, str)]
    at = np.unique(np.concatenate([part.times for part in parts]))
    held = iter([part.held(at) for part in parts])
    values = compute(
        [next(held) if isinstance(term, str) else np.full(len(at), float(term["value"])) for term in terms]
    )
    until = np.min(
        [part.until[np.maximum(np.searchsorted(part.times, at, side="right") - 1, 0)] for part in parts], axis=0
    )
    valid = np.isfinite(values)
    return Samples(at[valid], values[valid], until[valid], at[:0])


def _limits(criterion: Any, channels: Mapping[str, Channel]) -> tuple[float, float]:
    guard = 0.0
    decision = criterion.get("decision", {})
    if decision.get("rule") == "guard_band":
        guard = decision.get("multiplier", 1.0) * channels[criterion["signal"]].uncertainty
    low = criterion["low"]["value"] + guard if "low" in criterion else -math.inf
    high = criterion["high"]["value"] - guard if "high" in criterion else math.inf
    return low, high


def _band(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    low, high = _limits(criterion, channels)
    return _pointwise(np.minimum(signal.inside(start, end).values - low, high - signal.inside(start, end).values))


def _balance(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    return _pointwise(criterion["limit"]["value"] - np.abs(signal.inside(start, end).values))


def _pointwise(margins: NDArray[np.float64]) -> Found:
    margin = float(margins.min()) if len(margins) else None
    return Found(margin, fails=margin is not None and margin < 0)


def _stretches(
    criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros
) -> list[list[int]]:
    """Unbroken stretches of the held value, each as [from, to, 1 if in band else 0], neighbours of one kind joined."""
    low, high = _limits(criterion, channels)
    joined: list[list[int]] = []
    for a, b, x in signal.pieces(start, end):
        inside = int(low <= x <= high)
        if joined and joined[-1][1] == a and joined[-1][2] == inside:
            joined[-1][1] = b
        else:
            joined.append([a, b, inside])
    return joined


def _excursion(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    out = [b - a for a, b, inside in _stretches(criterion, signal, channels, start, end) if not inside]
    spare = _micros(criterion["at_most"]) - max(out, default=0)
    return Found(spare / SECOND, fails=spare < 0)


def _time_out(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    out = [b - a for a, b, inside in _stretches(criterion, signal, channels, start, end) if not inside]
    spare = _micros(criterion["at_most"]) - sum(out)
    return Found(spare / SECOND, fails=spare < 0)


def _hold(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    """A failure is proven when not even the stretches between values out of band are long enough; the margin here is in seconds."""
    stretches = _stretches(criterion, signal, channels, start, end)
    duration = _micros(criterion["duration"])
    longest = max((b - a for a, b, inside in stretches if inside), default=0)
    borders = [start, *(t for a, b, inside in stretches if not inside for t in (a, b)), end]
    possible = max(b - a for a, b in zip(borders[::2], borders[1::2], strict=True))
    return Found((longest - duration) / SECOND, fails=possible < duration)


def _settle(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    here = signal.inside(start, end)
    if not len(here.times):
        return Found(None, fails=False)
    target = criterion["target"]["value"]
    away = here.values - target
    margins = criterion["tolerance"]["value"] - np.abs(away[here.times >= start + _micros(criterion["by"])])
    if "overshoot" in criterion:
        beyond = np.abs(away) if away[0] == 0 else away * -np.sign(away[0])
        margins = np.append(margins, criterion["overshoot"]["value"] - beyond)
    return _pointwise(margins)


def _rate(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    here, window = signal.inside(start, end), _micros(criterion["window"])
    per = _SECONDS[criterion["low"]["unit"].split("/")[1]]
    margins, proven = [], False
    for t in here.times[here.times - window >= start]:
        part = here.inside(int(t) - window + 1, int(t) + 1)
        if len(part.times) < criterion["min_count"]:
            continue
        hours = (part.times - t) / per
        slope = float(np.polyfit(hours, part.values, 1)[0])
        margin = min(slope - criterion["low"]["value"], criterion["high"]["value"] - slope)
        margins.append(margin)
        proven |= margin < 0 and coverage(signal, int(t) - window, int(t)) == 1.0
    return Found(min(margins, default=None), fails=proven)


def _statistics(criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros) -> Found:
    length = _micros(criterion["window"]) if "window" in criterion else end - start
    low, high = _limits(criterion, channels)
    margins, proven = [], False
    for a in range(start, end - length + 1, length):
        values = signal.inside(a, a + length).values
        if len(values) < max(criterion.get("min_count", 1), 1):
            continue
        value = float(np.mean(values))
        if criterion["statistic"] == "percentile":
            value = float(np.percentile(values, criterion["percentile"]))
        margins.append(min(value - low, high - value))
        proven |= margins[-1] < 0 and coverage(signal, a, a + length) == 1.0
    return Found(min(margins, default=None), fails=proven)


def _data_quality(
    criterion: Any, signal: Samples, channels: Mapping[str, Channel], start: Micros, end: Micros
) -> Found:
    """The demands are the criterion, so not meeting one of them is a failure. The margin is only a sign here."""
    here = signal.inside(start, end)
    met = coverage(signal, start, end) >= criterion.get("min_coverage", 0.0)
    if "max_gap" in criterion:
        met &= longest_gap(here, start, end) <= _micros(criterion["max_gap"])
    if "max_stuck" in criterion:
        met &= _longest_stuck(here) <= _micros(criterion["max_stuck"])
    met &= len(here.bad) <= criterion.get("max_nan", math.inf)
    return Found(0.0 if met else -1.0, fails=not met)


def _longest_stuck(here: Samples) -> Micros:
    """The longest time from the first to the last of successive samples with one value."""
    change = np.flatnonzero(np.diff(here.values) != 0) + 1
    first = np.concatenate(([0], change))
    last = np.concatenate((change, [len(here.values)])) - 1
    return int(np.max(here.times[last] - here.times[first]))


def _micros(quantity: Any) -> Micros:
    return int(quantity["value"] * _SECONDS[quantity["unit"]])


_KINDS: dict[str, Callable[[Any, Samples, Mapping[str, Channel], Micros, Micros], Found]] = {
    "band": _band,
    "balance": _balance,
    "longest_excursion": _excursion,
    "cumulative_time_out": _time_out,
    "hold": _hold,
    "settle": _settle,
    "rate_of_change": _rate,
    "window_statistics": _statistics,
    "data_quality": _data_quality,
}
