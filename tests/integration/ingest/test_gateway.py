"""From the request to the stored row, on real Kafka and TimescaleDB."""

from __future__ import annotations

import csv
import io
import struct
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import zstandard
from aiokafka import AIOKafkaConsumer

from shared.contracts.frame import CONTENT_TYPE, build_frame, encode_frame
from shared.contracts.lifecycle import GapSeen, decode_line_record
from shared.contracts.topics import Topics
from shared.kernel.times import from_rfc3339
from shared.storage.api_keys import Role, Scope
from shared.storage.pool import Pool
from tests.integration.ingest.conftest import key, registry, rows, until

pytestmark = pytest.mark.stack
START = "2026-03-02T00:00:00Z"
T = from_rfc3339(START)


def frame(seq: int, **facts: Any) -> dict[str, Any]:
    values = {"pressure": [float(seq), seq + 0.5], "temperature": [300.0, 301.0]}
    return {
        "stream": "l1/s",
        "boot": "b",
        "seq": seq,
        "t0": T + seq * 2_000_000,
        "dt": 1_000_000,
        "values": values,
        **facts,
    }


async def push(gateway: httpx.AsyncClient, *frames: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await gateway.post("/v1/telemetry", json={"frames": frames}, headers=headers)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def stored(pool: Pool, count: int) -> None:
    """Wait until so many records are in the books."""

    async def enough() -> bool:
        ((received,),) = await rows(pool, "select coalesce(sum(received), 0) from ingest.stream_count")
        return bool(received >= count)

    await until(enough)


async def read(gateway: httpx.AsyncClient, **query: Any) -> httpx.Response:
    wanted = {"stream": "l1/s", "from": START, "to": "2026-03-03T00:00:00Z", **query}
    return await gateway.get("/v1/frames", params=wanted)


@pytest.mark.usefixtures("running_sink")
async def test_received_is_stored_plus_duplicate_plus_conflict_plus_quarantined(
    gateway: httpx.AsyncClient, pool: Pool
) -> None:  # G2 I-11
    unit = frame(3, unit={"pressure": "m"})
    first = await push(gateway, frame(1), frame(2), unit, frame(4))
    again = await push(gateway, frame(1), frame(2, values={"pressure": [9.0, 9.0]}), unit)
    assert [result["outcome"] for result in first["results"]] == ["accepted", "accepted", "quarantined", "accepted"]
    assert [result["outcome"] for result in again["results"]] == ["duplicate", "conflict", "quarantined"]
    await stored(pool, 7)
    found = await rows(pool, "select received, stored, duplicate, conflict, quarantined from ingest.stream_count")
    assert found == [(7, 3, 1, 1, 2)]
    assert await rows(pool, "select from_seq, to_seq, cause from ingest.gap") == [(3, 3, "quarantined")]


@pytest.mark.usefixtures("running_sink")
async def test_a_gap_is_told_to_everyone_who_reads_the_line(
    gateway: httpx.AsyncClient, kafka: str, topics: Topics
) -> None:  # I-15
    await push(gateway, frame(1), frame(3))
    consumer = AIOKafkaConsumer(topics.line_records, bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        messages = [await consumer.getone() for _ in range(3)]
    gap = decode_line_record(messages[2].value)
    assert isinstance(gap, GapSeen)
    assert (gap.stream, gap.from_seq, gap.to_seq, gap.line, messages[2].key) == ("l1/s", 2, 2, "l1", b"l1")
    assert [dict(message.headers)["kind"] for message in messages] == [b"frame", b"frame", b"gap"]


@pytest.mark.usefixtures("running_sink")
async def test_every_form_of_the_same_frame_is_the_same_record(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-5
    values = np.array([[1.0, 300.0], [1.5, 301.0]])
    times = T + 2_000_000 + np.array([0, 1_000_000])
    encoded = encode_frame(build_frame(stream="l1/s", registry_version=0, boot="b", seq=1, times=times, values=values))
    pairs = zip(times.tolist(), values.tolist(), strict=True)
    listed = [{"t": t, "pressure": p, "temperature": u} for t, (p, u) in pairs]
    columns = msgspec.json.encode(frame(1))
    json_form = {"content-type": "application/json"}
    posts = [
        (columns, json_form),
        (zstandard.compress(columns), {**json_form, "content-encoding": "zstd"}),
        (msgspec.json.encode([{"stream": "l1/s", "boot": "b", "seq": 1, "rows": listed}]), json_form),
        (struct.pack("<I", len(encoded)) + encoded, {"content-type": CONTENT_TYPE}),
    ]
    outcomes = []
    for content, headers in posts:
        answer = await gateway.post("/v1/telemetry", content=content, headers=headers)
        outcomes += [result["outcome"] for result in answer.json()["results"]]
    assert outcomes == ["accepted", "duplicate", "duplicate", "duplicate"]
    await stored(pool, 4)
    assert await rows(pool, "select stored, duplicate, conflict from ingest.stream_count") == [(1, 3, 0)]


@pytest.mark.usefixtures("running_sink")
async def test_what_was_stored_before_this_gateway_started_is_a_duplicate(
    gateway: httpx.AsyncClient, pool: Pool
) -> None:  # I-14
    await push(gateway, frame(1))
    await stored(pool, 1)
    gateway._transport.app.state.gateway.gate._recent = type(gateway._transport.app.state.gateway.gate._recent)(10)  # type: ignore[attr-defined]
    assert (await push(gateway, frame(1), frame(2)))["counts"] == {
        "accepted": 1,
        "duplicate": 1,
        "conflict": 0,
        "quarantined": 0,
    }


@pytest.mark.usefixtures("running_sink")
async def test_the_limits_are_told_with_every_answer(gateway: httpx.AsyncClient) -> None:  # I-13
    answer = await gateway.post("/v1/telemetry", json=frame(1))
    assert '"body";q=8388608' in answer.headers["ratelimit-policy"]
    assert answer.headers["ratelimit"].startswith('"in-flight";r=')


async def test_a_time_in_the_future_waits_in_quarantine(gateway: httpx.AsyncClient) -> None:  # I-17
    body = await push(gateway, frame(1, stream="l1/live", t0="2199-01-01T00:00:00Z"))
    assert body["results"][0]["code"] == "future_time"


# Keys -------------------------------------------------------------------------------------------------------------------------


async def test_a_key_reaches_what_its_scope_says(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-4
    mine = await key(pool, Role.GATEWAY, Scope(line="l1"))
    assert (await push(gateway, frame(1), key=mine))["counts"]["accepted"] == 1
    headers = {"x-api-key": mine}
    del gateway.headers["authorization"]
    answer = await gateway.post("/v1/telemetry", json=frame(1, stream="l2/s"), headers=headers)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (403, "key_scope", "frames[0].stream")
    assert (await gateway.get("/v1/streams/l2/s", headers=headers)).json()["code"] == "stream_unknown"
    assert [line["id"] for line in (await gateway.get("/v1/registry", headers=headers)).json()["lines"]] == ["l1"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("expires_at = now() - interval '1 s'", "key_expired"),
        ("revoked_at = now()", "key_revoked"),
        ("hash = 'damaged'", "key_unknown"),
    ],
)
async def test_a_key_that_holds_no_more_is_refused(
    gateway: httpx.AsyncClient, pool: Pool, change: str, code: str
) -> None:  # I-4
    presented = await key(pool, Role.GATEWAY)
    async with pool.connection() as connection:
        await connection.execute(
            f"update ingest.api_key set {change} where prefix = %s".encode(), (presented.split("_")[1],)
        )
    answer = await gateway.post("/v1/telemetry", json=frame(1), headers={"authorization": f"Bearer {presented}"})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("presented", ["pl_nobody_secret", "nonsense", "pl__", "pl_a", "Bearer"])
async def test_a_key_nobody_knows_is_refused(gateway: httpx.AsyncClient, presented: str) -> None:  # I-4
    answer = await gateway.post("/v1/telemetry", json=frame(1), headers={"authorization": f"Bearer {presented}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_unknown")


async def test_a_key_in_the_url_is_not_read(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-4
    presented = await key(pool, Role.ADMIN)
    del gateway.headers["authorization"]
    answer = await gateway.post(f"/v1/telemetry?key={presented}&access_token={presented}", json=frame(1))
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")


async def test_only_the_hash_of_a_key_is_stored(pool: Pool) -> None:  # I-4
    presented = await key(pool, Role.GATEWAY)
    ((row,),) = await rows(pool, "select k::text from ingest.api_key k")
    assert presented.split("_", 2)[2] not in row
    assert "$argon2id$" in row


# Registry ---------------------------------------------------------------------------------------------------------------------


async def test_a_registry_is_compared_then_applied_once(gateway: httpx.AsyncClient) -> None:  # I-2
    wanted = registry("l1", "l2", "l3")
    compared = (await gateway.put("/v1/registry", params={"dry_run": True}, json=wanted)).json()
    applied = (await gateway.put("/v1/registry", json=wanted)).json()
    again = (await gateway.put("/v1/registry", json=wanted)).json()
    assert [difference["id"] for difference in applied["differences"]] == ["l3", "l3/i", "l3/s", "l3/live"]
    assert compared["differences"] == applied["differences"]
    assert (compared["applied"], applied["applied"], again["differences"]) == (False, True, [])
    assert (await push(gateway, frame(1, stream="l3/s")))["counts"]["accepted"] == 1


async def test_an_older_version_of_a_stream_stays_readable(gateway: httpx.AsyncClient) -> None:  # I-1
    changed = registry("l1", "l2")
    changed["streams"][0]["period"] = "2 s"
    await gateway.put("/v1/registry", json=changed)
    now, before = [(await gateway.get("/v1/streams/l1/s", params=p)).json() for p in ({}, {"version": 1})]
    assert (now["version"], before["version"]) == (2, 1)
    assert now["digest"] != before["digest"]
    assert (now["period"], before["period"]) == (2_000_000, 1_000_000)


async def test_a_registry_with_a_unit_that_does_not_exist_is_refused(gateway: httpx.AsyncClient) -> None:  # I-3
    wanted = registry("l1")
    wanted["streams"][0]["channels"] = [{"name": "a", "quantity_kind": "x", "unit": "smoot/fortnight"}]
    answer = await gateway.put("/v1/registry", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (422, "unit_unknown")


async def test_only_an_administrator_changes_the_registry(gateway: httpx.AsyncClient, pool: Pool) -> None:
    headers = {"authorization": f"Bearer {await key(pool, Role.OPERATOR)}"}
    answer = await gateway.put("/v1/registry", json=registry("l1"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "key_role")


# Reading ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("running_sink")
async def test_stored_rows_come_back_page_by_page_in_order_and_each_once(
    gateway: httpx.AsyncClient, pool: Pool
) -> None:  # I-22
    await push(gateway, *(frame(seq) for seq in [*range(1, 31), 35]))
    await push(gateway, *(frame(seq, boot="c") for seq in range(1, 31)))
    await push(gateway, *(frame(seq) for seq in range(31, 35)))
    await stored(pool, 65)
    seen, cursor = [], None
    while True:
        answer = (await read(gateway, limit=13, **({"cursor": cursor} if cursor else {}))).json()
        assert len(answer["t"]) <= 13
        seen += list(zip(answer["t"], answer["boot"], answer["seq"], answer["values"]["pressure"], strict=True))
        cursor = answer["next"]
        if cursor is None:
            break
    wanted = [
        (T + s * 2_000_000 + r * 1_000_000, boot, s, s + r / 2)
        for s in range(1, 36)
        for r in (0, 1)
        for boot in "bc"
        if boot == "b" or s < 31
    ]
    assert seen == sorted(wanted)


@pytest.mark.usefixtures("running_sink")
async def test_a_range_is_half_open(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-22
    await push(gateway, frame(1), frame(2))
    await stored(pool, 2)
    answer = await read(gateway, **{"from": "2026-03-02T00:00:03Z", "to": "2026-03-02T00:00:05Z"})
    assert answer.json()["values"]["pressure"] == [1.5, 2.0]


@pytest.mark.usefixtures("running_sink")
async def test_the_same_rows_as_csv(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-22
    await push(gateway, frame(1, values={"pressure": [1.5, None]}), frame(2))
    await stored(pool, 2)
    answer = await read(gateway, format="csv", channels="pressure", limit=3)
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["pilotline-next"]
    assert list(csv.reader(io.StringIO(answer.text))) == [
        ["measured_at", "boot", "seq", "pressure"],
        ["2026-03-02T00:00:02Z", "b", "1", "1.5"],
        ["2026-03-02T00:00:03Z", "b", "1", ""],
        ["2026-03-02T00:00:04Z", "b", "2", "2.0"],
    ]


@pytest.mark.usefixtures("running_sink")
async def test_a_long_range_is_given_as_minima_and_maxima(gateway: httpx.AsyncClient, pool: Pool) -> None:  # I-22
    await push(gateway, *(frame(seq) for seq in range(1, 41)))
    await stored(pool, 40)
    answer = (await read(gateway, to="2026-03-02T00:01:40Z", points=10)).json()
    assert answer["bucket"] == 10_000_000
    assert answer["t"] == [T + second * 1_000_000 for second in range(0, 90, 10)]
    assert answer["min"]["pressure"] == [1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]
    assert answer["max"]["pressure"] == [4.5, 9.5, 14.5, 19.5, 24.5, 29.5, 34.5, 39.5, 40.5]
    assert answer["count"]["pressure"] == [8, 10, 10, 10, 10, 10, 10, 10, 2]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"stream": "l1/none"}, 404, "stream_unknown"),
        ({"channels": "presure"}, 422, "channel_unknown"),
        ({"from": "yesterday"}, 422, "time_malformed"),
        ({"from": "9" * 40}, 422, "time_range"),
        ({"from": "2026-03-04T00:00:00Z"}, 422, "range_empty"),
        ({"cursor": "x"}, 422, "cursor_invalid"),
        ({"cursor": "%ff"}, 422, "cursor_invalid"),
        ({"limit": 0}, 422, "request_invalid"),
        ({"format": "xml"}, 422, "request_invalid"),
    ],
)
async def test_a_question_that_cannot_be_answered_says_why(
    gateway: httpx.AsyncClient, query: dict[str, Any], status: int, code: str
) -> None:  # G14
    answer = await read(gateway, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


# Quarantine -------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("running_sink")
async def test_a_quarantined_record_is_listed_and_its_bytes_come_back(
    gateway: httpx.AsyncClient, pool: Pool
) -> None:  # I-19
    bad = frame(1, unit={"pressure": "m"})
    large = {**frame(2), "values": {"pressure": [1.0] * 40_000, "nowhere": [1.0] * 40_000}}
    await push(gateway, bad, large)
    await stored(pool, 2)
    listed = (await gateway.get("/v1/quarantine", params={"stream": "l1/s"})).json()["records"]
    assert [record["code"] for record in listed] == ["channel_unknown", "unit_incommensurable"]
    for record, sent in zip(listed, (large, bad), strict=True):
        raw = await gateway.get(f"/v1/quarantine/{record['id']}/raw")
        assert msgspec.json.decode(raw.content) == sent
    assert (await gateway.get(f"/v1/quarantine/{listed[0]['id']}")).json()["count"] == 1
    only = (await gateway.get("/v1/quarantine", params={"limit": 1})).json()
    rest = (await gateway.get("/v1/quarantine", params={"limit": 1, "after": only["next"]})).json()
    assert [record["id"] for record in only["records"] + rest["records"]] == [record["id"] for record in listed]


@pytest.mark.usefixtures("running_sink")
async def test_a_key_sees_the_quarantine_of_its_line_and_what_it_sent_itself(
    gateway: httpx.AsyncClient, pool: Pool
) -> None:  # G11
    mine = await key(pool, Role.GATEWAY, Scope(line="l1"))
    await push(
        gateway, frame(1, stream="l1/s", unit={"pressure": "m"}), frame(1, stream="l2/s", unit={"pressure": "m"})
    )
    await push(gateway, frame(1, stream="nowhere/s"), key=mine)
    await stored(pool, 3)
    headers = {"authorization": f"Bearer {mine}"}
    seen = (await gateway.get("/v1/quarantine", headers=headers)).json()["records"]
    assert sorted(record["stream"] for record in seen) == ["l1/s", "nowhere/s"]
    ((hidden,),) = await rows(pool, "select id from ingest.quarantine where stream_id = 'l2/s'")
    assert (await gateway.get(f"/v1/quarantine/{hidden}", headers=headers)).json()["code"] == "quarantine_unknown"


async def test_the_gateway_says_whether_it_is_ready(gateway: httpx.AsyncClient) -> None:  # O-4
    assert (await gateway.get("/readyz")).json() == {"status": "ready", "checks": {"database": "ok", "kafka": "ok"}}
    assert (await gateway.get("/livez")).status_code == 200
    assert "pilotline_answered_records_total" in (await gateway.get("/metrics")).text
