"""What no route can use is the caller's problem and said as one: characters, numbers and instants beyond every bound, bodies nobody can read."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import psycopg
import pytest
from fastapi import Body, FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from shared.http.body import BodyLimits, InflatedBody, InFlight
from shared.http.fields import Day, Instant
from shared.http.plain_text import PlainAddress
from shared.http.problems import Outermost, answer_problems
from shared.kernel.times import utc

JSON = {"content-type": "application/json"}


class Document(BaseModel):
    at: Instant | None = None
    day: Day | None = None
    name: str = ""
    more: Any = None


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_problems(app)
    limits = BodyLimits(1024 * 1024, own_texts=re.compile("/raw"))
    app.add_middleware(InflatedBody, limits=limits, in_flight=InFlight(4 * 1024 * 1024))
    app.add_middleware(PlainAddress)
    app.add_middleware(Outermost)

    @app.post("/document")
    async def document(wanted: Annotated[Document, Body()]) -> int | None:
        return wanted.at

    @app.post("/echo")
    async def echo(wanted: Annotated[Document, Body()]) -> str:
        return wanted.name

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.get("/things/{name:path}")
    async def thing(name: str) -> str:
        return name

    @app.get("/fails/{how}")
    async def fails(how: str) -> str:
        if how == "calendar":
            return str(utc(2**63))
        if how == "depth":
            raise RecursionError
        if how == "text":
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        raise psycopg.errors.NumericValueOutOfRange("integer out of range")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def told(answer: httpx.Response) -> tuple[int, str, str]:
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["remedy"]
    return answer.status_code, document["code"], document["field"]


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("/things/a%00b", "path"),
        ("/things/a%1fb", "path"),
        ("/things/a%7Fb", "path"),
        ("/things/a?project=%00", "project"),
        ("/things/a?project=x&line=a%0Ab", "line"),
        ("/things/a?%00=1", "query"),
    ],
)
async def test_a_control_character_in_an_address_is_refused(client: httpx.AsyncClient, url: str, field: str) -> None:
    # G14
    assert told(await client.get(url)) == (422, "request_invalid", field)


async def test_other_characters_of_an_address_are_nobodys_business(client: httpx.AsyncClient) -> None:
    # G14
    assert (await client.get("/things/%E7%94%B2%20%2500?q=%2500%7E%20")).json() == "甲 %00"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"name": "a\\u0000b"}', 422, "text_unusable"),
        (b'{"name": "\\\\\\u0000"}', 422, "text_unusable"),
        ('{"name": "a"}'.encode("utf-16"), 422, "text_unusable"),
        (b'{"name": "\\ud800"}', 422, "text_unusable"),
        (b'{"name": "\\ude00"}', 422, "text_unusable"),
        (b'{"name": "\\ud83d \\ude00"}', 422, "text_unusable"),
        (b'{"name": "\\ud83d\\ud83d\\ude00"}', 422, "text_unusable"),
        (b'{"name": "\xff"}', 400, "json_malformed"),
        (b'{"name": ', 400, "json_malformed"),
        (b'{"more": ' + b"[" * 20_000, 400, "json_too_deep"),
        (b'{"more": ' + b"9" * 5_000 + b"}", 400, "json_malformed"),
        (b'{"at": 123}', 422, "request_invalid"),
        (b'{"at": "123"}', 422, "request_invalid"),
        (b'{"at": "2026-03-02T00:00:00"}', 422, "request_invalid"),
        (b'{"day": 0}', 422, "request_invalid"),
        (b'{"day": "86400"}', 422, "request_invalid"),
        (b'{"day": "2026-02-30"}', 422, "request_invalid"),
        (b'{"at": "0001-01-01T00:00:00+14:00"}', 422, "request_invalid"),
        (b'{"at": "9999-12-31T23:59:59-14:00"}', 422, "request_invalid"),
    ],
)
async def test_a_body_that_nobody_can_use_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    # G14
    field = next((name for name in ("at", "day") if f'"{name}"'.encode() in body), "body")
    assert told(await client.post("/document", content=body, headers=JSON)) == (status, code, field)


async def test_texts_that_only_look_like_it_and_bodies_of_bytes_are_taken(client: httpx.AsyncClient) -> None:
    # G14
    answer = await client.post("/echo", content=b'{"name": "\\\\u0000 \\n"}', headers=JSON)
    assert answer.json() == "\\u0000 \n"
    pair = await client.post("/echo", content=b'{"name": "\\ud83d\\ude00 \\\\ud800"}', headers=JSON)
    assert pair.json() == "\U0001f600 \\ud800"
    assert (await client.post("/raw", content=b'"\\u0000"', headers=JSON)).json() == 8
    assert (await client.post("/document", content=b'{"at": "1970-01-01T00:00:00.000001Z"}', headers=JSON)).json() == 1


@pytest.mark.parametrize(
    ("how", "status", "code", "field"),
    [
        ("calendar", 422, "value_out_of_range", "request"),
        ("number", 422, "value_out_of_range", "request"),
        ("text", 422, "text_unusable", "request"),
        ("depth", 400, "json_too_deep", "body"),
    ],
)
async def test_what_only_the_calendar_or_the_database_finds_is_no_error_of_ours(
    client: httpx.AsyncClient, how: str, status: int, code: str, field: str
) -> None:
    # G14
    assert told(await client.get(f"/fails/{how}")) == (status, code, field)
