"""Every refusal as RFC 9457 `application/problem+json` with a stable code; the one place where errors become HTTP."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Mapping

import orjson
import psycopg
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kernel.errors import Invalid, Malformed, NotFound, Problem, Unauthenticated, Unavailable
from shared.observability.metrics import REQUEST_SECONDS, REQUESTS, OfRequest

CONTENT_TYPE = "application/problem+json"
_log = structlog.get_logger(__name__)


class MethodNotAllowed(Problem):
    status = 405
    title = "This route does not take that method"


class SlowSender(Problem):
    status = 408
    title = "The request did not arrive in time"


class ProblemResponse(Response):
    """Notes its code in the scope, where the metrics of the request find it."""

    media_type = CONTENT_TYPE

    def __init__(
        self, code: str, document: dict[str, object], status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(_encoded(document), status, headers)
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["pilotline_code"] = self._code
        await super().__call__(scope, receive, send)


def _encoded(document: dict[str, object]) -> bytes:
    """What a request held may be quoted: half of a surrogate pair, or a number of any length, which orjson refuses."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return json.dumps(document, allow_nan=False).encode()


def problem_response(problem: Problem) -> Response:
    """The answer to a refused request."""
    headers = {}
    if problem.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(problem.retry_after)))
    if isinstance(problem, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="pilotline"'
    return ProblemResponse(problem.code, problem.document(), problem.status, headers)


def answer_problems(app: FastAPI) -> None:
    """Register the handlers: our own refusals, FastAPI's validation, unknown routes and methods, what no column or calendar holds, a database
    that does not answer."""
    app.add_exception_handler(Problem, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _http)
    for unusable in (RecursionError, OverflowError, UnicodeEncodeError, psycopg.DataError):
        app.add_exception_handler(unusable, _unusable)
    for unreachable in (PoolTimeout, TooManyRequests, psycopg.OperationalError, psycopg.InterfaceError):
        app.add_exception_handler(unreachable, _database)


class Outermost:
    """Counts every request by route and code. Answers 500 `internal` for an error nobody foresaw and logs where it arose, never what the
    request held."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        try:
            await self._guarded(scope, receive, send)
        finally:
            labels = OfRequest(getattr(scope.get("route"), "path", "unknown"), scope.get("pilotline_code", "ok"))
            REQUESTS.add(labels)
            REQUEST_SECONDS.observe(labels, time.perf_counter() - began)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            where = traceback.format_tb(error.__traceback__)
            _log.error("request_failed", path=scope["path"], error=type(error).__name__, where="".join(where[-4:]))
            if started:
                raise
            problem = Problem(
                "internal", "an error on our side; it was logged", remedy="try again, then tell the operator"
            )
            await problem_response(problem)(scope, receive, send)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _not_valid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = str(first.get("ctx", {}).get("error", "not JSON"))
        return problem_response(Malformed("json_malformed", reason, field="body", remedy="send well-formed JSON"))
    where = [str(part) for part in first["loc"]]
    field = ".".join(where[1:]) or where[0]
    return problem_response(
        Invalid("request_invalid", f"{field}: {first['msg']}", field=field, remedy="see the route's schema under /docs")
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(NotFound("route_unknown", f"there is no {request.url.path}"))
    if error.status_code == 405:
        response = problem_response(MethodNotAllowed("method_not_allowed", f"{request.method} is not offered here"))
        response.headers.update(error.headers or {})
        return response
    if error.status_code == 400 and error.__cause__ is not None:
        return problem_response(_unreadable(error.__cause__))
    document = {"type": "about:blank", "title": str(error.detail), "status": error.status_code, "code": "http_error"}
    return ProblemResponse("http_error", document, error.status_code, error.headers)


def _unreadable(error: BaseException) -> Problem:
    """Why the framework could not read a body."""
    if isinstance(error, RecursionError):
        return Malformed("json_too_deep", "the body is nested too deeply", field="body", remedy="nest it less deeply")
    return Malformed("json_malformed", str(error), field="body", remedy="send well-formed JSON in UTF-8")


async def _unusable(request: Request, error: Exception) -> Response:
    """Logged with its place all the same: what the routes bound themselves never gets here."""
    where = traceback.format_tb(error.__traceback__)
    _log.warning("request_unusable", path=request.url.path, error=type(error).__name__, where="".join(where[-4:]))
    if isinstance(error, RecursionError):
        return problem_response(_unreadable(error))
    if isinstance(error, OverflowError | psycopg.errors.NumericValueOutOfRange | psycopg.errors.DatetimeFieldOverflow):
        problem = Invalid(
            "value_out_of_range",
            "a number or an instant of the request is larger than this service holds",
            field="request",
            remedy="send numbers of at most 64 bits and instants of the years 1 to 9999",
        )
        return problem_response(problem)
    problem = Invalid(
        "text_unusable",
        "a text of the request has characters that cannot be kept",
        field="request",
        remedy="send text in UTF-8 without U+0000 and without halves of surrogate pairs",
    )
    return problem_response(problem)


async def _database(_request: Request, error: Exception) -> Response:
    _log.warning("database_unavailable", error=type(error).__name__)
    return problem_response(
        Unavailable("database_unavailable", "the database does not answer", remedy="try again", retry_after=2.0)
    )
