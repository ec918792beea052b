"""What the routes share: the gateway of a request, periods, reach of a key, plain documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Query
from starlette.requests import Request

from services.billing.bootstrap import Office
from shared.http.fields import INT4_MAX
from shared.http.keys import require
from shared.kernel.canonical import decimal_text
from shared.kernel.errors import Forbidden, Invalid
from shared.kernel.times import Micros, from_rfc3339, micros, to_rfc3339
from shared.storage.api_keys import Caller, Role

Reader = Annotated[Caller, Depends(require(Role.ACCOUNTANT, Role.VIEWER))]
Accountant = Annotated[Caller, Depends(require(Role.ACCOUNTANT))]
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL takes every character of a text but this one."""
Text = Annotated[str | None, Query(max_length=200, pattern=NO_NUL)]
Place = Annotated[str, Path(max_length=200, pattern=NO_NUL)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Version = Annotated[int, Path(ge=1, le=INT4_MAX)]
LATEST: Micros = 7_258_118_400_000_000  # 2200-01-01


def office(request: Request) -> Office:
    found: Office = request.app.state.office
    return found


def instant(field: str, text: str) -> Micros:
    """Raises Invalid(time_malformed | time_range)."""
    try:
        found = from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise Invalid("time_malformed", f"{text!a}: {error}", field=field, remedy="send RFC 3339") from error
    if not 0 <= found <= LATEST:
        raise Invalid("time_range", f"{text} lies outside the years 1970 to 2200", field=field, remedy="send RFC 3339")
    return found


@dataclass(frozen=True, slots=True)
class Reach:
    """What a read may see: the wanted platform and line inside the key's scope."""

    platform: str | None
    line: str | None
    instrument: str | None


def reach(caller: Caller, platform: str | None, line: str | None = None, instrument: str | None = None) -> Reach:
    """Raises Forbidden(key_scope) when something outside the key's scope is asked for; what is not asked for is narrowed to the scope."""
    scope = caller.scope
    pairs = (
        ("platform", scope.platform, platform),
        ("line", scope.line, line),
        ("instrument", scope.instrument, instrument),
    )
    for field, bound, wanted in pairs:
        if bound is not None and wanted is not None and bound != wanted:
            raise Forbidden(
                "key_scope", f"the key {caller.prefix} does not reach {wanted}", field=field, remedy="use a key for it"
            )
    return Reach(scope.platform or platform, scope.line or line, scope.instrument or instrument)


def whole_platform(caller: Caller, platform: str) -> None:
    """Money of a platform is for keys that reach all of it. Raises Forbidden(key_scope)."""
    if not caller.scope.covers(platform=platform):
        raise Forbidden(
            "key_scope",
            f"the key {caller.prefix} does not reach {platform}",
            field="platform",
            remedy="use a key for it",
        )


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values: decimals as text, instants as RFC 3339 in UTC."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime):
        return to_rfc3339(micros(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


def money(amount: Decimal) -> str:
    """Two decimals, always."""
    return f"{amount:.2f}"
