"""Webhooks on real servers, to a real receiver: signed, in order, again after failures, ended and resumed by people (V-22)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from fastapi import FastAPI, Request, Response

from services.verification.bootstrap import build_webhooks
from services.verification.config import ApiSettings
from services.verification.domain.webhooks import SCHEDULE, verified
from shared.observability.health import serving
from shared.storage.api_keys import Role, Scope, create_key
from tests.integration.verification.rig import Rig, batches, until

pytestmark = pytest.mark.stack


@dataclass(slots=True)
class Receiver:
    """What has arrived; `answers` are given in turn, then 204, each after `seconds`."""

    url: str = ""
    seconds: float = 0.0
    answers: list[int] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.body()))
        await asyncio.sleep(self.seconds)
        status = self.answers.pop(0) if self.answers else 204
        headers = {"location": self.url + "/elsewhere"} if status == 302 else {}
        return Response(status_code=status, headers=headers)

    @property
    def types(self) -> list[str]:
        return [orjson.loads(body)["type"] for _, body in self.requests]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.requests]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = FastAPI()
    app.add_api_route("/hook", receiver.take, methods=["POST"])
    async with serving(app, "127.0.0.1", 0, patience=1.0) as port:
        receiver.url = f"http://127.0.0.1:{port}/hook"
        yield receiver


@asynccontextmanager
async def dispatching(rig: Rig, database: str, timeout: float = 2.0) -> AsyncIterator[None]:
    stop = asyncio.Event()
    settings = ApiSettings.read(
        database_url=database,
        kafka=rig.kafka,
        topic_prefix=rig.topics.prefix,
        webhook_allow_private=True,
        webhook_timeout=timeout,
    )
    async with build_webhooks(settings) as dispatcher:
        task = asyncio.create_task(dispatcher.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def registered(rig: Rig, url: str, **facts: Any) -> dict[str, Any]:
    """An endpoint as a person with the installation's permission makes it."""
    made = await rig.client.post("/v1/webhooks", json={"url": "https://receiver.example/hook", **facts})
    assert made.status_code == 201, made.text
    document: dict[str, Any] = made.json()
    async with rig.pool.connection() as connection:
        await connection.execute(
            "update verification.webhook set url = %s where webhook_id = %s", (url, document["webhook"])
        )
    return document


async def now_due(rig: Rig) -> None:
    """Time passes: what has been postponed is due."""
    async with rig.pool.connection() as connection:
        await connection.execute(
            "update verification.webhook_delivery set next_attempt_at = clock_timestamp() where state = 'waiting'"
        )


async def finished_run(rig: Rig, run: str) -> None:
    await rig.begin(run)
    await rig.send(*batches())
    await rig.end(run)
    await rig.closed(run)


async def test_decisions_and_verdicts_arrive_signed_once_and_in_order(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database):
        hook = await registered(rig, receiver.url, project="project")
        await registered(rig, receiver.url + "/nobody", project="another")
        await finished_run(rig, "r1")

        async def verdict_heard() -> bool:
            return "verification.verdict" in receiver.types and len(receiver.requests) >= 10

        await until(verdict_heard, "verdict")
        rows = await rig.rows(
            """select event_id from verification.outbox where topic = %s and published_seq is not null order by published_seq""",
            rig.topics.verification_events,
        )
        published = [str(event_id) for (event_id,) in rows]
        assert receiver.ids == [event_id for event_id in published if event_id in receiver.ids]
        assert len(set(receiver.ids)) == len(receiver.ids)
        assert set(receiver.types) == {"verification.criterion", "verification.verdict"}
        for headers, body in receiver.requests:
            assert verified(hook["secret"], headers, body, int(time.time()))
            assert headers["host"] == receiver.url.split("/")[2]
        final = [orjson.loads(body)["data"]["data"] for _, body in receiver.requests if b'"final"' in body]
        assert [event["verdict"] for event in final] == ["pass"]


