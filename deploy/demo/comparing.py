"""What must be the same however often a replay was disturbed: everything but how many repeats it took and where in Kafka things lie."""

from __future__ import annotations

from typing import Any

from deploy.demo.asking import Document
from deploy.demo.facts import RunFacts, StreamFacts
from deploy.demo.office import Billed
from deploy.demo.story import Told


def comparable(told: Told) -> dict[str, Any]:
    """Stored content, open gaps, verdicts with their digests, metered hours and quantities, invoices with the digests of their lines."""
    return {
        "streams": {stream: _stored(facts) for stream, facts in told.facts.streams.items()},
        "open gaps": sorted(
            (gap.stream, gap.boot, gap.from_seq, gap.to_seq) for gap in told.facts.gaps if not gap.closed
        ),
        "quarantine": sorted((row["stream_id"], row["boot"], row["seq"], row["code"]) for row in told.facts.quarantine),
        "runs": {run: _judged(facts) for run, facts in told.facts.runs.items()},
        "hours": {run: usage.hours for run, usage in told.usage.items()},
        "quantities": {run: usage.quantities for run, usage in told.usage.items()},
        "invoices": {customer: _billed(bill) for customer, bill in told.billed.items()},
        "voucher": told.voucher["consumed"],
    }


def _stored(facts: StreamFacts) -> dict[str, Any]:
    return {"stored": facts.stored, "rows": facts.rows, "conflict": facts.conflict > 0, "content": facts.digest}


def _judged(facts: RunFacts) -> dict[str, Any]:
    live, stored = facts.last("live"), facts.last("stored")
    return {
        "state": facts.state,
        "verdict": facts.verdict,
        "live": live.digest if live else None,
        "stored": stored.digest if stored else None,
        "criteria": dict(stored.outcomes) if stored else None,
    }


def _billed(bill: Billed) -> dict[str, Any]:
    return {
        "totals": {name: bill.invoice[name] for name in ("net", "tax", "gross", "slice_digest")},
        "lines": [_line(line) for line in bill.lines],
    }


def _line(line: Document) -> dict[str, Any]:
    return {name: line[name] for name in ("charge", "scope", "quantity", "amount", "tax", "shares", "digest")}
