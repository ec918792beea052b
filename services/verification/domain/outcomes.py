"""What an evaluation says: outcomes, margins, evidence, transitions. Frozen values; everything here is inside the result digest
except what is marked as display only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from shared.kernel.times import Micros


class Outcome(IntEnum):
    """The verdict algebra: within one evaluation an outcome only grows (G6)."""

    NONE = 0
    PASS = 1
    INCONCLUSIVE = 2
    FAIL = 3


class Activity(StrEnum):
    """What a criterion is doing, for people who watch. `waiting`: a channel of it has been silent longer than the idle timeout."""

    PLANNED = "planned"
    OPEN = "open"
    WAITING = "waiting"
    DECIDED = "decided"


class Verdict(StrEnum):
    """What became of one arrived frame."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    IGNORED = "ignored"  # no criterion reads its stream, or no row of it lies in the run


@dataclass(frozen=True, slots=True)
class Arrival:
    """`late` names the criteria that had already gone past a row of this frame: they must be rebuilt from stored frames (V-15)."""

    verdict: Verdict
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplePosition:
    """One sample of the evidence. `role` is `worst`, `first` or `last`; `row` counts from 0 inside the frame (stream, boot, seq)."""

    role: str
    channel: str
    stream: str
    boot: str
    seq: int
    row: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The smallest stretch of event time [start, end] that shows the outcome, and the samples at its worst point and its borders."""

    start: Micros
    end: Micros
    samples: tuple[SamplePosition, ...]


@dataclass(frozen=True, slots=True)
class DataQuality:
    """Data quality of a criterion's signal over its phase so far: covered share, longest gap (µs), valid and bad samples."""

    coverage: float
    longest_gap: Micros
    samples: int
    bad_samples: int
    first_at: Micros | None
    last_at: Micros | None


@dataclass(frozen=True, slots=True)
class CriterionState:
    """A criterion at one moment, or its final result.

    `margin` is in `unit` against the acceptance limit (the limit less the guard band); None when there is no number. `low` and `high`
    bound the final margin (V-12). `share` is the margin as a share of the tolerance. `time_margin` and `time_out` are µs.
    `level` is the four-level statement, `conformity_probability` the probability that the true value conforms at the final margin, both
    None where the decision rule does not ask. `reason` is a stable code when the outcome needs one (`no_data`, `coverage`, `gap`,
    `bad_quality`, ...), `detail` says it in words.
    """

    criterion: str
    clause: str
    phase: str
    kind: str
    activity: Activity
    outcome: Outcome
    unit: str
    margin: float | None
    low: float
    high: float
    share: float | None
    worst_at: Micros | None
    worst_value: float | None
    time_margin: Micros | None
    time_out: Micros | None
    decided_at: Micros | None
    reason: str | None
    detail: str
    quality: DataQuality
    evidence: Evidence | None
    level: str | None = None
    conformity_probability: float | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """An outcome that has grown. `state` is the criterion at that moment; its `decided_at` is the earliest decision time."""

    criterion: str
    before: Outcome
    after: Outcome
    state: CriterionState


@dataclass(frozen=True, slots=True)
class RunResult:
    """The final result of one evaluation. `digest` covers inputs, criteria, engine version and results (V-16)."""

    run: str
    outcome: Outcome
    how: str
    criteria: tuple[CriterionState, ...]
    inputs_digest: str
    criteria_digest: str
    engine: str
    digest: str
