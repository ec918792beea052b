"""The sink against a bare loop: Kafka to rows, with and without ledger, newest values, boots, gaps and counts (bars: specification of ingest).

    python -m tests.perf.sink [million samples per round]

The bare loop reads with aiokafka, decodes, and writes the same rows into the same table with binary COPY, one transaction per batch: the
ceiling of this machine at this moment. Rounds of both alternate; figures are medians.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from struct import Struct

import numpy as np
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from services.ingest.adapters.arrivals import Arrival
from services.ingest.adapters.registry_store import apply_registry
from services.ingest.adapters.sink import Sink
from services.ingest.adapters.sink_tables import append_blocks
from services.ingest.bootstrap import build_sink
from shared.contracts.frame import decode_frame, encode_frame
from shared.contracts.topics import Topics
from shared.messaging.loop import run_loop
from shared.messaging.processor import Record
from shared.messaging.producer import create_topics
from shared.storage.blocks import read_frames
from shared.storage.pool import Connection, Pool, build_pool
from shared.storage.registry import read_registry
from tests.perf import report
from tests.perf.load import LINE, SPACING, START, frames, registry
from tests.perf.servers import Servers, servers

STREAMS = 100
BATCH = 4000
_time = Struct("<q")


async def main(million: float) -> None:
    async with servers() as where, build_pool(where.database_url, name="bench") as pool:
        async with pool.connection() as connection:
            await apply_registry(connection, registry(STREAMS))
        figures: dict[str, float] = {}
        ceiling: dict[str, float] = {}
        for samples, share in ((1000, 1.0), (100, 0.4)):
            bare, sunk = await compare(where, pool, samples // 10, int(million * 1e6 * share) // samples)
            ceiling[f"bare_{samples}"], figures[f"sink_{samples}"] = bare, sunk
            figures[f"ratio_{samples}"] = sunk / bare
        figures["read"], figures["read_one_second_ms"] = await read_speed(pool)
        figures["row_p50_ms"], figures["row_p99_ms"] = await latency(where, pool, figures["sink_1000"] / 2 / 1000)
    bars = [
        report.Bar("1000 samples/message, samples/s", 5e6, figures["sink_1000"], "at least"),
        report.Bar("1000 samples/message, share of the bare loop", 0.6, figures["ratio_1000"], "at least"),
        report.Bar("100 samples/message, samples/s", 3e6, figures["sink_100"], "at least"),
        report.Bar("100 samples/message, share of the bare loop", 0.5, figures["ratio_100"], "at least"),
        report.Bar("read stored frames, samples/s", 15e6, figures["read"], "at least"),
        report.Bar("read 1 s of one stream, ms", 3, figures["read_one_second_ms"], "at most"),
        report.Bar("produce to row p99 at half load, ms", 50, figures["row_p99_ms"], "at most"),
    ]
    ratio = figures["ratio_1000"]
    report.publish(report.line("sink", unit="samples/s", figures=figures, bars=bars, ceiling=ceiling, ratio=ratio))


async def compare(where: Servers, pool: Pool, rows: int, count: int) -> tuple[float, float]:
    """Median samples/s of the bare loop and of the sink over the same messages."""
    topics = await produced(where, rows, count)
    bare, sunk = [], []
    for _ in range(3):
        await emptied(pool)
        bare.append(await bare_loop(where, pool, topics, rows, count))
        await emptied(pool)
        sunk.append(await sink_loop(where, pool, topics, rows, count))
        await checked(pool, rows, count)
    print(f"{rows * 10} samples/message: bare {[f'{v:.3g}' for v in bare]}, sink {[f'{v:.3g}' for v in sunk]}")
    return statistics.median(bare), statistics.median(sunk)


async def produced(where: Servers, rows: int, count: int) -> Topics:
    """`count` messages in the topic; returns the topics they are in."""
    topics = Topics(f"{where.topics.prefix}{rows}.")
    await create_topics(where.kafka, topics)
    producer = AIOKafkaProducer(bootstrap_servers=where.kafka, acks="all", max_batch_size=256 * 1024, linger_ms=5)
    async with producer:
        for frame in frames(count, streams=STREAMS, rows=rows, boot="bench"):
            await producer.send(
                topics.line_records, encode_frame(frame), key=LINE.encode(), headers=[("kind", b"frame")]
            )
        await producer.flush()
    return topics


async def emptied(pool: Pool) -> None:
    async with pool.connection() as connection:
        tables = "block, ingest.message, ingest.latest, ingest.boot, ingest.stream_count, messaging.position"
        await connection.execute(f"truncate ingest.{tables}".encode())
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("checkpoint")
        await connection.set_autocommit(False)


async def bare_loop(where: Servers, pool: Pool, topics: Topics, rows: int, count: int) -> float:
    """Read, decode, COPY, commit."""
    async with pool.connection() as connection:
        known = await read_registry(connection)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=where.kafka, enable_auto_commit=False, max_partition_fetch_bytes=8 * 1024 * 1024
    )
    await consumer.start()
    partitions = [TopicPartition(topics.line_records, number) for number in range(4)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    seen, began = 0, time.perf_counter()
    try:
        while seen < count:
            delivered = await consumer.getmany(timeout_ms=250, max_records=BATCH)
            arrivals = []
            for partition, messages in delivered.items():
                for message in messages:
                    frame = decode_frame(message.value)
                    first, last = (
                        _time.unpack_from(frame.times)[0],
                        _time.unpack_from(frame.times, len(frame.times) - 8)[0],
                    )
                    number, stream = known.numbers[frame.stream], known.streams[frame.stream]
                    place = (partition.partition, message.offset)
                    arrivals.append(Arrival(number, stream, frame, first, last, bytes(32), *place))
            async with pool.connection() as connection:
                await append_blocks(connection, arrivals, [False] * len(arrivals))
            seen += len(arrivals)
        return count * rows * 10 / (time.perf_counter() - began)
    finally:
        await consumer.stop()


class Counted:
    """The sink, watched: stops the loop when everything is committed, and notes how long each record took to its commit."""

    def __init__(self, sink: Sink, count: int, stop: asyncio.Event) -> None:
        self.name, self.kinds, self.tick_seconds = sink.name, sink.kinds, sink.tick_seconds
        self._sink, self._left, self._stop = sink, count, stop
        self._batch: Sequence[Record] = ()
        self.began = 0.0
        self.ended = 0.0
        self.seconds: list[float] = []

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        self.began = time.perf_counter()
        await self._sink.restore(partitions, connection)

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        self._batch = records
        await self._sink.process(records, connection)

    async def committed(self) -> None:
        await self._sink.committed()
        now = time.time_ns()
        self.seconds += [(now - int(sent)) / 1e9 for record in self._batch if (sent := record.headers.get("sent_ns"))]
        self._left -= len(self._batch)
        if self._left <= 0:
            self.ended = time.perf_counter()
            self._stop.set()


async def sink_loop(where: Servers, pool: Pool, topics: Topics, rows: int, count: int) -> float:
    stop = asyncio.Event()
    counted = Counted(build_sink(pool, topics), count, stop)
    await run_loop(
        counted,
        topics=[topics.line_records],
        bootstrap=where.kafka,
        pool=pool,
        group=f"{topics.prefix}{time.time_ns()}",
        stop=stop,
        max_records=BATCH,
    )
    return count * rows * 10 / (counted.ended - counted.began)


async def checked(pool: Pool, rows: int, count: int) -> None:
    """Raises WrongResult unless every message is stored once."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            """select (select count(*) from ingest.block), (select count(*) from ingest.message),
                      (select sum(rows_stored) from ingest.stream_count), (select count(*) from ingest.gap)"""
        )
        found = await cursor.fetchone()
    if found != (count, count, count * rows, 0):
        raise report.WrongResult(f"blocks, ledger, rows, gaps are {found} for {count} messages")


async def read_speed(pool: Pool) -> tuple[float, float]:
    """Samples/s of reading ten streams whole, ms for 1 s of one stream; medians. The table holds frames of 1000 samples."""
    async with pool.connection() as connection:
        await connection.execute("truncate ingest.block, ingest.message, ingest.latest, ingest.boot")
        known = await read_registry(connection)
        arrivals = []
        for offset, frame in enumerate(frames(10_000, streams=STREAMS, rows=100, boot="read")):
            times = frame.times_array()
            number, stream = known.numbers[frame.stream], known.streams[frame.stream]
            arrivals.append(Arrival(number, stream, frame, int(times[0]), int(times[-1]), bytes(32), 0, offset))
        await append_blocks(connection, arrivals, [False] * len(arrivals))
        await connection.execute(
            """insert into ingest.latest (stream_no, boot, seq, measured_at, received_at, vals, widest_block)
               select stream_no, 'read', 100, max(t1), now(), '{}', 99000 from ingest.block group by stream_no"""
        )
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("vacuum analyze ingest.block")
        names = [f"{LINE}/s{number}" for number in range(20)]
        whole = [await _read(connection, names, 10_000 * 100 * SPACING) for _ in range(7)]
        one = [await _read(connection, [f"{LINE}/s{number}"], 1_000_000) for number in range(30)]
        await connection.set_autocommit(False)
    samples, _ = whole[0]
    if samples != 2_000_000 or one[0][0] != 10_000:
        raise report.WrongResult(f"read {samples} and {one[0][0]} samples")
    return samples / statistics.median(seconds for _, seconds in whole), 1e3 * statistics.median(s for _, s in one)


async def _read(connection: Connection, names: Sequence[str], span: int) -> tuple[int, float]:
    began = time.perf_counter()
    found = await read_frames(connection, names, START, START + span)
    return sum(frame.values.size for frame in found), time.perf_counter() - began


async def latency(where: Servers, pool: Pool, per_second: float) -> tuple[float, float]:
    """p50 and p99 in ms from handing a message to the producer to its commit, at that many messages a second for 8 s."""
    await emptied(pool)
    count = int(per_second * 8)
    stop = asyncio.Event()
    counted = Counted(build_sink(pool, where.topics), count, stop)
    sending = asyncio.create_task(_send(where, per_second, count))
    await run_loop(
        counted,
        topics=[where.topics.line_records],
        bootstrap=where.kafka,
        pool=pool,
        group=f"{where.topics.prefix}latency",
        stop=stop,
        max_records=BATCH,
    )
    await sending
    await checked(pool, 100, count)
    settled = np.array(counted.seconds[len(counted.seconds) // 8 :]) * 1e3  # without the time the group needs to form
    return float(np.percentile(settled, 50)), float(np.percentile(settled, 99))


async def _send(where: Servers, per_second: float, count: int) -> None:
    encoded = [encode_frame(frame) for frame in frames(count, streams=STREAMS, rows=100, boot="latency")]
    async with AIOKafkaProducer(bootstrap_servers=where.kafka, acks="all", max_batch_size=256 * 1024) as producer:
        await asyncio.sleep(2.0)
        began = time.perf_counter()
        for index, value in enumerate(encoded):
            if (ahead := began + index / per_second - time.perf_counter()) > 0.001:
                await asyncio.sleep(ahead)
            headers = [("kind", b"frame"), ("sent_ns", str(time.time_ns()).encode())]
            await producer.send(where.topics.line_records, value, key=LINE.encode(), headers=headers)
        await producer.flush()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 40.0))
