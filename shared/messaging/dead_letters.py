"""Records no retry can process, kept with their raw bytes and the reason."""

from __future__ import annotations

from typing import Any

import psycopg

from shared.kernel.errors import Reject
from shared.messaging.processor import Record


async def dead_letter(connection: psycopg.AsyncConnection[Any], processor: str, record: Record, reject: Reject) -> None:
    """Keep the record, in the transaction that moves the position past it: it is either still to come or visible here."""
    await connection.execute(
        'insert into messaging.dead_letter (processor, topic, partition, "offset", kind, key, value, code, detail)'
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (
            processor,
            record.topic,
            record.partition,
            record.offset,
            record.kind,
            record.key,
            record.value,
            reject.code,
            reject.detail,
        ),
    )
