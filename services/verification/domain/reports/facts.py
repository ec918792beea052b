"""What is known of a run when its report is drafted: plain values, read in one snapshot of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.phases import PhaseSpan
from shared.contracts.registry import Name, Stream
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    name: Name
    credit_code: str | None


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """How one stream arrived for the run: late frames; gaps in the numbering; and what was not taken, by reason, while the run's frames came
    in. `conflicts`: records that came again with other content, where the first stays in force."""

    stream: str
    late: int
    gaps: int
    missing: int
    quarantined: Mapping[str, int]
    conflicts: int

    def document(self) -> dict[str, Any]:
        return {
            "stream": self.stream,
            "late_frames": self.late,
            "gaps": self.gaps,
            "missing_frames": self.missing,
            "quarantined": dict(self.quarantined),
            "conflicts": self.conflicts,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The evaluation in force. `results` are its criteria as digested; `mismatch`: live and stored evaluation disagree."""

    number: int
    cause: str
    final: bool
    mismatch: bool
    verdict: str
    how: str
    engine: str
    criteria_digest: str
    inputs_digest: str
    digest: str
    results: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            "number": self.number,
            "cause": self.cause,
            "engine": self.engine,
            "criteria_digest": self.criteria_digest,
            "inputs_digest": self.inputs_digest,
            "digest": self.digest,
            "verdict": self.verdict,
            "how": self.how,
        }


@dataclass(frozen=True, slots=True)
class Deviation:
    """A departure from what was agreed; it counts once somebody else than its author has accepted it. `criterion`: None for the run."""

    id: str
    criterion: str | None
    kind: str
    reason: str
    recorded_by: str
    recorded_at: Micros
    accepted_by: str | None
    accepted_at: Micros | None

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "criterion": self.criterion,
            "kind": self.kind,
            "reason": self.reason,
            "recorded_by": self.recorded_by,
            "recorded_at": self.recorded_at,
            "accepted_by": self.accepted_by,
            "accepted_at": self.accepted_at,
        }


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything a report says of a run. `run` holds its plain fields (V-1); `lifecycle` its records as JSON trees, in log order;
    `criteria` the published document; `streams` the pinned registry versions; `phases` those of the evaluation, however they began."""

    run: Mapping[str, Any]
    customer: Customer
    platform_name: Name
    line_name: Name
    zone: str
    criteria: Mapping[str, Any]
    streams: Sequence[Stream]
    lifecycle: Sequence[Mapping[str, Any]]
    evaluation: Evaluation | None
    deviations: Sequence[Deviation]
    quality: Sequence[StreamQuality]
    phases: Sequence[PhaseSpan]
