"""The binary form of `POST /v1/telemetry` (`application/vnd.pilotline.frames`): length-prefixed frames, one after the other.

Each is a little-endian uint32 length and a MessagePack frame (shared.contracts.frame). Values are in the registered units; `received_at`,
`quality` and `units` are ours to fill, what a sender puts there is not read. Registry version 0 means the current one.
"""

from __future__ import annotations

import struct

from services.ingest.domain.submission import Identity, Received, Submission
from shared.contracts.frame import CONTENT_TYPE, Frame, decode_frame
from shared.kernel.errors import Malformed, Reject

_LENGTH = struct.Struct("<I")


def read_binary(body: bytes, max_frames: int) -> list[Received]:
    """The records of a request body; at most one more than `max_frames`. Raises Malformed(frames_malformed) when the lengths do not fit
    the body: nothing of it can be told apart then."""
    records: list[Received] = []
    start, end, view = 0, len(body), memoryview(body)
    while start < end and len(records) <= max_frames:
        if end - start < _LENGTH.size:
            raise _cut_off(start)
        (length,) = _LENGTH.unpack_from(body, start)
        start += _LENGTH.size
        if length > end - start:
            raise _cut_off(start)
        records.append(_received(view[start : start + length]))
        start += length
    return records


def _cut_off(start: int) -> Malformed:
    return Malformed(
        "frames_malformed",
        f"the body ends inside the frame at byte {start}",
        field="body",
        remedy="prefix every frame with its length as a little-endian uint32",
    )


def _received(raw: memoryview) -> Received:
    try:
        frame = decode_frame(raw)
    except Reject as reject:
        return Received(raw, CONTENT_TYPE, reject, Identity())
    return Received(raw, CONTENT_TYPE, _submission(frame), Identity(frame.stream, frame.boot, frame.seq))


def _submission(frame: Frame) -> Submission:
    return Submission(
        stream=frame.stream,
        boot=frame.boot,
        seq=frame.seq,
        sent_at=frame.sent_at,
        times=frame.times_array(),
        registry_version=frame.registry_version,
        matrix=frame.values_array(),
    )
