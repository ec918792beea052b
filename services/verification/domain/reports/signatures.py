"""Signatures of a report: an ordered chain of Ed25519 signatures over canonical JSON (V-24).

Every signature covers the document's digest and the signature before it, so none can be taken out, moved or put in later. The policy, the
ordered list of roles, is part of the signed document. Private keys stay with the people: this module signs where the key is, and checks
everywhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.kernel.canonical import canonical_json, digest, sha256_hex
from shared.kernel.errors import Invalid, NotAllowed
from shared.kernel.times import MINUTE, Micros

_DOMAIN = b"pilotline-report-signature/1\x00"
"""Goes before the signed bytes: a signature of a report can never be taken for one of something else."""

CLOCK_TOLERANCE = 10 * MINUTE
"""By how much a signer's clock may differ from the platform's, in µs."""

_FIELD = 2**255 - 19
_EIGHTH = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _EIGHTH, _FIELD - _EIGHTH})
"""y of the eight points of order 1, 2, 4 and 8 of edwards25519 (RFC 8032): as keys they verify signatures that no private key made."""


class Role(StrEnum):
    """What a signature means."""

    PERFORMED = "performed"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    WITNESSED = "witnessed"
    SCENE_OWNER = "scene_owner"


@dataclass(frozen=True, slots=True)
class Statement:
    """What one signature covers. `position` counts from 1; `previous` is the digest of the signature before, empty for the first;
    `signed_at` (µs) is the signer's clock; `key` is the SHA-256 of the public key."""

    document: str
    role: str
    signer: str
    name: str
    key: str
    position: int
    previous: str
    signed_at: Micros

    def payload(self) -> bytes:
        return _DOMAIN + canonical_json(asdict(self))


