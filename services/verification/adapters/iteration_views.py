"""The values that the comparison of iterations shows; `iterations` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.verification.adapters.views import BoardRow, Limits
from services.verification.domain.iterations import CriterionComparison, Statistics
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class RunColumn:
    """A run of the comparison. `roles` are those of latest, previous and baseline that it has."""

    run: str
    roles: tuple[str, ...]
    head: BoardRow
    criteria_set: str
    criteria_version: int


@dataclass(frozen=True, slots=True)
class CriterionNames:
    """What readers see of a criterion, from the latest run that has it."""

    title: Mapping[str, str]
    clause: str
    phase: str
    kind: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs from the earliest to the latest, and every criterion through them."""

    run: str
    columns: tuple[RunColumn, ...]
    criteria: tuple[CriterionComparison, ...]
    names: Mapping[str, CriterionNames]


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel in one phase: statistics by run, in `unit`; a run that lacks the channel or the phase is missing."""

    channel: str
    phase: str
    unit: str
    runs: Mapping[str, Statistics]


@dataclass(frozen=True, slots=True)
class OverlayCurve:
    """A run's curve. `offsets` are µs from the phase's start; `lo` and `hi` are None at gaps; with `raw` every sample."""

    run: str
    roles: tuple[str, ...]
    offsets: tuple[Micros, ...]
    lo: tuple[float | None, ...]
    hi: tuple[float | None, ...]
    raw: bool


@dataclass(frozen=True, slots=True)
class Overlay:
    """The same signal in the same phase of every run that has both, in the latest run's unit; `limits` are the latest run's."""

    title: str
    phase: str
    unit: str
    curves: tuple[OverlayCurve, ...]
    limits: Limits | None
