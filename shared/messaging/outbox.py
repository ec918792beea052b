"""Events that leave with the transaction that caused them: `add` writes a row, `relay.Relay` publishes it.

Guarantees. A row is published at least once and in id order of what is visible; a crash between the broker's acknowledgement and the mark
publishes the same event id again (header `id`, and the id inside a CloudEvent), so consumers ignore an id they have seen. `published_seq`
is gap-free and grows in publication order: the cursor of the live pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import sql

Schema = Literal["ingest", "verification", "billing"]

MAX_VALUE_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""Below the topics' largest message, with room for key and headers."""


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """`topic` is the full name (with prefix), `key` the line, `kind` the header of that name. A stable `event_id` makes a replay add nothing."""

    event_id: UUID
    topic: str
    key: str
    kind: str
    value: bytes


def added_channel(schema: Schema) -> str:
    """NOTIFY channel that wakes the relay."""
    return f"pilotline_{schema}_outbox_added"


def published_channel(schema: Schema) -> str:
    """NOTIFY channel with the highest `published_seq` as payload, for whoever streams events to people."""
    return f"pilotline_{schema}_outbox"


async def add(connection: psycopg.AsyncConnection[Any], schema: Schema, messages: Sequence[OutboxMessage]) -> None:
    """Queue messages in the caller's transaction, in order. Ids that are already there are left alone.

    Raises ValueError for a value that no topic takes: later it could only block the queue.
    """
    if not messages:
        return
    for message in messages:
        if len(message.value) > MAX_VALUE_BYTES:
            raise ValueError(f"event {message.event_id} has {len(message.value)} bytes, more than {MAX_VALUE_BYTES}")
    statement = sql.SQL(
        "insert into {}.outbox (event_id, topic, key, kind, value)"
        " select n.event_id, n.topic, n.key, n.kind, n.value"
        " from unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bytea[])"
        " with ordinality n(event_id, topic, key, kind, value, place) order by n.place"
        " on conflict (event_id) do nothing"
    ).format(sql.Identifier(schema))
    columns = (
        [message.event_id for message in messages],
        [message.topic for message in messages],
        [message.key for message in messages],
        [message.kind for message in messages],
        [message.value for message in messages],
    )
    await connection.execute(statement, columns)
    await connection.execute("select pg_notify(%s, '')", (added_channel(schema),))
