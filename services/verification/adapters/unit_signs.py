"""UCUM codes as people write them."""

from __future__ import annotations

from typing import Final

_SIGNS: Final = (
    ("%{mol}", "mol-%"),
    ("10*3.", "10\N{SUPERSCRIPT THREE} "),
    ("m3", "m\N{SUPERSCRIPT THREE}"),
    ("{std}", " (std)"),
    ("Cel", "\N{DEGREE SIGN}C"),
)


def shown_unit(code: str) -> str:
    """Codes without a usual sign stay as they are."""
    for ucum, sign in _SIGNS:
        code = code.replace(ucum, sign)
    return code
