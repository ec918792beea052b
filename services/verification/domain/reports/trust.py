"""What a reader holds for genuine, from outside of a pack: the platform's keys with whose they are, and who has to sign which report (V-25)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.reports.findings import Finding, FindingKind
from services.verification.domain.reports.signatures import CLOCK_TOLERANCE, PublicKey, Statement
from shared.kernel.errors import Invalid, Problem
from shared.kernel.times import Micros, from_rfc3339, to_rfc3339


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A registered key, and when it was in force."""

    key: PublicKey
    registered_at: Micros
    revoked_at: Micros | None


@dataclass(frozen=True, slots=True)
class Trust:
    """`keys` by fingerprint; `policies` per report type: the orders of roles that the platform has ever asked for."""

    keys: Mapping[str, RegisteredKey]
    policies: Mapping[str, Sequence[Sequence[str]]]


def load_trust(text: bytes) -> Trust:
    """What `pilotline reports keys list --json` prints. Raises Invalid(trust_malformed)."""
    try:
        document = json.loads(text)
        found = [_registered(item) for item in document["items"]]
        policies = {
            str(kind): [list(map(str, order)) for order in orders] for kind, orders in document["policies"].items()
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, Problem) as error:
        raise Invalid(
            "trust_malformed", "not a platform's keys and policies", field="keys",
            remedy="write the file with `pilotline reports keys list --json`",
        ) from error  # fmt: skip
    return Trust({item.key.fingerprint: item for item in found}, policies)


def distrusted(statement: Statement, trust: Trust) -> str:
    """Why a signature does not count; empty when it does. Whoever has a key can set the date back: a stolen one is told by its revocation
    only where the thief has not."""
    known = trust.keys.get(statement.key)
    if known is None:
        return f"{statement.name}'s key {statement.key} is not among the trusted ones"
    if known.revoked_at is not None and statement.signed_at >= known.revoked_at:
        return f"signed at {to_rfc3339(statement.signed_at)}, but the key was revoked at {to_rfc3339(known.revoked_at)}"
    if statement.signed_at < known.registered_at - CLOCK_TOLERANCE:
        return f"signed at {to_rfc3339(statement.signed_at)}, before the key was registered at {to_rfc3339(known.registered_at)}"
    return ""


def check_policy(document: Mapping[str, Any], trust: Trust) -> list[Finding]:
    """Whether the platform has ever asked for just these signatures on such a report."""
    asked = trust.policies.get(document["type"], ())
    if list(document["signatures"]) in [list(order) for order in asked]:
        return []
    wanted = " or ".join(", ".join(order) for order in asked) or "no report of this type"
    detail = f"says {', '.join(document['signatures']) or 'nobody'}; the platform asks for {wanted}"
    return [Finding(FindingKind.SIGNATURE, "policy", detail)]


def _registered(item: Mapping[str, Any]) -> RegisteredKey:
    revoked = item["revoked_at"]
    return RegisteredKey(
        PublicKey.of({name: item[name] for name in PublicKey.FIELDS}),
        from_rfc3339(item["registered_at"]),
        None if revoked is None else from_rfc3339(revoked),
    )
