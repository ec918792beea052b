"""Reservations over HTTP and on the command line, stored bytes and reserved time in the books and on an invoice that explains them."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner

from services.billing.adapters.state_models import publish_state_model
from services.billing.domain.explain import evaluate_tree
from services.billing.domain.readings import row_bytes
from services.billing.entrypoints.cli import group
from shared.contracts.topics import Topics
from shared.kernel.times import HOUR, Micros, to_rfc3339
from shared.messaging.producer import producing
from shared.storage.api_keys import Role, Scope, create_key
from shared.storage.pool import connect
from shared.storage.registry import read_registry
from tests.integration.billing.plant import (
    CUSTOMER,
    LINE,
    OTHER,
    PLATFORM,
    START,
    STATE_MODEL,
    STREAM,
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
COUNTING = (
    STATE_MODEL
    + """      - {name: slot, kind: reserved, unit: h}
      - {name: data, kind: bytes, stream: reactor, unit: kBy}
      - {name: rows, kind: samples, stream: reactor, unit: "1"}
"""
)
PRICED = (
    TARIFF
    + """  - {kind: quantity, code: slot, name: {en: Reserved, zh: 预约机时}, tax: services, quantity: slot, unit: h, model: unit, scope: run,
     tiers: [{price: "20"}]}
  - {kind: quantity, code: data, name: {en: Data, zh: 数据存储}, tax: services, quantity: data, unit: kBy, model: unit, tiers: [{price: "2"}]}
"""
)


def body(name: int, start: float, end: float, **more: Any) -> dict[str, Any]:
    """Hours after START."""
    return {
        "id": str(UUID(int=name)),
        "line": LINE,
        "instrument": STREAM,
        "from": _at(start),
        "to": _at(end),
        "customer": CUSTOMER,
    } | more


def _at(hours: float) -> str:
    instant: Micros = START + round(hours * HOUR)
    return to_rfc3339(instant)


async def refused(client: httpx.AsyncClient, document: dict[str, Any]) -> tuple[int, str]:
    answer = await client.post("/v1/reservations", json=document)
    return answer.status_code, answer.json()["code"]


async def test_reserved_time_and_bytes_reach_an_invoice_that_explains_them(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-2: bytes stored and reserved time, with the reservation and the frames behind them; B-14: explained."""
    with new_database() as database, new_topics() as topics:
        await install(database, state_model=False)
        async with connect(database, name="test-install") as connection:
            await publish_state_model(connection, COUNTING, await read_registry(connection), by="test")
        records = [*a_run(topics, "r1", 0, 12), *(frame(topics, seq) for seq in range(12, 22))]
        with processes(kafka, database, topics, tmp_path, "sink", "meter", "recorder"):
            async with producing(kafka) as producer:
                await send(producer, records)
            async with api(kafka, database, topics) as client:
                await _book(client)
                await asyncio.to_thread(
                    until, lambda: settled(database, topics, sent=len(records) + 5), 120, "reservations in the books"
                )
                await _look_at_the_books(client, database, topics)


async def _book(client: httpx.AsyncClient) -> None:
    """Slot 1 lies over the run's last hour and half an hour after it; slot 2 is freed half way; slot 3 never was."""
    first = await client.post("/v1/reservations", json=body(1, 5, 6.5))
    assert (first.status_code, first.json()["added"]) == (200, True), first.text
    again = await client.post("/v1/reservations", json=body(1, 5, 6.5))
    assert (again.json()["added"], again.json()["booked_by"]) == (False, "li")
    assert await refused(client, body(1, 5, 6)) == (409, "reservation_exists")
    assert await refused(client, body(9, 6.25, 7)) == (409, "reservation_overlaps")
    assert await refused(client, body(9, 7, 7)) == (422, "reservation_range")
    assert await refused(client, body(9, 7, 8, instrument="p1/other")) == (404, "instrument_unknown")
    assert await refused(client, body(9, 7, 8, customer="nobody")) == (404, "customer_unknown")
    assert await refused(client, body(9, 7, 8, tariff="none@3")) == (404, "tariff_unknown")
    assert await refused(client, body(9, 7, 8, line="q7")) == (403, "key_scope")
    for number, start, end, customer in ((2, 7, 9, OTHER), (3, 9, 10, OTHER)):
        booked = await client.post("/v1/reservations", json=body(number, start, end, customer=customer))
        assert booked.status_code == 200, booked.text
    for number, hour in ((2, 8.0), (3, 8.5)):
        freed = await client.post(
            f"/v1/reservations/{UUID(int=number)}/cancel", json={"reason": "found another", "at": _at(hour)}
        )
        assert (freed.status_code, freed.json()["cancellation"]["at"]) == (200, _at(hour)), freed.text
    once_more = await client.post(f"/v1/reservations/{UUID(int=2)}/cancel", json={"reason": "again", "at": _at(8.7)})
    assert (once_more.json()["cancelled"], once_more.json()["cancellation"]["at"]) == (False, _at(8))
    over = await client.post(f"/v1/reservations/{UUID(int=1)}/cancel", json={"reason": "too late"})
    assert (over.status_code, over.json()["code"]) == (409, "reservation_over")
    listed = await client.get("/v1/reservations", params={"customer": OTHER, "limit": 1})
    assert [item["id"] for item in listed.json()["items"]] == [str(UUID(int=2))]
    following = await client.get("/v1/reservations", params={"customer": OTHER, "cursor": listed.json()["next"]})
    assert [item["id"] for item in following.json()["items"]] == [str(UUID(int=3))]


