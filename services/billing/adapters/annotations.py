"""Notes of people on an instrument's time: kept, and put into the line's log by the outbox, where the meter finds them among the frames (B-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from services.billing.adapters.meter_tables import SCHEMA
from services.billing.adapters.tariffs import alone
from services.billing.domain.e10 import Responsible
from shared.contracts.lifecycle import AnnotationWithdrawn, InstrumentAnnotated, encode_line_record
from shared.contracts.topics import Kind
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, micros, utc
from shared.messaging.outbox import OutboxMessage, add
from shared.storage.pool import Connection

Row = dict[str, Any]

_query = """
    select a.annotation_id, l.platform_id as platform, a.line, a.instrument, a.from_at, a.to_at, a.reason, a.responsible, a.who, a.noted_at,
           w.withdrawn_at, w.who as withdrawn_by, w.reason as withdrawn_reason
    from billing.annotation a join ingest.line l on l.line_id = a.line left join billing.annotation_withdrawal w using (annotation_id)
"""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody says about [start, end) of an instrument's time. `responsible` None leaves the party to the state model."""

    id: UUID
    line: str
    instrument: str
    start: Micros
    end: Micros
    reason: str
    responsible: Responsible | None
    who: str


@dataclass(frozen=True, slots=True)
class NoteFilter:
    """Which notes; None leaves a coordinate open. [start, end) is time that a note touches."""

    platform: str | None = None
    line: str | None = None
    instrument: str | None = None
    start: Micros | None = None
    end: Micros | None = None


