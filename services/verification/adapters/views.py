"""The values that pages and the read API show; `read_model` reads them, its text says what the words mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.computed import Measured
from services.verification.ports import Deviation, ResultEntry
from shared.contracts.lifecycle import Baseline
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a criterion in the unit of its signal, None on a side without one. `guard` is the width by which the guard band tightens them."""

    low: float | None
    high: float | None
    guard: float
    unit: str


@dataclass(frozen=True, slots=True)
class Position:
    """A sample of the evidence with the place of its frame in the log; None while the sink has not stored it."""

    role: str
    channel: str
    stream: str
    boot: str
    seq: int
    row: int
    partition: int | None
    offset: int | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of event time, half-open, with the cause of a gap or the id of a phase."""

    from_: Micros
    to: Micros
    name: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of an envelope: `low` and `high` from each instant of `at` (µs) to the next, the last one for a step as long as the others."""

    at: tuple[Micros, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CurveData:
    """Minimum and maximum per bucket, or with `raw` every sample (`lo` equals `hi`). `at` are µs; None in `lo` and `hi` is a gap.

    `limits` is None for a channel without a criterion; `worst` is (instant, value); `late` are first instants of late frames.
    """

    channel: str
    unit: str
    at: tuple[Micros, ...]
    lo: tuple[float | None, ...]
    hi: tuple[float | None, ...]
    raw: bool
    gaps: tuple[Stretch, ...]
    phases: tuple[Stretch, ...]
    late: tuple[Micros, ...]
    limits: Limits | None
    worst: tuple[Micros, float] | None
    bounds: Bounds | None = None


@dataclass(frozen=True, slots=True)
class PhaseView:
    """A phase of the criteria set. `started_at` is None while it has not begun; `ended_at` None while it lasts. `planned` is its length, µs."""

    id: str
    title: Mapping[str, str]
    started_at: Micros | None
    ended_at: Micros | None
    planned: Micros | None


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A run on the board. `counts` maps a criterion's word to how many have it; `next_decision` is the planned end of the earliest phase
    that still has open criteria; `newest` is the latest sample of its streams; `verdict_state` is provisional, final or mismatch."""

    run: str
    line: str
    zone: str
    customer: str
    customer_name: Mapping[str, str]
    project: str
    item: str
    item_revision: str
    iteration: int
    state: str
    phase: str | None
    phases: tuple[PhaseView, ...]
    verdict: str
    verdict_state: str
    word: str
    evaluation: int
    counts: Mapping[str, int]
    started_at: Micros | None
    ended_at: Micros | None
    planned_end: Micros | None
    next_decision: Micros | None
    newest: Micros | None
    gaps: int
    late: int
    version: str


@dataclass(frozen=True, slots=True)
class BoardPage:
    """`after` is the token of the next page, None on the last one. `cursor` is where the event stream continues."""

    rows: tuple[BoardRow, ...]
    after: str | None
    cursor: str


@dataclass(frozen=True, slots=True)
class CriterionRow:
    """A criterion as the worker last said. `margin`, `low` and `high` are in `unit`; `low`/`high` may be infinite. `worst_value` is in
    `worst_unit`: the signal's where the margin is a time or a share. `measured` is what was measured, where that is not the worst value.
    `limits` are in the unit of the signal (None where the kind has none). `state` is everything the evaluator said, as JSON."""

    criterion: str
    clause: str
    title: Mapping[str, str]
    phase: str
    kind: str
    activity: str
    verdict: str
    word: str
    unit: str
    margin: float | None
    low: float
    high: float
    share: float | None
    worst_at: Micros | None
    worst_value: float | None
    worst_unit: str
    measured: Measured | None
    decided_at: Micros | None
    frontier: Micros | None
    reason: str | None
    detail: str
    limits: Limits | None
    evaluation: int
    version: str
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One evaluation of the run; `difference` lists what it changed against the one it supersedes."""

    number: int
    kind: str
    cause: str
    supersedes: int | None
    state: str
    verdict: str
    engine: str
    digest: str | None
    inputs_digest: str | None
    criteria_digest: str
    upto_offset: int | None
    opened_at: Micros
    closed_at: Micros | None
    difference: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class AwaitedRow:
    """A criterion that people answer and have not answered yet: `reason` is awaiting_result or awaiting_confirmation."""

    criterion: str
    reason: str


@dataclass(frozen=True, slots=True)
class StandardRow:
    """The version of a standard that a run's criteria keep, and how it stands today; `state` is unknown where no such version is kept here."""

    id: str
    version: str
    state: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's page. `digest` is set when the verdict is final: the live evaluation and the stored frames gave the same. `results` and
    `deviations` are what people have entered, oldest first. `standard` is None for criteria that name none."""

    head: BoardRow
    criteria: tuple[CriterionRow, ...]
    evaluations: tuple[EvaluationRow, ...]
    awaited: tuple[AwaitedRow, ...]
    results: tuple[ResultEntry, ...]
    deviations: tuple[Deviation, ...]
    criteria_set: str
    criteria_version: int
    criteria_digest: str
    end_reason: str | None
    mismatch: bool
    digest: str | None
    cursor: str
    standard: StandardRow | None = None


@dataclass(frozen=True, slots=True)
class TransitionRow:
    result: str
    evaluation: int
    before: str
    after: str
    margin: float | None
    unit: str
    decided_at: Micros | None
    reason: str | None
    state: Mapping[str, Any]
    positions: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CriterionDetail:
    """`document` is the criterion as its author wrote it; `previous` the value of the run before that was pinned for it;
    `positions` are the stored positions of its evidence; `transitions` newest last."""

    row: CriterionRow
    document: Mapping[str, Any]
    previous: Baseline | None
    positions: tuple[Position, ...]
    transitions: tuple[TransitionRow, ...]
