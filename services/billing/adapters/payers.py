"""Customers as they are billed, vouchers and what is consumed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from services.billing.domain.allocation import Payer, PayerKind
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import NotAllowed, NotFound
from shared.storage.pool import Connection

_voucher_columns = "voucher_id, customer_id, scheme, kind, priority, percent, cap, service_codes, valid_from, valid_to"


@dataclass(frozen=True, slots=True)
class Voucher:
    """Somebody who pays a share of a customer's lines. `service_codes` are codes of charges, empty for every charge; it holds for invoices
    whose period begins on a local day of [valid_from, valid_to)."""

    id: str
    customer: str
    scheme: str
    kind: str
    priority: int
    percent: Decimal
    cap: Decimal | None
    service_codes: tuple[str, ...]
    valid_from: date
    valid_to: date | None

    def valid_on(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)

    def payer(self) -> Payer:
        return Payer(self.id, PayerKind(self.kind), self.percent, self.cap, self.service_codes)


async def lock_customer(connection: Connection, platform: str, customer: str) -> CustomerClass:
    """The class the customer is billed under, its row locked until the transaction ends: invoices of one customer are closed one by one.

    The first invoice or voucher takes customer and class from the registry; a later change there does not change the books. Raises
    NotFound(customer_unknown).
    """
    cursor = await connection.execute(
        "select name, class, credit_code from ingest.customer where customer_id = %s", (customer,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(
            "customer_unknown", f"there is no customer {customer!a}", field="customer", remedy="see GET /v1/registry"
        )
    await connection.execute(
        """insert into billing.customer (tenant, customer_id, name, class, credit_code) values (%s, %s, %s, %s, %s)
           on conflict (tenant, customer_id) do nothing""",
        (platform, customer, Jsonb(row[0]), row[1], row[2]),
    )
    cursor = await connection.execute(
        "select class from billing.customer where tenant = %s and customer_id = %s for update", (platform, customer)
    )
    found = await cursor.fetchone()
    assert found is not None, "the row was inserted above or was there"
    return CustomerClass(found[0])


async def add_voucher(connection: Connection, platform: str, voucher: Voucher) -> bool:
    """False when exactly it is there already. Raises NotFound(customer_unknown), NotAllowed(voucher_exists)."""
    await lock_customer(connection, platform, voucher.customer)
    known = {each.id: each for each in await list_vouchers(connection, platform)}
    if voucher.id in known:
        if known[voucher.id] == voucher:
            return False
        raise NotAllowed(
            "voucher_exists",
            f"{voucher.id} is there with other content",
            field="id",
            remedy="a voucher never changes: add another one",
        )
    await connection.execute(
        f"insert into billing.voucher (tenant, {_voucher_columns}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)".encode(),
        (
            *(platform, voucher.id, voucher.customer, voucher.scheme, voucher.kind, voucher.priority, voucher.percent),
            *(voucher.cap, list(voucher.service_codes), voucher.valid_from, voucher.valid_to),
        ),
    )
    return True


async def list_vouchers(connection: Connection, platform: str | None, *, customer: str | None = None) -> list[Voucher]:
    """By priority, then id: the order in which they are asked."""
    cursor = await connection.execute(
        f"""select {_voucher_columns} from billing.voucher where (%(platform)s::text is null or tenant = %(platform)s)
            and (%(customer)s::text is null or customer_id = %(customer)s) order by priority, voucher_id""".encode(),
        {"platform": platform, "customer": customer},
    )
    return [_voucher(row) for row in await cursor.fetchall()]


async def lock_vouchers(connection: Connection, platform: str, customer: str, day: date) -> list[Voucher]:
    """The customer's vouchers that hold on a day, locked until the transaction ends: what is left of them is theirs who hold the lock."""
    cursor = await connection.execute(
        f"""select {_voucher_columns} from billing.voucher where tenant = %s and customer_id = %s
            order by priority, voucher_id for update""".encode(),
        (platform, customer),
    )
    return [voucher for row in await cursor.fetchall() if (voucher := _voucher(row)).valid_on(day)]


async def consumed(connection: Connection, platform: str, vouchers: Sequence[str]) -> Mapping[str, Decimal]:
    """What final invoices have used of each voucher that was used at all."""
    cursor = await connection.execute(
        """select voucher_id, sum(amount) from billing.voucher_consumption where tenant = %s and voucher_id = any(%s)
           group by voucher_id""",
        (platform, list(vouchers)),
    )
    return dict(await cursor.fetchall())


def _voucher(row: Sequence[Any]) -> Voucher:
    number, customer, scheme, kind, priority, percent, cap, codes, valid_from, valid_to = row
    return Voucher(number, customer, scheme, kind, priority, percent, cap, tuple(codes), valid_from, valid_to)
