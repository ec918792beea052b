"""Bodies: inflated, counted, against the clock, inside a budget; problems as every route gives them."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import psycopg
import pytest
import zstandard
from fastapi import Body, FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from shared.http.body import BodyLimits, InflatedBody, InFlight
from shared.http.problems import Outermost, answer_problems
from shared.kernel.errors import NotAllowed, TooMany

LIMIT = 1024 * 1024


class Document(BaseModel):
    name: str


@pytest.fixture
def in_flight() -> InFlight:
    return InFlight(2 * LIMIT)


@pytest.fixture
def app(in_flight: InFlight) -> FastAPI:
    app = FastAPI()
    answer_problems(app)
    app.add_middleware(InflatedBody, limits=BodyLimits(LIMIT, patience=0.2), in_flight=in_flight)
    app.add_middleware(Outermost)

    @app.post("/size")
    async def size(request: Request) -> dict[str, int]:
        return {"size": len(await request.body()), "held": in_flight.used}

    @app.post("/document")
    async def document(wanted: Annotated[Document, Body()]) -> str:
        return wanted.name

    @app.get("/fails")
    async def fails() -> None:
        raise RuntimeError("secret payload")

    @app.get("/limit")
    async def limit() -> None:
        raise TooMany("too_many", "slow down", retry_after=1.5, extra={"limit": 10})

    @app.get("/state")
    async def state() -> None:
        raise NotAllowed("run_command", "not now", field="command", remedy="wait")

    @app.get("/database")
    async def database() -> None:
        raise psycopg.OperationalError("password=secret")

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def zstd_bomb(size: int) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=True).compress(bytes(size))


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("identity", b"x" * 5000),
        ("gzip", gzip.compress(b"x" * 5000, mtime=0)),
        ("GZIP", gzip.compress(b"x" * 3000, mtime=0) + gzip.compress(b"x" * 2000, mtime=0)),
        ("zstd", zstandard.compress(b"x" * 5000)),
        ("zstd", zstandard.compress(b"x" * 3000) + zstandard.compress(b"x" * 2000)),
    ],
)
async def test_the_route_sees_one_plain_body(client: httpx.AsyncClient, encoding: str, packed: bytes) -> None:  # I-5
    answer = await client.post("/size", content=packed, headers={"content-encoding": encoding})
    assert answer.json()["size"] == 5000


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("identity", bytes(LIMIT + 1)),
        ("gzip", gzip.compress(bytes(512 * LIMIT // 8), mtime=0)),
        ("zstd", zstd_bomb(512 * LIMIT)),
        ("gzip", gzip.compress(bytes(LIMIT), mtime=0) + gzip.compress(b"x", mtime=0)),
    ],
    ids=["plain", "gzip bomb", "zstd bomb", "two members"],
)
async def test_a_body_is_counted_as_inflated(
    client: httpx.AsyncClient, in_flight: InFlight, encoding: str, packed: bytes
) -> None:  # I-13
    answer = await client.post("/size", content=packed, headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert in_flight.used == 0


async def test_who_sends_too_much_is_told_what_this_service_would_take() -> None:  # I-13, G14
    app = FastAPI()
    limits = BodyLimits(10, remedy="send a smaller file")
    app.add_middleware(InflatedBody, limits=limits, in_flight=InFlight(100))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post("/attachments", content=bytes(11))
    assert (answer.status_code, answer.json()["remedy"]) == (413, "send a smaller file")


async def test_a_body_of_exactly_the_limit_is_taken(client: httpx.AsyncClient) -> None:  # I-13
    answer = await client.post(
        "/size", content=gzip.compress(bytes(LIMIT), mtime=0), headers={"content-encoding": "gzip"}
    )
    assert answer.json()["size"] == LIMIT


async def test_a_body_without_length_is_counted_while_it_arrives(client: httpx.AsyncClient) -> None:  # I-13
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(LIMIT // 10)

    answer = await client.post("/size", content=chunks())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "x"])
async def test_another_encoding_is_refused(client: httpx.AsyncClient, encoding: str) -> None:  # I-12
    answer = await client.post("/size", content=b"x", headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "encoding_unsupported")


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(b"x" * 5000, mtime=0)[:-10]),
        ("zstd", b"no zstd"),
        ("zstd", zstandard.compress(b"x" * 5000)[:-3]),
        ("zstd", zstandard.compress(b"x" * 5000) + zstandard.compress(bytes(300_000))[:-2]),
        ("gzip", zlib.compress(b"x")),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    client: httpx.AsyncClient, encoding: str, packed: bytes
) -> None:  # I-12
    answer = await client.post("/size", content=packed, headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (400, "encoding_malformed")


async def test_a_slow_sender_is_not_waited_for(client: httpx.AsyncClient, in_flight: InFlight) -> None:  # I-13
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        await never.wait()

    answer = await client.post("/size", content=slow())
    assert (answer.status_code, answer.json()["code"]) == (408, "body_timeout")
    assert in_flight.used == 0


async def test_over_the_common_budget_the_answer_is_503_with_retry_after(
    client: httpx.AsyncClient, in_flight: InFlight
) -> None:  # I-13
    in_flight.take(2 * LIMIT - 10)
    answer = await client.post("/size", content=b"x" * 20)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "inflight_full", "1")
    in_flight.give_back(2 * LIMIT - 10)
    assert (await client.post("/size", content=b"x" * 20)).json() == {"size": 20, "held": 20}
    assert in_flight.used == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "route_unknown"),
        ("PUT", "/size", 405, "method_not_allowed"),
        ("GET", "/fails", 500, "internal"),
        ("GET", "/limit", 429, "too_many"),
        ("GET", "/state", 409, "run_command"),
        ("GET", "/database", 503, "database_unavailable"),
    ],
)
async def test_every_refusal_is_a_problem_with_a_stable_code(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:  # G14 I-12
    answer = await client.request(method, path)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert "secret" not in answer.text
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("content", "status", "code", "field"),
    [
        (b"{", 400, "json_malformed", "body"),
        (b'{"name": 5}', 422, "request_invalid", "name"),
        (b"{}", 422, "request_invalid", "name"),
    ],
)
async def test_a_document_that_is_not_valid_names_the_field(
    client: httpx.AsyncClient, content: bytes, status: int, code: str, field: str
) -> None:  # G14
    answer = await client.post("/document", content=content, headers={"content-type": "application/json"})
    body = answer.json()
    assert (answer.status_code, body["code"], body["field"]) == (status, code, field)
