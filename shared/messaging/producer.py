"""The front of the Kafka producer: what it accepts is bounded, and its answers are honest.

A record is acknowledged only when the broker has it (`acks=all`, idempotent). Bytes that are not acknowledged count against a budget;
over it, `Full`. When the caller's patience ends first, `Unknown`: the record may still be delivered, so the sender repeats it under the
same identity and the reader removes the copy. Batches of 256 KiB, linger 0, no lz4: measured best for float64 frames with few open requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaTimeoutError, TopicAlreadyExistsError, for_code

from shared.contracts.topics import Topics
from shared.kernel.errors import OutcomeUnknown, PilotlineError, Unavailable
from shared.messaging.connecting import started
from shared.observability.metrics import PRODUCER_BYTES, PRODUCER_REFUSED, Nothing, OfFailure

_batch_bytes = 256 * 1024
_flush_seconds = 5.0


class Full(Unavailable):
    """The byte budget is used up: the broker is slow or away."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "kafka_busy",
            f"more than {limit} bytes wait for Kafka",
            remedy="send it again after `retry_after` seconds",
            retry_after=1.0,
        )


class Unknown(OutcomeUnknown):
    """Kafka did not answer in time; the record may be stored or not."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "kafka_outcome_unknown",
            f"Kafka did not acknowledge within {seconds:g} s",
            remedy="send the same record again under the same boot and sequence; a copy is recognised",
            retry_after=1.0,
        )


@dataclass(frozen=True, slots=True)
class Published:
    """Where the broker put the record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish."""

    topic: str
    key: bytes
    value: bytes
    kind: str
    headers: Mapping[str, bytes]

    @property
    def size(self) -> int:
        return len(self.key) + len(self.value)


class Producer:
    """Bounded front of one started AIOKafkaProducer; made by `producing`."""

    def __init__(self, kafka: Any, *, max_bytes: int, deadline: float) -> None:
        self._kafka = kafka
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._used = 0

    @property
    def waiting_bytes(self) -> int:
        return self._used

    async def put(
        self, topic: str, key: bytes, value: bytes, *, kind: str, headers: Mapping[str, bytes] | None = None
    ) -> Published:
        """Publish one record and wait for the broker. The key decides the partition.

        Raises Full at once when the budget is used up, Unknown after the deadline, aiokafka errors for what can never be sent
        (MessageSizeTooLargeError).
        """
        return (await self.put_all([Outgoing(topic, key, value, kind, headers or {})]))[0]

    async def put_all(self, records: Sequence[Outgoing]) -> list[Published]:
        """Publish records in their order and wait for all. Raises like `put`; then each of them may be stored or not."""
        size = sum(record.size for record in records)
        if self._used + size > self._max_bytes:
            PRODUCER_REFUSED.add(OfFailure("producer", "full"))
            raise Full(self._max_bytes)
        self._account(size)
        waiting: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._deadline):
                for record in records:
                    waiting.append(await self._send(record))  # blocks while the partition's open batch is full
                stored = await asyncio.gather(*map(asyncio.shield, waiting))
        except (TimeoutError, KafkaTimeoutError):
            PRODUCER_REFUSED.add(OfFailure("producer", "unknown"))
            raise Unknown(self._deadline) from None
        finally:
            self._account(-sum(record.size for record in records[len(waiting) :]))
        return [Published(each.topic, each.partition, each.offset) for each in stored]

    async def _send(self, record: Outgoing) -> asyncio.Future[Any]:
        headers = [("kind", record.kind.encode()), *record.headers.items()]
        acknowledged: asyncio.Future[Any] = await self._kafka.send(
            record.topic, record.value, key=record.key, headers=headers
        )
        # Released when the broker answers, not when the caller gives up: until then the bytes are in memory.
        acknowledged.add_done_callback(lambda done: self._answered(done, record.size))
        return acknowledged

    async def reachable(self) -> None:
        """Readiness: raises when no broker answers."""
        await self._kafka.client.fetch_all_metadata()

    def _answered(self, done: asyncio.Future[Any], size: int) -> None:
        self._account(-size)
        if not done.cancelled():
            done.exception()  # retrieved: the caller may have given up, and asyncio would complain

    def _account(self, size: int) -> None:
        self._used += size
        PRODUCER_BYTES.set(Nothing(), self._used)


@asynccontextmanager
async def producing(
    bootstrap: str, *, max_bytes: int = 64 * 1024 * 1024, deadline: float = 5.0, client_id: str = "pilotline"
) -> AsyncIterator[Producer]:
    """A started producer; waits for the broker with back-off. On leaving, what was accepted is flushed for up to 5 s."""
    kafka = await started(
        lambda: AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_batch_bytes,
            max_request_size=8 * 1024 * 1024,
            linger_ms=0,
            request_timeout_ms=int(
                max(40.0, deadline * 4) * 1000
            ),  # longer than any caller waits: accepted batches stay queued
        )
    )
    try:
        yield Producer(kafka, max_bytes=max_bytes, deadline=deadline)
    finally:
        try:
            async with asyncio.timeout(_flush_seconds):
                await kafka.stop()
        except TimeoutError:
            await kafka.client.close()  # whoever waits for these records is told that their outcome is unknown


class WrongPartitions(PilotlineError):
    """A topic exists with another number of partitions: positions and the order of a line depend on it, so nobody may change it."""


async def create_topics(bootstrap: str, topics: Topics, *, replicas: int = 1) -> None:
    """Create what is missing; wait until every topic has a leader for every partition. Raises WrongPartitions."""
    admin = await started(lambda: AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="pilotline-admin"))
    try:
        wanted = [
            NewTopic(name, topic.partitions, replicas, topic_configs=topic.settings()) for name, topic in topics.named()
        ]
        answer = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(name)
        await _await_leaders(admin, {name: topic.partitions for name, topic in topics.named()})
    finally:
        await admin.close()


async def _await_leaders(admin: AIOKafkaAdminClient, wanted: Mapping[str, int], *, deadline: float = 30.0) -> None:
    async with asyncio.timeout(deadline):
        while True:
            found = await admin.describe_topics(list(wanted))
            ready = {
                each["topic"]: len(each["partitions"])
                for each in found
                if each["error_code"] == 0 and all(part["leader"] >= 0 for part in each["partitions"])
            }
            for name, count in ready.items():
                if count != wanted[name]:
                    raise WrongPartitions(f"topic {name} has {count} partitions instead of {wanted[name]}")
            if len(ready) == len(wanted):
                return
            await asyncio.sleep(0.05)
