"""Usage events over HTTP and in the log: accepted, duplicate, conflict, quarantined; and what the ledger says afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.billing.domain.usage import segment_from_document, usage_event
from shared.contracts.events import encode_event
from shared.contracts.topics import Kind
from shared.kernel.times import to_rfc3339
from shared.messaging.producer import producing
from tests.integration.billing.conftest import Plant
from tests.integration.billing.plant import FRAME_SPAN, PLATFORM, START, processes, query, until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

TOTALS = "select coalesce(sum(received), 0), coalesce(sum(recorded), 0) from billing.usage_count"


def recorded_events(metered: Plant) -> list[dict[str, Any]]:
    """Usage events as the meter published them."""
    return [
        json.loads(bytes(row[0])) for row in query(metered.database, "select value from billing.outbox order by id")
    ]


def spoilt(event: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return event | {"data": event["data"] | changes}


async def test_every_event_gets_its_own_answer_and_the_books_agree(
    api: httpx.AsyncClient, metered: Plant, tmp_path: Path
) -> None:
    """B-5, B-6"""
    known, other = recorded_events(metered)[:2]
    zero = spoilt(other, quantities=[{**other["data"]["quantities"][0], "value": "NaN"}])
    forged = spoilt(known, customer="somebody-else")
    shorter = spoilt(known, end=known["data"]["start"])
    number = spoilt(other, quantities=[{**other["data"]["quantities"][0], "value": 12.5}])
    before = query(metered.database, TOTALS)[0]
    rows = query(metered.database, "select count(*), max(ledger_seq) from billing.ledger")
    batch = [known, zero, forged, shorter, number, {"not": "an event"}, known]
    answer = await api.post(
        "/v1/usage/events",
        content=json.dumps(batch),
        headers={"content-type": "application/cloudevents-batch+json"},
    )
    assert answer.status_code == 202, answer.text
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["duplicate", *["quarantined"] * 5, "duplicate"]
    assert [result.get("code") for result in results[1:6]] == [
        "usage_malformed",  # never read as 0
        "usage_digest",
        "usage_interval",
        "usage_malformed",  # a JSON number is no decimal
        "event_malformed",
    ]
    with processes(metered.kafka, metered.database, metered.topics, tmp_path, "recorder"):
        until(lambda: query(metered.database, TOTALS)[0][0] == before[0] + len(batch), 150, "recorded")
    assert query(metered.database, TOTALS)[0][1] == before[1]
    assert query(metered.database, "select count(*), max(ledger_seq) from billing.ledger") == rows
    quarantine = query(metered.database, "select code from billing.usage_quarantine order by quarantine_id")
    assert sorted(code for (code,) in quarantine) == sorted(result["code"] for result in results[1:6])
    counts = (await api.get("/v1/usage/counts")).json()["items"]
    assert all(
        item["received"] == item["recorded"] + item["duplicate"] + item["conflict"] + item["quarantined"]
        for item in counts
    )


async def test_the_same_id_with_other_content_is_kept_as_a_conflict(
    api: httpx.AsyncClient, metered: Plant, tmp_path: Path
) -> None:
    """B-6: the first stays in force, the other waits for a person. The forger makes the digest fit."""
    segment = segment_from_document(recorded_events(metered)[0]["data"])
    moved = replace(segment, context=replace(segment.context, customer="somebody-else"))
    answer = await api.post("/v1/usage/events", content=encode_event(usage_event(moved)))
    assert [result["status"] for result in answer.json()["results"]] == ["conflict"]
    with processes(metered.kafka, metered.database, metered.topics, tmp_path, "recorder"):
        until(lambda: query(metered.database, "select count(*) from billing.usage_conflict") == [(1,)], 150, "kept")
    assert query(metered.database, "select count(*) from billing.ledger where customer = 'somebody-else'") == [(0,)]


async def test_an_event_that_postgresql_refuses_does_not_stop_the_others(metered: Plant, tmp_path: Path) -> None:
    """B-6: U+0000 is text to JSON and no text to PostgreSQL. The recorder finds the one event and goes on."""
    segment = segment_from_document(recorded_events(metered)[0]["data"])
    bad = replace(segment, line="p9", context=replace(segment.context, project="a\x00b"))
    good = replace(segment, line="p9", start=segment.start - 1, end=segment.end - 1)
    key = b"p9"
    async with producing(metered.kafka) as producer:
        for each in (bad, good):
            event = encode_event(usage_event(each))
            await producer.put(metered.topics.usage_events, key, event, kind=Kind.EVENT)
    with processes(metered.kafka, metered.database, metered.topics, tmp_path, "recorder"):
        until(
            lambda: query(metered.database, "select count(*) from billing.ledger where line = 'p9'") == [(1,)],
            150,
            "good",
        )
    refused = query(
        metered.database, "select count(*) from billing.usage_quarantine where starts_with(code, 'sqlstate_22')"
    )
    assert refused == [(1,)]


async def test_pages_of_segments_hold_each_segment_once(api: httpx.AsyncClient) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get("/v1/usage/segments", params={"run": "r1", "limit": "7"} | cursor)).json()
        seen += [item["event_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    whole = (await api.get("/v1/usage/segments", params={"run": "r1", "limit": "1000"})).json()["items"]
    assert seen == [item["event_id"] for item in whole]
    assert len(seen) == len(set(seen)) > 7


async def test_hours_and_quantities_are_those_of_the_segments(api: httpx.AsyncClient) -> None:
    whole = (await api.get("/v1/usage/segments", params={"run": "r1", "limit": "1000"})).json()["items"]
    hours = (await api.get("/v1/usage/hours", params={"run": "r1", "platform": PLATFORM})).json()["items"]
    energy = [
        item
        for item in (await api.get("/v1/usage/quantities", params={"run": "r1"})).json()["items"]
        if item["name"] == "energy"
    ]
    assert sum(Decimal(item["measured_s"]) for item in hours) == sum(Decimal(item["measured_s"]) for item in whole)
    measured = [Decimal(q["value"]) for item in whole for q in item["quantities"] if q["name"] == "energy"]
    assert Decimal(energy[0]["value"]) == sum(measured) > 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/usage/segments?from=yesterday", "time_malformed"),
        ("/v1/usage/segments?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "range_empty"),
        ("/v1/usage/segments?cursor=x", "cursor_malformed"),
        ("/v1/usage/segments?run=%00", "request_invalid"),
        ("/v1/usage/segments?limit=0", "request_invalid"),
        ("/v1/usage/hours?platform=sz-other", "key_scope"),
        ("/v1/meters/none", "meter_unknown"),
        ("/v1/invoices/6f1d2c0e-0c5b-5f7e-9a46-5a0d5b7f3c11", "invoice_unknown"),
        ("/v1/lines/6f1d2c0e-0c5b-5f7e-9a46-5a0d5b7f3c11/explain", "line_unknown"),
        ("/v1/invoices/x", "request_invalid"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(api: httpx.AsyncClient, path: str, code: str) -> None:
    answer = await api.get(path)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


async def test_a_settled_meter_says_so(api: httpx.AsyncClient) -> None:
    meter = (await api.get("/v1/meters/p1")).json()
    assert meter["settled"]
    assert meter["stale_since"] is None
    assert meter["closed_until"] == to_rfc3339(START + 74 * FRAME_SPAN)  # the end of the last run
    assert meter["metered_offset"] == meter["stored_offset"] > 0
