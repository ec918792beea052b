"""Webhooks by the Standard Webhooks scheme, version 1.0.0: signature, which events an endpoint wants, what an answer means, when to try again.

The signed content is `<webhook-id>.<webhook-timestamp>.<body>`, HMAC-SHA256 under the secret, base64 behind `v1,`. While a secret is being
replaced both sign, and a receiver accepts either.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.kernel.errors import Invalid

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300
"""How far a receiver lets the timestamp be from its clock, so that a recorded request is of no use later."""

SCHEDULE = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
"""Seconds before each attempt, counted from the one before: seven attempts over about eighteen hours."""

EVENTS = ("criterion", "verdict", "evaluation_mismatch", "run.created", "run.started", "run.phase_started", "run.phase_ended",
          "run.held", "run.restarted", "run.ended", "gap", "late", "result.entered", "result.confirmed", "deviation.recorded",
          "deviation.accepted")  # fmt: skip
"""What can be subscribed to; the first three are the default."""

DEFAULT_EVENTS = EVENTS[:3]
TEST_EVENT = "webhook.test"


class Answer(StrEnum):
    """What an attempt has come to. `gone`: the receiver wants nothing any more (410)."""

    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events an endpoint wants; None means all."""

    events: tuple[str, ...] = DEFAULT_EVENTS
    platform: str | None = None
    line: str | None = None
    project: str | None = None

    def wants(self, event: str, *, platform: str, line: str, project: str) -> bool:
        bounds = ((self.platform, platform), (self.line, line), (self.project, project))
        return event in self.events and all(bound in (None, actual) for bound, actual in bounds)


def known_events(events: Sequence[str]) -> tuple[str, ...]:
    """The events in the order of `EVENTS`, each once. Raises Invalid(webhook_event_unknown)."""
    unknown = sorted(set(events) - set(EVENTS))
    if unknown or not events:
        raise Invalid(
            "webhook_event_unknown",
            f"there is no event {', '.join(unknown)}" if unknown else "no event is named",
            field="events",
            remedy=f"use some of: {', '.join(EVENTS)}",
        )
    return tuple(event for event in EVENTS if event in events)


def secret_text(key: bytes) -> str:
    """A secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise Invalid("webhook_secret", "the secret is not base64", field="secret", remedy="copy it whole") from error


def signed_headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; one signature per secret in force, newest first."""
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signatures = [
        "v1," + base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verified(secret: str, headers: Mapping[str, str], body: bytes, now: int) -> bool:
    """What a receiver checks: a fresh timestamp and one matching signature. `headers` by lower-case name, `now` in seconds since 1970."""
    try:
        message_id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        given = headers["webhook-signature"].split(" ")
    except (KeyError, ValueError):
        return False
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        return False
    wanted = signed_headers([secret], message_id, timestamp, body)["webhook-signature"]
    return any(hmac.compare_digest(wanted.encode(), each.encode()) for each in given)


def answer_of(status: int) -> Answer:
    """2xx is success, 410 ends the subscription; everything else, a redirect too, is tried again."""
    if 200 <= status < 300:
        return Answer.DELIVERED
    return Answer.GONE if status == 410 else Answer.RETRY


def wait_before(attempt: int, jitter: float, retry_after: float | None = None) -> float | None:
    """Seconds until attempt number `attempt` (from 0), None when there is none left. `jitter` in [0, 1) spreads it over ± 10 %.

    A receiver may ask for more time (Retry-After), up to a day, never for less.
    """
    if attempt >= len(SCHEDULE):
        return None
    planned = SCHEDULE[attempt] * (0.9 + 0.2 * jitter)
    return max(planned, min(retry_after or 0.0, 86_400.0))
