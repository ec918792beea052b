"""Types of fields in bodies and queries that every API shares."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.kernel.times import Micros, from_rfc3339

INT4_MAX = 2**31 - 1
"""Largest `integer` of the database."""
INT8_MAX = 2**63 - 1
"""Largest `bigint` of the database."""


def _instant(given: object) -> Micros:
    if not isinstance(given, str):
        raise PydanticCustomError("instant", "an instant is RFC 3339 text, such as 2026-03-02T08:00:00+08:00")
    try:
        return from_rfc3339(given)
    except ValueError as error:
        raise PydanticCustomError(
            "instant", "not an instant as RFC 3339 writes it: {reason}", {"reason": str(error)}
        ) from error


Instant = Annotated[
    Micros, PlainValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
"""RFC 3339 text and nothing else: a bare number would be an instant in 1970 to one reader and in another year to the next."""


def _day(given: object) -> date:
    if not isinstance(given, str):
        raise PydanticCustomError("day", "a day is text, such as 2026-03-02")
    try:
        return date.fromisoformat(given)
    except ValueError as error:
        raise PydanticCustomError("day", "not a day of the calendar, such as 2026-03-02") from error


Day = Annotated[date, PlainValidator(_day), WithJsonSchema({"type": "string", "format": "date"}, mode="validation")]
"""ISO 8601 text and nothing else, for the same reason."""
