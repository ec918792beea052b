"""NumPy arrays in PostgreSQL's binary array format, both ways, without a Python object per element.

An array on the wire is a header (dimensions, null flag, element type, length, lower bound) and per element a big-endian int32 length and
the big-endian value: 12 bytes per int8 or float8.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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
_CELLS = {INT8: (_INT8_CELL, "<i8"), FLOAT8: (_FLOAT8_CELL, "<f8")}


def pack_arrays(element: int, arrays: Sequence[bytes]) -> list[bytes]:
    """Each little-endian int64 or float64 buffer as a length-prefixed COPY field holding an array; all converted in one pass.

    `element` is the type's oid, INT8 or FLOAT8.
    """
    cell, dtype = _CELLS[element]
    flat = np.frombuffer(b"".join(arrays), dtype=dtype)
    packed = np.empty(flat.shape, dtype=cell)
    packed["length"] = 8
    packed["value"] = flat
    view = packed.tobytes()
    fields = []
    start = 0
    for array in arrays:
        count = len(array) >> 3
        end = start + 12 * count
        head = struct.pack(">iiiIii", 20 + 12 * count, 1, 0, element, count, 1)
        fields.append(head + view[start:end])
        start = end
    return fields


def unpack_array(element: int, data: Buffer) -> NDArray[Any]:
    """The elements of a one-dimensional binary array without nulls, as a native array of its own."""
    cell, dtype = _CELLS[element]
    if len(data) < _HEADER.size:
        return np.empty(0, dtype=dtype)
    cells = np.frombuffer(data, dtype=cell, offset=_HEADER.size)
    return cells["value"].astype(dtype)


class _Int8ArrayLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.int64]:
        return unpack_array(INT8, data)


class _Float8ArrayLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.float64]:
        return unpack_array(FLOAT8, data)


class _MicrosLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> Micros:
        return int.from_bytes(data, "big", signed=True) + PG_EPOCH


class _NumpyDumper(Dumper):
    format = Format.BINARY
    _element: int

    def dump(self, obj: NDArray[Any]) -> Buffer:
        _cell, dtype = _CELLS[self._element]
        return pack_arrays(self._element, [np.ascontiguousarray(obj, dtype=dtype).tobytes()])[0][4:]


class _Int8ArrayDumper(_NumpyDumper):
    oid = INT8_ARRAY
    _element = INT8


class _Float8ArrayDumper(_NumpyDumper):
    oid = FLOAT8_ARRAY
    _element = FLOAT8


class _NumpyAnyDumper(Dumper):
    """Chooses by element type: int64 arrays become int8[], float64 arrays float8[]."""

    format = Format.BINARY

    def dump(self, obj: NDArray[Any]) -> Buffer:
        raise NotImplementedError("get_key sends every array to the dumper of its element type")

    def get_key(self, obj: NDArray[Any], format: Any) -> Any:
        return (np.ndarray, obj.dtype.kind)

    def upgrade(self, obj: NDArray[Any], format: Any) -> Dumper:
        return {"i": _Int8ArrayDumper, "f": _Float8ArrayDumper}[obj.dtype.kind](np.ndarray)


def speak_numpy(context: AdaptContext) -> None:
    """Make a connection or cursor load int8[] and float8[] as NumPy arrays and timestamptz as `Micros` (binary results only), and take
    NumPy arrays as parameters."""
    adapters = context.adapters
    assert adapters is not None
    adapters.register_loader(INT8_ARRAY, _Int8ArrayLoader)
    adapters.register_loader(FLOAT8_ARRAY, _Float8ArrayLoader)
    adapters.register_loader(TIMESTAMPTZ, _MicrosLoader)
    adapters.register_dumper(np.ndarray, _NumpyAnyDumper)
