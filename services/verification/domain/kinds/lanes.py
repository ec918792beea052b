"""What a kernel, its parameters and its judgement look like; the same for every kind.

A kernel is one sequential loop over samples in event time, compiled with Numba, `fastmath` off. It judges many *lanes* (criteria of
its kind over signals of one group of streams) in one call:

    kernel(times, until, values, places, signals, lanes, pf, pn, sf, sn, sw, rf, rn, holds) -> lanes whose proof has changed

    times, until  int64    instants of the samples, and until when each value holds at most (t + maximum age)
    values        float64  NaN where a channel has none
    places        int64    sample positions (seq, boot and row) of each instant
    signals       int64    a row per signal: offset in values, offset in times, count, offset in places, width of a position
    lanes         int64    a row per lane: signal, phase start, phase end, closing (1: all before the end has been seen), stops in Held
    pf, pn        parameters of a lane, float64 and int64; pf is as wide as the longest lane's
    sf, sn        state of a lane, float64 and int64; sn starts with PROOF, DECIDED_AT, CLOSED, OVERFLOW
    sw            int64    sample positions that a lane remembers
    rf, rn        ring buffers; a lane's part begins at pn[lane, RING] and has pn[lane, SLOTS] slots
    holds         int64    held stretches of the run, one row [from, to) each, in order

The state of a kernel is exactly sf, sn, sw, rf and rn: their bytes are its snapshot. One sample after another in one loop makes the
result independent of how samples were cut into messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.kernel.times import Micros

FAR = 2**62
"""An instant after every instant: a phase that has not begun or not ended."""

PROOF, DECIDED_AT, CLOSED, OVERFLOW, STATE = 0, 1, 2, 3, 4
"""Columns of sn; a kind's own state begins at STATE."""

RING, SLOTS, PARAMS = 0, 1, 2
"""Columns of pn; a kind's own parameters begin at PARAMS."""

OPEN, PROVEN_PASS, PROVEN_FAIL = 0, 1, 3

Kernel = Callable[..., int]


class Measures(Protocol):
    """What a kind may ask about its signal when a criterion is compiled."""

    unit: str
    gap: Micros  # up to which a window counts as seen

    def limit(self, quantity: Any, field: str) -> float:
        """A level in the signal's unit."""

    def span(self, quantity: Any, field: str) -> float:
        """A difference of levels in the signal's unit."""

    def duration(self, quantity: Any, field: str) -> Micros:
        """A positive duration that fits the planned phase."""

    def guard(
        self,
        *,
        from_registry: bool = True,
        unit: str | None = None,
        band: float | None = None,
        moving: bool = False,
    ) -> float:
        """What the decision rule draws the limits in by, in the signal's unit (or in `unit`); 0 where it does not. `band` is the
        distance of the two limits, where there are two; `moving` says that it changes with the signal, so that no probability of
        conformity can be told."""

    def factor(self, unit: str, per_second: bool, field: str) -> float:
        """What brings the signal's unit (per second) to `unit`, as a difference."""

    def integral_factor(self, unit: str, field: str) -> float:
        """What brings the signal's unit times seconds to `unit`. Raises Invalid where the signal's zero is arbitrary."""

    def demand_true_zero(self, what: str, field: str, remedy: str) -> None:
        """Raises Invalid(criteria_unit) where values are levels in a unit whose zero is arbitrary: `what` has no meaning for them."""

    def total(self, quantity: Any, unit: str, field: str) -> float:
        """A total or difference in `unit`."""

    def range(self, field: str) -> tuple[float, float]:
        """The registered range of a plain channel. Raises Invalid(criteria_range) where there is none."""

    def place(self, field: str) -> str:
        """The path of a field of the criterion, for errors."""

    def planned(self, field: str) -> Micros:
        """The planned duration of the phase. Raises Invalid(criteria_memory) where there is none."""

    def planned_length(self) -> Micros | None:
        """The planned duration of the phase, where there is one."""

    def baseline(self, *, difference: bool) -> float | None:
        """The value of the run before that was pinned for the criterion at the run's start, in the signal's unit."""

    def ratio(self, quantity: Any, field: str) -> float:
        """A limit of the ratio of two values of the signal. Raises Invalid where the signal's zero is arbitrary."""

    def slots(self, window: Micros) -> int:
        """Samples that a window can hold at the registered rate, with room for jitter."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One criterion for a kernel: parameters, ring slots, and how its margin is reported. `floats` may be more than its kind's.

    A reported margin is the kernel's margin times `factor`, in `unit`; `tolerance` (in `unit`) is what its share is taken of.
    `window` is the horizon in event time that the phase must have room for.
    """

    floats: tuple[float, ...]
    ints: tuple[int, ...]
    unit: str
    factor: float = 1.0
    tolerance: float | None = None
    slots: int = 0
    stops: bool = False
    window: Micros = 0


@dataclass(frozen=True, slots=True)
class View:
    """A lane's state for its judgement: parameters, state rows, phase and whether everything before its end has been seen.

    `demand_gap` is the gap up to which a window counts as seen. `clock` is the run clock (held time cut out when the lane stops in
    Held), `unclock` its inverse. `nan_cells` and `suspect_cells` count values in the phase that were marked not a number, or
    of suspect clock.
    """

    p: NDArray[np.float64]
    q: NDArray[np.int64]
    f: NDArray[np.float64]
    n: NDArray[np.int64]
    start: Micros
    end: Micros
    closed: bool
    clock: Callable[[Micros], Micros]
    unclock: Callable[[Micros], Micros]
    nan_cells: int = 0
    first_nan_at: Micros = 0
    suspect_cells: int = 0
    first_suspect_at: Micros = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a lane's state says. `proof` is OPEN, PROVEN_PASS or PROVEN_FAIL; `undecided` names why there is no number at the end.

    `positions` are (role, index of the remembered position in sw).
    """

    margin: float | None
    low: float
    high: float
    proof: int
    decided_at: Micros | None = None
    worst_at: Micros | None = None
    worst_value: float | None = None
    time_margin: Micros | None = None
    time_out: Micros | None = None
    undecided: str | None = None
    start: Micros | None = None
    end: Micros | None = None
    positions: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kernel with the size and first value of its state. `ring_bytes` is the memory of one ring slot beside its positions."""

    name: str
    kernel: Kernel
    judge: Callable[[View], Judgement]
    floats: tuple[float, ...]
    ints: tuple[int, ...]
    remembered: int
    ring_floats: int = 0
    ring_ints: int = 0
    ring_positions: int = 0
    params: tuple[int, int] = field(default=(2, 0))

    def slot_bytes(self, width: int) -> int:
        """Memory of one ring slot when a position is `width` integers."""
        return 8 * (self.ring_floats + self.ring_ints + self.ring_positions * width)
