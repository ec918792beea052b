"""Lines, trees and sentences for single rules of a tariff, and the states of an invoice."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.billing.domain.allocation import Payable, Payer, PayerKind, allocate
from services.billing.domain.e10 import EquipmentState, Responsible
from services.billing.domain.explain import document, evaluate_tree
from services.billing.domain.invoice import InvoiceState, draft_invoice, finalise, move
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.rating import RatedLine, RatingContext, rate
from services.billing.domain.tariff_file import load_tariff
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import Invalid, NotAllowed
from shared.kernel.ids import stable_id
from shared.kernel.times import DAY, HOUR, MINUTE
from tests.unit.billing.domain_builders import T0, usage_row
from tests.unit.billing.domain_tariffs import SESSION, TARIFF

CONTEXT = RatingContext("hz", "acme", CustomerClass.SME, T0, T0 + 31 * DAY)


def line(
    rows: list[LedgerRow], charge: str, tariff: str = TARIFF, class_: CustomerClass = CustomerClass.SME
) -> RatedLine:
    context = RatingContext("hz", "acme", class_, T0, T0 + 31 * DAY)
    return next(each for each in rate(rows, load_tariff(tariff), context).lines if each.charge == charge)


# B-9: time of day and customer class
def test_the_same_hour_costs_by_band_and_class() -> None:
    night, day = usage_row(1, T0 + 7 * HOUR, HOUR), usage_row(2, T0 + 8 * HOUR, HOUR)
    assert line([night], "hours").amount == Decimal("600.00")
    assert line([day], "hours").amount == Decimal("900.00")
    assert line([night, day], "hours", class_=CustomerClass.INDUSTRY).amount == Decimal("2400.00")


# B-9: the platform's own trouble is shown and costs nothing
def test_down_time_at_the_platforms_expense_is_shown_with_its_reason_at_price_zero() -> None:
    rows = [
        usage_row(1, T0, HOUR),
        usage_row(2, T0 + HOUR, HOUR, state=EquipmentState.UNSCHEDULED_DOWN, responsible=Responsible.PLATFORM),
        usage_row(3, T0 + 2 * HOUR, HOUR, state=EquipmentState.UNSCHEDULED_DOWN),
    ]
    hours = line(rows, "hours")
    assert (hours.amount, hours.quantity) == (Decimal("720.00"), Decimal(7200))
    products = document(hours.tree)["of"][0]["of"][0]["of"]
    waived = products[1]
    assert waived["label"] == "waived: at the platform's expense"
    assert [part["value"] for part in waived["of"]] == ["3600", "0"]
    assert "1 h unscheduled down (night) at 0 (at the platform's expense)" in hours.sentence.en
    assert "由平台承担" in hours.sentence.zh


# B-4
def test_time_beyond_the_cap_is_named_and_not_billed() -> None:
    hours = line([usage_row(1, T0, HOUR, inferred=15 * MINUTE, unknown=30 * MINUTE)], "hours")
    assert hours.amount == Decimal("300.00")
    assert "0.5 h without data not billed" in hours.sentence.en


# B-9: minimum session and rounding up
@pytest.mark.parametrize(
    ("minutes", "added", "amount"),
    [(30, 90 * 60, "750.00"), (120, 0, "1200.00"), (121, 14 * 60, "1280.00")],
)
def test_a_session_is_brought_up_to_its_minimum_and_then_to_the_step(minutes: int, added: int, amount: str) -> None:
    rows = [usage_row(n + 1, T0 + n * MINUTE, MINUTE) for n in range(minutes)]
    hours = line(rows, "hours", SESSION)
    assert (hours.quantity, hours.amount) == (Decimal(minutes * 60 + added), Decimal(amount))
    assert evaluate_tree(document(hours.tree)) == hours.amount


# B-9
def test_waived_time_counts_towards_the_minimum_session() -> None:
    rows = [
        usage_row(1, T0, HOUR),
        usage_row(2, T0 + HOUR, HOUR, state=EquipmentState.UNSCHEDULED_DOWN, responsible=Responsible.PLATFORM),
    ]
    assert line(rows, "hours", SESSION).amount == Decimal("600.00")


# B-9: graduated, volume, package, unit
@pytest.mark.parametrize(
    ("model", "amount"),
    [
        ('model: graduated\n    tiers: [{up_to: "100", price: "1"}, {price: "0.5"}]', "125.00"),
        ('model: volume\n    tiers: [{up_to: "100", price: "1"}, {price: "0.5"}]', "75.00"),
        ('model: package\n    package: "40"\n    price: "10"', "40.00"),
        ('model: unit\n    price: "0.005"', "0.75"),
    ],
)
def test_a_quantity_is_priced_by_its_model(model: str, amount: str) -> None:
    head, _, _ = TARIFF.partition("    model: graduated")
    energy = line([usage_row(1, T0, HOUR, energy="150")], "energy", f"{head}    {model}\n")
    assert energy.amount == Decimal(amount)
    assert evaluate_tree(document(energy.tree)) == energy.amount


# B-9
def test_a_flat_charge_is_one_line_per_run() -> None:
    flat = TARIFF + '  - {kind: flat, code: start, name: {en: Start, zh: 开机}, tax: services, price: "80"}\n'
    result = rate([usage_row(1, T0, HOUR), usage_row(2, T0 + HOUR, HOUR, run="r2")], load_tariff(flat), CONTEXT)
    assert [(each.scope, each.amount) for each in result.lines if each.charge == "start"] == [
        ("r1", Decimal(80)),
        ("r2", Decimal(80)),
    ]


# B-14: down to stream, boot, sequence and offsets
def test_a_leaf_names_run_segment_and_the_frames_it_came_from() -> None:
    row = usage_row(1, T0, HOUR)
    leaf = document(line([row], "hours").tree)["of"][0]["of"][0]["of"][0]["of"][0]["of"][0]
    assert (leaf["op"], leaf["run"], leaf["key"], leaf["ledger_seq"]) == ("segment", "r1", str(row.key), 1)
    assert leaf["evidence"]["ranges"] == [{"stream": "l1/reactor", "boot": "b1", "seq_from": 1, "seq_to": 1}]
    assert leaf["evidence"]["offsets"] == {"partition": 0, "first": 1, "last": 1}


# B-12: half a fen is rounded up, once
def test_half_a_fen_is_rounded_up_once_per_line() -> None:
    half = line([usage_row(1, T0 + 8 * HOUR, 20_000)], "hours")
    assert half.amount == Decimal("0.01")
    rows = [usage_row(n + 1, T0 + 8 * HOUR + n * 20_000, 20_000) for n in range(3)]
    assert line(rows, "hours").amount == Decimal("0.02")


# B-9
@pytest.mark.parametrize(
    ("row", "code"),
    [
        (usage_row(1, T0 - 60 * DAY, HOUR), "tariff_not_effective"),
        (usage_row(1, T0 + 30 * MINUTE, HOUR), "usage_crosses_hour"),
    ],
)
def test_usage_a_tariff_cannot_price_is_refused(row: LedgerRow, code: str) -> None:
    context = RatingContext("hz", "acme", CustomerClass.SME, T0 - 62 * DAY, T0 + 31 * DAY)
    tariff = load_tariff(TARIFF.replace("2026-01-01", "2026-03-01"))
    with pytest.raises(Invalid) as refusal:
        rate([row], tariff, context)
    assert refusal.value.code == code


# B-9
def test_a_quantity_in_another_unit_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        line([usage_row(1, T0, HOUR, energy="1")], "energy", TARIFF.replace("unit: kW.h", "unit: MJ"))
    assert refusal.value.code == "tariff_unit"


# B-15
def test_a_voucher_pays_its_percentage_until_its_cap_and_the_customer_the_rest() -> None:
    payables = [Payable(stable_id("line", n), "hours", Decimal("100.01")) for n in range(3)]
    voucher = Payer("v", PayerKind.VOUCHER, Decimal(50), Decimal(120))
    result = allocate(payables, [voucher], {"v": Decimal("10.00")}, "acme")
    assert [[share.amount for share in result.shares[each.line]] for each in payables] == [
        [Decimal("50.01"), Decimal("50.00")],
        [Decimal("50.01"), Decimal("50.00")],
        [Decimal("9.98"), Decimal("90.03")],
    ]
    assert result.consumed == {"v": Decimal("120.00")}


# B-15
@pytest.mark.parametrize(
    ("payers", "consumed", "code"),
    [
        (
            [Payer("a", PayerKind.VOUCHER, Decimal(60)), Payer("b", PayerKind.VOUCHER, Decimal(50))],
            {},
            "allocation_percent",
        ),
        ([Payer("a", PayerKind.VOUCHER, Decimal(0))], {}, "allocation_percent"),
        (
            [Payer("a", PayerKind.VOUCHER, Decimal(1)), Payer("a", PayerKind.VOUCHER, Decimal(2))],
            {},
            "allocation_duplicate",
        ),
        ([Payer("a", PayerKind.VOUCHER, Decimal(1), Decimal(5))], {"a": Decimal(6)}, "allocation_cap"),
    ],
)
def test_payers_that_cannot_be_asked_are_refused(payers: list[Payer], consumed: dict[str, Decimal], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        allocate([], payers, consumed, "acme")
    assert refusal.value.code == code


# B-16
def test_an_invoice_moves_by_its_states_and_final_is_the_end() -> None:
    tariff = load_tariff(TARIFF)
    draft = draft_invoice(rate([usage_row(1, T0, HOUR)], tariff, CONTEXT), CONTEXT, tariff, [], {}, "hz", 1)
    review = move(draft, InvoiceState.REVIEW)
    final = finalise(review, "HZ-1")
    assert (final.state, final.number, final.digest) == (InvoiceState.FINAL, "HZ-1", draft.digest)
    for state in InvoiceState:
        with pytest.raises(NotAllowed) as refusal:
            move(final, state)
        assert refusal.value.code == "invoice_state"
    with pytest.raises(NotAllowed):
        finalise(move(draft, InvoiceState.CANCELLED), "HZ-2")
    with pytest.raises(NotAllowed):
        move(draft, InvoiceState.FINAL)
