"""Lifecycle and gap records: the other kinds that share a line's partition with its frames. MessagePack maps, tagged by `type`.

The order in the partition is the order in which every reader sees frames, run starts, phases and ends; event times (`at`) decide what
belongs to a phase, the position in the log decides when a reader learns of it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.kernel.errors import Reject
from shared.kernel.times import Micros

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class PinnedStream(msgspec.Struct, frozen=True):
    """A registry version that a run pins."""

    stream: Text
    version: int
    digest: Text


class Baseline(msgspec.Struct, frozen=True):
    """A value of the run before that a criterion compares with, as that run's verdict of record has it when this run starts.

    `subject` is the digest of what the value is of (signal, statistic, phase), `evaluation` and `digest` name the verdict it was taken from.
    """

    subject: Text
    run: Text
    evaluation: int
    digest: Text
    value: float
    unit: Text


class RunStarted(msgspec.Struct, frozen=True, tag="run_started"):
    """A run begins at `at`. Everything that decides its verdicts is pinned by digest. `planned_end` is None for an open end."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    project: Text
    customer: Text
    criteria_set: Text
    criteria_version: int
    criteria_digest: Text
    streams: tuple[PinnedStream, ...]
    tariff: str = ""
    service_code: str = ""
    planned_end: Micros | None = None
    baselines: tuple[Baseline, ...] = ()


class PhaseStarted(msgspec.Struct, frozen=True, tag="phase_started"):
    """Phase `phase` of the run covers [at, next phase's start or run's end), less held time where a criterion says so."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    phase: Text


class RunHeld(msgspec.Struct, frozen=True, tag="run_held"):
    event_id: Text
    run: Text
    line: Text
    at: Micros
    reason: str = ""


class RunRestarted(msgspec.Struct, frozen=True, tag="run_restarted"):
    event_id: Text
    run: Text
    line: Text
    at: Micros
    reason: str = ""


class RunEnded(msgspec.Struct, frozen=True, tag="run_ended"):
    """Exactly one per run. `how` is completed, stopped or aborted: how it ended, not what it was worth."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    how: str
    reason: str = ""


class ResultEntered(msgspec.Struct, frozen=True, tag="result_entered"):
    """A person's result for a criterion of the run: a laboratory value in `unit` with its expanded uncertainty (same unit), or an
    inspection that `passed` or not. `at` is when it was entered, `sampled_at` when the sample was taken or the part looked at.
    `attachment` is the SHA-256 of a file; `corrects` names the entry that this one replaces."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    criterion: Text
    entry: Text
    entered_by: Text
    value: float | None = None
    unit: str = ""
    uncertainty: float | None = None
    passed: bool | None = None
    sampled_at: Micros | None = None
    attachment: str = ""
    corrects: str = ""


class ResultConfirmed(msgspec.Struct, frozen=True, tag="result_confirmed"):
    """A second person has confirmed the entry at `at`."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    criterion: Text
    entry: Text
    confirmed_by: Text


class DeviationAccepted(msgspec.Struct, frozen=True, tag="deviation_accepted"):
    """A deviation that changes how a criterion is judged was accepted at `at` by somebody else than its author."""

    event_id: Text
    run: Text
    line: Text
    at: Micros
    deviation: Text
    criterion: Text
    kind: Text
    recorded_by: Text
    accepted_by: Text


class GapSeen(msgspec.Struct, frozen=True, tag="gap_seen"):
    """Records from_seq..to_seq (inclusive) of (stream, boot) have not arrived, or, with `closed`, have arrived after all."""

    event_id: Text
    line: Text
    stream: Text
    boot: Text
    from_seq: int
    to_seq: int
    after: Micros
    before: Micros
    closed: bool = False


class InstrumentAnnotated(msgspec.Struct, frozen=True, tag="annotated"):
    """A person's note on [from_, to) of an instrument's time; it explains a state and never overwrites a measurement.

    `responsible` may name the party that answers for the time; '' leaves that to the state model. Of several notes on an instant the one
    noted last is in force.
    """

    event_id: Text
    line: Text
    instrument: Text
    from_: Micros
    to: Micros
    reason: Text
    who: Text
    responsible: str = ""
    noted_at: Micros = 0


class AnnotationWithdrawn(msgspec.Struct, frozen=True, tag="annotation_withdrawn"):
    """The note with the event id `annotation` is not in force any more; what it covered is as if it had never been said."""

    event_id: Text
    line: Text
    instrument: Text
    annotation: Text
    reason: Text
    who: Text
    noted_at: Micros = 0


class InstrumentReserved(msgspec.Struct, frozen=True, tag="reserved"):
    """[from_, to) of an instrument's time is kept for a customer. Of several reservations of an instant the one booked first counts."""

    event_id: Text
    reservation: Text
    line: Text
    instrument: Text
    from_: Micros
    to: Micros
    customer: Text
    project: str = ""
    service_code: str = ""
    tariff: str = ""
    booked_at: Micros = 0


class ReservationCancelled(msgspec.Struct, frozen=True, tag="reservation_cancelled"):
    """From `at` on the reservation keeps nothing any more; at or before its start, it never did."""

    event_id: Text
    reservation: Text
    line: Text
    instrument: Text
    at: Micros
    reason: str = ""


Entry = ResultEntered | ResultConfirmed | DeviationAccepted
"""What people enter of a run, also after its end."""

LineRecord = (
    RunStarted
    | PhaseStarted
    | RunHeld
    | RunRestarted
    | RunEnded
    | Entry
    | GapSeen
    | InstrumentAnnotated
    | AnnotationWithdrawn
    | InstrumentReserved
    | ReservationCancelled
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LineRecord] = msgspec.msgpack.Decoder(LineRecord)


def encode_line_record(record: LineRecord) -> bytes:
    return _encoder.encode(record)


def decode_line_record(data: bytes) -> LineRecord:
    """Raises Reject(line_record_malformed)."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Reject("line_record_malformed", str(error)) from error
