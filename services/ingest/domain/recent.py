"""What this gateway has seen lately, so that an answer can say `duplicate` or `conflict`. A hint: the sink decides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import StrEnum

Key = tuple[str, str, int]
"""(stream, boot, seq)."""


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    QUARANTINED = "quarantined"


class Recent:
    """Bounded memory of published identities with their content hash, and of the highest number per (stream, boot).

    A number above the highest one needs no look at the ledger: so a sender in order costs no query.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._hashes: OrderedDict[Key, bytes] = OrderedDict()
        self._highest: OrderedDict[tuple[str, str], int] = OrderedDict()

    def unknown_boots(self, keys: Iterable[Key]) -> set[tuple[str, str]]:
        """Boots whose highest number has to be read from the ledger first."""
        return {(stream, boot) for stream, boot, _ in keys if (stream, boot) not in self._highest}

    def learn_boots(self, boots: Iterable[tuple[str, str]], last_seqs: Mapping[tuple[str, str], int]) -> None:
        """`last_seqs` is what the ledger knows of `boots`; those it does not know have nothing stored."""
        for boot in boots:
            self._highest[boot] = max(self._highest.get(boot, -1), last_seqs.get(boot, -1))
            if len(self._highest) > self._limit:
                self._highest.popitem(last=False)

    def doubtful(self, keys: Iterable[Key]) -> set[Key]:
        """Identities that only the ledger can tell: not above the highest number and not remembered."""
        return {key for key in keys if key not in self._hashes and key[2] <= self._highest.get(key[:2], -1)}

    def outcome(self, key: Key, content: bytes, stored: Mapping[Key, bytes]) -> Outcome:
        """By the hash remembered here, else by the ledger's."""
        known = self._hashes.get(key) or stored.get(key)
        if known is None:
            return Outcome.ACCEPTED
        return Outcome.DUPLICATE if known == content else Outcome.CONFLICT

    def remember(self, key: Key, content: bytes) -> None:
        """Call when the record is durable, and only for the first content of an identity."""
        self._hashes[key] = content
        if len(self._hashes) > self._limit:
            self._hashes.popitem(last=False)
        boot = key[:2]
        if key[2] > self._highest.get(boot, -1):
            self._highest[boot] = key[2]
