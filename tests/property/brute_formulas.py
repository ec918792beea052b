"""Formulas as they can be read in the reference: every value by looking at every instant of its window, unknown where the phase ends.

An independent witness: it shares nothing with the evaluator but the formula's document.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Pair = tuple[float, float]
UNKNOWN: Pair = (-math.inf, math.inf)
TINY = 5e-324


@dataclass(frozen=True)
class Trace:
    """Instants (µs), per channel its value at each, and the phase's end."""

    times: Sequence[int]
    values: Mapping[str, Sequence[float]]
    end: int


def negated(pair: Pair) -> Pair:
    """What holds with equality does not hold negated."""

    def one(x: float) -> float:
        return -TINY if x == 0 else -x

    return one(pair[1]), one(pair[0])


def lowest(pairs: Sequence[Pair]) -> Pair:
    return min(p[0] for p in pairs), min(p[1] for p in pairs)


def highest(pairs: Sequence[Pair]) -> Pair:
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def value(formula: Mapping[str, Any], trace: Trace, k: int) -> Pair:
    """[lo, hi] of the formula at the k-th instant."""
    op = formula["op"]
    if op in ("<=", "<", ">=", ">"):
        x, limit = trace.values[formula["left"]][k], formula["right"]["value"]
        slack = limit - x if op in ("<=", ">") else x - limit
        return (slack, slack) if op in ("<=", ">=") else negated((slack, slack))
    of = formula["of"]
    if op == "not":
        return negated(value(of, trace, k))
    if op == "and":
        return lowest([value(part, trace, k) for part in of])
    if op == "or":
        return highest([value(part, trace, k) for part in of])
    if op == "implies":
        return highest([negated(value(of[0], trace, k)), value(of[1], trace, k)])
    if op in ("rise", "fall"):
        if k == 0:
            return -math.inf, -math.inf
        now, before = value(of, trace, k), value(of, trace, k - 1)
        return lowest([now, negated(before)] if op == "rise" else [negated(now), before])
    window, beyond = _window(formula, trace, k)
    if not window:
        return lowest([UNKNOWN, *(value(of[0], trace, j) for j in _between(formula, trace, k))])
    return _WINDOWED[op](of, trace, k, window, beyond)


def _window(formula: Mapping[str, Any], trace: Trace, k: int) -> tuple[list[int], bool]:
    """The instants of the window, and whether a part of it lies beyond the phase."""
    t, within = trace.times[k], formula.get("within")
    future = formula["op"] in ("always", "eventually", "until")
    if within is None:
        a, b = (t, math.inf) if future else (-math.inf, t)
    else:
        after, upto = (within[side]["value"] * 1e6 for side in ("after", "upto"))
        a, b = (t + after, t + upto) if future else (t - upto, t - after)
    return [j for j, u in enumerate(trace.times) if a <= u <= b], future and trace.end <= b < math.inf


def _between(formula: Mapping[str, Any], trace: Trace, k: int) -> list[int]:
    """Of until and since: the instants from now to the window, at which the first must hold whatever is in the window."""
    if formula["op"] not in ("until", "since") or formula.get("within") is None:
        return []
    t, after = trace.times[k], formula["within"]["after"]["value"] * 1e6
    a, b = (t, t + after - 1) if formula["op"] == "until" else (t - after + 1, t)
    return [j for j, u in enumerate(trace.times) if a <= u <= b]


def _always(of: Any, trace: Trace, _k: int, window: list[int], beyond: bool) -> Pair:
    found = [value(of, trace, j) for j in window]
    return lowest([*found, UNKNOWN] if beyond else found)


def _eventually(of: Any, trace: Trace, _k: int, window: list[int], beyond: bool) -> Pair:
    found = [value(of, trace, j) for j in window]
    return highest([*found, UNKNOWN] if beyond else found)


def _until(of: Any, trace: Trace, k: int, window: list[int], beyond: bool) -> Pair:
    """Some instant of the window has the second, and all before it from now on have the first."""
    options = [lowest([value(of[1], trace, j), *(value(of[0], trace, i) for i in range(k, j))]) for j in window]
    if beyond:
        options.append(lowest([UNKNOWN, *(value(of[0], trace, i) for i in range(k, window[-1] + 1))]))
    return highest(options)


def _since(of: Any, trace: Trace, k: int, window: list[int], _beyond: bool) -> Pair:
    return highest(
        [lowest([value(of[1], trace, j), *(value(of[0], trace, i) for i in range(j + 1, k + 1))]) for j in window]
    )


_WINDOWED: dict[str, Callable[..., Pair]] = {
    "always": _always,
    "historically": _always,
    "eventually": _eventually,
    "once": _eventually,
    "until": _until,
    "since": _since,
}
