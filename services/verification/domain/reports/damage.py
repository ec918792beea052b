"""Which single byte of a damaged member was changed, from its CRC-32 alone, without the original.

CRC-32 is linear: the checksums of the sound and the damaged bytes differ by what the one changed byte contributes, carried over the zeros
behind it. Carrying the difference back, position by position, it becomes the table entry of some byte exactly where the change can be.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_POLYNOMIAL = 0xEDB88320


def _entry(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = [_entry(byte) for byte in range(256)]
_BYTE_OF = {value: byte for byte, value in enumerate(_TABLE) if byte}
_BYTE_OF_TOP = {value >> 24: byte for byte, value in enumerate(_TABLE)}


def changed_bytes(data: bytes | memoryview, expected: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Every (position, original byte) with start <= position < end whose undoing alone gives `data` the CRC-32 `expected`, from the end on.

    One place at most is the true one, but in long stretches another may fit by chance: confirm with a hash.
    """
    difference = zlib.crc32(data) ^ expected
    value = _apply(_power(len(data) - end), difference)
    for position in range(end - 1, start - 1, -1):
        if (byte := _BYTE_OF.get(value)) is not None:
            yield position, data[position] ^ byte
        value = _back(value)


def _back(value: int) -> int:
    """The register before one zero byte was fed into it."""
    byte = _BYTE_OF_TOP[value >> 24]
    return ((value ^ _TABLE[byte]) << 8 | byte) & 0xFFFFFFFF


def _power(steps: int) -> list[int]:
    """The matrix, as the images of the 32 bits, of `steps` times `_back`."""
    result = [1 << bit for bit in range(32)]
    square = [_back(1 << bit) for bit in range(32)]
    while steps:
        if steps & 1:
            result = [_apply(square, column) for column in result]
        square = [_apply(square, column) for column in square]
        steps >>= 1
    return result


def _apply(matrix: list[int], value: int) -> int:
    image, bit = 0, 0
    while value:
        if value & 1:
            image ^= matrix[bit]
        value >>= 1
        bit += 1
    return image
