"""POST /v1/criteria-sets/check without a server behind it: what is sent is read within bounds, beside everything else the service does (V-8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI

from services.verification.entrypoints import criteria_routes
from services.verification.entrypoints.context import Reader, verification
from shared.contracts.registry import Line, Name
from shared.http.problems import answer_problems
from shared.storage.api_keys import Caller, Role, Scope
from shared.storage.registry import Registry
from tests.unit.verification.building import STREAMS
from tests.unit.verification.test_criteria_reading import bomb, yaml_of

KNOWN = Registry({}, {"line": Line("line", "platform", Name("a", "甲"))}, {}, {}, {s.id: s for s in STREAMS}, {}, {})


async def known() -> Registry:
    return KNOWN


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_problems(app)
    app.include_router(criteria_routes.router)
    app.dependency_overrides[verification] = lambda: SimpleNamespace(registry=SimpleNamespace(current=known))
    app.dependency_overrides[get_args(Reader)[1].dependency] = lambda: Caller(
        "k", "reader", Role.OPERATOR, Scope(), "Li Wei"
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def asked(client: httpx.AsyncClient, text: str) -> tuple[int, dict[str, Any]]:
    answer = await client.post("/v1/criteria-sets/check?line=line", content=text.encode())
    return answer.status_code, answer.json()


async def test_a_sound_set_has_no_findings(client: httpx.AsyncClient) -> None:  # V-8
    status, body = await asked(client, yaml_of())
    assert (status, body["ok"], list(body["memory_bytes"])) == (200, True, ["first"])


@pytest.mark.parametrize(
    ("text", "status", "code", "line"),
    [
        (bomb(), 400, "criteria_size", 6),
        ("more: " + "[" * 5000, 400, "criteria_size", 1),
        ("# " + "x" * 5_000_000, 413, "criteria_size", 1),
        (yaml_of() + "version: 2\n", 400, "criteria_repeated", 8),
        (yaml_of().replace("version: 1", "version: true"), 422, "criteria_invalid", 2),
    ],
)
async def test_what_cannot_be_read_is_a_problem(
    client: httpx.AsyncClient, text: str, status: int, code: str, line: int
) -> None:  # V-8
    answered, body = await asked(client, text)
    assert (answered, body["code"], body["line"]) == (status, code, line)
    assert body["remedy"]


async def test_a_unit_without_bounds_is_a_finding(client: httpx.AsyncClient) -> None:  # V-8
    status, body = await asked(client, yaml_of().replace("unit: kPa", 'unit: "10*999999999.kPa"'))
    [finding] = body["findings"]
    assert (status, finding["code"], finding["field"], finding["line"]) == (200, "criteria_unit", "criteria[0].high", 7)
