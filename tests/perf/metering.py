"""The recorder: usage events of the log into the ledger, duplicates among them, totals exact to the last digit (bars: specification of billing).

    python -m tests.perf.metering [thousand events]

The bare loop reads the same events with aiokafka, parses the JSON and COPYs identity, times and quantities into plain tables without keys:
the ceiling of this machine at this moment. `parse` is reading and checking the events alone, in one process.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.billing.adapters.recorder import Recorder
from services.billing.bootstrap import build_recorder
from services.billing.domain.e10 import EquipmentState, Responsible, StateOutcome, SubState
from services.billing.domain.segment import (
    Evidence,
    MeteredQuantity,
    OffsetRange,
    QuantityKind,
    RunContext,
    Segment,
    SequenceRange,
)
from services.billing.domain.usage import read_usage, usage_event
from shared.contracts.events import encode_event
from shared.kernel.money import total
from shared.kernel.times import HOUR, SECOND, Micros, from_rfc3339
from shared.messaging.loop import run_loop
from shared.messaging.processor import Record
from shared.storage.pool import Connection, Pool, build_pool
from tests.perf import report
from tests.perf.servers import Servers, servers

BATCH = 5000
LINES = 8
START: Micros = from_rfc3339("2026-03-02T00:00:00Z")
DUPLICATE_EVERY = 50


def segments(count: int) -> Iterator[Segment]:
    """Quarter hours of eight lines, two quantities each, of two frames."""
    for number in range(count):
        line = f"line-{number % LINES}"
        start = START + number // LINES * HOUR // 4
        first = number // LINES
        yield Segment(
            model="5" * 64,
            platform="bench",
            line=line,
            instrument=f"{line}/reactor",
            start=start,
            end=start + HOUR // 4,
            outcome=StateOutcome(EquipmentState.PRODUCTIVE, SubState.RUN, "", Responsible.CUSTOMER),
            context=RunContext(f"run-{number // 800}", "challenge", False, "acme", "p-1", "verification", "t-2026"),
            measured=HOUR // 4 - 30 * SECOND,
            inferred=30 * SECOND,
            unknown=0,
            quantities=(
                MeteredQuantity(
                    "energy", "kW.h", QuantityKind.INTEGRAL, Decimal(number * 7919 + 1).scaleb(-9), HOUR // 4
                ),
                MeteredQuantity(
                    "feed", "kg", QuantityKind.INTEGRAL, Decimal(number * 104729 + 3).scaleb(-9), HOUR // 4
                ),
            ),
            evidence=Evidence(
                ranges=(SequenceRange(f"{line}/reactor", "b1", first, first + 1),),
                frames=2,
                samples=90,
                digest=f"{number:064x}",
                offsets=OffsetRange(number % 4, first, first + 1),
            ),
        )


async def main(thousand: float) -> None:
    count = int(thousand * 1000)
    async with servers() as where, build_pool(where.database_url, name="bench") as pool:
        sums, sent = await produced(where, count)
        bare = await bare_loop(where, pool, sent)
        recorded, parsing = await recorder_loop(where, pool, sent)
        await checked(pool, count, sent, sums)
    figures = {"recorder": recorded, "parse": parsing}
    bars = [report.Bar("usage events through the recorder, events/s", 20_000, recorded, "at least")]
    ceiling = {"bare": bare}
    report.publish(
        report.line("metering", unit="events/s", figures=figures, bars=bars, ceiling=ceiling, ratio=recorded / bare)
    )


async def produced(where: Servers, count: int) -> tuple[dict[str, Decimal], int]:
    """The events, every fiftieth twice, in the topic; the generator's own totals by quantity, and how many messages there are."""
    values: dict[str, list[Decimal]] = {"energy": [], "feed": []}
    sent = 0
    producer = AIOKafkaProducer(bootstrap_servers=where.kafka, acks="all", max_batch_size=256 * 1024, linger_ms=5)
    async with producer:
        for number, segment in enumerate(segments(count)):
            for quantity in segment.quantities:
                values[quantity.name].append(quantity.value)
            event = encode_event(usage_event(segment))
            for _ in range(2 if number % DUPLICATE_EVERY == 0 else 1):
                await producer.send(
                    where.topics.usage_events, event, key=segment.line.encode(), headers=[("kind", b"event")]
                )
                sent += 1
        await producer.flush()
    return {name: total(several) for name, several in values.items()}, sent


