"""`pilotline billing …`: rules, invoices and usage from the command line, and the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import click

from services.billing.adapters import closing, usage_queries
from services.billing.adapters.invoice_tables import read_lines
from services.billing.adapters.live_costs import run_cost
from services.billing.adapters.state_models import check_state_model, publish_state_model
from services.billing.adapters.tariffs import publish_tariff
from services.billing.config import ApiSettings, MeterSettings, RecorderSettings
from services.billing.domain.tariff_file import load_tariff
from services.billing.entrypoints import api, costs, meter, recorder
from services.billing.entrypoints.asking import instant
from services.billing.entrypoints.cli_annotations import annotation
from services.billing.entrypoints.cli_reservations import reservation
from services.billing.entrypoints.command import database, in_transaction, print_json, refusing
from services.billing.entrypoints.invoices import document
from shared.observability.process import run_process
from shared.storage.pool import Connection
from shared.storage.registry import read_registry

_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_who = click.option("--by", default="command line", help="who publishes or closes; kept with it")


@click.group("billing")
def group() -> None:
    """Meter the use of equipment and bill it."""


for part in (annotation, reservation):
    group.add_command(part)


@group.command("meter")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def meter_command(check: bool) -> None:
    """Run the meter until SIGTERM."""
    run_process("billing-meter", meter.main, MeterSettings, ["--check"] if check else [])


@group.command("recorder")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def recorder_command(check: bool) -> None:
    """Run the recorder until SIGTERM."""
    run_process("billing-recorder", recorder.main, RecorderSettings, ["--check"] if check else [])


@group.command("api")
@click.option("--check", is_flag=True, help="validate the configuration and leave")
def api_command(check: bool) -> None:
    """Run the API until SIGTERM."""
    run_process("billing-api", api.main, ApiSettings, ["--check"] if check else [])


@group.group("tariff")
def tariff() -> None:
    """What use costs."""


@tariff.command("check")
@_file
def tariff_check(file: Path) -> None:
    """Check FILE without a database."""
    found = refusing(lambda: load_tariff(_text(file)))
    click.echo(f"{found.id} version {found.version}: {len(found.charges)} charges, digest {found.digest}")


@tariff.command("publish")
@_file
@click.option("--platform", required=True)
@_who
@database
def tariff_publish(file: Path, platform: str, by: str, database_url: str) -> None:
    """Publish FILE for ever. The same file again changes nothing."""
    text = _text(file)
    found, published = in_transaction(
        database_url, lambda connection: publish_tariff(connection, platform, text, by=by)
    )
    click.echo(
        f"{found.id} version {found.version} {'published' if published else 'was published before'}: {found.digest}"
    )


@group.group("state-model")
def state_model() -> None:
    """Which state an instrument is in."""


@state_model.command("check")
@_file
@database
def state_model_check(file: Path, database_url: str) -> None:
    """Check FILE against the registry."""
    text = _text(file)

    async def work(connection: Connection) -> str:
        return check_state_model(text, await read_registry(connection)).digest

    click.echo(f"{file.name}: digest {in_transaction(database_url, work)}")


@state_model.command("publish")
@_file
@_who
@database
def state_model_publish(file: Path, by: str, database_url: str) -> None:
    """Publish FILE for ever. The same file again changes nothing."""
    text = _text(file)

    async def work(connection: Connection) -> tuple[Any, bool]:
        return await publish_state_model(connection, text, await read_registry(connection), by=by)

    found, published = in_transaction(database_url, work)
    click.echo(
        f"{found.line} version {found.version} {'published' if published else 'was published before'}: {found.digest}"
    )


@group.group("invoice")
def invoice() -> None:
    """Draft, close, verify, show."""


@invoice.command("draft")
@click.option("--platform", required=True)
@click.option("--customer", required=True)
@click.option("--tariff", "tariff_name", required=True, help="ID@VERSION")
@click.option("--from", "start", required=True, help="RFC 3339")
@click.option("--to", "end", required=True, help="RFC 3339; the first instant that is not billed")
@click.option("--issuer", help="whose numbers; the platform's by default")
@click.option("--ledger-seq", type=click.IntRange(1), help="rate up to this row; the whole ledger by default")
@database
def invoice_draft(
    platform: str,
    customer: str,
    tariff_name: str,
    start: str,
    end: str,
    issuer: str | None,
    ledger_seq: int | None,
    database_url: str,
) -> None:
    """Rate a period into a draft and print it."""
    tariff_id, _, version = tariff_name.partition("@")
    if not version.isdecimal():
        raise click.BadParameter("write ID@VERSION", param_hint="--tariff")

    async def work(connection: Connection) -> dict[str, Any]:
        request = closing.DraftRequest(
            platform=platform,
            customer=customer,
            tariff_id=tariff_id,
            tariff_version=int(version),
            start=instant("from", start),
            end=instant("to", end),
            issuer=issuer or platform,
            ledger_seq=ledger_seq,
        )
        return await document(connection, await closing.draft(connection, request))

    print_json(in_transaction(database_url, work))


@invoice.command("finalise")
@click.argument("invoice_id", type=click.UUID)
@_who
@database
def invoice_finalise(invoice_id: UUID, by: str, database_url: str) -> None:
    """Give the draft its number; it never changes again."""

    async def work(connection: Connection) -> dict[str, Any]:
        await closing.finalise(connection, invoice_id, by=by)
        return await document(connection, invoice_id)

    print_json(in_transaction(database_url, work))


@invoice.command("verify")
@click.argument("invoice_id", type=click.UUID)
@database
def invoice_verify(invoice_id: UUID, database_url: str) -> None:
    """Rate again from the ledger and compare; exit code 1 when something differs."""
    proof = in_transaction(database_url, lambda connection: closing.verify(connection, invoice_id))
    print_json(proof)
    if not proof["ok"]:
        raise click.exceptions.Exit(1)


@invoice.command("show")
@click.argument("invoice_id", type=click.UUID)
@database
def invoice_show(invoice_id: UUID, database_url: str) -> None:
    """Print the invoice, and a sentence per line."""

    async def work(connection: Connection) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return await document(connection, invoice_id), await read_lines(connection, invoice_id)

    found, lines = in_transaction(database_url, work)
    print_json(found)
    for line in lines:
        click.echo(line["sentence"]["en"])
        click.echo(line["sentence"]["zh"])


@group.group("usage")
def usage() -> None:
    """What was used."""


@usage.command("summary")
@click.option("--line")
@click.option("--run", "run_id")
@click.option("--from", "start", help="RFC 3339")
@click.option("--to", "end", help="RFC 3339")
@database
def usage_summary(line: str | None, run_id: str | None, start: str | None, end: str | None, database_url: str) -> None:
    """Hours by state and metered quantities, from the ledger."""

    async def work(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        wanted = usage_queries.UsageFilter(
            line=line,
            run=run_id,
            start=None if start is None else instant("from", start),
            end=None if end is None else instant("to", end),
        )
        return await usage_queries.hours(connection, wanted), await usage_queries.quantities(connection, wanted)

    hours, quantities = in_transaction(database_url, work)
    for row in hours:
        state = f"{row['state']}/{row['sub_state']}" if row["sub_state"] else row["state"]
        click.echo(f"{row['instrument']:24} {state:28} {row['responsible']:14} {row['hours']:>14} h")
    for row in quantities:
        click.echo(f"{row['instrument']:24} {row['name']:28} {row['kind']:14} {row['value'] or '-':>14} {row['unit']}")


@usage.command("cost")
@click.argument("run")
@database
def usage_cost(run: str, database_url: str) -> None:
    """What RUN has cost so far: settled by the ledger, provisional by the meter; no invoice."""
    found = costs.document(in_transaction(database_url, lambda connection: run_cost(connection, run)))
    for part in ("settled", "provisional", "total"):
        amounts = found[part]
        click.echo(
            f"{part:12} {amounts['net']:>14} + {amounts['tax']:>12} tax = {amounts['gross']:>14} {found['currency']}"
        )
    for line in found["lines"]:
        click.echo(line["sentence"]["en"])
        click.echo(line["sentence"]["zh"])
    click.echo(f"{found['label']['en']} / {found['label']['zh']}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8") from error
