"""Usage events: a segment as a CloudEvent with decimal strings, and back (B-5, B-6). A bad value is refused, never read as 0.

event = usage_event(segment)                 # deterministic: the same segment and revision give the same bytes
outbox row: event_id = UUID(event.id), topic usage.events, key = segment.line, kind = Kind.EVENT, value = encode_event(event)
usage = parse_usage(decode_event(value))     # Reject(usage_type | usage_malformed | usage_interval | usage_identity | usage_digest)
(usage.tenant, usage.source, usage.id)       # the dedup key, for ever; usage.content_hash tells a duplicate from a conflict
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from services.billing.domain.e10 import EquipmentState, Responsible, StateOutcome, SubState
from services.billing.domain.segment import (
    HOLD_RULE,
    Annotation,
    Evidence,
    MeteredQuantity,
    OffsetRange,
    QuantityKind,
    RunContext,
    Segment,
    SequenceRange,
)
from shared.contracts.events import CloudEvent, decode_event
from shared.kernel.canonical import decimal_text
from shared.kernel.errors import Reject
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, from_rfc3339, to_rfc3339

EVENT_TYPE = "pilotline.usage.segment.v1"

Text = Annotated[str, msgspec.Meta(max_length=200)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
DecimalText = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,9})?$")]
SecondsText = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]


class _Quantity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    unit: Name
    kind: QuantityKind
    value: DecimalText
    covered: SecondsText


class _Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream: Name
    boot: Name
    seq_from: Natural
    seq_to: Natural


class _Offsets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    partition: Natural
    first: Natural
    last: Natural


class _Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ranges: Annotated[list[_Range], msgspec.Meta(max_length=10_000)]
    frames: Natural
    samples: Natural
    digest: str
    offsets: _Offsets | None


class _Time(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds by how they are known (B-4). `rule` names how `inferred` was inferred."""

    measured: SecondsText
    inferred: SecondsText
    unknown: SecondsText
    rule: Text


class _Annotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's note in force (B-1), and what the state model had decided."""

    id: Name
    who: Name
    model_reason: Text
    model_responsible: Responsible


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tenant: Name
    key: UUID
    revision: Natural
    supersedes: str | None
    void: bool
    model: Hex
    line: Name
    instrument: Name
    start: str
    end: str
    state: EquipmentState
    sub_state: SubState
    reason: Text
    responsible: Responsible
    run: Text
    phase: Text
    held: bool
    customer: Text
    project: Text
    service_code: Text
    tariff: Text
    time: _Time
    quantities: Annotated[list[_Quantity], msgspec.Meta(max_length=64)]
    evidence: _Evidence
    content_hash: Hex
    annotation: _Annotation | None = None
    reservation: Text = ""
    provisional: Literal[False] = False


@dataclass(frozen=True, slots=True)
class Usage:
    """A usage event, read and checked. `supersedes` is the id of the event of the revision before."""

    tenant: str
    source: str
    id: str
    supersedes: str | None
    segment: Segment
    content_hash: str


def event_id(key: UUID, revision: int) -> UUID:
    """UUIDv5 of a segment's revision: a replay re-emits an id that every consumer already has."""
    return stable_id("usage", key, revision)


def usage_source(segment: Segment) -> str:
    """Who measured it: the meter of its line."""
    return f"/platforms/{segment.platform}/lines/{segment.line}/meter"


def usage_event(segment: Segment) -> CloudEvent:
    """The event of a closed segment (or of its superseding revision). Raises ValueError for a provisional one."""
    if segment.provisional:
        raise ValueError("an open segment is no usage yet")
    return CloudEvent(
        id=str(event_id(segment.key, segment.revision)),
        source=usage_source(segment),
        type=EVENT_TYPE,
        subject=segment.context.run or segment.instrument,
        time=to_rfc3339(segment.end),
        data=segment_document(segment) | {"content_hash": segment.content_digest()},
    )


class _Event(msgspec.Struct, frozen=True):
    """A usage event decoded in one step: what `CloudEvent` and `_Data` hold."""

    id: Name
    source: Name
    type: Literal["pilotline.usage.segment.v1"]
    subject: str
    time: str
    data: _Data
    specversion: Literal["1.0"] = "1.0"


_event_decoder = msgspec.json.Decoder(_Event)


def read_usage(value: bytes) -> Usage:
    """What `parse_usage(decode_event(value))` gives or raises, in half the time: a second, exact look is taken only at what is refused."""
    try:
        event = _event_decoder.decode(value)
        return _usage(event.id, event.source, event.data)
    except (msgspec.MsgspecError, ValueError, OverflowError, Reject):
        return parse_usage(decode_event(value))


def parse_usage(event: CloudEvent) -> Usage:
    """Raises Reject(usage_type) for another type, Reject(usage_malformed) for a wrong shape, number or word, Reject(usage_interval) for
    durations that do not sum to the segment, Reject(usage_digest) when the content is not what its digest says, and Reject(usage_identity)
    when the id is not that of the segment's revision."""
    if event.type != EVENT_TYPE:
        raise Reject("usage_type", f"'{event.type}' is not a usage event")
    try:
        data = msgspec.convert(event.data, _Data, strict=True)
        return _usage(event.id, event.source, data)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise Reject("usage_malformed", str(error)) from error


def _usage(identity: str, source: str, data: _Data) -> Usage:
    """Raises Reject for what `_check` refuses, ValueError or OverflowError for an instant that is none."""
    segment = _segment(data)
    _check(identity, data, segment)
    return Usage(
        tenant=data.tenant,
        source=source,
        id=identity,
        supersedes=data.supersedes,
        segment=segment,
        content_hash=data.content_hash,
    )


