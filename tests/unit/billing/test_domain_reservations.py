"""Quantities that no channel measures: stored samples and bytes, and reserved time with the reservation that counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.billing.domain.explain import document, evaluate_tree
from services.billing.domain.rating import RatedLines, RatingContext, rate
from services.billing.domain.readings import row_bytes
from services.billing.domain.segment import MeteredQuantity, Segment
from services.billing.domain.state_model_file import load_state_model
from services.billing.domain.tariff_file import load_tariff
from shared.contracts.lifecycle import InstrumentReserved, LineRecord, ReservationCancelled
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import Invalid, Reject
from tests.unit.billing.domain_builders import (
    MODEL,
    STREAMS,
    MeterBench,
    at,
    frame,
    ledger,
    plan,
    run_records,
    steady,
)
from tests.unit.billing.domain_tariffs import TARIFF

KINDS = """      - {name: slot, kind: reserved, unit: h}
      - {name: rows, kind: samples, stream: drive, unit: "1"}
      - {name: data, kind: bytes, stream: reactor, unit: kBy}
      - {name: energy"""
COUNTING = MODEL.replace("      - {name: energy", KINDS)
PRICED = (
    TARIFF
    + """
  - {kind: quantity, code: slot, name: {en: Reserved, zh: 预约机时}, tax: services, quantity: slot, unit: h, model: unit, scope: run,
     tiers: [{price: "50"}]}
  - {kind: quantity, code: data, name: {en: Data, zh: 数据存储}, tax: services, quantity: data, unit: kBy, model: unit,
     tiers: [{price: "1"}]}
"""
)


def slot(
    name: str, start: float, end: float, customer: str = "acme", booked: int = 1, tariff: str = ""
) -> InstrumentReserved:
    return InstrumentReserved(
        name, name, "l1", "l1/reactor", at(start), at(end), customer, "p9", "pilot", tariff, booked
    )


def cancelled(name: str, minute: float) -> ReservationCancelled:
    return ReservationCancelled(f"{name}/cancelled", name, "l1", "l1/reactor", at(minute))


def bench_of(*records: LineRecord) -> MeterBench:
    """Three hours of readings; a run of acme in the second hour; what the drive says goes on after the end."""
    bench = MeterBench(plan(COUNTING))
    bench.feed([*records, *run_records(start=60, end=120), *steady(180)])
    bench.rebuild()
    return bench


def reactor(bench: MeterBench) -> list[Segment]:
    return [segment for segment in bench.in_force() if segment.instrument == "l1/reactor"]


def quantity(segment: Segment, name: str) -> MeteredQuantity:
    return next(each for each in segment.quantities if each.name == name)


def reserved(bench: MeterBench) -> list[tuple[int, int, str, str]]:
    return [
        (round((s.start - at(0)) / 60e6), round((s.end - at(0)) / 60e6), s.context.customer, s.context.reservation)
        for s in reactor(bench)
        if s.context.reservation
    ]


def rated(bench: MeterBench, customer: str = "acme") -> RatedLines:
    context = RatingContext("hz", customer, CustomerClass.SME, at(0), at(600))
    return rate(ledger(bench.in_force()), load_tariff(PRICED), context)


# B-2: each row of a stream is counted where it lies, with 8 bytes for its instant and 9 for each channel of the stream
def test_samples_and_bytes_are_those_of_the_rows_inside() -> None:
    for segment in reactor(bench_of()):
        if segment.end == at(180):
            continue
        assert quantity(segment, "rows").value == 12
        assert quantity(segment, "data").value == Decimal(20 * row_bytes(2)) / 1000
        assert segment.evidence.samples == 12 + 20
    assert row_bytes(2) == 26


# B-2: a frame that came twice is stored once and counted once
def test_a_repeated_frame_is_not_counted_again() -> None:
    bench, again = bench_of(), bench_of()
    again.feed(steady(180))
    assert again.in_force() == bench.in_force()


# B-2: rows of a stream of which no channel is read count, and are in the evidence
def test_a_stream_may_be_counted_that_no_condition_reads() -> None:
    text = MODEL.replace(
        "      - {name: heat, kind: integral, channel: drive.power, unit: MJ}",
        "      - {name: data, kind: bytes, stream: reactor, unit: By}",
    )
    bench = MeterBench(plan(text))
    bench.feed([*steady(60), frame("l1/reactor", 90, [61], [[1.0, 1.0]]), frame("l1/drive", 90, [61], [[1.0]])])
    drive = next(segment for segment in bench.in_force() if segment.instrument == "l1/drive" and segment.end == at(60))
    assert "l1/reactor" in {each.stream for each in drive.evidence.ranges}
    hour = [s for s in bench.in_force() if s.instrument == "l1/drive" and s.end <= at(60)]
    assert sum(quantity(s, "data").value for s in hour) == 20 * row_bytes(2)


# B-2: reserved time with the reservation's id, whether a run of the customer was there or nobody
def test_reserved_time_counts_with_and_without_the_customers_run() -> None:
    bench = bench_of(slot("s1", 30, 150))
    assert reserved(bench) == [(30, 60, "acme", "s1"), (60, 120, "acme", "s1"), (120, 150, "acme", "s1")]
    assert [quantity(s, "slot").value for s in reactor(bench) if s.context.reservation] == [
        Decimal("0.5"),
        Decimal(1),
        Decimal("0.5"),
    ]
    first = next(s for s in reactor(bench) if s.context.reservation)
    assert (first.context.run, first.context.project, first.outcome.state) == ("", "p9", "non_scheduled")
    assert quantity(first, "slot").covered == first.end - first.start


# B-2: nobody pays for a slot that somebody else used
def test_a_slot_used_by_another_customer_does_not_count() -> None:
    assert reserved(bench_of(slot("s1", 30, 150, "beta"))) == [(30, 60, "beta", "s1"), (120, 150, "beta", "s1")]


# B-2
def test_of_two_reservations_of_an_instant_the_one_booked_first_counts() -> None:
    first, second = slot("s1", 10, 40), slot("s2", 20, 55, "beta", booked=2)
    expected = [(10, 40, "acme", "s1"), (40, 55, "beta", "s2")]
    assert reserved(bench_of(first, second)) == reserved(bench_of(second, first)) == expected


# B-2, B-3: what is learnt late supersedes
@pytest.mark.parametrize(
    ("minute", "expected"), [(5, []), (10, []), (25, [(10, 25, "acme", "s1")]), (50, [(10, 40, "acme", "s1")])]
)
def test_a_cancellation_frees_the_time_after_it(minute: float, expected: list[Any]) -> None:
    bench = bench_of(slot("s1", 10, 40))
    bench.feed([cancelled("s1", minute)])
    bench.rebuild()
    assert reserved(bench) == expected
    assert reserved(bench_of(cancelled("s1", minute), slot("s1", 10, 40))) == expected
    assert reactor(bench) == reactor(bench_of(slot("s1", 10, 40), cancelled("s1", minute)))


# B-2, B-9: a tariff prices it like any quantity; without a run nothing but the reserved time is billed
def test_reserved_time_and_bytes_are_priced_and_explained() -> None:
    lines = rated(bench_of(slot("s1", 30, 150))).lines
    slots = [line for line in lines if line.charge == "slot"]
    assert [(line.scope, line.quantity, line.amount) for line in slots] == [
        ("r1", Decimal(1), Decimal("50.00")),
        ("s1", Decimal(1), Decimal("50.00")),
    ]
    data = next(line for line in lines if line.charge == "data")
    assert data.amount == Decimal("0.52")
    plain = {line.charge: line.amount for line in rated(bench_of()).lines if line.charge in ("hours", "energy", "data")}
    assert plain == {line.charge: line.amount for line in lines if line.charge in plain}
    for line in slots:
        tree = document(line.tree)
        assert evaluate_tree(tree) == line.amount
        assert {leaf["reservation"] for leaf in _leaves(tree)} == {"s1"}
    leaf = _leaves(document(data.tree))[0]
    assert "l1/reactor" in {each["stream"] for each in leaf["evidence"]["ranges"]}


# B-2: a customer who only reserved owes the reserved time and nothing else
def test_a_no_show_is_billed_the_reserved_time_alone() -> None:
    lines = rated(bench_of(slot("s1", 0, 45, "beta")), "beta").lines
    assert [(line.charge, line.scope, line.quantity) for line in lines] == [("slot", "s1", Decimal("0.75"))]


@pytest.mark.parametrize(
    ("bad", "code"),
    [(slot("s1", 40, 40), "reservation_range"), (slot("s1", 0, 1, "x" * 201), "reservation_text")],
)
def test_a_reservation_that_cannot_hold_is_refused_and_forgotten(bad: InstrumentReserved, code: str) -> None:
    bench = bench_of()
    before = bench.meter.snapshot()
    with pytest.raises(Reject) as refused:
        bench.meter.apply(bad)
    assert refused.value.code == code
    assert bench.meter.snapshot() == before


# B-2: how such quantities are written
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("kind: reserved, unit: kg", "state_model_quantity"),
        ("kind: reserved, stream: drive, unit: h", "state_model_quantity"),
        ("kind: bytes, unit: By", "state_model_quantity"),
        ("kind: bytes, stream: drive, unit: h", "state_model_quantity"),
        ('kind: samples, stream: drive, channel: drive.power, unit: "1"', "state_model_quantity"),
        ('kind: samples, stream: nothing, unit: "1"', "state_model_unknown_channel"),
        ("kind: integral, channel: drive.power, stream: drive, unit: kW.h", "state_model_quantity"),
    ],
)
def test_a_quantity_without_a_channel_names_exactly_what_it_counts(text: str, code: str) -> None:
    spoilt = COUNTING.replace("kind: reserved, unit: h", text)
    with pytest.raises(Invalid) as refused:
        load_state_model(spoilt, STREAMS)
    assert refused.value.code == code


# B-1: a published model keeps its digest for ever, whatever the language learns
def test_the_digest_of_a_model_without_streams_is_what_it_was() -> None:
    assert load_state_model(MODEL, STREAMS).digest == "2d8595db23852a4f7533d30e6a0920038c5926a1455f88e7453bda0e18eb1b01"


def _leaves(tree: dict[str, Any]) -> list[dict[str, Any]]:
    if tree["op"] == "segment":
        return [tree]
    return [leaf for part in tree.get("of", []) for leaf in _leaves(part)]
