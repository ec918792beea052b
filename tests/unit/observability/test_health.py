"""Liveness, readiness and metrics of a process without other HTTP."""

from __future__ import annotations

import asyncio

import httpx

from shared.observability.health import health_app, readiness, serving
from shared.observability.metrics import RECORDS_APPLIED, OfPartition


async def _well() -> None:
    return


async def _away() -> None:
    raise ConnectionRefusedError("10.0.0.1 refused")


async def _get(path: str, *, database: bool = True) -> httpx.Response:
    checks = {"kafka": _well, "database": _well if database else _away}
    async with serving(health_app(checks), "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}")


# O-4
async def test_readiness_says_which_dependency_is_missing() -> None:
    answer = await _get("/readyz", database=False)
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "checks": {"kafka": "ok", "database": "ConnectionRefusedError"}}


# O-4
async def test_a_process_with_all_dependencies_is_ready() -> None:
    assert (await _get("/readyz")).status_code == 200


# O-4
async def test_liveness_does_not_depend_on_others() -> None:
    assert (await _get("/livez", database=False)).status_code == 200


# O-4
async def test_metrics_are_shown_under_their_full_names() -> None:
    RECORDS_APPLIED.add(OfPartition("a-processor", "a-topic", "3"), 5)
    text = (await _get("/metrics")).text
    assert 'pilotline_records_applied_total{partition="3",processor="a-processor",topic="a-topic"} 5.0' in text


async def test_a_dependency_that_hangs_is_missing_and_does_not_hold_up_the_answer() -> None:
    async def hangs() -> None:
        await asyncio.sleep(3600)

    well, states = await asyncio.wait_for(readiness({"kafka": hangs, "database": _well}), 10)
    assert (well, states) == (False, {"kafka": "TimeoutError", "database": "ok"})
