"""The front of the producer: acknowledged means stored; bounded; honest about what it does not know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.contracts.topics import Topics
from shared.messaging.producer import Full, Outgoing, Producer, Unknown, WrongPartitions, create_topics, producing

pytestmark = pytest.mark.stack


async def read(kafka: str, topic: str, partition: int, offset: int) -> Any:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition)])
        consumer.seek(TopicPartition(topic, partition), offset)
        async with asyncio.timeout(20):
            return await consumer.getone()
    finally:
        await consumer.stop()


async def emptied(producer: Producer) -> None:
    async with asyncio.timeout(20):
        while producer.waiting_bytes:  # noqa: ASYNC110 - the budget has no event
            await asyncio.sleep(0.01)


# G1
async def test_an_acknowledged_record_is_where_the_answer_says(kafka: str, topics: Topics) -> None:
    async with producing(kafka) as producer:
        put = await producer.put(topics.line_records, b"te1", b"value", kind="frame", headers={"x": b"1"})
        assert producer.waiting_bytes == 0
    found = await read(kafka, put.topic, put.partition, put.offset)
    assert (found.key, found.value, dict(found.headers)) == (b"te1", b"value", {"kind": b"frame", "x": b"1"})


# one key, one partition, one order
async def test_records_of_a_line_keep_their_order(kafka: str, topics: Topics) -> None:
    records = [Outgoing(topics.line_records, b"te1", str(n).encode(), "frame", {}) for n in range(100)]
    async with producing(kafka) as producer:
        put = await producer.put_all(records)
    assert {each.partition for each in put} == {put[0].partition}
    assert [each.offset for each in put] == list(range(100))


# G12, I-13
async def test_over_the_byte_budget_the_answer_is_busy_at_once(kafka: str, topics: Topics) -> None:
    async with producing(kafka, max_bytes=1000) as producer:
        with pytest.raises(Full) as caught:
            await producer.put(topics.line_records, b"te1", b"x" * 1001, kind="frame")
        assert (caught.value.status, caught.value.code) == (503, "kafka_busy")
        assert caught.value.retry_after
        assert producer.waiting_bytes == 0
        answers = await asyncio.gather(
            *(producer.put(topics.line_records, b"te1", b"x" * 300, kind="frame") for _ in range(6)),
            return_exceptions=True,
        )
        assert [type(answer).__name__ for answer in answers] == ["Published"] * 3 + ["Full"] * 3


# G1
async def test_without_an_answer_in_time_the_outcome_is_unknown_and_the_bytes_stay_counted(
    kafka: str, topics: Topics
) -> None:
    async with producing(kafka, deadline=0.0) as producer:
        with pytest.raises(Unknown) as caught:
            await producer.put(topics.line_records, b"te1", b"value", kind="frame")
        assert (caught.value.status, caught.value.code) == (504, "kafka_outcome_unknown")
        await emptied(producer)


async def test_creating_topics_twice_is_harmless(kafka: str, topics: Topics) -> None:
    await create_topics(kafka, topics)


async def test_a_topic_with_other_partitions_is_refused(kafka: str) -> None:
    topics = Topics("odd.")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topics.line_records, 1, 1)])
        with pytest.raises(WrongPartitions, match=r"odd\.line\.records has 1"):
            await create_topics(kafka, topics)
    finally:
        await admin.delete_topics([name for name, _ in topics.named()])
        await admin.close()
