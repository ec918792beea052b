"""What the meter writes and reads back: its memory, the segments, the open ones, and the stored frames it computes again from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from services.billing.domain.line_meter import LineMeter, Stale
from services.billing.domain.readings import Readings
from services.billing.domain.segment import Segment
from services.billing.domain.usage import segment_document, segment_from_document, usage_event
from shared.contracts.events import encode_event
from shared.contracts.topics import Kind
from shared.kernel.times import utc
from shared.messaging.outbox import OutboxMessage, Schema, add
from shared.storage.blocks import StoredFrame, read_frames
from shared.storage.pool import Connection

SCHEMA: Schema = "billing"
SINK = "ingest.sink"
"""Owner of the position that says which frames are stored (services/ingest)."""


@dataclass(frozen=True, slots=True)
class StoredMeter:
    """A row of `billing.meter_state`."""

    line: str
    model_digest: str
    snapshot: bytes
    stale: bool


async def load_meters(
    connection: Connection, *, line: str | None = None, partitions: Sequence[int] = ()
) -> list[StoredMeter]:
    """The memory of one line, or of every line of some partitions that has work to do although nothing new comes."""
    cursor = await connection.execute(
        """select line, model_digest, snapshot, stale_since is not null from billing.meter_state
           where line = %s or (partition = any(%s) and stale_since is not null)""",
        (line, list(partitions)),
    )
    return [StoredMeter(*row) for row in await cursor.fetchall()]


async def save_meter(connection: Connection, line: str, partition: int, meter: LineMeter) -> None:
    """The memory, and the open segments for the live pages."""
    waiting = [at for at in (meter.behind, None if meter.stale is None else meter.stale.since) if at is not None]
    await connection.execute(
        """insert into billing.meter_state as m (line, partition, model_digest, snapshot, stale_since) values (%s, %s, %s, %s, %s)
           on conflict (line) do update set partition = excluded.partition, snapshot = excluded.snapshot, stale_since = excluded.stale_since,
               updated_at = clock_timestamp()""",
        (line, partition, meter.plan.model.digest, meter.snapshot(), utc(min(waiting)) if waiting else None),
    )
    open_ = meter.provisional()
    await connection.execute(
        "delete from billing.segment_open where line = %s and instrument <> all(%s)",
        (line, [segment.instrument for segment in open_]),
    )
    await connection.execute(
        """insert into billing.segment_open (line, instrument, document)
           select %s, n.instrument, n.document from unnest(%s::text[], %s::jsonb[]) n(instrument, document)
           on conflict (line, instrument) do update set document = excluded.document""",
        (
            line,
            [segment.instrument for segment in open_],
            [_json(segment_document(segment) | {"provisional": True}) for segment in open_],
        ),
    )


async def emit(connection: Connection, topic: str, segments: Sequence[Segment]) -> None:
    """Keep closed segments and queue their usage events. A key and revision that is there already is an error: the memory that would emit
    it again was saved in the transaction that emitted it."""
    if not segments:
        return
    events = [usage_event(segment) for segment in segments]
    await connection.execute(
        """insert into billing.segment (segment_key, revision, line, instrument, run, start_at, end_at, void, content_hash, document)
           select * from unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::bool[],
                                %s::text[], %s::jsonb[])""",
        (
            [segment.key for segment in segments],
            [segment.revision for segment in segments],
            [segment.line for segment in segments],
            [segment.instrument for segment in segments],
            [segment.context.run for segment in segments],
            [utc(segment.start) for segment in segments],
            [utc(segment.end) for segment in segments],
            [segment.void for segment in segments],
            [event.data["content_hash"] for event in events],
            [_json(event.data) for event in events],
        ),
    )
    messages = [
        OutboxMessage(UUID(event.id), topic, segment.line, Kind.EVENT, encode_event(event))
        for event, segment in zip(events, segments, strict=True)
    ]
    await add(connection, SCHEMA, messages)


async def emitted_since(connection: Connection, line: str, stale: Stale) -> list[Segment]:
    """Last revision of every segment of the stale instruments that starts in [stale.since, stale.until)."""
    cursor = await connection.execute(
        """select distinct on (segment_key) document from billing.segment
           where line = %s and instrument = any(%s) and start_at >= %s and start_at < %s order by segment_key, revision desc""",
        (line, list(stale.instruments), utc(stale.since), utc(stale.until)),
    )
    return [segment_from_document(document) for (document,) in await cursor.fetchall()]


async def stored_readings(connection: Connection, stale: Stale) -> list[Readings]:
    """Every stored frame of the stale streams with a sample in [stale.since, stale.until]."""
    return [_readings(frame) for frame in await read_frames(connection, stale.streams, stale.since, stale.until + 1)]


async def next_offsets(connection: Connection, processor: str, topic: str) -> Mapping[int, int]:
    """Where a processor stands, by partition of the topic."""
    cursor = await connection.execute(
        "select partition, next_offset from messaging.position where processor = %s and topic = %s", (processor, topic)
    )
    return dict(await cursor.fetchall())


def _readings(frame: StoredFrame) -> Readings:
    return Readings(
        stream=frame.stream,
        boot=frame.boot,
        seq=frame.seq,
        registry_version=frame.registry_version,
        times=frame.times,
        values=frame.values,
        quality=frame.quality,
        content_hash=frame.hash,
        partition=frame.kafka_partition,
        offset=frame.kafka_offset,
    )


def _json(document: Mapping[str, Any]) -> Jsonb:
    return Jsonb(document, dumps=orjson.dumps)
