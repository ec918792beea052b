"""The normative conventions of the verification specification, written down as directly as they can be read: quadratic, without state.

An independent witness: it shares no code with the evaluator. Values and limits are in the signal's unit, times in µs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, stdev

Sample = tuple[int, float]


@dataclass(frozen=True)
class Signal:
    """`channels` are the valid samples of each channel in order; `ages` their maximum ages; `value` computes from held values."""

    channels: Sequence[Sequence[Sample]]
    ages: Sequence[int]
    value: Callable[..., float]

    def at(self, instant: int) -> float | None:
        """v(instant): previous-value hold bounded by the maximum age; None where it is undefined."""
        held = []
        for samples, age in zip(self.channels, self.ages, strict=True):
            before = [sample for sample in samples if sample[0] <= instant]
            if not before or instant >= before[-1][0] + age:
                return None
            held.append(before[-1][1])
        found = float(self.value(*held))
        return None if math.isnan(found) else found

    def points(self) -> list[Sample]:
        """Every sample of a single channel; every instant of any of several channels at which all are defined."""
        if len(self.channels) == 1:
            return [(t, y) for t, x in self.channels[0] if not math.isnan(y := self.value(x))]
        instants = sorted({t for samples in self.channels for t, _ in samples})
        return [(t, found) for t in instants if (found := self.at(t)) is not None]

    def borders(self) -> set[int]:
        ends = {t + age for samples, age in zip(self.channels, self.ages, strict=True) for t, _ in samples}
        return ends | {t for samples in self.channels for t, _ in samples}


@dataclass(frozen=True)
class Phase:
    """[start, end), with the held stretches that the criterion's clock leaves out."""

    start: int
    end: int
    held: Sequence[tuple[int, int]] = ()

    def clock(self, instant: int) -> int:
        return instant - sum(max(0, min(instant, b) - a) for a, b in self.held)

    def is_held(self, instant: int) -> bool:
        return any(a <= instant < b for a, b in self.held)


@dataclass(frozen=True)
class Expected:
    """`proven`: what was seen makes it FAIL whatever is missing. `answered`: there is a number, or a plain no."""

    margin: float | None
    proven: bool
    answered: bool = True
    worst_at: int | None = None
    time_out: int | None = None
    time_margin: int | None = None


@dataclass(frozen=True)
class Quality:
    coverage: float
    longest_gap: int
    samples: int


def judged(signal: Signal, phase: Phase) -> list[Sample]:
    return [(t, x) for t, x in signal.points() if phase.start <= t < phase.end]


def stretches(signal: Signal, phase: Phase) -> list[tuple[int, int, float | None]]:
    """[from, to, v) over the phase in elementary pieces, held stretches left out, on the run clock."""
    cuts = {phase.start, phase.end} | {t for pair in phase.held for t in pair} | signal.borders()
    inside = sorted(t for t in cuts if phase.start <= t <= phase.end)
    return [(phase.clock(a), phase.clock(b), signal.at(a)) for a, b in pairwise(inside) if not phase.is_held(a)]


def quality(signal: Signal, phase: Phase) -> Quality:
    whole = Phase(phase.start, phase.end)
    times = [t for t, _ in judged(signal, whole)]
    marks = [phase.start, *times, phase.end]
    covered = sum(b - a for a, b, v in stretches(signal, whole) if v is not None)
    length = phase.end - phase.start
    return Quality(
        coverage=covered / length if length else 0.0,
        longest_gap=max(b - a for a, b in pairwise(marks)),
        samples=len(times),
    )


def worst(margins: Sequence[tuple[int, float]]) -> tuple[float, int] | None:
    """The smallest margin and the earliest instant at which it is attained."""
    if not margins:
        return None
    least = min(m for _, m in margins)
    return least, min(t for t, m in margins if m == least)


def inside(x: float, low: float, high: float) -> float:
    return min(x - low, high - x)


def band(signal: Signal, phase: Phase, low: float, high: float) -> Expected:
    found = worst([(t, inside(x, low, high)) for t, x in judged(signal, phase)])
    return Expected(None, False) if found is None else Expected(found[0], found[0] < 0, worst_at=found[1])


def settle(signal: Signal, phase: Phase, target: float, tolerance: float, by: int, overshoot: float) -> Expected:
    samples = [(t, x) for t, x in judged(signal, phase) if not phase.is_held(t)]
    stay = [(t, tolerance - abs(x - target)) for t, x in samples if phase.clock(t) >= phase.clock(phase.start) + by]
    over: list[tuple[int, float]] = []
    for t, x in samples:
        first = samples[0][1]
        beyond = x - target if first < target else target - x if first > target else abs(x - target)
        if overshoot < math.inf:
            over.append((t, overshoot - beyond))
    found = worst(stay + over)
    proven = found is not None and found[0] < 0
    answered = bool(stay) or proven
    return Expected(found[0] if found and answered else None, proven, answered, found[1] if found else None)


def out_of_band(signal: Signal, phase: Phase, low: float, high: float) -> list[tuple[int, int]]:
    """Maximal stretches of the run clock in which v is defined and out of band."""
    runs: list[tuple[int, int]] = []
    for a, b, v in stretches(signal, phase):
        if v is None or inside(v, low, high) >= 0 or b == a:
            continue
        if runs and runs[-1][1] == a:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((a, b))
    return runs


def longest_excursion(signal: Signal, phase: Phase, low: float, high: float, allowed: int) -> Expected:
    runs = out_of_band(signal, phase, low, high)
    spare = allowed - max([b - a for a, b in runs], default=0)
    return Expected(spare / 1e6, spare < 0, time_out=sum(b - a for a, b in runs), time_margin=spare)


