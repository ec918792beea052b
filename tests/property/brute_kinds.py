"""The kinds on processes and events as they can be read in the reference, without state; values in the signal's unit, times in µs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, stdev

from tests.property.brute_force import Expected, Phase, Signal, inside, judged, slope, stretches, worst


def fraction_in_band(signal: Signal, phase: Phase, low: float, high: float, demanded: float) -> Expected:
    pieces = [(b - a, v) for a, b, v in stretches(signal, phase) if b > a]
    good = sum(length for length, v in pieces if v is not None and inside(v, low, high) >= 0)
    out = sum(length for length, v in pieces if v is not None and inside(v, low, high) < 0)
    whole = sum(length for length, _ in pieces)
    proven = whole > 0 and (whole - out) / whole < demanded
    if good + out == 0:
        return Expected(None, proven, answered=False)
    return Expected(good / (good + out) - demanded, proven, time_out=out)


def ramp(signal: Signal, phase: Phase, levels: tuple[float, float], rate: float, tolerance: float) -> Expected:
    """`rate` per second, positive."""
    first, last = levels
    margins = []
    for t, x in judged(signal, phase):
        if phase.is_held(t):
            continue
        gone = (phase.clock(t) - phase.clock(phase.start)) / 1e6
        way = min(rate * gone, abs(last - first))
        target = first + math.copysign(way, last - first)
        margins.append((t, tolerance - abs(x - target)))
    found = worst(margins)
    return Expected(None, False, answered=False) if found is None else Expected(found[0], found[0] < 0)


def envelope(
    signal: Signal, phase: Phase, step: int, points: Sequence[tuple[float, float]], allowed: int | None
) -> Expected:
    """`points` are (mean, half width), one every `step`. Every border lies on a whole second, so one look a second sees all."""
    margins, past = [], False
    for t in range(phase.start, phase.end, 1_000_000):
        v = signal.at(t)
        if phase.is_held(t) or v is None:
            continue
        j = (phase.clock(t) - phase.clock(phase.start)) // step
        if j >= len(points):
            past = True
            continue
        mean, half = points[j]
        margins.append((t, half - abs(v - mean)))
    found = worst(margins)
    if found is None:
        return Expected(None, False, answered=False)
    out = 1_000_000 * sum(1 for _, m in margins if m < 0)
    margin = found[0] if allowed is None else (allowed - out) / 1e6
    spare = None if allowed is None else allowed - out
    return Expected(margin, margin < 0, not past, found[1], out, spare)


def steady_state(signal: Signal, phase: Phase, gradient: float, window: int, windows: int, min_count: int) -> Expected:
    """`gradient` per second."""
    samples = judged(signal, phase)
    margins: list[float | None] = []
    for j in range((phase.end - phase.start) // window):
        a = phase.start + j * window
        part = [(t, x) for t, x in samples if a <= t < a + window]
        found = slope(part) if len(part) >= min_count else None
        margins.append(None if found is None else gradient - abs(found))
    best = -math.inf
    for j in range(windows, len(margins) + 1):
        run = margins[j - windows : j]
        known = [m for m in run if m is not None]
        if len(known) == windows:
            best = max(best, min(known))
    return Expected(best, False) if best > -math.inf else Expected(None, False, answered=False)


def drift(signal: Signal, phase: Phase, low: float, high: float, min_count: int) -> Expected:
    samples = judged(signal, phase)
    found = slope(samples) if len(samples) >= min_count else None
    return Expected(None, False, answered=False) if found is None else Expected(inside(found, low, high), False)


def integral(signal: Signal, phase: Phase, low: float, high: float) -> Expected:
    """Limits in the signal's unit times seconds."""
    pieces = [(b - a, v) for a, b, v in stretches(signal, phase) if b > a and v is not None]
    if not pieces:
        return Expected(None, False, answered=False)
    return Expected(inside(math.fsum(length / 1e6 * v for length, v in pieces), low, high), False)


def totaliser(signal: Signal, phase: Phase, low: float, high: float, rollover: float) -> Expected:
    [samples] = signal.channels
    before = [(t, x) for t, x in samples if t < phase.start]
    readings = [x for t, x in samples if phase.start <= t < phase.end]
    if not readings:
        return Expected(None, False, answered=False)
    if before and before[-1][0] + signal.ages[0] > phase.start:
        readings = [before[-1][1], *readings]
    steps = [b - a if b >= a else max(b, 0.0) + max(rollover - a, 0.0) for a, b in pairwise(readings)]
    totals = [math.fsum(steps[:k]) for k in range(len(steps) + 1)]
    return Expected(inside(totals[-1], low, high), any(total > high for total in totals))


def uniformity(places: Sequence[float], formula: str) -> float:
    mean = fmean(places)
    if mean == 0:
        return math.nan
    spread = {
        "half_range": (max(places) - min(places)) / 2,
        "range": max(places) - min(places),
        "sd": stdev(places),
    }[formula]
    return spread / abs(mean)


def edges(signal: Signal, phase: Phase, event: Callable[[float], bool]) -> list[tuple[int, float]]:
    """The points at which the event is true and was not at the point before, which lies in the phase or holds into it."""
    found = []
    for (t0, x0), (t, x) in pairwise(signal.points()):
        known = t0 >= phase.start or all(
            max(s for s, _ in samples if s <= t0) + age > phase.start
            for samples, age in zip(signal.channels, signal.ages, strict=True)
        )
        if known and phase.start <= t < phase.end and event(x) and not event(x0):
            found.append((t, x))
    return found


def true_time(signal: Signal, phase: Phase, holds: Callable[[float], bool]) -> int:
    return sum(b - a for a, b, v in stretches(signal, phase) if v is not None and holds(v))
