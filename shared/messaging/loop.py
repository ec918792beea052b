"""The plain driver: one aiokafka consumer, one processor. Positions come from PostgreSQL; what Kafka stores is for lag displays only.

Rebalance: `on_partitions_revoked` waits for the transaction under way and then owns nothing; `on_partitions_assigned` only notes the
assignment. The loop claims it before it reads on (aiokafka swallows what a listener raises, and the database may be away), and throws
away what it fetched before it sought to the stored positions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from shared.messaging.applier import Applier, Stopping, record_of
from shared.messaging.connecting import backoff, pause, started
from shared.messaging.log_bounds import not_beyond, not_expired, report_lag
from shared.messaging.positions import Partition, PositionGap
from shared.messaging.processor import Processor, Record
from shared.storage.pool import Pool

log = structlog.get_logger()


async def run_loop(
    processor: Processor,
    *,
    topics: Sequence[str],
    bootstrap: str,
    pool: Pool,
    group: str,
    stop: asyncio.Event,
    max_records: int = 1000,
    poll_seconds: float = 0.25,
    session_timeout: float = 10.0,
    instance: str | None = None,
    patience: float = 60.0,
) -> None:
    """Apply records until `stop` is set; then finish the batch and leave the group.

    `topics`: full names. `max_records`: most of one transaction. `patience`: seconds of back-off on one batch. `session_timeout`: how long
    after its death a process keeps its partitions. `instance`: a name of this process that survives a restart and is used by no other at
    the same time; then a restart gets the same partitions back at once, dead or not. Raises what no retry can
    cure: the process has to end with a code that is not zero, and the stored position decides where the next one starts.
    """
    applier = Applier(processor, pool, stop=stop, patience=patience)
    assignment = _Assignment(applier)
    async with _consuming(lambda: _consumer(bootstrap, group, session_timeout, instance), stop) as consumer:
        if consumer is None:
            return
        consumer.subscribe(topics=list(topics), listener=assignment)
        reporter = asyncio.create_task(_report(consumer, applier, processor.name))
        try:
            await _read(consumer, assignment, applier, stop, max_records, poll_seconds)
        except Stopping:
            log.warning("batch_left_in_log", processor=processor.name)
        finally:
            reporter.cancel()
            await applier.release()


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no annotations
    """What the group says is ours, and how often it has said so."""

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self.generation = 0
        self.unclaimed: list[TopicPartition] | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.generation += 1
        self.unclaimed = None
        await self._applier.release()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.generation += 1
        self.unclaimed = sorted(assigned)


@contextlib.asynccontextmanager
async def _consuming(
    build: Callable[[], AIOKafkaConsumer], stop: asyncio.Event
) -> AsyncIterator[AIOKafkaConsumer | None]:
    """A started consumer; None when `stop` came before the broker did."""
    starting = asyncio.create_task(started(build))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            yield None
            return
        yield starting.result()
    finally:
        stopping.cancel()
        if starting.done() and not starting.cancelled() and starting.exception() is None:
            await starting.result().stop()
        else:
            starting.cancel()
            await asyncio.wait((starting,))


def _consumer(bootstrap: str, group: str, session_timeout: float, instance: str | None) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=instance,
        client_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(session_timeout * 1000),
        heartbeat_interval_ms=int(session_timeout * 300),
        max_partition_fetch_bytes=8 * 1024 * 1024,
        # One fetch per broker is under way at a time; when the busy partitions are buffered it asks for the idle ones only and waits.
        fetch_max_wait_ms=50,
    )


async def _read(
    consumer: AIOKafkaConsumer,
    assignment: _Assignment,
    applier: Applier,
    stop: asyncio.Event,
    max_records: int,
    poll_seconds: float,
) -> None:
    failures = 0
    while not stop.is_set():
        try:
            if assignment.unclaimed is not None:
                await _take_over(consumer, assignment, applier)
                continue
            generation = assignment.generation
            tick = applier.seconds_to_tick()
            wait = poll_seconds if tick is None else min(poll_seconds, tick)
            delivered = await consumer.getmany(timeout_ms=int(wait * 1000), max_records=max_records)
            failures = 0
        except KafkaError as error:
            if not getattr(error, "retriable", False) and not isinstance(error, IllegalStateError):
                raise
            log.warning("kafka_read_failed", error=type(error).__name__)
            await pause(stop, backoff(failures))
            failures += 1
            continue
        if assignment.generation != generation or assignment.unclaimed is not None:
            continue  # fetched for an assignment that is gone, or before the positions were known
        await _apply(consumer, applier, _records(delivered))
        if applier.seconds_to_tick() == 0.0:
            await applier.tick()


async def _apply(consumer: AIOKafkaConsumer, applier: Applier, records: Sequence[Record]) -> None:
    if not records:
        return
    try:
        await applier.apply(records)
    except PositionGap as gap:
        log.warning("position_gap", detail=str(gap))
    positions = applier.positions
    for record in records:
        partition = Partition(record.topic, record.partition)
        # Behind: a gap, or a restore that found less applied than was delivered. Without seeking back, records would be lost.
        if record.offset >= positions.get(partition, record.offset + 1):
            with contextlib.suppress(
                IllegalStateError
            ):  # no longer assigned: the next owner reads from the stored position
                _seek(consumer, positions)
            return


async def _take_over(consumer: AIOKafkaConsumer, assignment: _Assignment, applier: Applier) -> None:
    """Claim what was assigned and seek to the stored positions, unless the group changes its mind meanwhile."""
    generation, partitions = assignment.generation, assignment.unclaimed or []
    beginnings = _by_partition(await consumer.beginning_offsets(partitions)) if partitions else {}
    positions = await applier.own(beginnings)
    not_expired(positions, beginnings)

    async def ends() -> Mapping[Partition, int]:
        return _by_partition(await consumer.end_offsets(partitions)) if partitions else {}

    await not_beyond(positions, ends)
    if assignment.generation != generation:
        await applier.release()
        return
    _seek(consumer, positions)
    assignment.unclaimed = None
    log.info("partitions_claimed", positions={f"{topic}/{number}": at for (topic, number), at in positions.items()})


def _seek(consumer: AIOKafkaConsumer, positions: Mapping[Partition, int]) -> None:
    for partition, offset in positions.items():
        consumer.seek(TopicPartition(partition.topic, partition.number), offset)


async def _report(consumer: AIOKafkaConsumer, applier: Applier, processor: str) -> None:
    """Once a second: lag as a metric, and positions to Kafka for its own tools. Neither decides anything."""
    while True:
        await asyncio.sleep(1.0)
        positions = applier.positions
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(5.0):
                if positions:
                    await consumer.commit({TopicPartition(*partition): at for partition, at in positions.items()})
        assigned = consumer.assignment()
        for partition, position in applier.positions.items():
            topic_partition = TopicPartition(*partition)
            end = consumer.highwater(topic_partition) if topic_partition in assigned else None
            if end is not None:
                report_lag(processor, partition, end=end, position=position)


def _records(delivered: Mapping[TopicPartition, Sequence[Any]]) -> list[Record]:
    return [
        record_of(m.topic, m.partition, m.offset, m.key, m.value, m.headers, m.timestamp)
        for messages in delivered.values()
        for m in messages
    ]


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {Partition(each.topic, each.partition): offset for each, offset in offsets.items()}
