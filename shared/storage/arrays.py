"""NumPy arrays as parameters in PostgreSQL's binary array format, and instants as `Micros`, without a Python object per element."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.abc import AdaptContext
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format

from shared.kernel.times import Micros

INT8, FLOAT8, INT8_ARRAY, FLOAT8_ARRAY, TIMESTAMPTZ = 20, 701, 1016, 1022, 1184
PG_EPOCH: Micros = 946_684_800_000_000
"""2000-01-01T00:00:00Z: where PostgreSQL counts its microseconds from."""

_HEADER = struct.Struct(">iiIii")
_INT8_CELL = np.dtype([("length", ">i4"), ("value", ">i8")])
_FLOAT8_CELL = np.dtype([("length", ">i4"), ("value", ">f8")])


def pack_array(element: int, array: NDArray[Any]) -> bytes:
    """A one-dimensional array as PostgreSQL reads it: a header (dimensions, null flag, element type, length, lower bound), then per element
    a big-endian length and value. `element` is the type's oid, INT8 or FLOAT8."""
    packed = np.empty(array.shape, dtype=_INT8_CELL if element == INT8 else _FLOAT8_CELL)
    packed["length"] = 8
    packed["value"] = array
    return _HEADER.pack(1, 0, element, len(array), 1) + packed.tobytes()


class _MicrosLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Micros:
        return int.from_bytes(data, "big", signed=True) + PG_EPOCH


class _Int8ArrayDumper(Dumper):
    format = Format.BINARY
    oid = INT8_ARRAY

    def dump(self, obj: NDArray[Any]) -> Buffer:
        return pack_array(INT8, obj)


class _Float8ArrayDumper(Dumper):
    format = Format.BINARY
    oid = FLOAT8_ARRAY

    def dump(self, obj: NDArray[Any]) -> Buffer:
        return pack_array(FLOAT8, obj)


class _ArrayDumper(Dumper):
    """Chooses by element type: integers become int8[], floats float8[]."""

    format = Format.BINARY

    def dump(self, obj: NDArray[Any]) -> Buffer:
        raise NotImplementedError("get_key sends every array to the dumper of its element type")

    def get_key(self, obj: NDArray[Any], format: Any) -> Any:
        return (np.ndarray, obj.dtype.kind)

    def upgrade(self, obj: NDArray[Any], format: Any) -> Dumper:
        return {"i": _Int8ArrayDumper, "f": _Float8ArrayDumper}[obj.dtype.kind](np.ndarray)


def speak_numpy(context: AdaptContext) -> None:
    """Make a connection or cursor take NumPy arrays as parameters and give timestamptz as `Micros` (binary results only)."""
    adapters = context.adapters
    assert adapters is not None
    adapters.register_loader(TIMESTAMPTZ, _MicrosLoader)
    adapters.register_dumper(np.ndarray, _ArrayDumper)
