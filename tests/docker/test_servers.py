"""The containers' Kafka and TimescaleDB are the real thing: what the services rest on holds in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.stack import Endpoints
from shared.contracts.topics import Topics
from shared.messaging.producer import create_topics
from shared.storage.migrate import migrate, pending
from tests.plugins.docker_stack import docker_stack

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

RECORDS = 500


@pytest.fixture(scope="module")
def servers() -> Iterator[Endpoints]:
    with docker_stack() as endpoints:
        yield endpoints


# O-3
def test_migrations_run_and_blocks_lie_in_a_hypertable(servers: Endpoints) -> None:
    migrate(servers.database_url)
    migrate(servers.database_url)
    assert pending(servers.database_url) == ()
    with psycopg.connect(servers.database_url) as connection:
        rows = connection.execute(
            "select hypertable_schema || '.' || hypertable_name from timescaledb_information.hypertables"
        )
        assert ("ingest.block",) in rows.fetchall()


# O-3
async def test_topics_are_made_once_with_the_partitions_of_the_contract(servers: Endpoints) -> None:
    topics = Topics("made.once.")
    await create_topics(servers.kafka_bootstrap, topics)
    await create_topics(servers.kafka_bootstrap, topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([name for name, _ in topics.named()])
    finally:
        await admin.close()
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    assert partitions == {name: topic.partitions for name, topic in topics.named()}


# O-3
async def test_records_acknowledged_by_the_broker_arrive_in_a_hypertable_once_and_in_order(servers: Endpoints) -> None:
    topics = Topics("round.trip.")
    await create_topics(servers.kafka_bootstrap, topics)
    topic = topics.line_records
    async with AIOKafkaProducer(
        bootstrap_servers=servers.kafka_bootstrap, acks="all", enable_idempotence=True
    ) as producer:
        await asyncio.gather(*[producer.send_and_wait(topic, str(n).encode(), key=b"te1") for n in range(RECORDS)])
    received = await _read(servers.kafka_bootstrap, topic)
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("create table round_trip (measured_at timestamptz not null, position bigint, n int)")
        connection.execute("select create_hypertable('round_trip', 'measured_at')")
        with connection.cursor().copy("copy round_trip from stdin") as copy:
            for position, n in received:
                copy.write_row((f"2026-03-02T00:00:00.{n:06d}+08:00", position, n))
        connection.commit()
        stored = connection.execute("select position, n from round_trip order by measured_at").fetchall()
    assert [n for _, n in stored] == list(range(RECORDS))
    assert sorted(position for position, _ in stored) == list(range(RECORDS))


async def _read(bootstrap: str, topic: str) -> list[tuple[int, int]]:
    """(offset, number) of the records of the topic, in the order of the log."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(30):
            return [(record.offset, int(record.value)) for record in [await consumer.getone() for _ in range(RECORDS)]]