def segment_document(segment: Segment) -> dict[str, Any]:
    """The segment as JSON values: decimals and seconds as strings, instants as RFC 3339. What does not apply to it is left out."""
    outcome, context, key = segment.outcome, segment.context, segment.key
    noted = {} if segment.annotation is None else {"annotation": annotation_document(segment.annotation)}
    reserved = {"reservation": context.reservation} if context.reservation else {}
    return (
        noted
        | reserved
        | {
            "tenant": segment.platform,
            "key": str(key),
            "revision": segment.revision,
            "supersedes": str(event_id(key, segment.revision - 1)) if segment.revision else None,
            "void": segment.void,
            "model": segment.model,
            "line": segment.line,
            "instrument": segment.instrument,
            "start": to_rfc3339(segment.start),
            "end": to_rfc3339(segment.end),
            "state": outcome.state.value,
            "sub_state": outcome.sub_state.value,
            "reason": outcome.reason,
            "responsible": outcome.responsible.value,
            "run": context.run,
            "phase": context.phase,
            "held": context.held,
            "customer": context.customer,
            "project": context.project,
            "service_code": context.service_code,
            "tariff": context.tariff,
            "time": {
                "measured": seconds_text(segment.measured),
                "inferred": seconds_text(segment.inferred),
                "unknown": seconds_text(segment.unknown),
                "rule": HOLD_RULE if segment.inferred else "",
            },
            "quantities": [
                {
                    "name": quantity.name,
                    "unit": quantity.unit,
                    "kind": quantity.kind.value,
                    "value": decimal_text(quantity.value),
                    "covered": seconds_text(quantity.covered),
                }
                for quantity in segment.quantities
            ],
            "evidence": evidence_document(segment.evidence),
        }
    )


def annotation_document(annotation: Annotation) -> dict[str, Any]:
    """The note by its id and who said it, and what the state model had decided."""
    return {
        "id": annotation.id,
        "who": annotation.who,
        "model_reason": annotation.model_reason,
        "model_responsible": annotation.model_responsible.value,
    }


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    """Stream, boot and sequence ranges, the digest over the frames, and the Kafka offsets beside them."""
    offsets = evidence.offsets
    return {
        "ranges": [
            {"stream": r.stream, "boot": r.boot, "seq_from": r.seq_from, "seq_to": r.seq_to} for r in evidence.ranges
        ],
        "frames": evidence.frames,
        "samples": evidence.samples,
        "digest": evidence.digest,
        "offsets": None
        if offsets is None
        else {"partition": offsets.partition, "first": offsets.first, "last": offsets.last},
    }


def segment_from_document(document: dict[str, Any]) -> Segment:
    """The segment in an event's `data`. Raises msgspec.ValidationError or ValueError."""
    return _segment(msgspec.convert(document, _Data, strict=True))


def open_segment_from_document(document: dict[str, Any]) -> Segment:
    """An open segment from what `segment_document` says of it. Raises msgspec.ValidationError or ValueError."""
    closed = document | {"provisional": False, "content_hash": "0" * 64}
    return replace(segment_from_document(closed), provisional=True)


def seconds_text(duration: Micros) -> str:
    """µs as seconds in plain digits, exact."""
    whole, rest = divmod(duration, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def micros_of(seconds: str) -> Micros:
    """The inverse of `seconds_text`, for text that matches `SecondsText`."""
    whole, _, rest = seconds.partition(".")
    return int(whole) * 1_000_000 + int(rest.ljust(6, "0") or "0")


def _check(identity: str, data: _Data, segment: Segment) -> None:
    if (
        segment.end <= segment.start
        or segment.measured + segment.inferred + segment.unknown != segment.end - segment.start
    ):
        raise Reject("usage_interval", f"the durations of {identity} do not sum to [{data.start}, {data.end})")
    key = segment.key
    if data.key != key or identity != str(event_id(key, segment.revision)):
        raise Reject("usage_identity", f"{identity} is not the id of revision {segment.revision} of this segment")
    if data.content_hash != segment.content_digest():
        raise Reject("usage_digest", f"the content of {identity} is not what its digest says")


def _segment(data: _Data) -> Segment:
    evidence = data.evidence
    return Segment(
        model=data.model,
        platform=data.tenant,
        line=data.line,
        instrument=data.instrument,
        start=from_rfc3339(data.start),
        end=from_rfc3339(data.end),
        outcome=StateOutcome(data.state, data.sub_state, data.reason, data.responsible),
        context=RunContext(
            data.run,
            data.phase,
            data.held,
            data.customer,
            data.project,
            data.service_code,
            data.tariff,
            data.reservation,
        ),
        measured=micros_of(data.time.measured),
        inferred=micros_of(data.time.inferred),
        unknown=micros_of(data.time.unknown),
        quantities=tuple(
            MeteredQuantity(q.name, q.unit, q.kind, Decimal(q.value), micros_of(q.covered)) for q in data.quantities
        ),
        evidence=Evidence(
            ranges=tuple(SequenceRange(r.stream, r.boot, r.seq_from, r.seq_to) for r in evidence.ranges),
            frames=evidence.frames,
            samples=evidence.samples,
            digest=evidence.digest,
            offsets=None
            if evidence.offsets is None
            else OffsetRange(evidence.offsets.partition, evidence.offsets.first, evidence.offsets.last),
        ),
        revision=data.revision,
        void=data.void,
        annotation=None
        if data.annotation is None
        else Annotation(
            data.annotation.id,
            data.annotation.who,
            data.annotation.model_reason,
            data.annotation.model_responsible,
        ),
    )
