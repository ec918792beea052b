"""Deterministic identities: the same facts give the same id, so that a replay re-emits a record every consumer can ignore."""

from __future__ import annotations

from uuid import UUID, uuid5

from shared.kernel.canonical import canonical_json

NAMESPACE = UUID("6f1d2c0e-0c5b-5f7e-9a46-5a0d5b7f3c11")


def stable_id(kind: str, *parts: object) -> UUID:
    """UUIDv5 (RFC 9562) over the kind and the canonical form of its parts."""
    return uuid5(NAMESPACE, f"{kind}:{canonical_json(list(parts)).decode()}")
