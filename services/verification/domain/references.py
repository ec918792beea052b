"""A reference for envelopes from a family of recorded phases: mean and standard deviation point by point, aligned on the phases' starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.criteria.earlier import MOST_POINTS
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPhase:
    """The valid samples (n,) of a signal from one maximum age before a phase's start to its end, in order of time."""

    run: str
    start: Micros
    end: Micros
    max_age: Micros
    times: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FamilyPoint:
    """What the runs of a family had at one step: n - 1 in the sd."""

    mean: float
    sd: float
    runs: int


def reference_of(family: Sequence[RecordedPhase], step: Micros, least: int) -> tuple[FamilyPoint, ...]:
    """The held value v(s + i step) of every run, over the runs that have one; ends before the first step that fewer than `least` have.

    Raises Invalid(reference_family) for a family, or a demand, of fewer than two runs, or when no step has enough of them;
    Invalid(reference_steps) for more steps than a reference may have.
    """
    if len(family) < 2 or least < 2:
        raise Invalid(
            "reference_family",
            "a standard deviation takes at least two runs",
            field="runs",
            remedy="name more runs of the family",
        )
    longest = max(phase.end - phase.start for phase in family)
    steps = -(-longest // step)
    if steps > MOST_POINTS:
        raise Invalid(
            "reference_steps",
            f"{steps} steps, a reference has at most {MOST_POINTS}",
            field="step",
            remedy="take a longer step",
        )
    table = np.stack([_held(phase, step, steps) for phase in family])
    counts = np.count_nonzero(~np.isnan(table), axis=0)
    enough = counts >= least
    length = int(steps if enough.all() else enough.argmin())
    if length == 0:
        raise Invalid(
            "reference_family",
            f"fewer than {least} runs have a value at the phase's start",
            field="runs",
            remedy="choose runs with data there, or ask for fewer",
        )
    columns = [column[~np.isnan(column)] for column in table[:, :length].T]
    return tuple(FamilyPoint(float(c.mean()), float(c.std(ddof=1)), int(c.size)) for c in columns)


def _held(phase: RecordedPhase, step: Micros, steps: int) -> NDArray[np.float64]:
    """v at every step; NaN where it is undefined or the phase is over."""
    at = phase.start + np.arange(steps, dtype=np.int64) * step
    held = np.full(steps, np.nan)
    before = np.searchsorted(phase.times, at, "right") - 1
    known = (before >= 0) & (at < phase.end)
    known[known] = at[known] < phase.times[before[known]] + phase.max_age
    held[known] = phase.values[before[known]]
    return held
