"""Records of the log as the sink sees them: frames it can store, and what has to wait in quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import msgspec
import numpy as np

from services.ingest.domain.admission import LATEST_TIME, check_texts, check_times
from services.ingest.domain.clock import ClockJudgement
from services.ingest.domain.keeping import kept, printable
from shared.contracts import quarantine
from shared.contracts.frame import CONTENT_TYPE, Frame, decode_frame, encode_frame
from shared.contracts.quarantine import UNKNOWN, QuarantineRecord, decode_quarantine
from shared.contracts.registry import Stream
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.kernel.times import Micros
from shared.messaging.processor import Record
from shared.storage.registry import Registry

LedgerKey = tuple[int, str, int]
"""(stream number, boot, seq)."""

_time = Struct("<q")
_any_time = ClockJudgement(earliest=0, latest=LATEST_TIME - 1, suspect=False)
_units = msgspec.json.Encoder()


class Arrival(NamedTuple):
    """A frame that fits the registry, where it lay in the log, its first and last sample and its content hash."""

    number: int
    stream: Stream
    frame: Frame
    first: Micros
    last: Micros
    content: bytes
    partition: int
    offset: int

    @property
    def key(self) -> LedgerKey:
        return (self.number, self.frame.boot, self.frame.seq)

    def units(self) -> bytes:
        return _units.encode(self.frame.units) if self.frame.units else b""


class Arrivals(NamedTuple):
    """A batch in the order of the log, read."""

    frames: list[Arrival]
    waiting: list[QuarantineRecord]


Read = tuple[Record, Frame | QuarantineRecord | Reject]


def read_records(records: Sequence[Record]) -> list[Read]:
    """Every record with what its bytes hold, or why they hold nothing."""
    return [(record, _read(record)) for record in records]


def _read(record: Record) -> Frame | QuarantineRecord | Reject:
    try:
        return decode_quarantine(record.value) if record.kind == Kind.QUARANTINE else decode_frame(record.value)
    except Reject as reject:
        return reject


def unregistered(read: Sequence[Read], registry: Registry) -> bool:
    """Whether a frame names a stream or version that this copy of the registry does not have."""
    return any(
        isinstance(content, Frame) and (content.stream, content.registry_version) not in registry.versions
        for _, content in read
    )


def sort_out(read: Sequence[Read], registry: Registry) -> Arrivals:
    """Never raises for what a record holds: what cannot be stored is in `waiting`."""
    frames: list[Arrival] = []
    waiting: list[QuarantineRecord] = []
    for record, content in read:
        if isinstance(content, Frame):
            try:
                frames.append(_arrival(record, content, registry))
            except Reject as reject:
                waiting.append(refused(record, reject))
        elif isinstance(content, QuarantineRecord):
            waiting.append(content)
        else:
            waiting.append(refused(record, content))
    if not _all_in_order(frames):
        frames = [arrival for arrival in frames if not _disordered(arrival, waiting)]
    return Arrivals(frames, waiting)


def refused(record: Record, reject: Reject) -> QuarantineRecord:
    """A record of the log that the sink cannot take, with as much of its identity as it could read."""
    raw, encoding, complete = kept(record.value)
    content = _read(record)
    frame = content if isinstance(content, Frame) else None
    return QuarantineRecord(
        version=quarantine.VERSION,
        stream=UNKNOWN if frame is None else printable(frame.stream) or UNKNOWN,
        code=reject.code,
        detail=reject.detail[:2000],
        hash=quarantine.record_hash(record.value),
        raw=raw,
        encoding=encoding,
        complete=complete,
        content_type=CONTENT_TYPE,
        source="log",
        received_at=record.timestamp_ms * 1000,
        boot=None if frame is None else printable(frame.boot),
        seq=None if frame is None else frame.seq,
        registry_version=None,
    )


def _arrival(record: Record, frame: Frame, registry: Registry) -> Arrival:
    stream = registry.versions.get((frame.stream, frame.registry_version))
    if stream is None:
        known = frame.stream in registry.streams
        code = "version_unknown" if known else "stream_unknown"
        raise Reject(code, f"{frame.stream!a} version {frame.registry_version} is not registered")
    if frame.channels != len(stream.channels):
        raise Reject(
            "shape_mismatch", f"{frame.channels} channels, version {stream.version} has {len(stream.channels)}"
        )
    check_texts(frame.boot)
    if max(frame.received_at, frame.sent_at) >= LATEST_TIME:
        raise Reject("time_range", "the record was received after the year 2200")
    return Arrival(
        registry.numbers[frame.stream],
        stream,
        frame,
        _time.unpack_from(frame.times)[0],
        _time.unpack_from(frame.times, len(frame.times) - 8)[0],
        frame.content_hash(),
        record.partition,
        record.offset,
    )


def _all_in_order(frames: Sequence[Arrival]) -> bool:
    """Whether no frame goes back in time or out of range; one pass over the whole batch."""
    if not frames:
        return True
    times = np.frombuffer(b"".join([arrival.frame.times for arrival in frames]), dtype="<i8")
    if int(times.min()) < 0 or int(times.max()) >= LATEST_TIME:
        return False
    back = times[1:] < times[:-1]
    ends = np.cumsum([arrival.frame.rows for arrival in frames])[:-1] - 1
    back[ends] = False
    return not back.any()


def _disordered(arrival: Arrival, waiting: list[QuarantineRecord]) -> bool:
    """Whether this frame is the one; then it waits."""
    try:
        check_times(arrival.frame.times_array(), _any_time)
    except Reject as reject:
        waiting.append(as_waiting(arrival, reject))
        return True
    return False


def as_waiting(arrival: Arrival, reject: Reject) -> QuarantineRecord:
    """A decoded frame that is not stored: out of order, or in conflict with the one in force."""
    value = encode_frame(arrival.frame)
    raw, encoding, complete = kept(value)
    return QuarantineRecord(
        version=quarantine.VERSION,
        stream=arrival.stream.id,
        code=reject.code,
        detail=reject.detail,
        hash=arrival.content,
        raw=raw,
        encoding=encoding,
        complete=complete,
        content_type=CONTENT_TYPE,
        source="log",
        received_at=arrival.frame.received_at,
        boot=arrival.frame.boot,
        seq=arrival.frame.seq,
        registry_version=arrival.frame.registry_version,
    )
