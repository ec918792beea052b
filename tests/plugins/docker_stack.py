"""The tests' Kafka and TimescaleDB in containers, by testcontainers: `PILOTLINE_TEST_BACKEND=docker`.

Images by variable, as in docker-compose.yml: KAFKA_IMAGE, TIMESCALE_IMAGE. Containers carry the label
`pilotline.tests` with the value of PILOTLINE_TEST_RUN, by which a script finds what a killed run left behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from deploy.local.stack import Endpoints

KAFKA_IMAGE = "apache/kafka:4.1.0"
TIMESCALE_IMAGE = "timescale/timescaledb:2.19.3-pg17-oss"

_ADVERTISED = "/tmp/advertised-listeners"
_CLIENT_PORT = 9092
_START_SECONDS = 60
_BROKER = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": f"CLIENT://:{_CLIENT_PORT},INSIDE://:9093,CONTROLLER://:9094",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT,INSIDE:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE": "4194304",
    "KAFKA_HEAP_OPTS": "-Xms256m -Xmx512m",
}


@contextmanager
def docker_stack() -> Iterator[Endpoints]:
    """One broker and one database for as long as the block runs; both are removed with their volumes afterwards.

    Raises docker.errors.DockerException without an engine, TimeoutError when a server does not come up in time.
    """
    with ExitStack() as running:
        database = running.enter_context(_database())
        kafka = running.enter_context(_broker())
        host = kafka.get_container_host_ip()
        yield Endpoints(
            kafka_bootstrap=f"{host}:{kafka.get_exposed_port(_CLIENT_PORT)}",
            database_url=database.get_connection_url(driver=None),
        )


def _labels() -> dict[str, str]:
    return {"pilotline.tests": os.environ.get("PILOTLINE_TEST_RUN", "")}


def _database() -> PostgresContainer:
    image = os.environ.get("TIMESCALE_IMAGE", TIMESCALE_IMAGE)
    database = PostgresContainer(image, username="pilotline", password="pilotline", dbname="pilotline", driver=None)
    return database.with_kwargs(labels=_labels(), shm_size="128m", mem_limit="1g")


@contextmanager
def _broker() -> Iterator[DockerContainer]:
    """The broker advertises the port of the host, which is known only once its container runs: so it waits to be told."""
    wait = f"while [ ! -s {_ADVERTISED} ]; do sleep 0.05; done"
    start = f'export KAFKA_ADVERTISED_LISTENERS="$(cat {_ADVERTISED})"; exec /etc/kafka/docker/run'
    container = (
        DockerContainer(os.environ.get("KAFKA_IMAGE", KAFKA_IMAGE))
        .with_envs(**_BROKER)
        .with_exposed_ports(_CLIENT_PORT)
        .with_command(["bash", "-c", f"{wait}; {start}"])
        .with_kwargs(labels=_labels(), mem_limit="1g")
    )
    with container:
        client = f"{container.get_container_host_ip()}:{container.get_exposed_port(_CLIENT_PORT)}"
        advertised = f"CLIENT://{client},INSIDE://localhost:9093"
        container.copy_into_container(advertised.encode(), _ADVERTISED)
        started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(_START_SECONDS)
        started.wait_until_ready(container)
        yield container
