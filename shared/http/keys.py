"""Who calls: an API key in a header, never in the URL; role and scope as FastAPI dependencies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request

from shared.kernel.errors import Forbidden, Unauthenticated
from shared.storage.api_keys import ApiKeys, Caller, Role


def require(*roles: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that gives the caller when the key has one of the roles; `admin` always may, none named means any role.

    Raises Unauthenticated(key_missing | key_unknown | key_expired | key_revoked) or Forbidden(key_role). The scope is for the route to
    check (`check_scope`), because only it knows what is touched.
    """

    async def caller(request: Request) -> Caller:
        keys: ApiKeys = request.app.state.keys
        found = await keys.verify(presented_key(request))
        if roles and found.role is not Role.ADMIN and found.role not in roles:
            raise Forbidden(
                "key_role",
                f"the key {found.prefix} has the role {found.role}",
                remedy=f"use a key with the role {' or '.join(roles)}",
            )
        return found

    return caller


def presented_key(request: Request) -> str:
    """The key in `Authorization: Bearer` or `X-API-Key`. Raises Unauthenticated(key_missing)."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    key = credentials.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
    if not key:
        raise Unauthenticated(
            "key_missing",
            "the request carries no API key",
            field="authorization",
            remedy="send `Authorization: Bearer pl_<prefix>_<secret>`",
        )
    return key


def check_scope(
    caller: Caller,
    *,
    platform: str | None = None,
    line: str | None = None,
    instrument: str | None = None,
    field: str | None = None,
) -> None:
    """Raises Forbidden(key_scope) when the thing with these coordinates lies outside the key's scope."""
    if not caller.scope.covers(platform=platform, line=line, instrument=instrument):
        raise Forbidden(
            "key_scope",
            f"the key {caller.prefix} does not reach {instrument or line or platform or 'this'}",
            field=field,
            remedy="use a key for it",
        )
