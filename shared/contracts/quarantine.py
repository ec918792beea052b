"""A record the gateway could not take, on its way to the sink: what came, why it waits, who sent it. MessagePack array, version first.

It travels in `line.records` with kind `quarantine`, so it is durable before the sender gets its answer, and the sink stays the only writer
of the quarantine.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

from shared.kernel.errors import Reject
from shared.kernel.times import Micros

VERSION = 1
UNKNOWN = "unknown"
"""Stream of a record that names none, and Kafka key of a record that belongs to no line."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class QuarantineRecord(msgspec.Struct, array_like=True, frozen=True):
    """`hash` is the SHA-256 of the whole record as received. `raw` are its bytes, compressed when `encoding` is `zstd`, cut off when not
    `complete`. `boot`, `seq` and `registry_version` are None where the record does not say."""

    version: int
    stream: Text
    code: Text
    detail: Annotated[str, msgspec.Meta(max_length=2000)]
    hash: bytes
    raw: bytes
    encoding: str
    complete: bool
    content_type: Text
    source: Text
    received_at: Micros
    boot: Text | None = None
    seq: int | None = None
    registry_version: int | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(QuarantineRecord)


def record_hash(raw: bytes | memoryview) -> bytes:
    """What makes two quarantined records the same one."""
    return hashlib.sha256(raw).digest()


def encode_quarantine(record: QuarantineRecord) -> bytes:
    return _encoder.encode(record)


def decode_quarantine(data: bytes | memoryview) -> QuarantineRecord:
    """Raises Reject(quarantine_malformed | quarantine_version)."""
    try:
        record = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Reject("quarantine_malformed", str(error)) from error
    if record.version != VERSION:
        raise Reject("quarantine_version", f"quarantine record version {record.version} is not {VERSION}")
    return record
