"""What is stored, read back (I-22): rows of one stream in a half-open range as JSON or CSV, bounded, or decimated to a number of points."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from fastapi import APIRouter, Depends, Query
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.adapters.frame_reader import Buckets, Page, decode_cursor, read_buckets, read_page
from services.ingest.bootstrap import Gateway
from services.ingest.domain.admission import LATEST_TIME
from services.ingest.entrypoints.registry import reachable_stream
from shared.contracts.registry import Stream
from shared.http.keys import require
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros, from_rfc3339, to_rfc3339
from shared.storage.api_keys import Caller

router = APIRouter(prefix="/v1/frames", tags=["frames"])
Reader = Annotated[Caller, Depends(require())]
Text = Annotated[str, Query(max_length=200)]


@router.get("")
async def rows(
    request: Request,
    caller: Reader,
    stream: Text,
    from_: Annotated[str, Query(alias="from", max_length=60)],
    to: Annotated[str, Query(max_length=60)],
    channels: Annotated[
        str | None, Query(max_length=20_000, description="names, comma separated; all by default")
    ] = None,
    limit: Annotated[int | None, Query(ge=1)] = None,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    points: Annotated[
        int | None, Query(ge=1, le=10_000, description="at most so many buckets of minimum and maximum")
    ] = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Response:
    """Rows with from <= measured_at < to, oldest first; `next` (JSON) or the header `Pilotline-Next` (CSV) is the cursor of the next page."""
    gateway: Gateway = request.app.state.gateway
    registry = await gateway.registry.current()
    found = reachable_stream(registry, caller, stream)
    names = _names(found, channels)
    start, end = _instant("from", from_), _instant("to", to)
    if start >= end:
        raise Invalid("range_empty", "`from` must lie before `to`", field="to", remedy="the range is [from, to)")
    async with gateway.pool.connection() as connection:
        if points is not None:
            most = gateway.settings.samples_per_scan
            buckets = await read_buckets(connection, registry, found, names, start, end, points=points, most=most)
            return _answer(form, _bucket_document(found, names, buckets), _bucket_rows(names, buckets), None)
        start, skip = (start, 0) if cursor is None else decode_cursor(cursor)
        page_size = min(limit or gateway.settings.rows_per_answer, gateway.settings.rows_per_answer)
        page = await read_page(connection, registry, found, names, start, end, limit=page_size, skip=skip)
    return _answer(form, _page_document(found, names, page), _page_rows(names, page), page.next)


def _names(stream: Stream, channels: str | None) -> list[str]:
    known = [channel.name for channel in stream.channels]
    if channels is None:
        return known
    names = [name.strip() for name in channels.split(",")]
    for name in names:
        if name not in known:
            raise Invalid(
                "channel_unknown",
                f"{name!a} is not a channel of {stream.id}",
                field="channels",
                remedy=", ".join(known),
            )
    return names


def _instant(field: str, text: str) -> Micros:
    try:
        instant = int(text) if text.lstrip("-").isdecimal() else from_rfc3339(text)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "time_malformed", f"{text!a}: {error}", field=field, remedy="send RFC 3339 or microseconds"
        ) from error
    if not 0 <= instant <= LATEST_TIME:
        raise Invalid("time_range", f"{text} lies outside the years 1970 to 2200", field=field, remedy="send RFC 3339")
    return instant


def _answer(form: str, document: dict[str, Any], table: Iterator[list[Any]], following: str | None) -> Response:
    headers = {} if following is None else {"Pilotline-Next": following}
    if form == "json":
        return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), 200, headers, "application/json")
    text = io.StringIO()
    csv.writer(text).writerows(table)
    return Response(text.getvalue(), 200, headers, "text/csv; charset=utf-8")


def _head(stream: Stream, names: list[str]) -> dict[str, Any]:
    units = {channel.name: channel.unit for channel in stream.channels}
    return {"stream": stream.id, "channels": [{"name": name, "unit": units[name]} for name in names]}


def _page_document(stream: Stream, names: list[str], page: Page) -> dict[str, Any]:
    columns = {name: np.ascontiguousarray(page.values[:, index]) for index, name in enumerate(names)}
    marked = np.atleast_1d(page.quality.any(axis=0))
    quality = {name: np.ascontiguousarray(page.quality[:, index]) for index, name in enumerate(names) if marked[index]}
    rows_ = {"t": page.times, "boot": page.boots, "seq": page.seqs, "values": columns, "quality": quality}
    return {**_head(stream, names), **rows_, "next": page.next}


def _bucket_document(stream: Stream, names: list[str], buckets: Buckets) -> dict[str, Any]:
    def by_name(matrix: NDArray[Any]) -> dict[str, Any]:
        return {name: np.ascontiguousarray(matrix[:, index]) for index, name in enumerate(names)}

    body = {"min": by_name(buckets.low), "max": by_name(buckets.high), "count": by_name(buckets.counts)}
    return {**_head(stream, names), "bucket": buckets.width, "t": buckets.times, **body}


def _page_rows(names: list[str], page: Page) -> Iterator[list[Any]]:
    yield ["measured_at", "boot", "seq", *names]
    for row, time in enumerate(page.times.tolist()):
        values = ["" if value != value else repr(value) for value in page.values[row].tolist()]
        yield [to_rfc3339(time), page.boots[row], page.seqs[row], *values]


def _bucket_rows(names: list[str], buckets: Buckets) -> Iterator[list[Any]]:
    yield ["bucket_start", *(f"{name}_{what}" for name in names for what in ("min", "max", "count"))]
    for row, time in enumerate(buckets.times.tolist()):
        cells = [
            cell
            for column in range(len(names))
            for cell in (buckets.low[row, column], buckets.high[row, column], buckets.counts[row, column])
        ]
        yield [to_rfc3339(time), *("" if cell != cell else repr(cell.item()) for cell in cells)]
