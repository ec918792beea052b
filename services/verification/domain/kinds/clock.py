"""The run clock: event time less held time (V-2). Plain functions for Python, compiled twins for the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.kinds.compiled import compiled
from shared.kernel.times import Micros


@compiled
def clock(t: int, held: NDArray[np.int64]) -> int:
    """Event time less the held time before it; inside a held stretch the clock stands still."""
    total = 0
    for k in range(held.shape[0]):
        if t <= held[k, 0]:
            break
        total += min(t, held[k, 1]) - held[k, 0]
    return t - total


@compiled
def is_held(t: int, held: NDArray[np.int64]) -> bool:
    """Whether an instant lies in a held stretch [from, to)."""
    inside = False
    for k in range(held.shape[0]):
        inside = inside or held[k, 0] <= t < held[k, 1]
    return inside


@compiled
def resumed(c: int, held: NDArray[np.int64]) -> int:
    """The latest event time at which the run clock shows `c`: where it runs on from there."""
    t = c
    for k in range(held.shape[0]):
        if t < held[k, 0]:
            break
        t += held[k, 1] - held[k, 0]
    return t


def unclock(c: Micros, held: NDArray[np.int64]) -> Micros:
    """The earliest event time at which the run clock shows `c`."""
    t = c
    for start, end in held.tolist():
        if t <= start:
            break
        t += end - start
    return t
