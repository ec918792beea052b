"""Invoices as rows, and back as far as anybody needs them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from services.billing.domain.allocation import Share
from services.billing.domain.explain import document
from services.billing.domain.invoice import Invoice
from services.billing.domain.rating import RatedLine
from services.billing.domain.tariff import Tariff
from shared.kernel.errors import NotFound
from shared.kernel.times import utc
from shared.storage.pool import Connection

Row = dict[str, Any]


async def save_draft(connection: Connection, invoice: Invoice, tariff: Tariff) -> None:
    """Store a draft; one under the same id that is not final yet is replaced."""
    await connection.execute(
        "delete from billing.invoice where invoice_id = %s and state in ('draft', 'review')", (invoice.id,)
    )
    context, rated = invoice.context, invoice.rated
    await connection.execute(
        """insert into billing.invoice (invoice_id, tenant, customer_id, customer_class, state, issuer, currency, period_start, period_end,
               ledger_seq, tariff_id, tariff_version, tariff_digest, engine, slice_digest, digest, net, tax, gross)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            *(invoice.id, context.tenant, context.customer, context.class_.value, invoice.state.value, invoice.issuer),
            *(invoice.currency, utc(context.period_start), utc(context.period_end), invoice.ledger_seq),
            *(tariff.id, tariff.version, tariff.digest, rated.engine, rated.slice_digest, rated.digest),
            *(rated.net, rated.tax, rated.gross),
        ),
    )
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into billing.invoice_line (invoice_id, line_id, position, charge, scope, name, quantity, unit, amount, tax_code, tax_rate,
                   tax, explain, sentence, slice_digest, digest)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            [_line(invoice.id, place, line) for place, line in enumerate(rated.lines)],
        )
    await save_shares(connection, invoice.id, invoice.shares)


async def save_shares(connection: Connection, invoice: UUID, shares: Mapping[UUID, Sequence[Share]]) -> None:
    """Put these shares in place of those there were."""
    await connection.execute("delete from billing.invoice_share where invoice_id = %s", (invoice,))
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "insert into billing.invoice_share (invoice_id, line_id, position, payer, kind, amount) values (%s, %s, %s, %s, %s, %s)",
            [
                (invoice, line, place, share.payer, share.kind.value, share.amount)
                for line, several in shares.items()
                for place, share in enumerate(several)
            ],
        )


async def read_invoice(connection: Connection, invoice: UUID, *, lock: bool = False) -> Row:
    """The row; with `lock`, held until the transaction ends. Raises NotFound(invoice_unknown)."""
    ending = " for update" if lock else ""
    rows = await _rows(connection, f"select * from billing.invoice where invoice_id = %(id)s{ending}", {"id": invoice})
    if not rows:
        raise NotFound("invoice_unknown", f"there is no invoice {invoice}", field="id", remedy="see GET /v1/invoices")
    return rows[0]


async def list_invoices(
    connection: Connection,
    *,
    platform: str | None,
    customer: str | None,
    state: str | None,
    limit: int,
    after: UUID | None,
) -> list[Row]:
    """Newest first, after an invoice of the page before."""
    return await _rows(
        connection,
        """select * from billing.invoice i
           where (%(platform)s::text is null or tenant = %(platform)s) and (%(customer)s::text is null or customer_id = %(customer)s)
             and (%(state)s::text is null or state = %(state)s)
             and (%(after)s::uuid is null
                  or (created_at, invoice_id) < (select created_at, invoice_id from billing.invoice where invoice_id = %(after)s))
           order by created_at desc, invoice_id desc limit %(limit)s""",
        {"platform": platform, "customer": customer, "state": state, "after": after, "limit": limit},
    )


async def read_lines(connection: Connection, invoice: UUID, *, explained: bool = False) -> list[Row]:
    """Lines in order, each with its `shares`; the explain trees only when asked for, because they may be large."""
    explain = ", l.explain" if explained else ""
    return await _rows(
        connection,
        f"""select l.line_id, l.position, l.charge, l.scope, l.name, l.quantity, l.unit, l.amount, l.tax_code, l.tax_rate, l.tax, l.sentence,
                   l.slice_digest, l.digest{explain},
                   (select jsonb_agg(jsonb_build_object('payer', s.payer, 'kind', s.kind, 'amount', s.amount::text) order by s.position)
                    from billing.invoice_share s where s.invoice_id = l.invoice_id and s.line_id = l.line_id) as shares
            from billing.invoice_line l where l.invoice_id = %(id)s order by l.position""",
        {"id": invoice},
    )


async def find_line(connection: Connection, line: UUID, invoice: UUID | None) -> tuple[Row, UUID]:
    """A line with its tree, and its invoice: the one named, else the final one, else the newest draft. Raises NotFound(line_unknown)."""
    rows = await _rows(
        connection,
        """select i.invoice_id from billing.invoice_line l join billing.invoice i using (invoice_id)
           where l.line_id = %(line)s and (%(invoice)s::uuid is null or i.invoice_id = %(invoice)s)
           order by i.state = 'final' desc, i.created_at desc limit 1""",
        {"line": line, "invoice": invoice},
    )
    if not rows:
        raise NotFound("line_unknown", f"there is no line {line}", field="id", remedy="see GET /v1/invoices/{id}/lines")
    found: UUID = rows[0]["invoice_id"]
    lines = await read_lines(connection, found, explained=True)
    return next(each for each in lines if each["line_id"] == line), found


async def billed_period(connection: Connection, invoice: Row) -> Row | None:
    """Another final invoice of the customer whose period overlaps."""
    rows = await _rows(
        connection,
        """select * from billing.invoice where tenant = %(tenant)s and customer_id = %(customer_id)s and state = 'final'
             and invoice_id <> %(invoice_id)s and period_start < %(period_end)s and period_end > %(period_start)s limit 1""",
        invoice,
    )
    return rows[0] if rows else None


async def take_number(connection: Connection, issuer: str) -> str:
    """The issuer's next number. Its counter stays locked until the transaction ends, so a number that is rolled back is given again."""
    cursor = await connection.execute(
        """insert into billing.invoice_number as n (issuer, next_number) values (%s, 2)
           on conflict (issuer) do update set next_number = n.next_number + 1 returning next_number - 1""",
        (issuer,),
    )
    row = await cursor.fetchone()
    assert row is not None, "an upsert returns its row"
    return f"{issuer}-{row[0]:06d}"


async def _rows(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[Row]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement.encode(), parameters)
        return await cursor.fetchall()


def _line(invoice: UUID, place: int, line: RatedLine) -> tuple[Any, ...]:
    return (
        *(invoice, line.id, place, line.charge, line.scope),
        Jsonb({"en": line.name.en, "zh": line.name.zh}),
        *(line.quantity, line.unit, line.amount, line.tax_code, line.tax_rate, line.tax),
        Jsonb(document(line.tree), dumps=orjson.dumps),
        Jsonb({"en": line.sentence.en, "zh": line.sentence.zh}),
        *(line.slice_digest, line.digest),
    )