async def annotate(connection: Connection, topic: str, note: Note) -> tuple[Row, bool]:
    """Keep a note and queue its record for `topic`; False when exactly it is there already.

    Raises Invalid(annotation_range), NotFound(instrument_unknown) and NotAllowed(annotation_exists) for the same id with other content.
    """
    if note.start >= note.end:
        raise Invalid("annotation_range", "`from` must lie before `to`", field="to", remedy="a note covers [from, to)")
    await require_instrument(connection, note.line, note.instrument)
    await alone(connection, f"annotation {note.line}")
    if (known := await _read(connection, note.id)) is not None:
        if _said(known) == _said_by(note):
            return known, False
        raise NotAllowed(
            "annotation_exists",
            f"annotation {note.id} says something else already",
            field="id",
            remedy="send a new id; withdraw the other one if it is wrong",
        )
    responsible = note.responsible.value if note.responsible else ""
    noted_at = await _next_instant(connection, note.line)
    await connection.execute(
        """insert into billing.annotation (annotation_id, line, instrument, from_at, to_at, reason, responsible, who, noted_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            note.id,
            note.line,
            note.instrument,
            utc(note.start),
            utc(note.end),
            note.reason,
            responsible,
            note.who,
            noted_at,
        ),
    )
    record = InstrumentAnnotated(
        event_id=str(note.id),
        line=note.line,
        instrument=note.instrument,
        from_=note.start,
        to=note.end,
        reason=note.reason,
        who=note.who,
        responsible=responsible,
        noted_at=micros(noted_at),
    )
    message = OutboxMessage(note.id, topic, note.line, Kind.ANNOTATION, encode_line_record(record))
    await add(connection, SCHEMA, [message])
    return await read_annotation(connection, note.id), True


async def withdraw(connection: Connection, topic: str, annotation: UUID, *, reason: str, who: str) -> tuple[Row, bool]:
    """Take a note back, for ever; False when it was withdrawn before, which stays as it was. Raises NotFound(annotation_unknown)."""
    found = await read_annotation(connection, annotation)
    await alone(connection, f"annotation {found['line']}")
    withdrawn_at = await _next_instant(connection, found["line"])
    cursor = await connection.execute(
        """insert into billing.annotation_withdrawal (annotation_id, reason, who, withdrawn_at) values (%s, %s, %s, %s)
           on conflict do nothing""",
        (annotation, reason, who, withdrawn_at),
    )
    if cursor.rowcount == 0:
        return await read_annotation(connection, annotation), False
    event = stable_id("annotation_withdrawn", str(annotation))
    record = AnnotationWithdrawn(
        event_id=str(event),
        line=found["line"],
        instrument=found["instrument"],
        annotation=str(annotation),
        reason=reason,
        who=who,
        noted_at=micros(withdrawn_at),
    )
    message = OutboxMessage(event, topic, found["line"], Kind.ANNOTATION, encode_line_record(record))
    await add(connection, SCHEMA, [message])
    return await read_annotation(connection, annotation), True


async def read_annotation(connection: Connection, annotation: UUID) -> Row:
    """Raises NotFound(annotation_unknown)."""
    found = await _read(connection, annotation)
    if found is None:
        raise NotFound(
            "annotation_unknown",
            f"there is no annotation {annotation}",
            field="id",
            remedy="see GET /v1/annotations",
        )
    return found


async def list_annotations(
    connection: Connection, wanted: NoteFilter, *, limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """Notes by (start, id), withdrawn ones too, and the cursor of the next page. Raises Invalid(cursor_malformed)."""
    after = (None, None) if cursor is None else decode_cursor(cursor)
    async with connection.cursor(row_factory=dict_row) as rows:
        await rows.execute(
            f"""{_query} where (%(platform)s::text is null or l.platform_id = %(platform)s)
                  and (%(line)s::text is null or a.line = %(line)s)
                  and (%(instrument)s::text is null or a.instrument = %(instrument)s)
                  and (%(start)s::timestamptz is null or a.to_at > %(start)s)
                  and (%(end)s::timestamptz is null or a.from_at < %(end)s)
                  and (%(after)s::timestamptz is null or (a.from_at, a.annotation_id) > (%(after)s, %(after_id)s::uuid))
                order by a.from_at, a.annotation_id limit %(limit)s""".encode(),
            {
                "platform": wanted.platform,
                "line": wanted.line,
                "instrument": wanted.instrument,
                "start": None if wanted.start is None else utc(wanted.start),
                "end": None if wanted.end is None else utc(wanted.end),
                "after": after[0],
                "after_id": after[1],
                "limit": limit + 1,
            },
        )
        found = await rows.fetchall()
    page = found[:limit]
    following = f"{micros(page[-1]['from_at'])}.{page[-1]['annotation_id']}" if len(found) > limit else None
    return page, following


async def _read(connection: Connection, annotation: UUID) -> Row | None:
    async with connection.cursor(row_factory=dict_row) as rows:
        await rows.execute(f"{_query} where a.annotation_id = %s".encode(), (annotation,))
        return await rows.fetchone()


async def require_instrument(connection: Connection, line: str, instrument: str) -> None:
    """Raises NotFound(instrument_unknown)."""
    cursor = await connection.execute(
        "select from ingest.instrument where instrument_id = %s and line_id = %s", (instrument, line)
    )
    if await cursor.fetchone() is None:
        raise NotFound(
            "instrument_unknown",
            f"{instrument} is no instrument of {line}",
            field="instrument",
            remedy="name an instrument of the registry",
        )


async def _next_instant(connection: Connection, line: str) -> datetime:
    """Now, and later than every note of the line: the order of notes is that of their instants. The caller holds the line's lock."""
    cursor = await connection.execute(
        """select greatest(clock_timestamp(), max(at) + interval '1 microsecond') from (
               select max(noted_at) as at from billing.annotation where line = %(line)s
               union all
               select max(w.withdrawn_at) from billing.annotation_withdrawal w join billing.annotation using (annotation_id)
               where line = %(line)s) known""",
        {"line": line},
    )
    row = await cursor.fetchone()
    assert row is not None, "an aggregate gives a row"
    instant: datetime = row[0]
    return instant


def _said(row: Row) -> tuple[object, ...]:
    return (
        row["line"],
        row["instrument"],
        micros(row["from_at"]),
        micros(row["to_at"]),
        row["reason"],
        row["responsible"],
    )


def _said_by(note: Note) -> tuple[object, ...]:
    responsible = note.responsible.value if note.responsible else ""
    return note.line, note.instrument, note.start, note.end, note.reason, responsible


def decode_cursor(cursor: str) -> tuple[Any, UUID]:
    """Start and id of the last row of the page before. Raises Invalid(cursor_malformed)."""
    try:
        start, _, name = cursor.partition(".")
        return utc(int(start)), UUID(name)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "cursor_malformed", f"{cursor!a} is no cursor", field="cursor", remedy="send `next` of the page before"
        ) from error
