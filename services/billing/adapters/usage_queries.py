"""What the ledger says is used: the revisions in force, summed by state and by quantity. Times are event time, a segment belongs to the period
it starts in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row

from services.billing.adapters.ledger_tables import Identity, known_hashes
from shared.kernel.canonical import decimal_text
from shared.kernel.errors import Invalid
from shared.kernel.money import CONTEXT
from shared.kernel.times import Micros, micros, to_rfc3339, utc
from shared.storage.pool import Connection, Pool

_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage; None leaves a coordinate open. `start` and `end` bound the segments' start, half-open."""

    platform: str | None = None
    line: str | None = None
    instrument: str | None = None
    run: str | None = None
    customer: str | None = None
    start: Micros | None = None
    end: Micros | None = None

    def parameters(self) -> dict[str, Any]:
        return {
            "platform": self.platform,
            "line": self.line,
            "instrument": self.instrument,
            "run": self.run,
            "customer": self.customer,
            "start": None if self.start is None else utc(self.start),
            "end": None if self.end is None else utc(self.end),
        }


_in_force = """
    from billing.ledger l
    where not l.void
      and (%(platform)s::text is null or l.tenant = %(platform)s)
      and (%(line)s::text is null or l.line = %(line)s)
      and (%(instrument)s::text is null or l.instrument = %(instrument)s)
      and (%(run)s::text is null or l.run = %(run)s)
      and (%(customer)s::text is null or l.customer = %(customer)s)
      and (%(start)s::timestamptz is null or l.start_at >= %(start)s)
      and (%(end)s::timestamptz is null or l.start_at < %(end)s)
      and not exists (select from billing.ledger n where n.tenant = l.tenant and n.source = l.source and n.segment_key = l.segment_key
                      and n.revision > l.revision)
"""


@dataclass(frozen=True, slots=True)
class UsageBooks:
    """The port `KnowsUsage`."""

    pool: Pool

    async def hashes(self, identities: Collection[Identity]) -> Mapping[Identity, str]:
        if not identities:
            return {}
        async with self.pool.connection() as connection:
            return await known_hashes(connection, identities)


async def segments(
    connection: Connection, wanted: UsageFilter, *, limit: int, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Segments in force by (start, ledger_seq), and the cursor of the next page. Raises Invalid(cursor_malformed)."""
    after = (None, None) if cursor is None else _decode(cursor)
    rows = await _rows(
        connection,
        f"""select l.* {_in_force}
              and (%(after)s::timestamptz is null or (l.start_at, l.ledger_seq) > (%(after)s, %(after_seq)s::bigint))
            order by l.start_at, l.ledger_seq limit %(limit)s""",
        wanted.parameters() | {"after": after[0], "after_seq": after[1], "limit": limit + 1},
    )
    page, more = rows[:limit], len(rows) > limit
    quantities = await _quantities_of(connection, [row["ledger_seq"] for row in page])
    items = [_segment(row, quantities.get(row["ledger_seq"], [])) for row in page]
    return items, f"{micros(page[-1]['start_at'])}.{page[-1]['ledger_seq']}" if more else None


async def hours(connection: Connection, wanted: UsageFilter) -> list[dict[str, Any]]:
    """Time by instrument, state, sub-state and responsible party. `hours` are those that may be billed: measured and inferred."""
    rows = await _rows(
        connection,
        f"""select l.instrument, l.state, l.sub_state, l.responsible, count(*) as segments, sum(l.measured_s) as measured_s,
                   sum(l.inferred_s) as inferred_s, sum(l.unknown_s) as unknown_s {_in_force}
            group by 1, 2, 3, 4 order by 1, 2, 3, 4""",
        wanted.parameters(),
    )
    return [
        row
        | {name: decimal_text(row[name]) for name in ("measured_s", "inferred_s", "unknown_s")}
        | {
            "hours": decimal_text(
                CONTEXT.divide(row["measured_s"] + row["inferred_s"], _HOUR).quantize(Decimal("1e-9"))
            )
        }
        for row in rows
    ]


async def quantities(connection: Connection, wanted: UsageFilter) -> list[dict[str, Any]]:
    """Metered quantities by instrument: integrals and counts summed, the largest maximum, the mean weighted by covered time."""
    rows = await _rows(
        connection,
        f"""select f.instrument, q.name, q.unit, q.kind, sum(q.covered_s) as covered_s,
                   case q.kind when 'maximum' then max(q.value)
                               when 'mean' then round(sum(q.value * q.covered_s) / nullif(sum(q.covered_s), 0), 9)
                               else sum(q.value) end as value
            from (select l.ledger_seq, l.instrument {_in_force}) f join billing.ledger_quantity q using (ledger_seq)
            group by 1, 2, 3, 4 order by 1, 2, 3, 4""",
        wanted.parameters(),
    )
    return [
        row
        | {
            "covered_s": decimal_text(row["covered_s"]),
            "value": None if row["value"] is None else decimal_text(row["value"]),
        }
        for row in rows
    ]


async def counts(connection: Connection, platform: str | None) -> list[dict[str, Any]]:
    """received = recorded + duplicate + conflict + quarantined, by platform; '' for what could not be read."""
    return await _rows(
        connection,
        """select tenant as platform, received, recorded, duplicate, conflict, quarantined from billing.usage_count
           where %(platform)s::text is null or tenant = %(platform)s order by tenant""",
        {"platform": platform},
    )


async def _rows(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), parameters)
        return await cursor.fetchall()


async def _quantities_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    rows = await _rows(
        connection,
        """select ledger_seq, name, unit, kind, value, covered_s from billing.ledger_quantity where ledger_seq = any(%(numbers)s)
           order by ledger_seq, position""",
        {"numbers": list(numbers)},
    )
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        number = row.pop("ledger_seq")
        row |= {"value": decimal_text(row["value"]), "covered_s": decimal_text(row["covered_s"])}
        found.setdefault(number, []).append(row)
    return found


def _segment(row: Mapping[str, Any], quantities_: list[dict[str, Any]]) -> dict[str, Any]:
    shown = (
        *(
            "ledger_seq",
            "event_id",
            "revision",
            "supersedes",
            "line",
            "instrument",
            "customer",
            "project",
            "run",
            "phase",
            "held",
        ),
        *(
            "service_code",
            "tariff",
            "state",
            "sub_state",
            "reason",
            "responsible",
            "annotation",
            "reservation",
            "evidence",
            "content_hash",
        ),
    )
    return (
        {"platform": row["tenant"], "key": str(row["segment_key"])}
        | {name: row[name] for name in shown}
        | {"start": to_rfc3339(micros(row["start_at"])), "end": to_rfc3339(micros(row["end_at"]))}
        | {name: decimal_text(row[name]) for name in ("measured_s", "inferred_s", "unknown_s")}
        | {"recorded_at": to_rfc3339(micros(row["recorded_at"])), "quantities": quantities_}
    )


def _decode(cursor: str) -> tuple[Any, int]:
    try:
        start, _, number = cursor.partition(".")
        return utc(int(start)), int(number)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "cursor_malformed", f"{cursor!a} is no cursor", field="cursor", remedy="send `next` of the page before"
        ) from error
