"""Ordered signatures of a report (V-24)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.verification.domain.reports.signatures import (
    PublicKey,
    Signature,
    Statement,
    check_next,
    fingerprint,
    next_statement,
    public_key_of,
    sign,
    verifies,
)
from shared.kernel.errors import Invalid, NotAllowed

POLICY = ("performed", "reviewed", "approved")
DOCUMENT = "a" * 64
PRIVATE = {
    name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")) for name in ("li", "wang", "chen", "zhao")
}
KEYS = {name: PublicKey(name, name.title(), public_key_of(key), POLICY) for name, key in PRIVATE.items()}


def signed(chain: list[Signature], who: str, role: str, document: str = DOCUMENT) -> Signature:
    return sign(PRIVATE[who], next_statement(document, POLICY, chain, KEYS[who], role, 1_000 + len(chain)))


def chain_of(*who: str) -> list[Signature]:
    chain: list[Signature] = []
    for name, role in zip(who, POLICY, strict=False):
        made = signed(chain, name, role)
        check_next(DOCUMENT, POLICY, chain, made, KEYS[name])
        chain.append(made)
    return chain


def forged(chain: list[Signature], who: str, **facts: object) -> Signature:
    """Signed by the right key, over a statement the client should not have made."""
    statement = Statement(DOCUMENT, POLICY[min(len(chain), 2)], who, KEYS[who].name, KEYS[who].fingerprint, len(chain) + 1,
                          chain[-1].digest() if chain else "", 5)  # fmt: skip
    return sign(PRIVATE[who], replace(statement, **facts))  # type: ignore[arg-type]


def refused(chain: list[Signature], made: Signature, who: str) -> str:
    with pytest.raises((Invalid, NotAllowed)) as caught:
        check_next(DOCUMENT, POLICY, chain, made, KEYS[who])
    return caught.value.code


def test_a_chain_in_order_is_accepted_and_every_signature_verifies() -> None:
    """V-24"""
    chain = chain_of("li", "wang", "chen")
    assert [made.statement.previous for made in chain] == ["", chain[0].digest(), chain[1].digest()]
    assert all(verifies(made, KEYS[made.statement.signer].public_key) for made in chain)
    assert [Signature.of(made.document()) for made in chain] == chain


def test_wrong_order_is_refused() -> None:
    """V-24: reviewed before performed, and by a statement made by hand."""
    with pytest.raises(NotAllowed, match="signature_order"):
        signed([], "wang", "reviewed")
    assert refused([], forged([], "wang", role="reviewed"), "wang") == "signature_order"
    assert refused([], forged([], "wang", position=2), "wang") == "signature_order"


def test_nobody_signs_twice_in_one_chain() -> None:
    """V-24: neither the same person nor the same key under another name."""
    chain = chain_of("li")
    with pytest.raises(NotAllowed, match="signature_twice"):
        signed(chain, "li", "reviewed")
    other = replace(KEYS["li"], person="somebody")
    with pytest.raises(NotAllowed, match="signature_twice"):
        next_statement(DOCUMENT, POLICY, chain, other, "reviewed", 5)


def test_after_the_last_signature_nothing_changes() -> None:
    """V-24"""
    chain = chain_of("li", "wang", "chen")
    with pytest.raises(NotAllowed, match="signatures_complete"):
        signed(chain, "zhao", "approved")


def test_each_statement_is_checked_against_chain_key_and_document() -> None:
    """V-24: what a signature covers cannot be chosen by its signer."""
    chain = chain_of("li")
    assert refused(chain, forged(chain, "wang", document="b" * 64), "wang") == "signature_document"
    assert refused(chain, forged(chain, "wang", previous="c" * 64), "wang") == "signature_chain"
    assert refused(chain, forged(chain, "wang", name="Chen"), "wang") == "signature_key"
    made = forged(chain, "wang")
    assert refused(chain, replace(made, value="00" * 64), "wang") == "signature_invalid"
    assert refused(chain, replace(made, statement=replace(made.statement, signed_at=6)), "wang") == "signature_invalid"
    with pytest.raises(NotAllowed, match="signature_role"):
        check_next(DOCUMENT, POLICY, chain, made, replace(KEYS["wang"], roles=("performed",)))


def test_a_signature_is_bound_to_this_use_of_the_key() -> None:
    """V-24: the bytes that are signed begin with what they are for."""
    made = signed([], "li", "performed")
    assert made.statement.payload().startswith(b"pilotline-report-signature/1\x00{")
    assert not verifies(
        replace(made, value=PRIVATE["li"].sign(made.statement.payload()[29:]).hex()), KEYS["li"].public_key
    )


def test_malformed_keys_and_signatures_name_what_is_wrong() -> None:
    for text in ("", "zz", "AA" * 32, "00" * 31):
        with pytest.raises(Invalid, match="signature_key"):
            fingerprint(text)
    made = signed([], "li", "performed").document()
    for broken in ({}, made | {"more": 1}, made | {"position": "1"}):
        with pytest.raises(Invalid, match="signature_malformed"):
            Signature.of(broken)
    with pytest.raises(Invalid, match="signature_key"):
        sign(PRIVATE["wang"], signed([], "li", "performed").statement)
