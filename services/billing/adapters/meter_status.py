"""How far the metering of a line is, and what still waits."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from services.billing.adapters.meter import NAME as METER
from services.billing.adapters.meter_tables import SINK
from shared.contracts.topics import Topics
from shared.kernel.times import micros, to_rfc3339
from shared.storage.pool import Connection

_query = """
    select m.line, l.platform_id as platform, s.version as state_model, m.partition, m.stale_since, m.updated_at,
           (select max(g.end_at) from billing.segment g where g.line = m.line) as closed_until,
           (select count(*) from billing.outbox o where o.published_seq is null and o.key = m.line) as waiting_to_publish,
           (select count(*) from billing.outbox o where o.key = m.line and o.topic = %(usage)s and o.published_seq is not null
              and not exists (select from billing.usage_event e where e.id = o.event_id::text and e.tenant = l.platform_id
                                and e.source = '/platforms/' || l.platform_id || '/lines/' || m.line || '/meter')) as waiting_to_record,
           (select next_offset from messaging.position p
              where p.processor = %(meter)s and p.topic = %(topic)s and p.partition = m.partition) as metered_offset,
           (select next_offset from messaging.position p
              where p.processor = %(sink)s and p.topic = %(topic)s and p.partition = m.partition) as stored_offset,
           (select coalesce(jsonb_agg(o.document order by o.instrument), '[]') from billing.segment_open o where o.line = m.line) as open
    from billing.meter_state m join billing.state_model s on s.digest = m.model_digest join ingest.line l on l.line_id = m.line
    where (%(line)s::text is null or m.line = %(line)s) and (%(platform)s::text is null or l.platform_id = %(platform)s)
    order by m.line
"""


async def meters(
    connection: Connection, topics: Topics, *, platform: str | None = None, line: str | None = None
) -> list[dict[str, Any]]:
    """Every metered line, or one. `settled`: nothing of what the meter has read waits for a rebuild, the relay or the recorder."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _query,
            {
                "meter": METER,
                "sink": SINK,
                "topic": topics.line_records,
                "usage": topics.usage_events,
                "platform": platform,
                "line": line,
            },
        )
        rows = await cursor.fetchall()
    return [_status(row) for row in rows]


def _status(row: dict[str, Any]) -> dict[str, Any]:
    waiting = row["stale_since"] is not None or row["waiting_to_publish"] or row["waiting_to_record"]
    behind = (row["metered_offset"] or 0) < (row["stored_offset"] or 0)
    times = {
        name: None if row[name] is None else to_rfc3339(micros(row[name]))
        for name in ("stale_since", "updated_at", "closed_until")
    }
    return row | times | {"settled": not waiting and not behind}