async def _look_at_the_books(client: httpx.AsyncClient, database: str, topics: Topics) -> None:
    async with connect(database, name="test-keys") as connection:
        key = await create_key(connection, label="accountant", role=Role.ACCOUNTANT, scope=Scope(platform=PLATFORM))
    client.headers["authorization"] = f"Bearer {key}"
    for customer, hours in ((CUSTOMER, Decimal("1.5")), (OTHER, Decimal(1))):
        found = (await client.get("/v1/usage/quantities", params={"customer": customer})).json()["items"]
        assert next(Decimal(item["value"]) for item in found if item["name"] == "slot") == hours
    published = await client.post("/v1/tariffs", params={"platform": PLATFORM}, content=PRICED.encode())
    assert published.status_code == 200, published.text
    amounts = {}
    for customer in (CUSTOMER, OTHER):
        draft = await client.post("/v1/invoices", json=_draft(customer))
        assert draft.status_code == 201, draft.text
        invoice = draft.json()["id"]
        assert (await client.post(f"/v1/invoices/{invoice}/verify")).json()["ok"] is True
        for line in (await client.get(f"/v1/invoices/{invoice}/lines")).json()["items"]:
            explained = (await client.get(f"/v1/lines/{line['id']}/explain")).json()
            assert evaluate_tree(explained["tree"]) == Decimal(line["amount"])
            amounts[customer, line["charge"], line["scope"]] = Decimal(line["amount"])
            if line["charge"] == "slot":
                _explains_the_reservation(explained["tree"], 1 if customer == CUSTOMER else 2)
    assert amounts[CUSTOMER, "slot", "r1"] == Decimal("20.00")
    assert amounts[CUSTOMER, "slot", str(UUID(int=1))] == Decimal("10.00")
    assert amounts[CUSTOMER, "data", ""] == (Decimal(72 * row_bytes(2)) / 1000 * 2).quantize(Decimal("0.01"))
    assert {key: amount for key, amount in amounts.items() if key[0] == OTHER} == {
        (OTHER, "slot", str(UUID(int=2))): Decimal("20.00")
    }
    assert query(database, "select count(*) from billing.usage_quarantine") == [(0,)]


def _explains_the_reservation(tree: dict[str, Any], number: int) -> None:
    leaves = _leaves(tree)
    assert leaves
    assert {leaf["reservation"] for leaf in leaves} == {str(UUID(int=number))}


def _leaves(tree: dict[str, Any]) -> list[dict[str, Any]]:
    if tree["op"] == "segment":
        return [tree]
    return [leaf for part in tree.get("of", []) for leaf in _leaves(part)]


def _draft(customer: str) -> dict[str, Any]:
    return {
        "platform": PLATFORM,
        "customer": customer,
        "tariff": {"id": "test-2026", "version": 1},
        "period": {"from": _at(0), "to": _at(24)},
        "issuer": "hz",
    }


async def test_the_command_line_books_lists_and_cancels(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics
) -> None:
    """B-2"""
    with new_database() as database, new_topics() as topics:
        await install(database)
        runner = CliRunner(env={"PILOTLINE_DATABASE_URL": database, "PILOTLINE_TOPIC_PREFIX": topics.prefix})

        async def run(*arguments: str) -> Any:
            return await asyncio.to_thread(runner.invoke, group, ["reservation", *arguments])

        slot = ["--line", LINE, "--instrument", STREAM, "--customer", CUSTOMER, "--from", _at(1)]
        added = await run("add", *slot, "--to", _at(3), "--by", "wang")
        assert added.exit_code == 0, added.output
        booked = json.loads(added.output)
        assert (booked["booked_by"], booked["cancellation"], booked["added"]) == ("wang", None, True)
        overlapping = await run("add", *slot, "--to", _at(2))
        assert overlapping.exit_code == 1
        assert "reservation_overlaps" in overlapping.output
        freed = await run("cancel", booked["id"], "--reason", "no sample", "--at", _at(2))
        assert json.loads(freed.output)["cancelled"] is True
        assert f"(cancelled from {_at(2)})" in (await run("list", "--line", LINE)).output
        after = await run(
            "add", "--line", LINE, "--instrument", STREAM, "--customer", OTHER, "--from", _at(2), "--to", _at(3)
        )
        assert after.exit_code == 0, after.output
        assert query(database, "select kind, topic from billing.outbox") == [("reservation", topics.line_records)] * 3
