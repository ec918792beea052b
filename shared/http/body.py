"""Request bodies: inflated in small steps, counted as inflated, read against the clock, inside a common budget of bytes.

Starlette neither inflates nor limits, so one 16 KB request could otherwise become 512 MB.
"""

from __future__ import annotations

import asyncio
import io
import re
import zlib
from dataclasses import dataclass

import zstandard
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.plain_text import check_json_text
from shared.http.problems import SlowSender, problem_response
from shared.kernel.errors import Malformed, Problem, TooLarge, Unavailable, UnsupportedMedia
from shared.observability.metrics import IN_FLIGHT_BYTES, Nothing

STEP = 64 * 1024
_ZSTD_WINDOW = 8 * 1024 * 1024


class InFlight:
    """Bytes of request bodies held at the moment, at most `limit`. Charged while a body arrives, given back when it is answered."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Raises Unavailable(inflight_full) and takes nothing when it would pass the limit."""
        if self.used + size > self.limit:
            raise Unavailable(
                "inflight_full",
                f"requests being worked on already hold {self.used} of {self.limit} bytes",
                remedy="send the same request again later",
                retry_after=1.0,
            )
        self.used += size
        IN_FLIGHT_BYTES.set(Nothing(), self.used)

    def give_back(self, size: int) -> None:
        self.used -= size
        IN_FLIGHT_BYTES.set(Nothing(), self.used)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`max_bytes` counts the inflated body, `patience` is how many seconds it may take to arrive; `remedy` says what whoever sends more can do.
    `own_texts` matches the paths of routes to which a body is bytes, or which judge its texts themselves, record by record."""

    max_bytes: int = 8 * 1024 * 1024
    patience: float = 30.0
    remedy: str = "send less in one request"
    own_texts: re.Pattern[str] | None = None


class InflatedBody:
    """ASGI middleware: the application sees one plain body, within the limits, or the sender sees why not (400, 408, 413, 415, 503)."""

    def __init__(self, app: ASGIApp, limits: BodyLimits, in_flight: InFlight) -> None:
        self._app = app
        self._limits = limits
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        charge = _Charge(self._in_flight, self._limits)
        try:
            try:
                headers = Headers(scope=scope)
                body = await self._read(headers, receive, charge)
                own = self._limits.own_texts
                if body and (own is None or not own.fullmatch(scope["path"])):
                    check_json_text(headers, body)
            except Problem as problem:
                response = problem_response(problem)
                response.headers["connection"] = "close"
                await response(scope, receive, send)
                return
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
        finally:
            charge.give_back()

    async def _read(self, headers: Headers, receive: Receive, charge: _Charge) -> bytes | None:
        """The inflated body; None when the sender has gone."""
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in _INFLATE and encoding != "identity":
            raise UnsupportedMedia(
                "encoding_unsupported",
                f"content-encoding {encoding} is not understood",
                field="content-encoding",
                remedy="send gzip, zstd or no encoding",
            )
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._limits.max_bytes:
            raise too_large(self._limits)
        try:
            async with asyncio.timeout(self._limits.patience):
                raw = await _whole(receive, charge)
        except TimeoutError:
            raise SlowSender(
                "body_timeout", f"the body did not arrive within {self._limits.patience:g} s", remedy="send again"
            ) from None
        if raw is None or encoding == "identity":
            return raw
        charge.begin_inflating()
        return inflate(encoding, raw, charge)


class _Charge:
    """What one request holds of the common budget."""

    def __init__(self, in_flight: InFlight, limits: BodyLimits) -> None:
        self._in_flight = in_flight
        self._limits = limits
        self._counted = 0
        self._taken = 0

    def add(self, size: int) -> None:
        """Raises TooLarge(body_too_large) or Unavailable(inflight_full)."""
        if self._counted + size > self._limits.max_bytes:
            raise too_large(self._limits)
        self._in_flight.take(size)
        self._counted += size
        self._taken += size

    def begin_inflating(self) -> None:
        """The limit now counts the inflated bytes; the compressed ones stay charged."""
        self._counted = 0

    def give_back(self) -> None:
        self._in_flight.give_back(self._taken)
        self._taken = 0


def too_large(limits: BodyLimits) -> TooLarge:
    return TooLarge(
        "body_too_large",
        f"the inflated body has more than {limits.max_bytes} bytes",
        field="body",
        remedy=limits.remedy,
        extra={"limit": limits.max_bytes},
    )


def inflate(encoding: str, raw: bytes, charge: _Charge) -> bytes:
    """Raises Malformed(encoding_malformed), or what `charge.add` raises for each step."""
    try:
        return b"".join(_INFLATE[encoding](raw, charge))
    except (zlib.error, zstandard.ZstdError) as error:
        raise Malformed(
            "encoding_malformed", f"the body is not {encoding}: {error}", field="body", remedy="compress the body again"
        ) from error


def _gunzip(raw: bytes, charge: _Charge) -> list[bytes]:
    parts = []
    rest = raw
    while rest:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            part = stream.decompress(rest, STEP)
            charge.add(len(part))
            parts.append(part)
            rest = stream.unconsumed_tail
            if not part and not rest and not stream.eof:
                raise zlib.error("incomplete stream")
        rest = stream.unused_data
    return parts


def _unzstd(raw: bytes, charge: _Charge) -> list[bytes]:
    """In two passes: the reader stops where it is told but takes a cut-off frame for the end; the other knows the end but not when to stop."""
    with zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        io.BytesIO(raw), read_across_frames=True
    ) as reader:
        while part := reader.read(STEP):
            charge.add(len(part))
    parts, rest = [], raw
    while rest:
        frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        parts.append(frame.decompress(rest))
        if not frame.eof:
            raise zstandard.ZstdError("incomplete frame")
        rest = frame.unused_data
    return parts


_INFLATE = {"gzip": _gunzip, "zstd": _unzstd}


async def _whole(receive: Receive, charge: _Charge) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if part := message.get("body", b""):
            charge.add(len(part))
            parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the whole body once, then whatever the server says (a disconnect)."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
