"""`pilotline billing reservation …`: time of instruments kept for customers."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import click

from services.billing.adapters import reservations as tables
from services.billing.adapters.annotations import NoteFilter
from services.billing.entrypoints.asking import instant
from services.billing.entrypoints.cli_annotations import short, topic_prefix_option
from services.billing.entrypoints.command import database, in_transaction, print_json
from services.billing.entrypoints.slots import document
from shared.contracts.topics import Topics
from shared.storage.pool import Connection

_who = click.option("--by", default="command line", help="who books or cancels; kept with it")


@click.group("reservation")
def reservation() -> None:
    """Time of instruments kept for customers."""


@reservation.command("add")
@click.option("--line", required=True)
@click.option("--instrument", required=True)
@click.option("--from", "start", required=True, help="RFC 3339")
@click.option("--to", "end", required=True, help="RFC 3339; the first instant that is not reserved")
@click.option("--customer", required=True)
@click.option("--project", default="")
@click.option("--service-code", default="")
@click.option("--tariff", default="", help="ID or ID@VERSION that bills it")
@click.option("--id", "name", type=click.UUID, help="makes the same command harmless a second time")
@_who
@topic_prefix_option
@database
def add(
    line: str,
    instrument: str,
    start: str,
    end: str,
    customer: str,
    project: str,
    service_code: str,
    tariff: str,
    name: UUID | None,
    by: str,
    topic_prefix: str,
    database_url: str,
) -> None:
    """Keep [from, to) of an instrument for a customer."""

    async def work(connection: Connection) -> tuple[dict[str, Any], bool]:
        booking = tables.Booking(
            id=name or uuid4(),
            line=line,
            instrument=instrument,
            start=instant("from", start),
            end=instant("to", end),
            customer=customer,
            project=project[:120],
            service_code=service_code[:120],
            tariff=tariff[:120],
            who=by[:200],
        )
        return await tables.reserve(connection, Topics(topic_prefix).line_records, booking)

    found, added = in_transaction(database_url, work)
    print_json(document(found) | {"added": added})


@reservation.command("cancel")
@click.argument("reservation_id", type=click.UUID)
@click.option("--reason", required=True, help="why, at most 200 characters")
@click.option("--at", help="RFC 3339; from when on the time is free, now by default")
@_who
@topic_prefix_option
@database
def cancel(reservation_id: UUID, reason: str, at: str | None, by: str, topic_prefix: str, database_url: str) -> None:
    """Free the time of a reservation from an instant on."""

    async def work(connection: Connection) -> tuple[dict[str, Any], bool]:
        return await tables.cancel(
            connection,
            Topics(topic_prefix).line_records,
            reservation_id,
            at=None if at is None else instant("at", at),
            reason=short(reason),
            who=by[:200],
        )

    found, cancelled = in_transaction(database_url, work)
    print_json(document(found) | {"cancelled": cancelled})


@reservation.command("list")
@click.option("--line")
@click.option("--instrument")
@click.option("--customer")
@click.option("--from", "start", help="RFC 3339; reservations that touch this time")
@click.option("--to", "end", help="RFC 3339")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@database
def list_(
    line: str | None,
    instrument: str | None,
    customer: str | None,
    start: str | None,
    end: str | None,
    limit: int,
    database_url: str,
) -> None:
    """Reservations by start, one per line, cancelled ones too."""

    async def work(connection: Connection) -> list[dict[str, Any]]:
        wanted = NoteFilter(
            line=line,
            instrument=instrument,
            start=None if start is None else instant("from", start),
            end=None if end is None else instant("to", end),
        )
        found, _ = await tables.list_reservations(connection, wanted, customer=customer, limit=limit, cursor=None)
        return [document(row) for row in found]

    for slot in in_transaction(database_url, work):
        cancelled = f" (cancelled from {slot['cancellation']['at']})" if slot["cancellation"] else ""
        click.echo(f"{slot['id']} {slot['instrument']:24} {slot['from']} {slot['to']} {slot['customer']}{cancelled}")
