"""`POST /v1/telemetry` (I-5): many frames in, one result per frame out, 202 only when every one is durable (G1)."""

from __future__ import annotations

from collections import Counter

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest.adapters import metrics
from services.ingest.adapters.binary_frames import read_binary
from services.ingest.adapters.json_frames import read_json
from services.ingest.bootstrap import Gateway
from services.ingest.domain.recent import Outcome
from services.ingest.domain.submission import Received
from services.ingest.handlers import Result
from shared.contracts.frame import CONTENT_TYPE as BINARY
from shared.contracts.registry import Stream
from shared.http.keys import check_scope, require
from shared.kernel.errors import Invalid, TooLarge, UnsupportedMedia
from shared.storage.api_keys import Role

router = APIRouter(tags=["telemetry"])
_READERS = {"application/json": ("json", read_json), BINARY: ("binary", read_binary)}
_sender = require(Role.GATEWAY)

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            BINARY: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {"202": {"description": "Every record is durable; one result per record"}},
}


@router.post("/v1/telemetry", status_code=202, openapi_extra=_BODY, response_class=Response)
async def push(request: Request) -> Response:
    """Push frames: JSON (columns or rows) or binary, gzip and zstd allowed.

    Answers per record `accepted`, `duplicate`, `conflict` or `quarantined` with its code. 503 and 504: send the same request again.
    """
    gateway: Gateway = request.app.state.gateway
    caller = await _sender(request)
    body = await request.body()
    protocol, records = _read(request, body, gateway.settings.frames_per_request)

    def permit(stream: Stream, index: int) -> None:
        field = f"frames[{index}].stream"
        check_scope(caller, platform=stream.platform, line=stream.line, instrument=stream.instrument, field=field)

    results = await gateway.gate.accept(records, caller.prefix, permit)
    metrics.answered(protocol, results)
    return Response(orjson.dumps(_document(results)), 202, gateway.limit_headers(), "application/json")


def _read(request: Request, body: bytes, most: int) -> tuple[str, list[Received]]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in _READERS:
        raise UnsupportedMedia(
            "content_type_unsupported",
            f"content-type {content_type!a} is not understood",
            field="content-type",
            remedy=f"send {' or '.join(_READERS)}",
        )
    if not body:
        raise Invalid("request_invalid", "the body is empty", field="body", remedy="send at least one frame")
    protocol, read = _READERS[content_type]
    records = read(body, most)
    if len(records) > most:
        raise TooLarge(
            "too_many_frames",
            f"a request has at most {most} frames",
            field="body",
            remedy="send them in several requests",
            extra={"limit": most},
        )
    if not records:
        raise Invalid("request_invalid", "the request has no frames", field="body", remedy="send at least one frame")
    return protocol, records


def _document(results: list[Result]) -> dict[str, object]:
    counts = Counter(result.outcome for result in results)
    return {
        "counts": {outcome.value: counts[outcome] for outcome in Outcome},
        "results": [result.document() for result in results],
    }
