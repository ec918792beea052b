"""The cost of a run while it runs, over HTTP and on the command line; at the end it is what the invoice says."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from services.billing.adapters.tariffs import publish_tariff
from services.billing.entrypoints.cli import group
from shared.kernel.times import to_rfc3339
from shared.messaging.producer import producing
from shared.storage.api_keys import Role, Scope, create_key
from shared.storage.pool import connect
from tests.integration.billing.plant import (
    CUSTOMER,
    FRAME_SPAN,
    PLATFORM,
    START,
    TARIFF,
    a_run,
    frame,
    install,
    processes,
    query,
    send,
    settled,
    until,
)
from tests.integration.billing.test_annotations import api
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
OPEN_UNTIL = "select document ->> 'end' from billing.segment_open"


async def cost(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/runs/r1/cost")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    for kind in ("net", "tax", "gross"):
        assert Decimal(found["settled"][kind]) + Decimal(found["provisional"][kind]) == Decimal(found["total"][kind])
    assert (found["status"], found["label"]["en"][:11], found["label"]["zh"][:4]) == (
        "provisional",
        "provisional",
        "暂估金额",
    )
    return found


async def test_a_running_runs_cost_grows_and_ends_as_the_invoice(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-13, L-1: settled and provisional; the same rating as the invoice."""
    with new_database() as database, new_topics() as topics:
        await install(database)
        async with connect(database, name="test-install") as connection:
            await publish_tariff(connection, PLATFORM, TARIFF, by="test")
        records = [*a_run(topics, "r1", 0, 9), frame(topics, 9), frame(topics, 10)]
        first, rest = records[:7], records[7:]
        async with api(kafka, database, topics) as client, producing(kafka) as producer:
            async with connect(database, name="test-keys") as connection:
                key = await create_key(connection, label="a", role=Role.ACCOUNTANT, scope=Scope(platform=PLATFORM))
            client.headers["authorization"] = f"Bearer {key}"
            missing = await client.get("/v1/runs/r1/cost")
            assert (missing.status_code, missing.json()["code"]) == (404, "run_not_metered")
            with processes(kafka, database, topics, tmp_path, "sink", "meter"):
                await send(producer, first)
                end = to_rfc3339(START + 4 * FRAME_SPAN + 25 * 60_000_000)
                await asyncio.to_thread(until, lambda: query(database, OPEN_UNTIL) == [(end,)], 120, "metered so far")
                running = await cost(client)
                assert Decimal(running["settled"]["gross"]) == 0  # the recorder does not run yet
                assert running["metered_until"] == end
                amounts = {line["charge"]: Decimal(line["amount"]) for line in running["lines"]}
                assert amounts["reactor-hours"] == Decimal("145.00")  # 2 h 25 min of the night at 60
                assert abs(amounts["energy"] - Decimal(_kilowatt_hours() * 0.85)) <= Decimal("0.005")
                with processes(kafka, database, topics, tmp_path, "recorder"):
                    await send(producer, rest)
                    await asyncio.to_thread(until, lambda: settled(database, topics, sent=len(records)), 120, "all in")
            over = await cost(client)
            assert Decimal(over["provisional"]["gross"]) == 0
            assert Decimal(over["total"]["net"]) > Decimal(running["total"]["net"])
            await _equals_the_invoice(client, over)
            await _is_not_for_others(client, database)
        runner = CliRunner(env={"PILOTLINE_DATABASE_URL": database})
        shown = await asyncio.to_thread(runner.invoke, group, ["usage", "cost", "r1"])
        assert shown.exit_code == 0, shown.output
        assert f"= {over['total']['gross']:>14} CNY" in shown.output
        assert "暂估金额" in shown.output


def _kilowatt_hours() -> float:
    """Of the first 29 readings, each of which holds for five minutes."""
    powers = [200.0 + (row // 6 * 7919 % 101) / 7 + row % 6 * 0.37 for row in range(29)]
    return sum(powers) / 12


async def _equals_the_invoice(client: httpx.AsyncClient, over: dict[str, Any]) -> None:
    draft = await client.post(
        "/v1/invoices",
        json={
            "platform": PLATFORM,
            "customer": CUSTOMER,
            "tariff": {"id": "test-2026", "version": 1},
            "period": {"from": to_rfc3339(START), "to": to_rfc3339(START + 48 * FRAME_SPAN)},
            "issuer": "hz",
        },
    )
    assert draft.status_code == 201, draft.text
    assert {kind: draft.json()[kind] for kind in ("net", "tax", "gross")} == over["total"]
    assert draft.json()["ledger_seq"] == over["ledger_seq"]


async def _is_not_for_others(client: httpx.AsyncClient, database: str) -> None:
    async with connect(database, name="test-keys") as connection:
        key = await create_key(connection, label="b", role=Role.VIEWER, scope=Scope(platform="sz-other"))
    answer = await client.get("/v1/runs/r1/cost", headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "key_scope")
