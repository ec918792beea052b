"""Text that no database keeps and no log shows is refused before any route sees it: control characters in the address, U+0000 in JSON."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.http.problems import problem_response
from shared.kernel.errors import Invalid

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_QUERY = re.compile(rb"[\x00-\x1f\x7f]|%(?:[01][0-9A-Fa-f]|7[Ff])")
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class PlainAddress:
    """ASGI middleware: 422 `request_invalid` for a path or a query with a control character."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        field = _spoilt(scope) if scope["type"] == "http" else None
        if field is None:
            await self._app(scope, receive, send)
            return
        problem = Invalid(
            "request_invalid",
            f"{field} has a control character",
            field=field,
            remedy="send text without U+0000 to U+001F and U+007F",
        )
        await problem_response(problem)(scope, receive, send)


def check_json_text(headers: Headers, body: bytes) -> None:
    """Raises Invalid(text_unusable) for a JSON body with U+0000, or with half of a surrogate pair, in a text."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.endswith(("/json", "+json")) and (b"\0" in body or (_SUSPECT.search(body) and not _whole(body))):
        raise Invalid(
            "text_unusable",
            "a text of the body has U+0000 or half of a surrogate pair",
            field="body",
            remedy="send UTF-8, and only characters that can be kept",
        )


def _whole(body: bytes) -> bool:
    """Read escape by escape: a backslash that is escaped itself begins none."""
    high_until = -1
    for found in _ESCAPE.finditer(body):
        code = -1 if found[1] is None else int(found[1], 16)
        is_low = 0xDC00 <= code <= 0xDFFF
        if code == 0 or is_low != (high_until == found.start()) or (high_until >= 0 and not is_low):
            return False
        high_until = found.end() if 0xD800 <= code <= 0xDBFF else -1
    return high_until < 0


def _spoilt(scope: Scope) -> str | None:
    """The parameter at fault, None when nothing is."""
    if _CONTROL.search(scope["path"]):
        return "path"
    query: bytes = scope["query_string"]
    if not _CONTROL_IN_QUERY.search(query):
        return None
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return next((name for name, value in pairs if _CONTROL.search(value) and not _CONTROL.search(name)), "query")
