"""What a replay leaves behind, as plain values: equal for two replays exactly when nothing was lost, doubled or judged otherwise."""

from __future__ import annotations

import hashlib
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from deploy.demo.comparing import comparable
from deploy.demo.story import Told

_ROWS: LiteralString = """
    select s.stream_id, b.boot, b.seq_from, b.seq_to, b.k, b.registry_version, b.late, b.units, b.times, b.vals, b.quality
    from ingest.block b join ingest.stream s using (stream_no)
    order by s.stream_id, b.boot, b.seq_from, b.hash
"""
_IN_FORCE: LiteralString = """
    select l.instrument, l.start_at, l.end_at, l.segment_key::text, l.content_hash, l.model_digest, l.run, l.phase, l.held, l.customer,
           l.project, l.service_code, l.tariff, l.state, l.sub_state, l.reason, l.responsible, l.measured_s, l.inferred_s, l.unknown_s,
           array(select (q.name, q.unit, q.kind, q.value, q.covered_s)::text from billing.ledger_quantity q
                 where q.ledger_seq = l.ledger_seq order by q.position) as quantities
    from billing.ledger l
    where not l.void and not exists (
        select from billing.ledger n
        where (n.tenant, n.source, n.segment_key) = (l.tenant, l.source, l.segment_key) and n.revision > l.revision)
    order by l.instrument, l.start_at, l.segment_key
"""
"""Left out: numbers in the ledger, revisions, and evidence, which names places in Kafka."""


def effects(told: Told, database_url: str) -> dict[str, Any]:
    """`comparable`, and beyond its sums and digests every value of every stored block and every row of the ledger in force."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return comparable(told) | {
            "blocks": [_digested(row) for row in connection.execute(_ROWS)],
            "ledger": connection.execute(_IN_FORCE).fetchall(),
        }


def _digested(row: dict[str, Any]) -> dict[str, Any]:
    """Bytes become digests: a difference is then one line."""
    return {
        name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value for name, value in row.items()
    }