async def test_a_failing_receiver_gets_the_same_events_later_and_in_order(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver:
        receiver.answers = [500, 302]
        hook = await registered(rig, receiver.url, events=["run.started", "run.phase_started", "run.ended"])
        async with dispatching(rig, database):
            await finished_run(rig, "r1")

            async def tried() -> bool:
                return len(receiver.requests) == 1

            await until(tried, "first attempt")
        async with dispatching(rig, database):  # another process takes over; nothing is lost with the first

            async def all_heard() -> bool:
                await now_due(rig)
                return receiver.types[-1] == "verification.run.ended"

            await until(all_heard, "the last event")
        assert receiver.types[2:] == [
            "verification.run.started",
            "verification.run.phase_started",
            "verification.run.ended",
        ]
        assert receiver.ids[0] == receiver.ids[1] == receiver.ids[2]
        page = (await rig.client.get(f"/v1/webhooks/{hook['webhook']}/deliveries")).json()
        assert [item["state"] for item in page["items"]] == ["delivered"] * 3
        first = page["items"][-1]
        log = (await rig.client.get(f"/v1/webhooks/{hook['webhook']}/deliveries/{first['delivery']}")).json()["log"]
        assert [entry["status"] for entry in log] == [500, 302, 204]


async def test_an_endpoint_that_never_answers_stops_and_is_resumed_by_a_person(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database):
        receiver.answers = [503] * len(SCHEDULE)
        hook = await registered(rig, receiver.url, events=["run.started", "run.ended"])
        await finished_run(rig, "r1")
        path = f"/v1/webhooks/{hook['webhook']}"

        async def disabled() -> bool:
            await now_due(rig)
            return bool((await rig.client.get(path)).json()["state"] == "disabled")

        await until(disabled, "end of patience")
        assert len(receiver.requests) == len(SCHEDULE)
        shown = (await rig.client.get(path)).json()
        assert shown["reason"] == f"no success in {len(SCHEDULE)} attempts: answered 503"
        assert (shown["waiting"], shown["dead"]) == (1, 1)
        assert (await rig.client.post(path + "/test")).json()["code"] == "webhook_disabled"
        dead = (await rig.client.get(path + "/deliveries?state=dead")).json()["items"]
        assert [item["event"] for item in dead] == ["run.started"]
        assert (await rig.client.post(path + "/resend")).json() == {"queued": 1}
        assert (await rig.client.post(path + "/enable")).json()["state"] == "active"

        async def both() -> bool:
            return receiver.types[-2:] == ["verification.run.started", "verification.run.ended"]

        await until(both, "both events")
        again = await rig.client.post(f"{path}/resend?delivery={dead[0]['delivery']}")
        assert (again.status_code, again.json()["code"]) == (409, "webhook_delivery_not_dead")


async def test_gone_means_gone(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database):
        receiver.answers = [410]
        hook = await registered(rig, receiver.url)
        assert (await rig.client.post(f"/v1/webhooks/{hook['webhook']}/test")).status_code == 202

        async def disabled() -> bool:
            return bool(
                (await rig.client.get(f"/v1/webhooks/{hook['webhook']}")).json()["reason"]
                == "the receiver answered 410 Gone"
            )

        await until(disabled, "410")
        assert len(receiver.requests) == 1


async def test_while_a_secret_is_replaced_both_are_good(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database):
        hook = await registered(rig, receiver.url)
        path = f"/v1/webhooks/{hook['webhook']}"
        new = (await rig.client.post(path + "/secrets", json={"overlap_hours": 1})).json()["secret"]
        await rig.client.post(path + "/test")
        await until(lambda: _count(receiver, 1), "test event")
        newest = (await rig.client.post(path + "/secrets", json={"overlap_hours": 0})).json()["secret"]
        await rig.client.post(path + "/test")
        await until(lambda: _count(receiver, 2), "second test event")
        now = int(time.time())
        first, second = receiver.requests
        assert [verified(secret, *first, now) for secret in (hook["secret"], new, newest)] == [True, True, False]
        assert [verified(secret, *second, now) for secret in (hook["secret"], new, newest)] == [False, False, True]


async def _count(receiver: Receiver, count: int) -> bool:
    return len(receiver.requests) >= count


async def test_a_private_target_is_refused_also_by_name(rig: Rig, database: str) -> None:  # V-22
    answer = await rig.client.post("/v1/webhooks", json={"url": "https://127.0.0.1/hook"})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url")
    stop = asyncio.Event()
    settings = ApiSettings.read(database_url=database, kafka=rig.kafka, topic_prefix=rig.topics.prefix)
    async with receiving() as receiver, build_webhooks(settings) as dispatcher:
        hook = await registered(rig, receiver.url.replace("127.0.0.1", "localhost"))
        await rig.client.post(f"/v1/webhooks/{hook['webhook']}/test")
        task = asyncio.create_task(dispatcher.run(stop))

        async def refused() -> list[Any]:
            items = (await rig.client.get(f"/v1/webhooks/{hook['webhook']}/deliveries")).json()["items"]
            return [item["last_failure"] for item in items if item["last_failure"]]

        assert await until(refused, "refusal") == ["localhost is a private address"]
        stop.set()
        await task
        assert receiver.requests == []


async def test_an_endpoint_that_cannot_be_sent_to_ends_nothing(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database):
        bad = await registered(rig, "http://receiver..example/hook")
        good = await registered(rig, receiver.url)
        for hook in (bad, good):
            assert (await rig.client.post(f"/v1/webhooks/{hook['webhook']}/test")).status_code == 202

        async def tried() -> Any:
            return (await rig.client.get(f"/v1/webhooks/{bad['webhook']}/deliveries?state=waiting")).json()["items"]

        await until(lambda: _count(receiver, 1), "test event")
        await until(lambda: _failed(tried), "failed attempt")
        (waiting,) = await tried()
        assert (waiting["attempts"], waiting["last_status"]) == (1, None)
        assert waiting["last_failure"] == "ValueError: receiver..example is no name of a host"
        assert (await rig.client.post(f"/v1/webhooks/{good['webhook']}/test")).status_code == 202
        await until(lambda: _count(receiver, 2), "second test event")


async def _failed(deliveries: Callable[[], Awaitable[Any]]) -> bool:
    return any(item["last_failure"] for item in await deliveries())


async def test_a_deleted_endpoint_stays_deleted_whatever_its_last_attempt_says(rig: Rig, database: str) -> None:  # V-22
    async with receiving() as receiver, dispatching(rig, database, timeout=10.0):
        receiver.answers, receiver.seconds = [410], 1.0
        hook = await registered(rig, receiver.url)
        path = f"/v1/webhooks/{hook['webhook']}"
        await rig.client.post(path + "/test")
        await until(lambda: _count(receiver, 1), "test event")
        assert (await rig.client.delete(path)).status_code == 204

        async def settled() -> bool:
            return await rig.rows("select state from verification.webhook_delivery") == [("dead",)]

        await until(settled, "end of the attempt")
        assert await rig.rows("select state from verification.webhook") == [("removed",)]
        revived = await rig.client.post(path + "/enable")
        assert (revived.status_code, revived.json()["code"]) == (404, "webhook_unknown")
        assert (await rig.client.get("/v1/webhooks")).json()["items"] == []


async def test_a_slow_receiver_keeps_nobody_waiting_but_itself(rig: Rig, database: str) -> None:  # V-22
    # Measured from the slow one's first request on, 8 events for the quick one: 6.2 s while the dispatcher waited for the slowest of what it
    # had sent together, 0.05 s since each is settled as it ends.
    async with receiving() as slow, receiving() as quick, dispatching(rig, database, timeout=10.0):
        slow.seconds = 3.0
        hooks = {receiver.url: await registered(rig, receiver.url) for receiver in (slow, quick)}
        for receiver in (slow, quick, *[quick] * 7, slow):
            assert (await rig.client.post(f"/v1/webhooks/{hooks[receiver.url]['webhook']}/test")).status_code == 202
        await until(lambda: _count(slow, 1), "first event of the slow one")
        first = time.monotonic()
        await until(lambda: _count(quick, 8), "events of the quick one")
        assert time.monotonic() - first < 2.5
        assert len(slow.requests) == 1
        await until(lambda: _count(slow, 2), "second event of the slow one")
        assert time.monotonic() - first > 2.5
        rows = await rig.rows(
            "select event_id from verification.webhook_delivery where webhook_id = %s order by delivery_id",
            hooks[quick.url]["webhook"],
        )
        assert quick.ids == [str(event_id) for (event_id,) in rows]


async def test_endpoints_are_seen_only_within_a_key_s_scope(rig: Rig) -> None:  # V-22
    hook = (await rig.client.post("/v1/webhooks", json={"url": "https://receiver.example/", "line": "l1"})).json()
    assert "secret" not in (await rig.client.get(f"/v1/webhooks/{hook['webhook']}")).json()
    async with rig.pool.connection() as connection:
        other = await create_key(
            connection, label="other", person="other", role=Role.OPERATOR, scope=Scope(platform="p", line="l2")
        )
    bound = {"authorization": f"Bearer {other}"}
    unseen = await rig.client.get(f"/v1/webhooks/{hook['webhook']}", headers=bound)
    assert (unseen.status_code, unseen.json()["code"]) == (404, "webhook_unknown")
    assert (await rig.client.get("/v1/webhooks", headers=bound)).json()["items"] == []
    refused = await rig.client.post("/v1/webhooks", json={"url": "https://receiver.example/"}, headers=bound)
    assert (refused.status_code, refused.json()["code"]) == (403, "key_scope")
    assert (await rig.client.delete(f"/v1/webhooks/{hook['webhook']}")).status_code == 204
    assert (await rig.client.get("/v1/webhooks")).json()["items"] == []
    unknown = await rig.client.post("/v1/webhooks", json={"url": "https://receiver.example/", "line": "l9"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "line_unknown")
    wrong = await rig.client.get("/v1/webhooks?after=x")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "page_token")
