"""What a run has cost so far: settled by the ledger, provisional with what the meter knows beyond it."""

from __future__ import annotations

from decimal import Decimal

from services.billing.domain.live_bill import LiveBill, live_bill
from services.billing.domain.rating import RatingContext, rate
from services.billing.domain.segment import Segment
from services.billing.domain.tariff_file import load_tariff
from services.billing.domain.usage import open_segment_from_document, segment_document
from shared.contracts.lifecycle import InstrumentAnnotated
from shared.contracts.registry import CustomerClass
from tests.unit.billing.domain_builders import MeterBench, at, ledger, plan, run_records, steady
from tests.unit.billing.domain_tariffs import TARIFF

TARIFF_ = load_tariff(TARIFF)
WHOLE = RatingContext("hz", "acme", CustomerClass.SME, 0, at(10**6))


def bench_until(minute: int, end: float | None = None) -> MeterBench:
    bench = MeterBench(plan())
    bench.feed([*run_records(end=end), *steady(minute)])
    return bench


def seen(bench: MeterBench) -> list[Segment]:
    """The open segments as the database keeps them."""
    open_ = [
        open_segment_from_document(segment_document(segment) | {"provisional": True})
        for segment in bench.meter.provisional()
    ]
    assert open_ == [
        segment for segment in bench.meter.provisional() if segment.provisional
    ]  # nothing is lost on the way
    return [*bench.emitted, *open_]


def bill(bench: MeterBench, recorded: int) -> LiveBill:
    """With the first `recorded` usage events in the ledger."""
    return live_bill("r1", ledger(bench.emitted[:recorded]), seen(bench), TARIFF_, WHOLE)


# B-13
def test_what_is_open_or_not_recorded_yet_is_provisional() -> None:
    bench = bench_until(90)
    assert len(bench.emitted) == 2
    nothing, half, all_ = bill(bench, 0), bill(bench, 1), bill(bench, 2)
    assert (nothing.settled.gross, nothing.total) == (Decimal(0), all_.total)
    assert 0 < half.settled.gross < all_.settled.gross < all_.total.gross
    for each in (nothing, half, all_):
        assert each.settled.net + each.provisional.net == each.total.net
        assert each.settled.gross + each.provisional.gross == each.total.gross
        assert sum((line.line.amount for line in each.lines), Decimal(0)) == each.total.net
        assert sum((line.settled for line in each.lines), Decimal(0)) == each.settled.net
    assert all_.metered_until == at(90)


# B-13: an hour and a half at night, 600/h for each of two instruments; drive and reactor draw 300 kW as each of them meters it
def test_the_amount_so_far_is_that_of_the_same_rating() -> None:
    hours = next(line for line in bill(bench_until(90), 2).lines if line.line.charge == "hours")
    assert hours.line.amount == Decimal("1800.00")
    assert hours.settled == Decimal("1200.00")


# B-13: when all is closed and recorded, nothing is provisional and the total is what an invoice of the run says
def test_at_the_end_everything_is_settled_and_equals_the_invoice() -> None:
    bench = bench_until(180, end=120)
    found = bill(bench, len(bench.emitted))
    invoiced = rate(ledger(bench.emitted), TARIFF_, WHOLE)
    assert found.provisional.gross == 0
    assert (found.total.net, found.total.tax) == (invoiced.net, invoiced.tax)
    assert [line.line.digest for line in found.lines] == [line.digest for line in invoiced.lines]


# B-13: a correction that is not recorded yet shows as provisional, also downwards
def test_a_correction_on_its_way_is_provisional() -> None:
    tariff = load_tariff(
        TARIFF.replace("{states: [unscheduled_down], resp", "{states: [unscheduled_down, productive], resp")
    )
    bench = bench_until(60)
    recorded = ledger(bench.emitted)
    bench.feed([InstrumentAnnotated("n1", "l1", "l1/reactor", at(0), at(60), "pump", "li", "platform", 1)])
    bench.rebuild()
    found = live_bill("r1", recorded, seen(bench), tariff, WHOLE)
    assert found.provisional.net == Decimal("-600.00")
    assert found.settled.net > 1200


# B-13, B-21: another run's time is not in it
def test_another_run_is_not_in_it() -> None:
    bench = MeterBench(plan())
    bench.feed([*run_records("r0", start=-60, end=0), *run_records(), *steady(90)])
    other = live_bill("r0", ledger(bench.emitted), seen(bench), TARIFF_, WHOLE)
    assert other.total.gross == 0
    assert bill(bench, 2).total == bill(bench_until(90), 2).total
