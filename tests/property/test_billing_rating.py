"""Rating as a pure function: order, repetition and cutting of the ledger do not change a fen, and everything sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from services.billing.domain.allocation import Payable, Payer, PayerKind, allocate
from services.billing.domain.e10 import EquipmentState, Responsible
from services.billing.domain.explain import document, evaluate_tree, graduated, package, top_up, volume
from services.billing.domain.invoice import consumption, draft_invoice, finalise, payer_totals, verify_invoice
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.rating import RatedLines, RatingContext, adjustments, rate
from services.billing.domain.tariff_file import load_tariff
from shared.contracts.registry import CustomerClass
from shared.kernel.ids import stable_id
from shared.kernel.times import DAY, HOUR, MINUTE, SECOND
from tests.unit.billing.domain_builders import T0, usage_row
from tests.unit.billing.domain_tariffs import TARIFF

LOADED = load_tariff(TARIFF)
FEW = settings().max_examples * 2 // 5
"""An example is a whole story: fewer of them than of small ones."""
CONTEXT = RatingContext("hz", "acme", CustomerClass.SME, T0, T0 + 31 * DAY)

fen = st.decimals(min_value=-10_000, max_value=10_000, places=2, allow_nan=False)
amounts = st.decimals(min_value=0, max_value=10_000, places=2, allow_nan=False)
units = st.decimals(min_value=0, max_value=100_000, places=9, allow_nan=False)
prices = st.decimals(min_value=0, max_value=1000, places=12, allow_nan=False)


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerRow]:
    """Rows of one hour or less each, two runs, every state, some time inferred or unknown."""
    rows: list[LedgerRow] = []
    for number in range(draw(st.integers(1, 25))):
        duration = draw(st.integers(4, HOUR))
        rows.append(
            usage_row(
                number + 1,
                T0 + number * HOUR,
                duration,
                state=draw(st.sampled_from(list(EquipmentState))),
                responsible=draw(st.sampled_from([Responsible.CUSTOMER, Responsible.PLATFORM])),
                energy=str(draw(st.decimals(0, 500, places=9, allow_nan=False))),
                run=draw(st.sampled_from(["r1", "r2"])),
                inferred=draw(st.integers(0, duration // 4)),
                unknown=draw(st.integers(0, duration // 4)),
            )
        )
    return rows


def rated(rows: Sequence[LedgerRow], context: RatingContext = CONTEXT) -> RatedLines:
    return rate(rows, LOADED, context)


# B-21: permutation, k-fold duplication; B-12: re-rating gives the same digests
@settings(max_examples=FEW)
@given(rows=ledgers(), data=st.data())
def test_order_and_repetition_of_the_ledger_change_no_digest(rows: list[LedgerRow], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows * data.draw(st.integers(1, 3))))
    assert rated(shuffled).digest == rated(rows).digest
    assert [line.digest for line in rated(shuffled).lines] == [line.digest for line in rated(rows).lines]


# B-12: total = sum of lines; tax per group by largest remainder
@settings(max_examples=FEW)
@given(rows=ledgers())
def test_lines_and_taxes_sum_to_the_totals(rows: list[LedgerRow]) -> None:
    result = rated(rows)
    assert sum((line.amount for line in result.lines), Decimal(0)) == result.net
    assert sum((line.tax for line in result.lines), Decimal(0)) == result.tax
    for group in result.taxes:
        members = [line for line in result.lines if line.tax_code == group.code]
        assert sum((line.tax for line in members), Decimal(0)) == group.tax
        assert abs(group.tax - group.base * group.rate) <= Decimal("0.005")


# B-14: re-evaluating the tree gives the amount
@settings(max_examples=FEW)
@given(rows=ledgers())
def test_every_tree_evaluates_to_its_amount_from_its_leaves(rows: list[LedgerRow]) -> None:
    for line in rated(rows).lines:
        tree = document(line.tree)
        assert evaluate_tree(tree) == line.amount
        assert evaluate_tree(_without_inner_values(tree)) == line.amount


# B-12: the amount is the exact one, rounded once
@settings(max_examples=FEW)
@given(rows=ledgers())
def test_time_is_billed_exactly_as_fractions_say(rows: list[LedgerRow]) -> None:
    exact: dict[str, Fraction] = {}
    for row in rows:
        hour = (row.start - T0) // HOUR % 24
        waived = row.state == "unscheduled_down" and row.responsible == "platform"
        price = (
            0
            if waived
            else 900
            if row.state == "productive" and 8 <= hour < 22
            else 600
            if row.state == "productive"
            else 120
        )
        exact[row.run] = exact.get(row.run, Fraction(0)) + Fraction(row.billable * price, HOUR)
    hours = [line for line in rated(rows).lines if line.charge == "hours"]
    assert {line.scope for line in hours} == set(exact)
    for line in hours:
        assert abs(Fraction(line.amount) - exact[line.scope]) <= Fraction(1, 200)


# B-3, B-21: split additivity
@settings(max_examples=FEW)
@given(rows=ledgers(), share=st.fractions(min_value=0, max_value=1))
def test_cutting_rows_in_two_changes_no_amount(rows: list[LedgerRow], share: Fraction) -> None:
    cut: list[LedgerRow] = []
    for row in rows:
        first = round(row.measured * share)
        if not 0 < first < row.measured:
            cut.append(row)
            continue
        energy = row.quantities[0]
        part = (energy.value * first / row.measured).quantize(Decimal("1e-9"))
        middle = row.start + first
        head = replace(
            row, end=middle, measured=first, inferred=0, unknown=0, quantities=(replace(energy, value=part),)
        )
        tail = replace(
            row,
            key=stable_id("tail", row.key),
            start=middle,
            measured=row.measured - first,
            quantities=(replace(energy, value=energy.value - part),),
        )
        cut += [head, tail]
    assert [(line.id, line.amount, line.tax) for line in rated(cut).lines] == [
        (line.id, line.amount, line.tax) for line in rated(rows).lines
    ]


# B-21: tier monotonicity
@given(low=units, more=units, tiers=st.lists(st.tuples(st.integers(1, 90_000), prices), max_size=4), last=prices)
def test_more_units_never_cost_less_by_graduated_tiers_packages_or_sessions(
    low: Decimal, more: Decimal, tiers: list[tuple[int, Decimal]], last: Decimal
) -> None:
    limits: list[tuple[Decimal | None, Decimal]] = [(Decimal(k), v) for k, v in sorted(dict(tiers).items())]
    table = [*limits, (None, last)]
    assert graduated(low + more, table) >= graduated(low, table)
    assert package(low + more, Decimal(7), last) >= package(low, Decimal(7), last)
    assert low + more + top_up(low + more, Decimal(60), Decimal(15)) >= low + top_up(low, Decimal(60), Decimal(15))
    flat: list[tuple[Decimal | None, Decimal]] = [(None, last)]
    assert volume(low, flat) == graduated(low, flat) == low * last


# B-21: 10 x 0.1
def test_ten_times_a_tenth_is_one() -> None:
    rows = [usage_row(n + 1, T0 + n * 360 * SECOND, 360 * SECOND, energy="0.1") for n in range(10)]
    result = rated(rows)
    assert next(line for line in result.lines if line.charge == "hours").quantity == 3600
    energy = next(line for line in result.lines if line.charge == "energy")
    assert (energy.quantity, energy.amount) == (Decimal(1), Decimal("0.85"))


# B-21: tenant isolation: the same id in two tenants
@settings(max_examples=FEW)
@given(rows=ledgers())
def test_another_tenant_or_customer_with_the_same_ids_changes_nothing(rows: list[LedgerRow]) -> None:
    strangers = [replace(row, tenant="other", revision=7, content_hash="f" * 64) for row in rows]
    guests = [replace(row, key=stable_id("guest", row.key), customer="guest") for row in rows]
    assert rated([*strangers, *rows, *guests]).digest == rated(rows).digest


# B-7: what is superseded no longer counts, in whatever order it is read
@settings(max_examples=FEW)
@given(rows=ledgers(), data=st.data())
def test_a_superseding_revision_replaces_and_a_void_one_removes(rows: list[LedgerRow], data: st.DataObject) -> None:
    void, revised = rows[0], rows[-1]
    older = replace(revised, revision=0, ledger_seq=900, content_hash="a" * 64, measured=revised.measured // 2)
    newer = replace(revised, revision=1, ledger_seq=901)
    gone = replace(void, revision=1, ledger_seq=902, void=True)
    middle = rows[1:-1]
    if len(rows) == 1:
        assert not rated([void, gone]).lines
        return
    log = data.draw(st.permutations([void, gone, older, newer, *middle]))
    assert rated(log).digest == rated([*middle, newer]).digest


# G9: late usage converges, in any order of arrival and closing
@settings(max_examples=FEW)
@given(rows=ledgers(), data=st.data())
def test_invoices_and_adjustments_sum_to_a_one_shot_rating(rows: list[LedgerRow], data: st.DataObject) -> None:
    log = data.draw(st.permutations(rows))
    closes = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    invoiced: dict[object, Decimal] = {}
    for position in [*closes, len(log)]:
        for line, delta in adjustments(rated(log[:position]), dict(invoiced)).items():  # type: ignore[arg-type]
            invoiced[line] = invoiced.get(line, Decimal(0)) + delta
    expected = {line.id: line.amount for line in rated(rows).lines if line.amount}
    assert {line: amount for line, amount in invoiced.items() if amount} == expected


# B-15, B-21: conservation of shares, never over a cap, never below nothing
@given(
    lines=st.lists(fen, min_size=1, max_size=12),
    percents=st.lists(st.integers(1, 33), max_size=3),
    caps=st.lists(st.none() | amounts, min_size=3, max_size=3),
)
def test_shares_sum_to_the_line_and_respect_every_cap(
    lines: list[Decimal], percents: list[int], caps: list[Decimal | None]
) -> None:
    payers = [
        Payer(f"v{n}", PayerKind.VOUCHER, Decimal(percent), cap)
        for n, (percent, cap) in enumerate(zip(percents, caps, strict=False))
    ]
    payables = [Payable(stable_id("line", n), "hours", amount) for n, amount in enumerate(lines)]
    result = allocate(payables, payers, {}, "acme")
    for payable in payables:
        shares = result.shares[payable.line]
        assert sum((share.amount for share in shares), Decimal(0)) == payable.amount
        if payable.amount >= 0:
            assert all(share.amount >= 0 for share in shares)
    for payer in payers:
        given_amount = result.consumed.get(payer.id, Decimal(0))
        assert given_amount >= 0
        assert payer.cap is None or given_amount <= payer.cap


# B-12, B-15, B-16: an invoice is what a stranger computes again, and its payers sum to it
@settings(max_examples=FEW)
@given(rows=ledgers(), cap=amounts)
def test_a_final_invoice_verifies_and_its_payers_sum_to_the_gross(rows: list[LedgerRow], cap: Decimal) -> None:
    payers = [Payer("voucher-1", PayerKind.VOUCHER, Decimal(30), cap)]
    draft = draft_invoice(rated(rows), CONTEXT, LOADED, payers, {}, "hz", rows[-1].ledger_seq)
    final = finalise(draft, "HZ-000001")
    assert verify_invoice(final, rows, LOADED) == ()
    assert sum(payer_totals(final).values(), Decimal(0)) == final.rated.gross
    assert consumption(final).get("voucher-1", Decimal(0)) <= cap
    later = usage_row(10_000, T0 + 40 * MINUTE, MINUTE, run="r9")
    assert verify_invoice(final, [*rows, later], LOADED) == ()
    damaged = [replace(rows[0], measured=rows[0].measured + SECOND, content_hash="e" * 64), *rows[1:]]
    assert verify_invoice(final, damaged, LOADED) != ()


def _without_inner_values(tree: dict[str, object]) -> dict[str, object]:
    if tree["op"] in ("segment", "constant"):
        return tree
    parts = tree["of"]
    assert isinstance(parts, list)
    return {**tree, "value": "nonsense", "of": [_without_inner_values(part) for part in parts]}
