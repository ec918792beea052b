"""Publishes the outbox of one schema: one relay at a time, woken by `outbox.add`, in id order.

The session that holds the advisory lock also reads and marks the rows, so a relay that lost its session cannot mark anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
import structlog
from aiokafka.errors import KafkaError
from psycopg import sql

from shared.kernel.errors import OutcomeUnknown, Unavailable
from shared.messaging.outbox import Schema, added_channel, published_channel
from shared.messaging.producer import Outgoing, Producer
from shared.messaging.sole import Session, run_alone
from shared.observability.metrics import OUTBOX_DEPTH, OUTBOX_PUBLISHED, OUTBOX_SECONDS, OfSchema

log = structlog.get_logger()

_prune_every_seconds = 60.0
_prune_rows = 5000
_batch_bytes = 8 * 1024 * 1024


class _Row(NamedTuple):
    id: int
    outgoing: Outgoing


class Relay:
    """The publisher of `<schema>.outbox`. Several may run; all but one wait for the lock."""

    def __init__(
        self,
        schema: Schema,
        *,
        database_url: str,
        producer: Producer,
        poll_seconds: float = 1.0,
        max_rows: int = 500,
        keep: timedelta = timedelta(days=30),
    ) -> None:
        """`keep`: how long published rows stay, for cursors of the live pages that come back."""
        self._schema: Schema = schema
        self._database_url = database_url
        self._producer = producer
        self._poll_seconds = poll_seconds
        self._max_rows = max_rows
        self._keep = keep
        self._pruned_at = time.monotonic()
        self._counted_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop`. Waits out what is transient, with back-off; raises what is not."""
        await run_alone(
            f"{self._schema}_outbox_relay",
            lambda session: self._publish_until(stop, session),
            database_url=self._database_url,
            stop=stop,
            poll_seconds=self._poll_seconds,
            outside=(KafkaError, Unavailable, OutcomeUnknown),
        )

    async def _publish_until(self, stop: asyncio.Event, connection: Session) -> None:
        # Listening comes before the first look: a row added in between would wait for the poll.
        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(added_channel(self._schema))))
        while not stop.is_set():
            if not await self._publish_some(connection):
                await self._prune(connection)
                async for _ in connection.notifies(timeout=self._poll_seconds, stop_after=1):
                    pass

    async def _publish_some(self, connection: Session) -> bool:
        """Publish and mark the next rows; False when there are none."""
        rows = await self._unpublished(connection)
        await self._measure(connection, empty=not rows)
        if not rows:
            return False
        await self._producer.put_all([row.outgoing for row in rows])
        # A crash here publishes these rows again under the same ids; marking first would lose them.
        await self._mark(connection, [row.id for row in rows])
        return True

    async def _unpublished(self, connection: Session) -> list[_Row]:
        cursor = await connection.execute(
            sql.SQL(
                "select id, event_id, topic, key, kind, value from {}.outbox"
                " where published_seq is null order by id limit %s"
            ).format(sql.Identifier(self._schema)),
            (self._max_rows,),
        )
        rows: list[_Row] = []
        size = 0
        for number, event_id, topic, key, kind, value in await cursor.fetchall():
            outgoing = Outgoing(topic, key.encode(), bytes(value), kind, {"id": str(event_id).encode()})
            size += outgoing.size
            if rows and size > _batch_bytes:
                break
            rows.append(_Row(number, outgoing))
        return rows

    async def _measure(self, connection: Session, *, empty: bool) -> None:
        """How many rows wait: counted at most once a second, because a long queue takes long to count."""
        if empty:
            OUTBOX_DEPTH.set(OfSchema(self._schema), 0)
        elif time.monotonic() - self._counted_at >= 1.0:
            self._counted_at = time.monotonic()
            statement = sql.SQL("select count(*) from {}.outbox where published_seq is null")
            row = await (await connection.execute(statement.format(sql.Identifier(self._schema)))).fetchone()
            OUTBOX_DEPTH.set(OfSchema(self._schema), row[0] if row else 0)

    async def _mark(self, connection: Session, ids: Sequence[int]) -> None:
        """Number the rows without a gap and tell the live pages how far they may read."""
        async with connection.transaction():
            cursor = await connection.execute(
                sql.SQL(
                    "update {0}.outbox o set published_seq = b.seq + n.place, published_at = clock_timestamp()"
                    " from (select id, row_number() over (order by id) as place from unnest(%s::bigint[]) id) n,"
                    " (select coalesce(max(published_seq), 0) as seq from {0}.outbox) b"
                    " where o.id = n.id and o.published_seq is null"
                    " returning o.published_seq, extract(epoch from o.published_at - o.created_at)::float8"
                ).format(sql.Identifier(self._schema)),
                (list(ids),),
            )
            marked = await cursor.fetchall()
            last = max(seq for seq, _ in marked)
            await connection.execute("select pg_notify(%s, %s)", (published_channel(self._schema), str(last)))
        OUTBOX_PUBLISHED.add(OfSchema(self._schema), len(marked))
        for _, seconds in marked:
            OUTBOX_SECONDS.observe(OfSchema(self._schema), seconds)

    async def _prune(self, connection: Session) -> None:
        """Delete a bounded number of old published rows, never the last one: the numbering goes on from it."""
        if time.monotonic() - self._pruned_at < _prune_every_seconds:
            return
        self._pruned_at = time.monotonic()
        await prune(connection, self._schema, self._keep)


async def prune(
    connection: psycopg.AsyncConnection[Any], schema: Schema, keep: timedelta, rows: int = _prune_rows
) -> int:
    """Delete up to `rows` rows published longer than `keep` ago, oldest first; returns how many."""
    cursor = await connection.execute(
        sql.SQL(
            "delete from {0}.outbox where id in (select id from {0}.outbox where published_at < clock_timestamp() - %s"
            " and published_seq < (select max(published_seq) from {0}.outbox) order by published_seq limit %s)"
        ).format(sql.Identifier(schema)),
        (keep, rows),
    )
    return cursor.rowcount
