"""What the stack plugin promises to other tests."""

from __future__ import annotations

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.local.stack import Endpoints
from shared.contracts.topics import Topics
from tests.plugins.stack import NewDatabase

pytestmark = pytest.mark.stack


def test_a_database_is_migrated_and_has_timescaledb(database: str) -> None:
    with psycopg.connect(database) as connection:
        version = connection.execute("select extversion from pg_extension where extname = 'timescaledb'").fetchone()
        tables = connection.execute("select count(*) from pg_tables where schemaname = 'messaging'").fetchone()
    assert version is not None
    assert version[0].startswith("2.19")
    assert tables is not None
    assert tables[0] >= 2


def test_databases_do_not_see_each_other(new_database: NewDatabase) -> None:
    with new_database() as one, new_database() as other:
        with psycopg.connect(one) as connection:
            connection.execute("create table only_here()")
        with psycopg.connect(other) as connection:
            assert connection.execute("select to_regclass('only_here')").fetchone() == (None,)


def test_a_database_is_gone_after_its_block(new_database: NewDatabase, stack: Endpoints) -> None:
    with new_database() as url:
        name = url.rpartition("/")[2]
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("select from pg_database where datname = %s", (name,)).fetchone() is None


async def test_topics_are_fresh_and_as_the_contract_says(kafka: str, topics: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True) as producer:
        sent = await producer.send_and_wait(topics.line_records, b"value", key=b"te1")
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        partition = TopicPartition(topics.line_records, sent.partition)
        consumer.assign([partition])
        assert await consumer.end_offsets([partition]) == {partition: 1}
        assert consumer.partitions_for_topic(topics.line_records) == {0, 1, 2, 3}
