"""Iterations: a run beside the one before it and a baseline, aligned on the starts of their phases (V-21).

Runs are iterations of one another when they verify the same item of the same project. A criterion is compared under its id; where its text
differs between the runs that is said, because its margins then answer different questions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.kinds.statistics import percentile_of
from shared.kernel.times import Micros

PERCENTILES = (5.0, 25.0, 50.0, 75.0, 95.0)
"""Of the statistics, in per cent."""

_ORDER = {"pass": 0, "inconclusive": 1, "fail": 2}


class Change(StrEnum):
    """What became of a criterion from the earlier run to the later one. `new`, `gone`: only the set of the one asks for it. `undecided`: one of
    the two has no verdict yet, or has not started."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    NEW = "new"
    GONE = "gone"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Standing:
    """One criterion in one run. `margin` is in `unit`, `worst_value` in `worst_unit`; `share` is of the tolerance; `document` is the digest of the
    criterion's text."""

    verdict: str
    margin: float | None
    share: float | None
    unit: str
    worst_value: float | None
    worst_unit: str
    reason: str | None
    document: str


@dataclass(frozen=True, slots=True)
class Step:
    """From an earlier run to the later one. `delta` is the later margin less the earlier, None unless both are finite and in one unit."""

    change: Change
    delta: float | None
    text_differs: bool


@dataclass(frozen=True, slots=True)
class CriterionComparison:
    """A criterion through the runs compared: `standings` and `steps` by run; a step leads from that run to the latest."""

    criterion: str
    standings: Mapping[str, Standing]
    steps: Mapping[str, Step]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of the valid samples of a channel with s <= t < e. `sd` has n - 1 and needs two samples; `percentiles` are those of PERCENTILES."""

    count: int
    mean: float | None
    sd: float | None
    minimum: float | None
    maximum: float | None
    percentiles: tuple[float, ...]


def compare_runs(
    latest: str, runs: Mapping[str, Mapping[str, Standing]], asked: Mapping[str, Collection[str]]
) -> tuple[CriterionComparison, ...]:
    """`runs` maps every run compared, `latest` among them, to its criteria: those of the latest first, then what only others have. `asked` maps
    them to the criteria of their sets, which a run has before it has any standing."""
    now = runs[latest]
    names = list(dict.fromkeys([*now, *(name for run in runs.values() for name in run)]))
    return tuple(
        CriterionComparison(
            criterion=name,
            standings={run: found[name] for run, found in runs.items() if name in found},
            steps={
                run: step(found.get(name), now.get(name), had=name in asked[run], has=name in asked[latest])
                for run, found in runs.items()
                if run != latest
            },
        )
        for name in names
    )


def step(before: Standing | None, after: Standing | None, *, had: bool = True, has: bool = True) -> Step:
    """What changed between two runs, of which the earlier one `had` the criterion in its set and the later one `has` it."""
    if had != has:
        return Step(Change.NEW if has else Change.GONE, None, text_differs=False)
    if before is None or after is None:
        return Step(Change.UNDECIDED, None, text_differs=False)
    return Step(_change(before.verdict, after.verdict), _delta(before, after), before.document != after.document)


def _change(before: str, after: str) -> Change:
    if before not in _ORDER or after not in _ORDER:
        return Change.UNDECIDED
    if before == after:
        return Change.SAME
    return Change.BETTER if _ORDER[after] < _ORDER[before] else Change.WORSE


def _delta(before: Standing, after: Standing) -> float | None:
    if before.margin is None or after.margin is None or before.unit != after.unit:
        return None
    delta = after.margin - before.margin
    return delta if math.isfinite(delta) else None


def baseline_of(latest: str, previous: Mapping[str, str | None]) -> str | None:
    """The first run of the chain that `previous` leads back from `latest`; None when there is nothing before it. A ring ends the chain."""
    seen = [latest]
    while (before := previous.get(seen[-1])) is not None and before not in seen:
        seen.append(before)
    return seen[-1] if len(seen) > 1 else None


def statistics_of(values: NDArray[np.float64]) -> Statistics:
    """By the conventions of window_statistics: sd with n - 1, percentiles linear between order statistics at rank q(n - 1)."""
    count = int(values.shape[0])
    if count == 0:
        return Statistics(0, None, None, None, None, ())
    ordered = np.sort(values)
    return Statistics(
        count=count,
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)) if count > 1 else None,
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        percentiles=tuple(float(percentile_of(ordered, count, q / 100.0)) for q in PERCENTILES),
    )


def within(
    times: NDArray[np.int64], values: NDArray[np.float64], phases: Sequence[tuple[str, Micros, Micros]]
) -> dict[str, NDArray[np.float64]]:
    """The valid values of each phase [start, end), in order of time; `times` ascend, a NaN is as if absent."""
    found = {}
    for name, start, end in phases:
        i, j = np.searchsorted(times, (start, end), "left")
        part = values[i:j]
        found[name] = part[~np.isnan(part)]
    return found
