"""Reservations of instruments: kept, and put into the line's log by the outbox, where the meter counts the time they cover (B-2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from services.billing.adapters.annotations import NoteFilter, Row, decode_cursor, require_instrument
from services.billing.adapters.meter_tables import SCHEMA
from services.billing.adapters.tariffs import alone
from shared.contracts.lifecycle import InstrumentReserved, LineRecord, ReservationCancelled, encode_line_record
from shared.contracts.topics import Kind
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, micros, utc
from shared.messaging.outbox import OutboxMessage, add
from shared.storage.pool import Connection

_query = """
    select r.reservation_id, l.platform_id as platform, r.line, r.instrument, r.from_at, r.to_at, r.customer, r.project, r.service_code,
           r.tariff, r.booked_by, r.booked_at, c.cancelled_at, c.reason as cancelled_reason, c.who as cancelled_by
    from billing.reservation r join ingest.line l on l.line_id = r.line left join billing.reservation_cancellation c using (reservation_id)
"""


@dataclass(frozen=True, slots=True)
class Booking:
    """[start, end) of an instrument for a customer. `tariff` is an id or id@version, '' for none."""

    id: UUID
    line: str
    instrument: str
    start: Micros
    end: Micros
    customer: str
    project: str
    service_code: str
    tariff: str
    who: str


async def reserve(connection: Connection, topic: str, booking: Booking) -> tuple[Row, bool]:
    """Keep a reservation and queue its record for `topic`; False when exactly it is there already.

    Raises Invalid(reservation_range), NotFound(instrument_unknown | customer_unknown | tariff_unknown), and NotAllowed(reservation_exists) for
    the same id with other content, NotAllowed(reservation_overlaps) when a part of the time is kept for somebody already.
    """
    if booking.start >= booking.end:
        raise Invalid(
            "reservation_range", "`from` must lie before `to`", field="to", remedy="a reservation covers [from, to)"
        )
    await require_instrument(connection, booking.line, booking.instrument)
    await _require_customer_and_tariff(connection, booking)
    await alone(connection, f"reservation {booking.line}")
    if (known := await _read(connection, booking.id)) is not None:
        if _said(known) == _cells(booking):
            return known, False
        raise NotAllowed(
            "reservation_exists",
            f"reservation {booking.id} says something else already",
            field="id",
            remedy="send a new id; cancel the other one if it is wrong",
        )
    await _refuse_overlap(connection, booking)
    cursor = await connection.execute(
        """insert into billing.reservation (reservation_id, line, instrument, from_at, to_at, customer, project, service_code, tariff,
                                            booked_by, booked_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp()) returning booked_at""",
        (booking.id, *_cells(booking), booking.who),
    )
    row = await cursor.fetchone()
    assert row is not None, "an insert returns its row"
    record = InstrumentReserved(
        event_id=str(booking.id),
        reservation=str(booking.id),
        line=booking.line,
        instrument=booking.instrument,
        from_=booking.start,
        to=booking.end,
        customer=booking.customer,
        project=booking.project,
        service_code=booking.service_code,
        tariff=booking.tariff,
        booked_at=micros(row[0]),
    )
    await _queue(connection, topic, booking.id, booking.line, record)
    return await read_reservation(connection, booking.id), True


async def cancel(
    connection: Connection, topic: str, reservation: UUID, *, at: Micros | None, reason: str, who: str
) -> tuple[Row, bool]:
    """Free the time from `at` (None: now) on, for ever; False when it was cancelled before, which stays as it was.

    Raises NotFound(reservation_unknown) and NotAllowed(reservation_over) when there is nothing left to free.
    """
    found = await read_reservation(connection, reservation)
    await alone(connection, f"reservation {found['line']}")
    cursor = await connection.execute(
        """insert into billing.reservation_cancellation (reservation_id, cancelled_at, reason, who)
           select r.reservation_id, coalesce(%s, clock_timestamp()), %s, %s from billing.reservation r
           where r.reservation_id = %s and coalesce(%s, clock_timestamp()) < r.to_at
           on conflict do nothing returning cancelled_at""",
        (None if at is None else utc(at), reason, who, reservation, None if at is None else utc(at)),
    )
    row = await cursor.fetchone()
    if row is None:
        found = await read_reservation(connection, reservation)
        if found["cancelled_at"] is not None:
            return found, False
        raise NotAllowed(
            "reservation_over",
            f"reservation {reservation} is over by then",
            field="at",
            remedy="nothing is left to free",
        )
    event = stable_id("reservation_cancelled", str(reservation))
    record = ReservationCancelled(
        event_id=str(event),
        reservation=str(reservation),
        line=found["line"],
        instrument=found["instrument"],
        at=micros(row[0]),
        reason=reason,
    )
    await _queue(connection, topic, event, found["line"], record)
    return await read_reservation(connection, reservation), True


async def read_reservation(connection: Connection, reservation: UUID) -> Row:
    """Raises NotFound(reservation_unknown)."""
    found = await _read(connection, reservation)
    if found is None:
        raise NotFound(
            "reservation_unknown",
            f"there is no reservation {reservation}",
            field="id",
            remedy="see GET /v1/reservations",
        )
    return found


async def list_reservations(
    connection: Connection, wanted: NoteFilter, *, customer: str | None, limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """Reservations by (start, id), cancelled ones too, and the cursor of the next page. Raises Invalid(cursor_malformed)."""
    after = (None, None) if cursor is None else decode_cursor(cursor)
    async with connection.cursor(row_factory=dict_row) as rows:
        await rows.execute(
            f"""{_query} where (%(platform)s::text is null or l.platform_id = %(platform)s)
                  and (%(line)s::text is null or r.line = %(line)s)
                  and (%(instrument)s::text is null or r.instrument = %(instrument)s)
                  and (%(customer)s::text is null or r.customer = %(customer)s)
                  and (%(start)s::timestamptz is null or r.to_at > %(start)s)
                  and (%(end)s::timestamptz is null or r.from_at < %(end)s)
                  and (%(after)s::timestamptz is null or (r.from_at, r.reservation_id) > (%(after)s, %(after_id)s::uuid))
                order by r.from_at, r.reservation_id limit %(limit)s""".encode(),
            {
                "platform": wanted.platform,
                "line": wanted.line,
                "instrument": wanted.instrument,
                "customer": customer,
                "start": None if wanted.start is None else utc(wanted.start),
                "end": None if wanted.end is None else utc(wanted.end),
                "after": after[0],
                "after_id": after[1],
                "limit": limit + 1,
            },
        )
        found = await rows.fetchall()
    page = found[:limit]
    following = f"{micros(page[-1]['from_at'])}.{page[-1]['reservation_id']}" if len(found) > limit else None
    return page, following


async def _read(connection: Connection, reservation: UUID) -> Row | None:
    async with connection.cursor(row_factory=dict_row) as rows:
        await rows.execute(f"{_query} where r.reservation_id = %s".encode(), (reservation,))
        return await rows.fetchone()


async def _require_customer_and_tariff(connection: Connection, booking: Booking) -> None:
    cursor = await connection.execute("select from ingest.customer where customer_id = %s", (booking.customer,))
    if await cursor.fetchone() is None:
        raise NotFound(
            "customer_unknown",
            f"there is no customer {booking.customer}",
            field="customer",
            remedy="name a customer of the registry",
        )
    if not booking.tariff:
        return
    name, _, version = booking.tariff.partition("@")
    cursor = await connection.execute(
        """select from billing.tariff t join ingest.line l on l.platform_id = t.tenant
           where l.line_id = %s and t.tariff_id = %s and (%s = '' or t.version::text = %s) limit 1""",
        (booking.line, name, version, version),
    )
    if await cursor.fetchone() is None:
        raise NotFound(
            "tariff_unknown", f"there is no tariff {booking.tariff}", field="tariff", remedy="see GET /v1/tariffs"
        )


async def _refuse_overlap(connection: Connection, booking: Booking) -> None:
    cursor = await connection.execute(
        """select r.reservation_id from billing.reservation r left join billing.reservation_cancellation c using (reservation_id)
           where r.line = %s and r.instrument = %s and r.from_at < %s and least(r.to_at, coalesce(c.cancelled_at, r.to_at)) > %s
             and coalesce(c.cancelled_at, r.to_at) > r.from_at limit 1""",
        (booking.line, booking.instrument, utc(booking.end), utc(booking.start)),
    )
    if (row := await cursor.fetchone()) is not None:
        raise NotAllowed(
            "reservation_overlaps",
            f"a part of this time is kept by reservation {row[0]}",
            field="from",
            remedy="choose other time, or cancel that one",
        )


async def _queue(connection: Connection, topic: str, event: UUID, line: str, record: LineRecord) -> None:
    message = OutboxMessage(event, topic, line, Kind.RESERVATION, encode_line_record(record))
    await add(connection, SCHEMA, [message])


def _cells(booking: Booking) -> tuple[Any, ...]:
    return (
        booking.line,
        booking.instrument,
        utc(booking.start),
        utc(booking.end),
        booking.customer,
        booking.project,
        booking.service_code,
        booking.tariff,
    )


def _said(row: Row) -> tuple[Any, ...]:
    names = ("line", "instrument", "from_at", "to_at", "customer", "project", "service_code", "tariff")
    return tuple(row[name] for name in names)
