"""Slices of the ledger as the rating reads them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from services.billing.domain.e10 import Responsible
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.segment import (
    Annotation,
    Evidence,
    MeteredQuantity,
    OffsetRange,
    QuantityKind,
    SequenceRange,
)
from shared.kernel.times import SECOND, Micros, micros, utc
from shared.storage.pool import Connection

_columns = (
    "l.ledger_seq, l.tenant, l.source, l.event_id, l.segment_key, l.revision, l.void, l.line, l.instrument, l.customer, l.project, l.run,"
    " l.phase, l.service_code, l.tariff, l.state, l.sub_state, l.reason, l.responsible, l.start_at, l.end_at, l.measured_s, l.inferred_s,"
    " l.unknown_s, l.content_hash, l.evidence, l.annotation, l.reservation"
)

_query = f"""select {_columns}, coalesce(q.quantities, '[]') from billing.ledger l
    left join lateral (select jsonb_agg(jsonb_build_array(name, unit, kind, value::text, covered_s::text) order by position)
                       as quantities from billing.ledger_quantity q where q.ledger_seq = l.ledger_seq) q on true"""
_tariff = _columns.split(", ").index("l.tariff")

_head = (
    *(
        "ledger_seq",
        "tenant",
        "source",
        "event_id",
        "key",
        "revision",
        "void",
        "line",
        "instrument",
        "customer",
        "project",
        "run",
    ),
    *("phase", "service_code", "state", "sub_state", "reason", "responsible"),
)


async def last_sequence(connection: Connection) -> int:
    """Number of the last row of the ledger; everything up to it is committed."""
    row = await (await connection.execute("select next_seq - 1 from billing.ledger_counter")).fetchone()
    assert row is not None, "the migration makes the counter's row"
    return int(row[0])


async def customer_slice(
    connection: Connection, platform: str, customer: str, start: Micros, end: Micros, up_to: int
) -> tuple[list[LedgerRow], frozenset[str]]:
    """Every revision, up to a ledger number, of every segment that starts in [start, end) and was ever the customer's; and the tariffs that
    runs of the customer pinned. A revision that moved a segment to somebody else is in it."""
    cursor = await connection.execute(
        f"""{_query}
            where l.tenant = %(platform)s and l.start_at >= %(start)s and l.start_at < %(end)s and l.ledger_seq <= %(up_to)s
              and exists (select from billing.ledger o where o.tenant = l.tenant and o.source = l.source and o.segment_key = l.segment_key
                          and o.customer = %(customer)s and o.ledger_seq <= %(up_to)s)
            order by l.ledger_seq""".encode(),
        {"platform": platform, "customer": customer, "start": utc(start), "end": utc(end), "up_to": up_to},
    )
    rows = await cursor.fetchall()
    owner = _columns.split(", ").index("l.customer")
    pinned = frozenset(row[_tariff] for row in rows if row[owner] == customer and row[_tariff])
    return [_row(row) for row in rows], pinned


async def run_slice(connection: Connection, platform: str, run: str) -> list[LedgerRow]:
    """Every revision of every segment that was ever the run's, those that moved it to another run or to none included."""
    cursor = await connection.execute(
        f"""{_query}
            where l.tenant = %(platform)s
              and (l.source, l.segment_key) in (select o.source, o.segment_key from billing.ledger o
                                                where o.tenant = %(platform)s and o.run = %(run)s)
            order by l.ledger_seq""".encode(),
        {"platform": platform, "run": run},
    )
    return [_row(row) for row in await cursor.fetchall()]


def _row(row: tuple[Any, ...]) -> LedgerRow:
    row = row[:_tariff] + row[_tariff + 1 :]
    *head, start, end, measured, inferred, unknown, content, evidence, annotation, reservation, quantities = row
    return LedgerRow(
        **dict(zip(_head, head, strict=True)),
        start=micros(start),
        end=micros(end),
        measured=_micros_of(measured),
        inferred=_micros_of(inferred),
        unknown=_micros_of(unknown),
        quantities=tuple(_quantities(quantities)),
        content_hash=content,
        evidence=_evidence(evidence),
        annotation=None if annotation is None else _annotation(annotation),
        reservation=reservation,
    )


def _quantities(documents: Iterable[list[str]]) -> Iterable[MeteredQuantity]:
    for name, unit, kind, value, covered in documents:
        yield MeteredQuantity(name, unit, QuantityKind(kind), Decimal(value), _micros_of(Decimal(covered)))


def _evidence(document: dict[str, Any]) -> Evidence:
    offsets = document["offsets"]
    return Evidence(
        ranges=tuple(SequenceRange(r["stream"], r["boot"], r["seq_from"], r["seq_to"]) for r in document["ranges"]),
        frames=document["frames"],
        samples=document["samples"],
        digest=document["digest"],
        offsets=None if offsets is None else OffsetRange(offsets["partition"], offsets["first"], offsets["last"]),
    )


def _annotation(document: dict[str, Any]) -> Annotation:
    return Annotation(
        document["id"], document["who"], document["model_reason"], Responsible(document["model_responsible"])
    )


def _micros_of(seconds: Decimal) -> Micros:
    """Exact: the column has six decimals."""
    return int(seconds * SECOND)
