"""The status contract of `POST /v1/telemetry` (I-12): every error path maps to the table, whatever is sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.config import GatewaySettings
from services.ingest.domain.clock import ClockRule
from services.ingest.entrypoints.http import add_routes
from services.ingest.handlers import Gate
from shared.http.app import create_app
from shared.http.body import BodyLimits, InFlight
from shared.kernel.errors import Problem, Unauthenticated
from shared.messaging.producer import Full, Outgoing, Unknown
from shared.storage.api_keys import Caller, Role, Scope
from tests.unit.ingest.streams import stream
from tests.unit.ingest.test_gate import FRAME, NOW, Stored, Streams

TABLE = {
    200: "results inside",
    202: "results inside",
    400: "do not retry",
    401: "credentials",
    403: "credentials",
    404: "unknown route only",
    405: "unknown method only",
    408: "sent too slowly",
    413: "counted on inflated bytes",
    415: "do not retry",
    422: "do not retry",
    429: "Retry-After",
    503: "Retry-After",
    504: "send the same again",
}
JSON = {"content-type": "application/json"}
BINARY = {"content-type": "application/vnd.pilotline.frames"}


class Broker:
    """Takes records, or fails as the producer does."""

    def __init__(self) -> None:
        self.failure: Problem | None = None

    async def put_all(self, records: Sequence[Outgoing]) -> None:
        if self.failure:
            raise self.failure


class Keys:
    """Keys in memory: the text of a key is its role, or the code of its refusal."""

    async def verify(self, key: str) -> Caller:
        if key.startswith("key_"):
            raise Unauthenticated(key, "no")
        role, _, line = key.partition("@")
        return Caller("prefix", "label", Role(role), Scope(line=line or None), "prefix")


def build(broker: Broker, in_flight: InFlight) -> FastAPI:
    options = GatewaySettings(database_url="postgresql://nowhere", frames_per_request=5)  # type: ignore[arg-type]
    gate = Gate(
        streams=Streams(stream()),
        stored=Stored(),
        publisher=broker,
        now=lambda: NOW,
        topic="t",
        clock_rule=ClockRule(),
        remembered=10,
    )
    limits = BodyLimits(max_bytes=20_000, patience=1.0)
    app = create_app("test", keys=Keys(), checks={}, limits=limits, in_flight=in_flight)  # type: ignore[arg-type]
    app.state.gateway = SimpleNamespace(settings=options, gate=gate, limit_headers=dict)
    return add_routes(app)


@cache
def parts() -> tuple[FastAPI, Broker, InFlight]:
    broker, in_flight = Broker(), InFlight(100_000)
    return build(broker, in_flight), broker, in_flight


async def post(
    content: bytes, headers: dict[str, str], *, key: str = "gateway", failure: Problem | None = None, held: int = 0
) -> httpx.Response:
    app, broker, in_flight = parts()
    broker.failure = failure
    in_flight.used = held
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        credentials = {"authorization": f"Bearer {key}"} if key else {}
        return await client.post("/v1/telemetry", content=content, headers={**credentials, **headers})


def checked(answer: httpx.Response) -> dict[str, Any]:
    """The answer keeps the table: a known status, a problem with a code unless it worked, Retry-After where it says so."""
    assert answer.status_code in TABLE, answer.text
    body: dict[str, Any] = answer.json()
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert body["code"] not in ("", "internal")
        assert body["status"] == answer.status_code
    if TABLE[answer.status_code] == "Retry-After":
        assert int(answer.headers["retry-after"]) >= 1
    return body


GOOD = msgspec.json.encode(FRAME)


@pytest.mark.parametrize(
    ("content", "headers", "options", "status", "code"),
    [
        (b"{", JSON, {}, 400, "json_malformed"),
        (b"[" * 9000, JSON, {}, 400, "json_too_deep"),
        (b"7", JSON, {}, 422, "request_invalid"),
        (b"", JSON, {}, 422, "request_invalid"),
        (b"[]", JSON, {}, 422, "request_invalid"),
        (b"\x05\x00\x00\x00ab", BINARY, {}, 400, "frames_malformed"),
        (b"<x/>", {"content-type": "text/xml"}, {}, 415, "content_type_unsupported"),
        (b"x", {**JSON, "content-encoding": "br"}, {}, 415, "encoding_unsupported"),
        (b"x", {**JSON, "content-encoding": "gzip"}, {}, 400, "encoding_malformed"),
        (gzip.compress(b" " * 20_001, mtime=0), {**JSON, "content-encoding": "gzip"}, {}, 413, "body_too_large"),
        (msgspec.json.encode([FRAME] * 6), JSON, {}, 413, "too_many_frames"),
        (GOOD, JSON, {"key": ""}, 401, "key_missing"),
        (GOOD, JSON, {"key": "key_unknown"}, 401, "key_unknown"),
        (GOOD, JSON, {"key": "key_expired"}, 401, "key_expired"),
        (GOOD, JSON, {"key": "key_revoked"}, 401, "key_revoked"),
        (GOOD, JSON, {"key": "viewer"}, 403, "key_role"),
        (GOOD, JSON, {"key": "gateway@te2"}, 403, "key_scope"),
        (GOOD, JSON, {"failure": Full(5)}, 503, "kafka_busy"),
        (GOOD, JSON, {"failure": Unknown(5.0)}, 504, "kafka_outcome_unknown"),
        (GOOD, JSON, {"held": 99_990}, 503, "inflight_full"),
    ],
)
async def test_every_error_path_has_its_status_and_code(
    content: bytes, headers: dict[str, str], options: dict[str, Any], status: int, code: str
) -> None:  # I-12
    answer = await post(content, headers, **options)
    assert (answer.status_code, checked(answer)["code"]) == (status, code)


async def test_a_scope_error_names_the_frame() -> None:
    body = (await post(msgspec.json.encode([{**FRAME, "stream": "x"}, FRAME]), JSON, key="gateway@te2")).json()
    assert body["field"] == "frames[1].stream"


async def test_what_is_wrong_inside_a_record_is_no_error_of_the_request() -> None:  # I-11 I-12
    answer = await post(msgspec.json.encode([{**FRAME, "unit": {"pressure": "m"}}, FRAME]), JSON)
    body = checked(answer)
    assert answer.status_code == 202
    assert [result["outcome"] for result in body["results"]] == ["quarantined", "accepted"]
    assert body["counts"] == {"accepted": 1, "duplicate": 0, "conflict": 0, "quarantined": 1}


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20)
)
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "stream": st.sampled_from(["te1/reactor", "x"]) | NESTED,
        "boot": st.text(max_size=5) | NESTED,
        "seq": st.integers(-2, 5) | NESTED,
        "t": st.lists(st.integers() | st.text(max_size=25), max_size=3) | NESTED,
        "t0": st.integers() | st.datetimes().map(lambda d: d.isoformat() + "Z") | NESTED,
        "dt": st.integers() | NESTED,
        "values": st.dictionaries(st.sampled_from(["pressure", "temperature", "p"]), st.lists(SCALARS, max_size=3))
        | NESTED,
        "rows": st.lists(st.dictionaries(st.sampled_from(["t", "pressure"]), SCALARS), max_size=3) | NESTED,
        "unit": st.dictionaries(st.sampled_from(["pressure", "p"]), st.sampled_from(["bar", "kPa", "m", ""])) | NESTED,
        "quality": st.dictionaries(st.sampled_from(["pressure"]), st.lists(st.integers(), max_size=3)) | NESTED,
        "sent_at": st.integers() | NESTED,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        LIKELY, st.lists(LIKELY, max_size=3), NESTED, st.builds(lambda f: {"frames": f}, st.lists(LIKELY, max_size=3))
    )
)
async def test_no_json_breaks_the_contract(content: object) -> None:  # I-12
    checked(await post(json.dumps(content).encode("utf-8", "surrogatepass"), JSON))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([JSON, BINARY]), st.sampled_from(["identity", "gzip", "zstd"]))
async def test_no_bytes_break_the_contract(content: bytes, form: dict[str, str], encoding: str) -> None:  # I-12
    checked(await post(content, {**form, "content-encoding": encoding}))
