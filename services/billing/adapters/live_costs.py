"""What a run has cost so far, from the ledger and the meter's segments in one snapshot of the database (B-13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from services.billing.adapters.ledger_reader import last_sequence, run_slice
from services.billing.adapters.tariffs import list_tariffs, resolve
from services.billing.domain.live_bill import LiveBill, live_bill
from services.billing.domain.local_hours import local_hours
from services.billing.domain.rating import RatingContext
from services.billing.domain.segment import Segment
from services.billing.domain.tariff import Tariff
from services.billing.domain.usage import open_segment_from_document, segment_from_document
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import NotAllowed, NotFound
from shared.kernel.times import Micros
from shared.storage.pool import Connection

_end_of_time: Micros = 7_258_118_400_000_000  # 2200-01-01, the latest instant the gateway takes


@dataclass(frozen=True, slots=True)
class RunCost:
    """A run's bill so far, under the tariff it pinned; settled up to `ledger_seq`."""

    run: str
    line: str
    platform: str
    customer: str
    customer_class: CustomerClass
    tariff: Tariff
    ledger_seq: int
    bill: LiveBill


async def owner_of(connection: Connection, run: str) -> tuple[str, str]:
    """Platform and line of a run that is metered. Raises NotFound(run_not_metered)."""
    cursor = await connection.execute(
        """select l.platform_id, s.line from (
               select line from billing.segment where run = %(run)s
               union all select line from billing.segment_open where document ->> 'run' = %(run)s limit 1) s
           join ingest.line l on l.line_id = s.line""",
        {"run": run},
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(
            "run_not_metered",
            f"nothing of run {run!a} is metered",
            field="run",
            remedy="see GET /v1/meters: the line needs a state model, and readings later than the run's start",
        )
    return row[0], row[1]


async def run_cost(connection: Connection, run: str) -> RunCost:
    """Raises NotFound(run_not_metered | tariff_unknown | customer_unknown), NotAllowed(run_without_tariff) and what `rate` raises."""
    await connection.execute("set transaction isolation level repeatable read, read only")
    platform, line = await owner_of(connection, run)
    metered = await _metered(connection, line, run)
    pinned = max((segment for segment in metered if segment.context.run == run), key=lambda segment: segment.start)
    customer = pinned.context.customer
    tariff = await _tariff(connection, platform, pinned)
    class_ = await _class(connection, platform, customer)
    context = RatingContext(platform, customer, class_, 0, _end_of_time)
    bill = live_bill(run, await run_slice(connection, platform, run), metered, tariff, context)
    return RunCost(run, line, platform, customer, class_, tariff, await last_sequence(connection), bill)


async def _metered(connection: Connection, line: str, run: str) -> list[Segment]:
    """Every revision of every closed segment that was ever the run's, and the line's open segments."""
    cursor = await connection.execute(
        """select document from billing.segment
           where line = %(line)s and segment_key in (select segment_key from billing.segment where run = %(run)s)""",
        {"line": line, "run": run},
    )
    closed = [segment_from_document(document) for (document,) in await cursor.fetchall()]
    cursor = await connection.execute("select document from billing.segment_open where line = %s", (line,))
    return closed + [open_segment_from_document(document) for (document,) in await cursor.fetchall()]


async def _tariff(connection: Connection, platform: str, segment: Segment) -> Tariff:
    """The version that the run pinned, or the newest one that holds on its day."""
    name, _, version = segment.context.tariff.partition("@")
    if not name:
        raise NotAllowed(
            "run_without_tariff",
            f"run {segment.context.run} pinned no tariff",
            field="run",
            remedy="start runs with the tariff that bills them",
        )
    found = [
        tariff
        for tariff in [resolve(each) for each in await list_tariffs(connection, platform, tariff_id=name)]
        if (str(tariff.version) == version if version else tariff.effective_on(_day(tariff, segment.start)))
    ]
    if not found:
        raise NotFound(
            "tariff_unknown",
            f"{platform} has no tariff {segment.context.tariff!a} that holds then",
            field="tariff",
            remedy="publish it: see GET /v1/tariffs",
        )
    return found[-1]


def _day(tariff: Tariff, instant: Micros) -> date:
    return local_hours(tariff.time_zone).cell(instant).day


async def _class(connection: Connection, platform: str, customer: str) -> CustomerClass:
    """The class that invoices use: the books' own once there is one, the registry's before."""
    cursor = await connection.execute(
        """select class from billing.customer where tenant = %(platform)s and customer_id = %(customer)s
           union all select class from ingest.customer where customer_id = %(customer)s limit 1""",
        {"platform": platform, "customer": customer},
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(
            "customer_unknown", f"there is no customer {customer!a}", field="customer", remedy="see GET /v1/registry"
        )
    return CustomerClass(row[0])
