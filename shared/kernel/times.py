"""Instants as int64 microseconds since 1970-01-01T00:00:00Z: what `timestamptz` holds, without floating point."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

Micros = int
"""Microseconds since the epoch (an instant) or a number of microseconds (a duration)."""

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
FIRST: Micros = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
LAST: Micros = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""The calendar in UTC: `utc` knows what lies in [FIRST, LAST]."""


def micros(instant: datetime) -> Micros:
    """The instant of an aware datetime, exact. Raises ValueError for a naive one, and for one outside the years 1 to 9999 in UTC."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    found = (instant - _EPOCH) // _MICROSECOND
    if not FIRST <= found <= LAST:
        raise ValueError("the instant lies outside the years 1 to 9999 in UTC")
    return found


def utc(instant: Micros) -> datetime:
    """The aware UTC datetime of an instant, exact. Raises OverflowError outside [FIRST, LAST]."""
    return _EPOCH + timedelta(microseconds=instant)


def from_rfc3339(text: str) -> Micros:
    """The instant written as RFC 3339. Raises ValueError when it has no offset or more than six decimals that are not zero."""
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        fraction, offset = tail[:digits], tail[digits:]
        if fraction[6:].strip("0"):
            raise ValueError(f"finer than a microsecond: {text}")
        text = f"{head}.{fraction[:6]}{offset}"
    return micros(datetime.fromisoformat(text))


def to_rfc3339(instant: Micros) -> str:
    """RFC 3339 in UTC with `Z`; decimals only when there are any."""
    return utc(instant).isoformat().replace("+00:00", "Z")
