"""`GET /live`: one event stream per open page (L-3).

    retry: <1000…3000>          at once: some proxies hold the headers back until the first byte
    event: snapshot             id = the cursor to continue from; every level
    event: criterion | verdict | lifecycle | gap | late | alert      id = cursor; each once, in published order
    event: margin | fresh       no id; the newest of a key wins, at most twice a second
    event: hb                   every 2 s, behind what waits: {server_time, watermark, delayed_seconds, shed}
    event: reset                the cursor is too old or unknown, or the reader was too slow: fetch the parts of the page anew
    event: bye                  the server leaves: come back after `retry`

`Last-Event-ID` wins over `after`. A send that takes longer than 30 s ends the stream.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.verification.adapters.live_feed import BEAT_SECONDS, LiveFeed, Reader, block
from services.verification.entrypoints.context import Parts
from shared.kernel.errors import Invalid, NotFound, TooMany

router = APIRouter(tags=["live"])
MAX_READERS = 1_000
SEND_SECONDS = 30.0
_cursor = re.compile(r"v(\d{1,18})")


@router.get("/live")
async def live(
    request: Request,
    parts: Parts,
    page: Literal["board", "run"],
    id_: Annotated[str | None, Query(alias="id", max_length=80)] = None,
    after: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """The event stream of the board, or of the run `id`."""
    if page == "run":
        if id_ is None:
            raise Invalid("run_missing", "the page `run` needs an id", field="id", remedy="give ?page=run&id=<run>")
        async with parts.pool.connection() as connection:
            found = await connection.execute("select from verification.run where run_id = %s", (id_,))
        if found.rowcount != 1:
            raise NotFound("run_unknown", f"there is no run {id_}", field="id")
    if parts.feed.readers >= MAX_READERS:
        raise TooMany("live_readers", f"{MAX_READERS} pages are open already", remedy="try again", retry_after=5.0)
    return LiveStream(parts.feed, id_ if page == "run" else None, request.headers.get("last-event-id") or after)


class LiveStream(Response):
    """Written straight to the server: nothing in between compresses, buffers or counts."""

    def __init__(self, feed: LiveFeed, run: str | None, cursor: str | None) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store, no-transform"
        self.headers["x-accel-buffering"] = "no"
        self._feed = feed
        self._run = run
        self._cursor = cursor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_disconnected(receive))
        writing = asyncio.create_task(self._write(send))
        try:
            await asyncio.wait((gone, writing), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            for task in (gone, writing):
                task.cancel()
            await asyncio.gather(gone, writing, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        out = _Out(send)
        try:
            await out.put(b"retry: %d\n\n" % random.randint(1_000, 3_000))
            async with self._feed.join(self._run) as (reader, joined):
                await self._catch_up(out, joined)
                await self._follow(out, reader)
            await out.put(b"", more=False)
        except (TimeoutError, OSError):
            return  # the page does not read, or has gone: it comes back with its cursor

    async def _catch_up(self, out: _Out, joined: int) -> None:
        """From the page's cursor to where the reader joined: nothing falls between."""
        matched = _cursor.fullmatch(self._cursor) if self._cursor else None
        start = joined if self._cursor is None else int(matched[1]) if matched else -1
        missed = [] if start == joined else await self._feed.replay(self._run, start, joined) if start >= 0 else None
        if missed is None:
            await out.put(block("reset", {"why": "cursor"}, joined))
            start, missed = joined, []
        await out.put(block("snapshot", await self._feed.snapshot(self._run), start))
        for decision in missed:
            await out.put(decision.data)

    async def _follow(self, out: _Out, reader: Reader) -> None:
        beat_at = 0.0
        clock = asyncio.get_running_loop().time
        while not reader.closing:
            if reader.overrun:
                reader.overrun = False
                await out.put(block("reset", {"why": "slow"}))
            while reader.decisions and not reader.overrun:
                await out.put(reader.decisions.popleft().data)
            levels, reader.levels = reader.levels, {}
            if levels:
                await out.put(b"".join(levels.values()))
            if clock() >= beat_at:
                beat_at = clock() + BEAT_SECONDS
                await out.put(self._feed.beat(reader))
            if not reader.decisions and not reader.levels:
                reader.woken.clear()
                await _woken(reader, beat_at - clock())
        await out.put(block("bye", {"why": "shutdown"}))


class _Out:
    """Sends with a deadline: a page that does not read is let go."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def put(self, data: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await self._send({"type": "http.response.body", "body": data, "more_body": more})


async def _woken(reader: Reader, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await reader.woken.wait()
    except TimeoutError:
        return  # the heartbeat is due


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
