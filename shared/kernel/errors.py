"""Errors with a stable code, the field at fault and what to do about it (RFC 9457).

PilotlineError
├── Problem                 an answer to somebody: code, title, detail, field, remedy, HTTP status
│   ├── Malformed           400  cannot be read at all
│   ├── Unauthenticated     401
│   ├── Forbidden           403
│   ├── NotFound            404
│   ├── NotAllowed          409  the state does not permit it
│   ├── TooLarge            413
│   ├── UnsupportedMedia    415
│   ├── Invalid             422  readable, but breaks a rule
│   ├── TooMany             429  a limit of the caller; `retry_after` says when
│   ├── Unavailable         503  a limit or dependency of ours; `retry_after` says when
│   └── OutcomeUnknown      504  re-send the same identity
├── Reject                  a record that can never be processed: dead letter, with the reason
└── Retry                   the same work may succeed later
Anything else stops the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar


class PilotlineError(Exception):
    """Root of every error raised on purpose."""


def words(error: BaseException) -> str:
    """An error of somebody else's as a line to keep: kind and text, cut, printable (a database takes no NUL, UTF-8 no lone surrogate)."""
    text = f"{type(error).__name__}: {error}"[:300]
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class Problem(PilotlineError):
    """A refusal that a caller can act on. `code` is stable: clients branch on it, never on the text."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        retry_after: float | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.remedy = remedy
        self.retry_after = retry_after
        self.extra = dict(extra or {})

    def __reduce__(self) -> tuple[Callable[..., Problem], tuple[object, ...]]:
        """Problems cross processes whole."""
        given = (self.code, self.detail, self.field, self.remedy, self.retry_after, self.extra)
        return _problem, (type(self), *given)

    def document(self) -> dict[str, object]:
        """The `application/problem+json` body."""
        body: dict[str, object] = {
            "type": f"urn:pilotline:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.field is not None:
            body["field"] = self.field
        if self.remedy is not None:
            body["remedy"] = self.remedy
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        return body | self.extra


def _problem(
    kind: type[Problem],
    code: str,
    detail: str,
    field: str | None,
    remedy: str | None,
    retry_after: float | None,
    extra: Mapping[str, object],
) -> Problem:
    return kind(code, detail, field=field, remedy=remedy, retry_after=retry_after, extra=extra)


class Malformed(Problem):
    status = 400
    title = "The request cannot be read"


class Unauthenticated(Problem):
    status = 401
    title = "Credentials are missing or not valid"


class Forbidden(Problem):
    status = 403
    title = "These credentials do not permit this"


class NotFound(Problem):
    status = 404
    title = "There is no such thing"


class NotAllowed(Problem):
    status = 409
    title = "The present state does not permit this"


class TooLarge(Problem):
    status = 413
    title = "The request is too large"


class UnsupportedMedia(Problem):
    status = 415
    title = "This content type or encoding is not supported"


class Invalid(Problem):
    status = 422
    title = "The request breaks a rule"


class TooMany(Problem):
    status = 429
    title = "A limit is reached"


class Unavailable(Problem):
    status = 503
    title = "Not available at the moment"


class OutcomeUnknown(Problem):
    status = 504
    title = "The outcome is unknown; send the same record again"


class Reject(PilotlineError):
    """A record that no retry can process. It goes to the dead letters with `code` and `detail`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[type[Reject], tuple[str, str]]:
        return type(self), (self.code, self.detail)


class Retry(PilotlineError):
    """Work that may succeed later: the caller keeps it and tries again with back-off."""
