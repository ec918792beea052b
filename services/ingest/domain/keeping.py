"""How a record is kept that cannot be stored: within bounds, under names every table takes."""

from __future__ import annotations

import zstandard

_COMPRESS_ABOVE = 64 * 1024
_KEEP = 1024 * 1024
_KAFKA_ROOM = 3 * 1024 * 1024


def kept(raw: bytes) -> tuple[bytes, str, bool]:
    """What of a record is kept: its bytes, how they are encoded, whether they are all. Fits a Kafka message whatever comes."""
    if len(raw) <= _COMPRESS_ABOVE:
        return raw, "", True
    packed = zstandard.compress(raw, 1)
    if len(packed) <= _KAFKA_ROOM:
        return packed, "zstd", True
    return zstandard.compress(raw[:_KEEP], 1), "zstd", False


def printable(text: str | None) -> str | None:
    """A name that any table takes: at most 200 characters, others than printable ones replaced; None for none."""
    if not text:
        return None
    return "".join(character if character.isprintable() else "\ufffd" for character in text[:200])
