"""What the commands share: the database option, one transaction per command, a problem as one sentence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import orjson

from shared.kernel.errors import Problem
from shared.storage.pool import Connection, connect

T = TypeVar("T")
database = click.option(
    "--database-url",
    envvar="PILOTLINE_DATABASE_URL",
    required=True,
    help="TimescaleDB; default $PILOTLINE_DATABASE_URL",
)


def print_json(found: dict[str, Any]) -> None:
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def in_transaction(database_url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """One transaction; a problem becomes one line and exit code 1."""

    async def inside() -> T:
        async with connect(database_url, name="pilotline-cli") as connection:
            return await work(connection)

    return refusing(lambda: asyncio.run(inside()))


def refusing(work: Callable[[], T]) -> T:
    """Raises click.ClickException with code, detail and remedy for a problem."""
    try:
        return work()
    except Problem as problem:
        remedy = f" ({problem.remedy})" if problem.remedy else ""
        raise click.ClickException(f"{problem.code}: {problem.detail}{remedy}") from problem