def cumulative_time_out(signal: Signal, phase: Phase, low: float, high: float, allowed: int) -> Expected:
    total = sum(b - a for a, b in out_of_band(signal, phase, low, high))
    return Expected((allowed - total) / 1e6, total > allowed, time_out=total, time_margin=allowed - total)


def hold(signal: Signal, phase: Phase, low: float, high: float, duration: int) -> Expected:
    pieces = [piece for piece in stretches(signal, phase) if piece[1] > piece[0]]
    starts = {a for a, _, _ in pieces} | {b - duration for _, b, _ in pieces}
    best = -math.inf
    for start in starts:
        cut = [(max(a, start), min(b, start + duration), v) for a, b, v in pieces]
        cut = [(a, b, v) for a, b, v in cut if b > a]
        known = [inside(v, low, high) for _, _, v in cut if v is not None]
        if len(known) == len(cut) and sum(b - a for a, b, _ in cut) == duration:
            best = max(best, min(known))
    in_band = _longest([(a, b) for a, b, v in pieces if v is not None and inside(v, low, high) >= 0])
    maybe = _longest([(a, b) for a, b, v in pieces if v is None or inside(v, low, high) >= 0])
    proven = maybe < duration
    if best == -math.inf:
        return Expected(None, proven, answered=proven, time_margin=in_band - duration)
    return Expected(best, proven, time_margin=in_band - duration)


def _longest(pieces: Sequence[tuple[int, int]]) -> int:
    longest = run = 0
    end = None
    for a, b in pieces:
        run = run + b - a if a == end else b - a
        end = b
        longest = max(longest, run)
    return longest


def slope(samples: Sequence[Sample]) -> float | None:
    """Least squares, per second."""
    times = [t / 1e6 for t, _ in samples]
    mean_t, mean_x = fmean(times), fmean(x for _, x in samples)
    spread = sum((t - mean_t) ** 2 for t in times)
    if len(set(times)) == 1:
        return None
    return sum((t - mean_t) * (x - mean_x) for t, (_, x) in zip(times, samples, strict=True)) / spread


def statistic(values: Sequence[float], name: str, rank: float = 0.0) -> float | None:
    if name == "mean":
        return fmean(values)
    if name == "sd":
        return stdev(values) if len(values) > 1 else None
    if name == "rms":
        return math.sqrt(fmean(x * x for x in values))
    ordered = sorted(values)
    if name == "min":
        return ordered[0]
    if name == "max":
        return ordered[-1]
    place = rank * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@dataclass
class Windows:
    """Values over windows, and which of them prove something: windows in which nothing can be missing, or a value beyond an extremum."""

    low: float
    high: float
    gap: int
    extremum: str = ""
    margins: list[tuple[int, float]] = field(default_factory=list)
    proven: bool = False

    def add(self, at: int, value: float, seen: bool) -> None:
        margin = inside(value, self.low, self.high)
        self.margins.append((at, margin))
        beyond = (self.extremum == "min" and value < self.low) or (self.extremum == "max" and value > self.high)
        self.proven = self.proven or (margin < 0 and (seen or beyond))

    def expected(self) -> Expected:
        found = worst(self.margins)
        if found is None:
            return Expected(None, False, answered=False)
        return Expected(found[0], self.proven, worst_at=found[1])


def sliding(
    samples: Sequence[Sample],
    phase: Phase,
    windows: Windows,
    length: int,
    min_count: int,
    value: Callable[[Sequence[Sample]], float | None],
) -> Expected:
    """(t - W, t] for every instant t with a sample and t - W >= s, all samples of an instant in it."""
    marks = [phase.start, *(t for t, _ in samples)]
    for i, (t, _) in enumerate(samples):
        if t - length < phase.start or (i + 1 < len(samples) and samples[i + 1][0] == t):
            continue
        window = [sample for sample in samples[: i + 1] if sample[0] > t - length]
        missing = any(b - a > windows.gap and b > t - length for a, b in pairwise(marks[: i + 2]))
        if len(window) >= min_count and (found := value(window)) is not None:
            windows.add(t, found, not missing)
    return windows.expected()


def tumbling(
    samples: Sequence[Sample],
    phase: Phase,
    windows: Windows,
    length: int,
    min_count: int,
    value: Callable[[Sequence[Sample]], float | None],
) -> Expected:
    """[s + jW, s + (j+1)W) as far as they fit the phase."""
    start = phase.start
    while start + length <= phase.end:
        window = [sample for sample in samples if start <= sample[0] < start + length]
        marks = [start, *(t for t, _ in window), start + length]
        seen = all(b - a <= windows.gap for a, b in pairwise(marks))
        if window and len(window) >= min_count and (found := value(window)) is not None:
            windows.add(start + length, found, seen)
        start += length
    return windows.expected()


def whole_phase(
    samples: Sequence[Sample],
    phase: Phase,
    windows: Windows,
    min_count: int,
    value: Callable[[Sequence[Sample]], float | None],
) -> Expected:
    if samples and len(samples) >= min_count and (found := value(samples)) is not None:
        windows.add(phase.end, found, False)
    return windows.expected()


def outcome(expected: Expected, seen: Quality, min_coverage: float | None, max_gap: int | None) -> str:
    """A proven FAIL stays; then no data, coverage, gap and unanswered make INCONCLUSIVE; equality with the limit passes."""
    if expected.proven:
        return "FAIL"
    if seen.samples == 0:
        return "INCONCLUSIVE"
    if min_coverage is not None and seen.coverage < min_coverage:
        return "INCONCLUSIVE"
    if max_gap is not None and seen.longest_gap > max_gap:
        return "INCONCLUSIVE"
    if not expected.answered:
        return "INCONCLUSIVE"
    return "PASS" if expected.margin is not None and expected.margin >= 0 else "FAIL"
