"""What the demonstration says at its end: tables for people, one JSON file for machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from deploy.demo.asking import Document
from deploy.demo.checks import Check
from deploy.demo.facts import RunFacts
from deploy.demo.story import Told

_COLOURS = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow"}


def document(told: Told, checks: Sequence[Check], *, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The content of `build/demo-summary.json`."""
    return {
        "passed": all(check.passed for check in checks),
        "seconds": dict(seconds),
        "checks": [asdict(check) for check in checks],
        "streams": {stream: asdict(facts) for stream, facts in told.facts.streams.items()},
        "gaps": [asdict(gap) for gap in told.facts.gaps],
        "quarantine": told.facts.quarantine,
        "restarts": told.restarts,
        "runs": {
            run: asdict(facts) | {"hours": told.usage[run].hours, "quantities": told.usage[run].quantities}
            for run, facts in told.facts.runs.items()
        },
        "usage": told.counts,
        "invoices": {
            customer: {"invoice": billed.invoice, "lines": billed.lines, "verification": billed.verification}
            for customer, billed in told.billed.items()
        },
        "voucher": told.voucher,
    }


def write(path: Path, summary: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2, default=str) + b"\n")
    unfinished.rename(path)


def show(console: Console, told: Told, checks: Sequence[Check]) -> None:
    """Every table, the checks last."""
    for table in (_runs(told), _streams(told), _usage(told), *_invoices(told), _checks(checks)):
        console.print(table)


def _runs(told: Told) -> Table:
    table = Table("run", "customer", "verdict", "criteria", "live digest", "recomputed", "=", title="Verification runs")
    for run in told.facts.runs.values():
        live, stored = run.last("live"), run.last("stored")
        same = live is not None and stored is not None and live.digest == stored.digest
        colour = _COLOURS.get(run.verdict, "white")
        table.add_row(
            run.run,
            run.customer,
            f"[{colour}]{run.verdict}",
            _tally(run),
            live.digest[:16] if live else "",
            stored.digest[:16] if stored else "",
            _mark(same),
        )
    return table


def _tally(run: RunFacts) -> str:
    stored = run.last("stored")
    outcomes = list(stored.outcomes.values()) if stored else []
    parts = ((outcomes.count(name), name.lower()) for name in ("PASS", "INCONCLUSIVE", "FAIL"))
    return ", ".join(f"{count} {name}" for count, name in parts if count)


def _streams(told: Told) -> Table:
    names = ("received", "stored", "duplicate", "conflict", "quarantined", "late", "rows")
    table = Table("stream", *names, title="Records: received = stored + duplicate + conflict + quarantined")
    for stream, facts in told.facts.streams.items():
        table.add_row(stream, *(str(getattr(facts, name)) for name in names))
    return table


def _usage(told: Told) -> Table:
    """Hours by state and what was consumed, over all runs."""
    hours: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    quantities: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for usage in told.usage.values():
        for item in usage.hours:
            state = " ".join(part for part in (item["state"], item["sub_state"]) if part)
            hours[item["instrument"], state, item["responsible"]] += Decimal(item["hours"])
        for item in usage.quantities:
            if item["kind"] == "integral":
                quantities[item["instrument"], item["name"], item["unit"]] += Decimal(item["value"])
    table = Table("instrument", "what", "", "amount", title="Metered in all runs")
    for (instrument, state, responsible), amount in sorted(hours.items()):
        table.add_row(instrument, state, f"for {responsible}", f"{amount.normalize():f} h")
    for (instrument, name, unit), amount in sorted(quantities.items()):
        table.add_row(instrument, name, "", f"{amount.normalize():f} {unit}")
    return table


def _invoices(told: Told) -> list[Table]:
    return [_invoice(customer, billed.invoice, billed.lines) for customer, billed in told.billed.items()]


def _invoice(customer: str, invoice: Document, lines: Sequence[Document]) -> Table:
    title = f"Invoice {invoice['number']} of {customer}: {invoice['gross']} {invoice['currency']}"
    table = Table("charge", "for", "quantity", "net", "tax", "shares", title=title)
    for line in lines:
        table.add_row(
            line["name"]["en"],
            line["scope"] or "period",
            f"{Decimal(line['quantity']).normalize():f} {line['unit']}",
            line["amount"],
            line["tax"],
            "; ".join(f"{share['payer']} {share['amount']}" for share in line["shares"]),
        )
    return table


def _checks(checks: Sequence[Check]) -> Table:
    failed = sum(not check.passed for check in checks)
    table = Table("", "check", "found", title=f"{len(checks)} checks, {failed} failed")
    for check in checks:
        table.add_row(_mark(check.passed), check.name, check.detail)
    return table


def _mark(passed: bool) -> str:
    return "[green]✔" if passed else "[red]✘"