@dataclass(frozen=True, slots=True)
class Signature:
    """A statement and the 64 bytes, in hexadecimal, that its signer's key made of it."""

    statement: Statement
    value: str

    def digest(self) -> str:
        """What the next signature of the chain refers to."""
        return digest(self.document())

    def document(self) -> dict[str, Any]:
        return {**asdict(self.statement), "signature": self.value}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Signature:
        """Inverse of `document`. Raises Invalid(signature_malformed)."""
        facts = dict(document)
        try:
            value = str(facts.pop("signature"))
            statement = Statement(**facts)
        except (KeyError, TypeError) as error:
            raise Invalid(
                "signature_malformed",
                f"not the fields of a signature: {error}",
                field="signature",
                remedy="sign with `pilotline reports sign`",
            ) from error
        for name, field in asdict(statement).items():
            wanted = int if name in ("position", "signed_at") else str
            if type(field) is not wanted:
                raise Invalid(
                    "signature_malformed", f"{name} is no {'whole number' if wanted is int else 'text'}", field=name,
                    remedy="sign with `pilotline reports sign`",
                )  # fmt: skip
        return cls(statement, value)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A person's registered key: 32 bytes in hexadecimal. `roles` are what the person may sign as."""

    FIELDS: ClassVar = ("person", "name", "public_key", "fingerprint", "roles")

    person: str
    name: str
    public_key: str
    roles: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public_key)

    def document(self) -> dict[str, Any]:
        return {
            "person": self.person,
            "name": self.name,
            "public_key": self.public_key,
            "fingerprint": self.fingerprint,
            "roles": list(self.roles),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> PublicKey:
        """Inverse of `document`, field for field. Raises Invalid(signature_key)."""
        if not isinstance(document, Mapping):
            raise Invalid("signature_key", "no fields of a key", field="key")
        roles = document.get("roles")
        listed = list(roles) if isinstance(roles, list | tuple) else []
        person, name, public = (str(document.get(field)) for field in ("person", "name", "public_key"))
        key = cls(person, name, public, tuple(map(str, listed)))
        if not listed or key.document() != {**document, "roles": listed}:
            raise Invalid(
                "signature_key", f"not the fields of the key of {key.person}, or another key's fingerprint", field="fingerprint",
                remedy="make one with `pilotline reports keys create`",
            )  # fmt: skip
        return key


def fingerprint(public_key: str) -> str:
    """SHA-256 of the 32 bytes of a public key. Raises Invalid(signature_key)."""
    return sha256_hex(_key_bytes(public_key))


def public_key_of(private: Ed25519PrivateKey) -> str:
    """The 32 bytes of the public half, in hexadecimal."""
    return private.public_key().public_bytes_raw().hex()


def sign(private: Ed25519PrivateKey, statement: Statement) -> Signature:
    """Signs a statement whose `key` is this key's fingerprint. Raises Invalid(signature_key)."""
    if fingerprint(public_key_of(private)) != statement.key:
        raise Invalid(
            "signature_key", "the statement names another key than the one that signs", field="key",
            remedy="take the key file that belongs to the registered public key",
        )  # fmt: skip
    return Signature(statement, private.sign(statement.payload()).hex())


def next_statement(
    document: str, policy: Sequence[str], chain: Sequence[Signature], key: PublicKey, role: str, signed_at: Micros
) -> Statement:
    """What a person has to sign next. Raises what `check_next` raises, but for the signature itself."""
    statement = Statement(
        document=document,
        role=role,
        signer=key.person,
        name=key.name,
        key=key.fingerprint,
        position=len(chain) + 1,
        previous=chain[-1].digest() if chain else "",
        signed_at=signed_at,
    )
    _check_place(document, policy, chain, statement)
    return statement


def check_next(
    document: str, policy: Sequence[str], chain: Sequence[Signature], signature: Signature, key: PublicKey
) -> None:
    """Whether `signature`, by the owner of `key`, may be the next of the chain.

    Raises NotAllowed(signatures_complete | signature_order | signature_twice | signature_role) or Invalid(signature_document |
    signature_chain | signature_key | signature_invalid).
    """
    statement = signature.statement
    _check_place(document, policy, chain, statement)
    if statement.role not in key.roles:
        raise NotAllowed(
            "signature_role", f"{key.person} may not sign as {statement.role}", field="role",
            remedy="register a key with this role, or let somebody sign who has it",
        )  # fmt: skip
    if (statement.signer, statement.name, statement.key) != (key.person, key.name, key.fingerprint):
        raise Invalid("signature_key", "signer, name and key are not those of the registered key", field="key")
    if not verifies(signature, key.public_key):
        raise Invalid(
            "signature_invalid", f"the signature of {statement.signer} does not fit what it covers", field="signature",
            remedy="sign the report's statement with the registered key",
        )  # fmt: skip


def verifies(signature: Signature, public_key: str) -> bool:
    """Whether the bytes were made by the key over this statement."""
    try:
        value = bytes.fromhex(signature.value)
        Ed25519PublicKey.from_public_bytes(_key_bytes(public_key)).verify(value, signature.statement.payload())
    except (ValueError, InvalidSignature):
        return False
    return signature.value == value.hex()


def _check_place(document: str, policy: Sequence[str], chain: Sequence[Signature], statement: Statement) -> None:
    if len(chain) >= len(policy):
        raise NotAllowed(
            "signatures_complete", "the last signature is there; nothing changes after it",
            remedy="issue the report; what must change needs an amendment",
        )  # fmt: skip
    if statement.document != document:
        raise Invalid("signature_document", "the signature covers another document", field="document")
    if statement.role != policy[len(chain)] or statement.position != len(chain) + 1:
        raise NotAllowed(
            "signature_order", f"the next signature is number {len(chain) + 1}: {policy[len(chain)]}", field="role",
            remedy=f"sign in this order: {', '.join(policy)}",
        )  # fmt: skip
    if any(statement.signer == made.statement.signer or statement.key == made.statement.key for made in chain):
        raise NotAllowed(
            "signature_twice", f"{statement.signer} has signed this report already", field="signer",
            remedy="another person has to sign",
        )  # fmt: skip
    if statement.previous != (chain[-1].digest() if chain else ""):
        raise Invalid(
            "signature_chain", "the signature does not follow the one before it", field="previous",
            remedy="read the report again and sign its present state",
        )  # fmt: skip


def _key_bytes(public_key: str) -> bytes:
    try:
        data = bytes.fromhex(public_key)
    except ValueError:
        data = b""
    y = int.from_bytes(data, "little") % 2**255
    if len(data) != 32 or data.hex() != public_key or y >= _FIELD or y in _SMALL_ORDER:
        raise Invalid(
            "signature_key", "a public key is 32 bytes in lower-case hexadecimal: a point of large order", field="public_key",
            remedy="make one with `pilotline reports keys create`",
        )  # fmt: skip
    return data
