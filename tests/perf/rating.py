"""How many ledger rows a second one core rates: time by state, class and time of day, energy in tiers, digests and trees included.

    python -m tests.perf.rating [--long]

The ceiling is the least that any rating of these rows must do: sort them, add up their time and energy, hash their content.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from services.billing.domain.e10 import EquipmentState, Responsible
from services.billing.domain.explain import document, evaluate_tree
from services.billing.domain.ledger import LedgerRow
from services.billing.domain.rating import RatedLines, RatingContext, rate
from services.billing.domain.segment import Evidence, MeteredQuantity, QuantityKind, SequenceRange
from services.billing.domain.tariff_file import load_tariff
from shared.contracts.registry import CustomerClass
from shared.kernel.ids import stable_id
from shared.kernel.money import add, round_to_fen
from shared.kernel.times import DAY, HOUR, MINUTE
from tests.perf import report

START = 1_767_196_800_000_000  # 2026-01-01T00:00+08:00
ROWS = 100_000
LONG_ROWS = 1_000_000
PASSES = 5
BAR = 50_000

TARIFF = """
id: bench
version: 1
name: {en: Bench, zh: 基准}
currency: CNY
time_zone: Asia/Shanghai
effective_from: 2026-01-01
bands:
  - {name: peak, hours: [9, 21], weekdays: [mon, tue, wed, thu, fri]}
  - {name: shoulder, hours: [7, 9]}
taxes:
  - {code: services, name: {en: VAT 6 %, zh: 增值税 6%}, rate: "0.06"}
charges:
  - kind: time
    code: hours
    name: {en: Hours, zh: 机时}
    tax: services
    rates:
      - {states: [productive], bands: [peak], classes: [industry], price: "1200"}
      - {states: [productive, engineering], bands: [shoulder], price: "1000.5"}
      - {states: [productive, engineering], price: "900"}
      - {price: "120.25"}
    waivers:
      - {states: [unscheduled_down], responsible: [platform], reason: {en: platform, zh: 平台}}
    session: {minimum: 2 h, round_up: 15 min, price: "300"}
  - kind: quantity
    code: energy
    name: {en: Electricity, zh: 电能}
    tax: services
    quantity: energy
    unit: kW.h
    model: graduated
    tiers: [{up_to: "5000", price: "0.85"}, {up_to: "50000", price: "0.72"}, {price: "0.613333333333"}]
"""
CONTEXT = RatingContext("hz", "acme", CustomerClass.INDUSTRY, START, START + 365 * DAY)


def rows_of(count: int) -> list[LedgerRow]:
    """Segments of 12 minutes on four instruments, runs of 50 h, five states in turn."""
    states = list(EquipmentState)[:5]
    return [_row(number, states[number % 5]) for number in range(count)]


def _row(number: int, state: EquipmentState) -> LedgerRow:
    start = START + number % (365 * DAY // (12 * MINUTE)) * 12 * MINUTE
    instrument = f"l1/i{number // (365 * DAY // (12 * MINUTE))}"
    down = state is EquipmentState.UNSCHEDULED_DOWN
    energy = Decimal(number % 977).scaleb(-3) + Decimal("0.000000001")
    return LedgerRow(
        ledger_seq=number + 1,
        tenant="hz",
        source="/platforms/hz/lines/l1/meter",
        event_id=str(number),
        key=stable_id("segment", number),
        revision=0,
        void=False,
        line="l1",
        instrument=instrument,
        customer="acme",
        project="p",
        run=f"run-{(start - START) // (50 * HOUR)}",
        phase="",
        service_code="",
        state=state.value,
        sub_state="",
        reason="",
        responsible=(Responsible.PLATFORM if down and number % 2 else Responsible.CUSTOMER).value,
        start=start,
        end=start + 12 * MINUTE,
        measured=11 * MINUTE,
        inferred=MINUTE,
        unknown=0,
        quantities=(MeteredQuantity("energy", "kW.h", QuantityKind.INTEGRAL, energy, 12 * MINUTE),),
        content_hash=hashlib.sha256(str(number).encode()).hexdigest(),
        evidence=Evidence((SequenceRange("l1/s", "b", number, number),), 1, 4, "0" * 64),
    )


def least_work(rows: list[LedgerRow]) -> None:
    hasher = hashlib.sha256()
    energy, duration = Decimal(0), 0
    for row in sorted(rows, key=lambda row: (row.start, row.key)):
        energy = add(energy, row.quantities[0].value)
        duration += row.measured + row.inferred
        hasher.update(row.content_hash.encode())


def per_second(work: Callable[[], object], count: int) -> float:
    """Per second of processor time (other processes share the machine), the median of several passes."""
    speeds = []
    for _ in range(PASSES):
        began = time.process_time()
        work()
        speeds.append(count / (time.process_time() - began))
    return statistics.median(speeds)


def check(rows: list[LedgerRow], rated: RatedLines) -> None:
    """Raises WrongResult unless the energy line is what fractions say and every line's tree gives its amount."""
    units = sum((Fraction(row.quantities[0].value) for row in rows), Fraction(0))
    exact = min(units, Fraction(5000)) * Fraction("0.85")
    exact += max(Fraction(0), min(units, Fraction(50_000)) - 5000) * Fraction("0.72")
    exact += max(Fraction(0), units - 50_000) * Fraction("0.613333333333")
    energy = next(line for line in rated.lines if line.charge == "energy")
    if abs(Fraction(energy.amount) - exact) > Fraction(1, 200):
        raise report.WrongResult(f"energy costs {energy.amount}, not {round_to_fen(Decimal(float(exact)))}")
    for line in rated.lines:
        if evaluate_tree(document(line.tree)) != line.amount:
            raise report.WrongResult(f"the tree of line {line.id} does not give its amount")
    if rate(reversed(rows), load_tariff(TARIFF), CONTEXT).digest != rated.digest:
        raise report.WrongResult("the same rows in another order have another digest")


def main() -> None:
    count = LONG_ROWS if "--long" in sys.argv[1:] else ROWS
    rows, tariff = rows_of(min(count, 4 * 365 * 120)), load_tariff(TARIFF)
    check(rows, rate(rows, tariff, CONTEXT))
    speed = per_second(lambda: rate(rows, tariff, CONTEXT), len(rows))
    ceiling = per_second(lambda: least_work(rows), len(rows))
    report.publish(
        report.line(
            "rating",
            unit="segments/s",
            figures={"segments per second and core": speed, "segments": len(rows)},
            ceiling={"sort, add up and hash": ceiling},
            ratio=speed / ceiling,
            bars=[report.Bar("segments per second and core", BAR, speed, "at least")],
        )
    )


if __name__ == "__main__":
    main()
