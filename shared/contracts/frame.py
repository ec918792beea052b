"""A frame: one message of a stream, many rows. MessagePack array, version first; the bytes that Kafka carries.

    [version, stream, registry_version, boot, seq, sent_at, received_at, rows, channels, times, values, quality, units]

`times` is `rows` little-endian int64 microseconds, `values` `rows x channels` little-endian float64, row-major in the order of the stream's
channel list of that registry version, `quality` one byte per cell or empty when every cell is good. `units` names the UCUM unit as received
of every channel the gateway converted; trailing fields may be left out. About 1 µs to decode at any width.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from enum import IntFlag
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.kernel.errors import Reject
from shared.kernel.times import Micros

VERSION = 1
CONTENT_TYPE = "application/vnd.pilotline.frames"
MAX_ROWS = 100_000
MAX_CHANNELS = 4_096

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Quality(IntFlag):
    """Why a cell is not plainly good. 0 is good."""

    GOOD = 0
    MISSING = 1  # the sender gave no value for this channel at this instant; the value is NaN
    NOT_A_NUMBER = 2  # the sender sent NaN or an infinity; stored as NaN
    OUT_OF_RANGE = 4  # outside the channel's registered range; stored as sent
    CLOCK_SUSPECT = 8
    LATE = 16
    SENDER_BAD = 32  # the sender itself marked the value bad


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """See the module's text. `sent_at` is the sender's clock, 0 when it gave none; `received_at` is the gateway's clock."""

    version: int
    stream: Text
    registry_version: Natural
    boot: Text
    seq: Natural
    sent_at: Natural
    received_at: Natural
    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    channels: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHANNELS)]
    times: bytes
    values: bytes
    quality: bytes = b""
    units: dict[Text, Text] = {}

    def times_array(self) -> NDArray[np.int64]:
        """Shape (rows,), microseconds; read-only view of the message."""
        return np.frombuffer(self.times, dtype="<i8")

    def values_array(self) -> NDArray[np.float64]:
        """Shape (rows, channels); read-only view of the message."""
        return np.frombuffer(self.values, dtype="<f8").reshape(self.rows, self.channels)

    def quality_array(self) -> NDArray[np.uint8]:
        """Shape (rows, channels) of `Quality` bits; all zero when the message carries none."""
        if not self.quality:
            return np.zeros((self.rows, self.channels), dtype=np.uint8)
        return np.frombuffer(self.quality, dtype=np.uint8).reshape(self.rows, self.channels)

    def content_hash(self) -> bytes:
        """SHA-256 over what the sender said: stream, boot, seq, shape, times and values, not when it arrived.

        Quality and registry version are left out: the gateway derives them, so a re-send after a registry change is still the same record.
        """
        head = f"{self.stream}\x00{self.boot}\x00".encode() + struct.pack("<qqq", self.seq, self.rows, self.channels)
        return hashlib.sha256(head + self.times + self.values).digest()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def build_frame(
    *,
    stream: str,
    registry_version: int,
    boot: str,
    seq: int,
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    quality: NDArray[np.uint8] | None = None,
    sent_at: Micros = 0,
    received_at: Micros = 0,
    units: Mapping[str, str] | None = None,
) -> Frame:
    """A frame from arrays: times (n,), values (n, k), quality (n, k) or None. NaNs are made one bit pattern, so that equal content hashes alike."""
    matrix = np.array(values, dtype="<f8", order="C", copy=True)
    matrix[np.isnan(matrix)] = np.nan
    marks = b"" if quality is None or not quality.any() else np.ascontiguousarray(quality, dtype=np.uint8).tobytes()
    return Frame(
        version=VERSION,
        stream=stream,
        registry_version=registry_version,
        boot=boot,
        seq=seq,
        sent_at=sent_at,
        received_at=received_at,
        rows=matrix.shape[0],
        channels=matrix.shape[1],
        times=np.ascontiguousarray(times, dtype="<i8").tobytes(),
        values=matrix.tobytes(),
        quality=marks,
        units=dict(units or {}),
    )


def encode_frame(frame: Frame) -> bytes:
    return _encoder.encode(frame)


def decode_frame(data: bytes | memoryview) -> Frame:
    """The frame in a message. Raises Reject(frame_malformed | frame_version | frame_shape)."""
    try:
        frame = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Reject("frame_malformed", str(error)) from error
    if frame.version != VERSION:
        raise Reject("frame_version", f"frame version {frame.version} is not {VERSION}")
    cells = frame.rows * frame.channels
    if len(frame.times) != 8 * frame.rows or len(frame.values) != 8 * cells or len(frame.quality) not in (0, cells):
        raise Reject("frame_shape", f"{frame.rows} rows of {frame.channels} channels do not fit the arrays' lengths")
    return frame
