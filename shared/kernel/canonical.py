"""One byte string per value, so that a digest means the same today and in five years.

Objects are written as JSON with sorted keys, no blanks and UTF-8. Floats are written as the shortest text that reads back to the same
double (`repr`), non-finite ones as the strings "NaN", "Infinity", "-Infinity"; `Decimal` as a plain string without exponent and
without trailing zeros; instants are integers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from uuid import UUID

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_as_it_is = frozenset({str, int, bool, type(None)})


def canonical_json(value: object) -> bytes:
    """The canonical bytes of a tree of mappings, sequences, str, int, float, bool, None, Decimal, UUID, Enum and bytes (hex).

    Raises TypeError for anything else, and for keys that are not text.
    """
    return _encoder.encode(_plain(value)).encode()


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """SHA-256 of the canonical bytes of `value`."""
    return sha256_hex(canonical_json(value))


def decimal_text(value: Decimal) -> str:
    """A decimal as plain digits: no exponent, no trailing zeros, never "-0". Raises ValueError for NaN and infinities."""
    if not value.is_finite():
        raise ValueError(f"not a finite decimal: {value}")
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def _plain(value: object) -> object:
    if type(value) in _as_it_is:
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a canonical object has text keys")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"no canonical form for {type(value).__name__}")
