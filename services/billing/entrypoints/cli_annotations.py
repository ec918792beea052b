"""`pilotline billing annotation …`: notes of people on an instrument's time."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import click

from services.billing.adapters import annotations as notes
from services.billing.domain.e10 import Responsible
from services.billing.entrypoints.asking import instant
from services.billing.entrypoints.command import database, in_transaction, print_json
from services.billing.entrypoints.notes import document
from shared.contracts.topics import Topics
from shared.storage.pool import Connection

topic_prefix_option = click.option(
    "--topic-prefix", envvar="PILOTLINE_TOPIC_PREFIX", default="", help="of the topics; default $PILOTLINE_TOPIC_PREFIX"
)
_who = click.option("--by", default="command line", help="who says it; kept with it")
_reason = click.option("--reason", required=True, help="why, at most 200 characters")


@click.group("annotation")
def annotation() -> None:
    """What people say about an instrument's time."""


@annotation.command("add")
@click.option("--line", required=True)
@click.option("--instrument", required=True)
@click.option("--from", "start", required=True, help="RFC 3339")
@click.option("--to", "end", required=True, help="RFC 3339; the first instant that the note does not cover")
@_reason
@click.option(
    "--responsible",
    type=click.Choice([party.value for party in Responsible]),
    help="who answers for the time; the state model's decision by default",
)
@click.option("--id", "name", type=click.UUID, help="makes the same command harmless a second time")
@_who
@topic_prefix_option
@database
def add(
    line: str,
    instrument: str,
    start: str,
    end: str,
    reason: str,
    responsible: str | None,
    name: UUID | None,
    by: str,
    topic_prefix: str,
    database_url: str,
) -> None:
    """Explain [from, to): a reason and, where given, the responsible party. States and quantities stay as measured."""

    async def work(connection: Connection) -> tuple[dict[str, Any], bool]:
        note = notes.Note(
            id=name or uuid4(),
            line=line,
            instrument=instrument,
            start=instant("from", start),
            end=instant("to", end),
            reason=short(reason),
            responsible=None if responsible is None else Responsible(responsible),
            who=by[:200],
        )
        return await notes.annotate(connection, Topics(topic_prefix).line_records, note)

    found, added = in_transaction(database_url, work)
    print_json(document(found) | {"added": added})


@annotation.command("withdraw")
@click.argument("annotation_id", type=click.UUID)
@_reason
@_who
@topic_prefix_option
@database
def withdraw(annotation_id: UUID, reason: str, by: str, topic_prefix: str, database_url: str) -> None:
    """Take a note back: what it covered is as if it had never been said."""

    async def work(connection: Connection) -> tuple[dict[str, Any], bool]:
        topic = Topics(topic_prefix).line_records
        return await notes.withdraw(connection, topic, annotation_id, reason=short(reason), who=by[:200])

    found, withdrawn = in_transaction(database_url, work)
    print_json(document(found) | {"withdrawn": withdrawn})


@annotation.command("list")
@click.option("--line")
@click.option("--instrument")
@click.option("--from", "start", help="RFC 3339; notes that touch this time")
@click.option("--to", "end", help="RFC 3339")
@click.option("--limit", type=click.IntRange(1, 1000), default=200, show_default=True)
@database
def list_(
    line: str | None, instrument: str | None, start: str | None, end: str | None, limit: int, database_url: str
) -> None:
    """Notes by start, one per line, those that were withdrawn too."""

    async def work(connection: Connection) -> list[dict[str, Any]]:
        wanted = notes.NoteFilter(
            line=line,
            instrument=instrument,
            start=None if start is None else instant("from", start),
            end=None if end is None else instant("to", end),
        )
        found, _ = await notes.list_annotations(connection, wanted, limit=limit, cursor=None)
        return [document(row) for row in found]

    for note in in_transaction(database_url, work):
        party = note["responsible"] or "-"
        withdrawn = " (withdrawn)" if note["withdrawal"] else ""
        click.echo(
            f"{note['id']} {note['instrument']:24} {note['from']} {note['to']} {party:14} {note['reason']}{withdrawn}"
        )


def short(reason: str) -> str:
    """Raises click.BadParameter for a reason no event can carry."""
    if not 1 <= len(reason) <= 200 or "\x00" in reason:
        raise click.BadParameter("a reason has 1 to 200 characters", param_hint="--reason")
    return reason