async def bare_loop(where: Servers, pool: Pool, sent: int) -> float:
    """Read, parse JSON, COPY, commit."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=where.kafka, enable_auto_commit=False, max_partition_fetch_bytes=8 * 1024 * 1024
    )
    await consumer.start()
    partitions = [TopicPartition(where.topics.usage_events, number) for number in range(4)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    async with pool.connection() as connection:
        await connection.execute(
            "create table bare_event (id text, start_at text, end_at text); create table bare_quantity (id text, name text, value text)"
        )
    seen, began = 0, time.perf_counter()
    try:
        while seen < sent:
            delivered = await consumer.getmany(timeout_ms=250, max_records=BATCH)
            events = [orjson.loads(message.value) for messages in delivered.values() for message in messages]
            async with pool.connection() as connection, connection.cursor() as cursor:
                async with cursor.copy("copy bare_event from stdin") as copy:
                    await copy.write("".join(f"{e['id']}\t{e['data']['start']}\t{e['data']['end']}\n" for e in events))
                async with cursor.copy("copy bare_quantity from stdin") as copy:
                    rows = (f"{e['id']}\t{q['name']}\t{q['value']}\n" for e in events for q in e["data"]["quantities"])
                    await copy.write("".join(rows))
            seen += len(events)
        return sent / (time.perf_counter() - began)
    finally:
        await consumer.stop()


class Counted:
    """The recorder, watched: stops the loop when everything is committed."""

    def __init__(self, recorder: Recorder, sent: int, stop: asyncio.Event) -> None:
        self.name, self.kinds, self.tick_seconds = recorder.name, recorder.kinds, recorder.tick_seconds
        self._recorder, self._left, self._stop = recorder, sent, stop
        self._batch = 0
        self.began = 0.0
        self.ended = 0.0

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        self.began = time.perf_counter()
        await self._recorder.restore(partitions, connection)

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        self._batch = len(records)
        await self._recorder.process(records, connection)

    async def committed(self) -> None:
        await self._recorder.committed()
        self._left -= self._batch
        if self._left <= 0:
            self.ended = time.perf_counter()
            self._stop.set()


async def recorder_loop(where: Servers, pool: Pool, sent: int) -> tuple[float, float]:
    """Events/s through the recorder, and events/s of its parsing alone."""
    stop = asyncio.Event()
    counted = Counted(build_recorder(), sent, stop)
    await run_loop(
        counted,
        topics=[where.topics.usage_events],
        bootstrap=where.kafka,
        pool=pool,
        group=f"{where.topics.prefix}recorder",
        stop=stop,
        max_records=BATCH,
    )
    return sent / (counted.ended - counted.began), _parsing_speed()


def _parsing_speed() -> float:
    events = [encode_event(usage_event(segment)) for segment in segments(4000)]
    began = time.perf_counter()
    for event in events:
        read_usage(event)
    return len(events) / (time.perf_counter() - began)


async def checked(pool: Pool, count: int, sent: int, sums: dict[str, Decimal]) -> None:
    """Raises WrongResult unless every event is in the ledger once and the totals are the generator's."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            """select (select count(*) from billing.ledger), (select max(ledger_seq) from billing.ledger),
                      (select sum(value) from billing.ledger_quantity where name = 'energy'),
                      (select sum(value) from billing.ledger_quantity where name = 'feed'),
                      (select sum(measured_s + inferred_s) from billing.ledger),
                      (select sum(received) from billing.usage_count), (select sum(duplicate) from billing.usage_count)"""
        )
        found = await cursor.fetchone()
    wanted = (count, count, sums["energy"], sums["feed"], Decimal(count * 900), sent, sent - count)
    if found != wanted:
        raise report.WrongResult(f"the books say {found}, the generator {wanted}")


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 100.0))
