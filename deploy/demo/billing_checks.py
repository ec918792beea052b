"""The demonstration's checks of metering and billing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from deploy.demo.asking import Document
from deploy.demo.checks import Check
from deploy.demo.metered import feed_loss, integrals
from deploy.demo.office import VOUCHER, Billed
from deploy.demo.plan import LENGTH, Plan
from deploy.demo.reckoning import reaches_the_log, reckon, segments
from deploy.demo.story import RunUsage

_INSTRUMENTS = 4
_WAIVED = "d06"
"""The run whose plant stands still for a reason that is the platform's."""
_ROUNDED = Fraction(1, 10**9)
"""A segment's quantity has nine decimals."""


def check_usage(usage: Mapping[str, RunUsage], counts: Sequence[Document], plan: Plan) -> Iterator[Check]:
    """Every hour has a state, every quantity is the integral of its channel, the platform's trouble is found."""
    for books in counts:
        parts = ("recorded", "duplicate", "conflict", "quarantined")
        balanced = books["received"] == sum(books[part] for part in parts)
        clean = books["conflict"] == books["quarantined"] == 0
        detail = f"received {books['received']} = " + " + ".join(f"{part} {books[part]}" for part in parts)
        yield Check("usage events are recorded once", balanced and clean, detail)
    for run in plan.runs:
        yield _whole_time(run, usage[run])
        yield _quantities(run, usage[run], plan)
    yield _expense(usage, plan)


def _whole_time(run: str, usage: RunUsage) -> Check:
    seconds: dict[str, Decimal] = {}
    for item in usage.hours:
        parts = (Decimal(item[name]) for name in ("measured_s", "inferred_s", "unknown_s"))
        seconds[item["instrument"]] = seconds.get(item["instrument"], Decimal(0)) + sum(parts)
    whole = Decimal(LENGTH) / 1_000_000
    passed = len(seconds) == _INSTRUMENTS and set(seconds.values()) == {whole}
    states = sorted({item["state"] for item in usage.hours})
    return Check(f"{run}: hours by state sum to the run", passed, f"{len(seconds)} instruments, {', '.join(states)}")


def _quantities(run: str, usage: RunUsage, plan: Plan) -> Check:
    found: dict[str, Fraction] = {}
    for item in usage.quantities:
        found[item["name"]] = found.get(item["name"], Fraction(0)) + Fraction(item["value"])
    wrong, shown = [], []
    for name, amount in integrals(plan, run).items():
        shown.append(f"{name} {float(found.get(name, Fraction(0))):.3f}")
        if abs(found.get(name, Fraction(-1)) - amount) > _ROUNDED * 500:
            wrong.append(f"{name}: {float(amount):.9f} by the recording")
    return Check(f"{run}: metered quantities are the channels' integrals", not wrong, ", ".join(wrong or shown))


def _expense(usage: Mapping[str, RunUsage], plan: Plan) -> Check:
    """Unscheduled down at the platform's expense: where the recording loses its A feed, and nowhere else."""
    wanted = {run: loss.hours for run in plan.runs if (loss := feed_loss(run)) is not None}
    found: dict[str, Decimal] = {}
    for run, metered in usage.items():
        for item in metered.hours:
            if item["instrument"] == "te1/reactor" and item["state"] == "unscheduled_down":
                found[run] = Decimal(item["measured_s"]) / 3600
                if item["responsible"] != "platform":
                    found[run] = Decimal(-1)
    detail = ", ".join(f"{run}: {hours.normalize():f} h" for run, hours in found.items()) or "none"
    return Check("unscheduled down at the platform's expense", found == wanted, detail)


def check_invoices(billed: Mapping[str, Billed], voucher: Document, plan: Plan) -> Iterator[Check]:
    """Totals, shares, explanations and proofs of every invoice."""
    for customer, bill in billed.items():
        yield _totals(customer, bill)
        yield _shares(customer, bill)
        yield _explained(customer, bill)
        yield _rated_again(customer, bill)
    yield _capped(billed, voucher)
    if _WAIVED in plan.runs:
        yield _waived(billed)


def _totals(customer: str, bill: Billed) -> Check:
    invoice = bill.invoice
    net, tax = (sum((Decimal(line[name]) for line in bill.lines), Decimal(0)) for name in ("amount", "tax"))
    gross = Decimal(invoice["gross"])
    passed = invoice["state"] == "final" and net == Decimal(invoice["net"]) and tax == Decimal(invoice["tax"])
    detail = f"{invoice['number']}: {len(bill.lines)} lines, {net} + {tax} tax = {gross}"
    return Check(f"{customer}: the invoice is the sum of its lines", passed and gross == net + tax, detail)


def _shares(customer: str, bill: Billed) -> Check:
    """The parts of a line, tax included, are the line."""
    wrong = [
        line["charge"] for line in bill.lines if _of_payers(line) != Decimal(line["amount"]) + Decimal(line["tax"])
    ]
    payers = sorted({share["payer"] for line in bill.lines for share in line["shares"]})
    return Check(
        f"{customer}: shares sum to their lines", not wrong, ", ".join(wrong) or f"payers: {', '.join(payers)}"
    )


def _of_payers(line: Mapping[str, Any]) -> Decimal:
    return sum((Decimal(share["amount"]) for share in line["shares"]), Decimal(0))


def _explained(customer: str, bill: Billed) -> Check:
    """Every tree reckons to its amount, and its leaves name frames and their places in Kafka."""
    wrong = []
    leaves = 0
    for line, explanation in zip(bill.lines, bill.explanations, strict=True):
        tree = explanation["tree"]
        if reckon(tree) != Fraction(line["amount"]):
            wrong.append(f"{line['charge']} {line['scope']}: {float(reckon(tree)):.2f} for {line['amount']}")
        for segment in segments(tree):
            leaves += 1
            if Fraction(segment["value"]) and not reaches_the_log(segment):
                wrong.append(f"{line['charge']}: ledger row {segment['ledger_seq']} names no frames")
    return Check(
        f"{customer}: explain trees reach the log", not wrong and leaves > 0, "; ".join(wrong[:3]) or f"{leaves} leaves"
    )


def _rated_again(customer: str, bill: Billed) -> Check:
    again = bill.verification
    same = sum(bool(line["ok"]) for line in again["lines"])
    return Check(
        f"{customer}: rating again gives the same digests", bool(again["ok"]), f"{same} of {len(again['lines'])} lines"
    )


def _capped(billed: Mapping[str, Billed], voucher: Document) -> Check:
    paid = sum(
        (
            Decimal(share["amount"])
            for bill in billed.values()
            for line in bill.lines
            for share in line["shares"]
            if share["payer"] == VOUCHER["id"]
        ),
        Decimal(0),
    )
    cap = Decimal(str(VOUCHER["cap"]))
    passed = Decimal(0) < paid <= cap and paid == Decimal(voucher["consumed"])
    return Check("the voucher pays its percentage up to its cap", passed, f"{paid} of {cap}")


def _waived(billed: Mapping[str, Billed]) -> Check:
    """The line with the platform's trouble: 8 h of engineering at 480, half an hour by day at 980, and 2 h up to the booking at 320."""
    amounts = [
        line["amount"]
        for bill in billed.values()
        for line in bill.lines
        if (line["charge"], line["scope"]) == ("reactor-hours", _WAIVED)
    ]
    return Check(
        "nobody pays for the platform's trouble",
        amounts == ["4970.00"],
        f"{_WAIVED}: {', '.join(amounts) or 'no line'}",
    )
