"""A usage segment: a stretch of one instrument's time in one state, run, phase and clock hour, with what was measured in it.

Durations are µs and sum to `end - start`: `measured` (the channels said so), `inferred` (the last state held over a gap, at most the
model's cap), `unknown` (beyond the cap: shown, never billed). Quantities are decimals of at most 9 places.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from services.billing.domain.e10 import Responsible, StateOutcome
from shared.kernel.canonical import decimal_text, sha256_hex
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros

HOLD_RULE = "hold_last_state"
"""The only rule by which time is inferred: the last known state goes on, up to the cap of the model."""


class QuantityKind(StrEnum):
    INTEGRAL = "integral"  # a rate over time: kW to kW.h, kg/h to kg
    COUNT = "count"  # how often a condition became true
    MAXIMUM = "maximum"
    MEAN = "mean"  # weighted by time
    SAMPLES = "samples"  # stored rows of a stream
    BYTES = "bytes"  # stored bytes of a stream's rows, before any compression
    RESERVED = "reserved"  # time under a reservation that counts


@dataclass(frozen=True, slots=True)
class MeteredQuantity:
    """`value` in `unit` (UCUM); `covered` is the part of the segment in µs during which the channel had a value."""

    name: str
    unit: str
    kind: QuantityKind
    value: Decimal
    covered: Micros


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Frames seq_from..seq_to (inclusive, all of them) of one boot of a stream."""

    stream: str
    boot: str
    seq_from: int
    seq_to: int


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Lowest and highest Kafka offset of the frames, in `line.records`. Beside the evidence: not part of any digest."""

    partition: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """The frames a segment was computed from. `digest` is SHA-256 over the sorted (stream, boot, seq, content hash) of each of them;
    `samples` counts the rows that lie inside the segment."""

    ranges: tuple[SequenceRange, ...] = ()
    frames: int = 0
    samples: int = 0
    digest: str = ""
    offsets: OffsetRange | None = None


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that occupies the line, '' where none does, and the reservation that counts at this time (`reservations.py`), '' for none."""

    run: str = ""
    phase: str = ""
    held: bool = False
    customer: str = ""
    project: str = ""
    service_code: str = ""
    tariff: str = ""
    reservation: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """A person's note that is in force over a whole segment, by its event id, and the reason and responsible party that the state model had
    decided: the segment's outcome has the note's instead."""

    id: str
    who: str
    model_reason: str
    model_responsible: Responsible


@dataclass(frozen=True, slots=True)
class Segment:
    """See the module's text. `key` is the identity for ever, `revision` counts from 0; a `void` segment says that what its key named before
    is no longer so (its boundaries moved). `provisional` marks the open one."""

    model: str
    platform: str
    line: str
    instrument: str
    start: Micros
    end: Micros
    outcome: StateOutcome
    context: RunContext
    measured: Micros
    inferred: Micros
    unknown: Micros
    quantities: tuple[MeteredQuantity, ...]
    evidence: Evidence
    revision: int = 0
    void: bool = False
    provisional: bool = False
    annotation: Annotation | None = None

    @property
    def key(self) -> UUID:
        return segment_key(self.model, self.line, self.instrument, self.start)

    @property
    def billable(self) -> Micros:
        """Time that may be billed: measured, and inferred up to the cap."""
        return self.measured + self.inferred

    def content_digest(self) -> str:
        """SHA-256 of what the segment says, without its revision and without Kafka offsets: equal means nothing to supersede.

        The bytes are the canonical JSON of the list: it holds only text, integers and booleans, which `msgspec` writes in that form.
        """
        outcome, context, evidence = self.outcome, self.context, self.evidence
        facts = [
            self.model,
            [self.platform, self.line, self.instrument, self.start, self.end],
            [outcome.state.value, outcome.sub_state.value, outcome.reason, outcome.responsible.value],
            [
                context.run,
                context.phase,
                context.held,
                context.customer,
                context.project,
                context.service_code,
                context.tariff,
            ],
            [self.measured, self.inferred, self.unknown, self.void],
            [[q.name, q.unit, q.kind.value, decimal_text(q.value), q.covered] for q in self.quantities],
            [evidence.frames, evidence.samples, evidence.digest],
            [[r.stream, r.boot, r.seq_from, r.seq_to] for r in evidence.ranges],
        ]
        if (note := self.annotation) is not None:
            facts.append(["annotation", note.id, note.who, note.model_reason, note.model_responsible.value])
        if context.reservation:
            facts.append(["reservation", context.reservation])
        return sha256_hex(msgspec.json.encode(facts))


def segment_key(model: str, line: str, instrument: str, start: Micros) -> UUID:
    """UUIDv5 of a segment: (state model digest, line, instrument, start)."""
    return stable_id("segment", model, line, instrument, start)
