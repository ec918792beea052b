"""The outbox leaves in order, at least once under one id, numbered without a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.topics import Topics
from shared.messaging.outbox import MAX_VALUE_BYTES, OutboxMessage, add, published_channel
from shared.messaging.producer import producing
from shared.messaging.relay import Relay, prune

pytestmark = pytest.mark.stack


def message(topics: Topics, number: int, event_id: UUID | None = None) -> OutboxMessage:
    return OutboxMessage(event_id or uuid4(), topics.verification_events, "te1", "event", f"event {number}".encode())


async def connect(database: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(database, autocommit=True)


@asynccontextmanager
async def relaying(
    database: str, kafka: str, *, count: int = 1, **options: Any
) -> AsyncIterator[list[asyncio.Task[None]]]:
    stop = asyncio.Event()
    async with producing(kafka) as producer:
        relays = [Relay("verification", database_url=database, producer=producer, **options) for _ in range(count)]
        tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
        try:
            yield tasks
        finally:
            stop.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 10)


@asynccontextmanager
async def reading(kafka: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        yield consumer
    finally:
        await consumer.stop()


async def received(consumer: AIOKafkaConsumer, count: int) -> list[Any]:
    async with asyncio.timeout(20):
        return [await consumer.getone() for _ in range(count)]


async def numbered(connection: psycopg.AsyncConnection[Any]) -> list[tuple[int, int]]:
    return await (await connection.execute("select id, published_seq from verification.outbox order by id")).fetchall()


async def marked(connection: psycopg.AsyncConnection[Any], count: int) -> None:
    async with asyncio.timeout(20):
        while len([seq for _, seq in await numbered(connection) if seq]) < count:  # noqa: ASYNC110 - rows have no event
            await asyncio.sleep(0.02)


async def test_messages_arrive_in_order_with_kind_and_id(database: str, kafka: str, topics: Topics) -> None:
    messages = [message(topics, number) for number in range(30)]
    async with reading(kafka, topics.verification_events) as consumer, relaying(database, kafka):
        async with await connect(database) as connection:
            await add(connection, "verification", messages[:10])
            await add(connection, "verification", messages[10:])
            await marked(connection, 30)
            rows = await numbered(connection)
        found = await received(consumer, 30)
    assert [each.value for each in found] == [each.value for each in messages]
    assert [dict(each.headers) for each in found] == [
        {"kind": b"event", "id": str(each.event_id).encode()} for each in messages
    ]
    assert {each.key for each in found} == {b"te1"}
    assert [seq for _, seq in rows] == list(range(1, 31))


async def test_nothing_leaves_before_its_transaction_commits(database: str, kafka: str, topics: Topics) -> None:
    async with reading(kafka, topics.verification_events) as consumer, relaying(database, kafka):
        async with await connect(database) as connection, await connect(database) as other:
            async with connection.transaction(force_rollback=True):
                await add(connection, "verification", [message(topics, 1)])
            await add(other, "verification", [message(topics, 2)])
            await marked(other, 1)
        (found,) = await received(consumer, 1)
    assert found.value == b"event 2"


async def test_a_replayed_event_is_not_added_again(database: str, topics: Topics) -> None:
    event = message(topics, 1)
    async with await connect(database) as connection:
        await add(connection, "verification", [event])
        await add(connection, "verification", [event, message(topics, 2)])
        assert len(await numbered(connection)) == 2


async def test_a_crash_before_the_mark_publishes_the_same_id_again(database: str, kafka: str, topics: Topics) -> None:
    event = message(topics, 1)
    async with reading(kafka, topics.verification_events) as consumer, await connect(database) as connection:
        await add(connection, "verification", [event])
        async with relaying(database, kafka):
            await marked(connection, 1)
        # What the database looks like when the process dies between the acknowledgement and the mark.
        await connection.execute("update verification.outbox set published_seq = null, published_at = null")
        async with relaying(database, kafka):
            await marked(connection, 1)
        found = await received(consumer, 2)
    assert {dict(each.headers)["id"] for each in found} == {str(event.event_id).encode()}


async def test_two_relays_publish_everything_once(database: str, kafka: str, topics: Topics) -> None:
    messages = [message(topics, number) for number in range(50)]
    async with reading(kafka, topics.verification_events) as consumer, await connect(database) as connection:
        async with relaying(database, kafka, count=2, max_rows=7):
            for each in messages:
                await add(connection, "verification", [each])
            await marked(connection, 50)
        end = await consumer.end_offsets([TopicPartition(topics.verification_events, 0)])
        assert list(end.values()) == [50]
        assert [seq for _, seq in await numbered(connection)] == list(range(1, 51))


async def test_a_relay_whose_session_ends_goes_on_without_a_gap(database: str, kafka: str, topics: Topics) -> None:
    async with await connect(database) as connection, relaying(database, kafka):
        await add(connection, "verification", [message(topics, 1)])
        await marked(connection, 1)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'verification_outbox_relay' and datname = current_database()"
        )
        await add(connection, "verification", [message(topics, 2)])
        await marked(connection, 2)
        assert [seq for _, seq in await numbered(connection)] == [1, 2]


# L-3
async def test_live_pages_are_told_how_far_they_may_read(database: str, kafka: str, topics: Topics) -> None:
    async with await connect(database) as connection, await connect(database) as page, relaying(database, kafka):
        await page.execute(f"listen {published_channel('verification')}".encode())
        await add(connection, "verification", [message(topics, 1), message(topics, 2)])
        payloads = [each.payload async for each in page.notifies(timeout=20, stop_after=1)]
        assert payloads == ["2"]


async def test_old_rows_are_pruned_but_never_the_last_number(database: str, kafka: str, topics: Topics) -> None:
    async with await connect(database) as connection:
        async with relaying(database, kafka):
            await add(connection, "verification", [message(topics, number) for number in range(5)])
            await marked(connection, 5)
        await add(connection, "verification", [message(topics, 6)])
        assert await prune(connection, "verification", timedelta(days=1)) == 0
        await connection.execute("update verification.outbox set published_at = published_at - interval '2 days'")
        assert await prune(connection, "verification", timedelta(days=1), rows=3) == 3
        assert await prune(connection, "verification", timedelta(days=1), rows=3) == 1
        assert [seq for _, seq in await numbered(connection)] == [5, None]
        async with relaying(database, kafka):
            await marked(connection, 2)
        assert [seq for _, seq in await numbered(connection)] == [5, 6]


async def test_an_event_that_no_topic_takes_is_refused_where_it_is_made(database: str, topics: Topics) -> None:
    event = OutboxMessage(uuid4(), topics.verification_events, "te1", "event", b"x" * (MAX_VALUE_BYTES + 1))
    async with await connect(database) as connection:
        with pytest.raises(ValueError, match="more than"):
            await add(connection, "verification", [event])
