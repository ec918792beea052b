"""API keys: `pl_<prefix>_<secret>`. The prefix is public and names the key in logs; only an argon2id hash of the secret is stored."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import string
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from shared.kernel.errors import Invalid, NotFound, Unauthenticated
from shared.kernel.persons import person_name
from shared.storage.pool import Connection, Pool

_ALPHABET = string.ascii_lowercase + string.digits
_REMEDY = "send `Authorization: Bearer pl_<prefix>_<secret>`; keys come from `pilotline keys create`"
_remembered = 4096


class Role(StrEnum):
    GATEWAY = "gateway"
    OPERATOR = "operator"
    ACCOUNTANT = "accountant"
    VIEWER = "viewer"
    ADMIN = "admin"


PERSONAL = frozenset({Role.OPERATOR, Role.ADMIN})
"""Roles whose keys act for a person: what two people must do is counted by that person, however many keys there are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a key reaches; None means all of it."""

    platform: str | None = None
    line: str | None = None
    instrument: str | None = None

    def covers(self, *, platform: str | None = None, line: str | None = None, instrument: str | None = None) -> bool:
        """Whether a thing with these coordinates is inside. A coordinate the thing does not have is outside of any key bound to one."""
        wanted = ((self.platform, platform), (self.line, line), (self.instrument, instrument))
        return all(bound is None or bound == actual for bound, actual in wanted)

    def covers_line(self, *, platform: str, line: str) -> bool:
        """Whether anything of a line is inside: a key bound to one of its instruments reaches the line's name."""
        return (
            self.platform in (None, platform)
            and self.line in (None, line)
            and (self.instrument is None or self.instrument.split("/")[0] == line)
        )

    def includes(self, other: Scope) -> bool:
        """Whether everything that a key with the other scope reaches is inside."""
        return self.covers(platform=other.platform, line=other.line, instrument=other.instrument)

    @property
    def whole(self) -> bool:
        """Bound to nothing."""
        return self == Scope()


EVERYTHING = Scope()
"""Of a key that is bound to nothing."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as far as its key says. `person` is whose the key is; the prefix where nobody was named."""

    prefix: str
    label: str
    role: Role
    scope: Scope
    person: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as listed: everything but the secret."""

    prefix: str
    label: str
    role: Role
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    person: str


def hasher() -> PasswordHasher:
    """argon2id, 19 MiB, two passes (OWASP's minimum; the secrets are 256 random bits)."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


async def create_key(
    connection: Connection,
    *,
    label: str,
    role: Role,
    scope: Scope = Scope(),
    expires_at: datetime | None = None,
    person: str | None = None,
) -> str:
    """Store a new key and return its text, which cannot be had again.

    Raises Invalid(key_expiry) for one that is expired already, Invalid(key_person) for one of `PERSONAL` without a person,
    Invalid(person_name).
    """
    if person is None and role in PERSONAL:
        raise Invalid(
            "key_person",
            f"a key with the role {role} acts for a person",
            field="person",
            remedy="name whose key it is: `pilotline keys create --person`",
        )
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise Invalid("key_expiry", "the expiry must be in the future and have a time zone", field="expires_at")
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_urlsafe(32)
    await connection.execute(
        """insert into ingest.api_key (prefix, hash, label, role, platform_id, line_id, instrument_id, expires_at, person)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            prefix,
            hasher().hash(secret),
            label,
            role,
            scope.platform,
            scope.line,
            scope.instrument,
            expires_at,
            prefix if person is None else person_name(person),
        ),
    )
    return f"pl_{prefix}_{secret}"


async def list_keys(connection: Connection) -> list[KeyRow]:
    """Every key ever created, oldest first."""
    cursor = await connection.execute(_SELECT + " order by created_at, prefix")
    return [_key_row(row) for row in await cursor.fetchall()]


async def revoke_key(connection: Connection, prefix: str) -> None:
    """No request with this key is accepted once the caches of the services are 5 s older. Raises NotFound(key_unknown)."""
    cursor = await connection.execute(
        "update ingest.api_key set revoked_at = coalesce(revoked_at, clock_timestamp()) where prefix = %s", (prefix,)
    )
    if cursor.rowcount == 0:
        raise NotFound("key_unknown", f"there is no key with prefix {prefix}", field="prefix")


class ApiKeys:
    """Verifies keys against the database. A row is read again after `max_age` seconds, so a revocation takes effect within that time; the
    slow hash is computed once per key and stored hash, two at a time, in threads."""

    def __init__(self, pool: Pool, *, max_age: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._max_age = max_age
        self._monotonic = monotonic
        self._rows: OrderedDict[str, tuple[float, KeyRow, str]] = OrderedDict()
        self._proven: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        self._hashing = asyncio.Semaphore(2)
        self._hasher = hasher()

    async def verify(self, key: str) -> Caller:
        """The caller of a valid key. Raises Unauthenticated(key_unknown | key_expired | key_revoked)."""
        mark, _, rest = key.partition("_")
        prefix, _, secret = rest.partition("_")
        if mark != "pl" or not 1 <= len(prefix) <= 40 or not 1 <= len(secret) <= 200:
            raise _unknown()
        row, stored_hash = await self._row(prefix)
        if not await self._proves(secret, stored_hash):
            raise _unknown()
        if row.revoked_at is not None:
            raise Unauthenticated("key_revoked", f"the key {prefix} was revoked", remedy="use another key")
        if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
            raise Unauthenticated("key_expired", f"the key {prefix} has expired", remedy="use another key")
        return Caller(prefix=prefix, label=row.label, role=row.role, scope=row.scope, person=row.person)

    async def _row(self, prefix: str) -> tuple[KeyRow, str]:
        now = self._monotonic()
        if (known := self._rows.get(prefix)) and now - known[0] < self._max_age:
            return known[1], known[2]
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_SELECT + " where prefix = %s", (prefix,))
            row = await cursor.fetchone()
        if row is None:
            self._rows.pop(prefix, None)
            raise _unknown()
        self._rows[prefix] = (now, _key_row(row), row[-1])
        self._rows.move_to_end(prefix)
        if len(self._rows) > _remembered:
            self._rows.popitem(last=False)
        return self._rows[prefix][1], self._rows[prefix][2]

    async def _proves(self, secret: str, stored_hash: str) -> bool:
        proof = (stored_hash, hashlib.sha256(secret.encode()).digest())
        if proof in self._proven:
            return True
        async with self._hashing:
            matches = await asyncio.to_thread(self._matches, stored_hash, secret)
        if matches:
            self._proven[proof] = None
            if len(self._proven) > _remembered:
                self._proven.popitem(last=False)
        return matches

    def _matches(self, stored_hash: str, secret: str) -> bool:
        try:
            return self._hasher.verify(stored_hash, secret)
        except (VerifyMismatchError, InvalidHashError):
            return False


_SELECT = """select prefix, label, role, platform_id, line_id, instrument_id, created_at, expires_at, revoked_at, person, hash
             from ingest.api_key"""


def _key_row(row: Sequence[Any]) -> KeyRow:
    prefix, label, role, platform, line, instrument, created_at, expires_at, revoked_at, person, _hash = row
    scope = Scope(platform, line, instrument)
    return KeyRow(prefix, label, Role(role), scope, created_at, expires_at, revoked_at, person)


def _unknown() -> Unauthenticated:
    return Unauthenticated("key_unknown", "this key is not known", remedy=_REMEDY)
