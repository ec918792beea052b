"""The ledger as rating sees it: rows in commit order, of which the last revision of each segment counts (B-7).

rows = effective(slice_up_to_a_sequence_number)     # superseded and void rows are gone
slice_digest(rows)                                  # the same facts give the same digest, whatever the revisions and arrival
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.billing.domain.segment import Annotation, Evidence, MeteredQuantity, Segment
from services.billing.domain.usage import Usage
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One usage event as recorded. `ledger_seq` is gap-free in commit order. Durations are µs; `measured + inferred` may be billed."""

    ledger_seq: int
    tenant: str
    source: str
    event_id: str
    key: UUID
    revision: int
    void: bool
    line: str
    instrument: str
    customer: str
    project: str
    run: str
    phase: str
    service_code: str
    state: str
    sub_state: str
    reason: str
    responsible: str
    start: Micros
    end: Micros
    measured: Micros
    inferred: Micros
    unknown: Micros
    quantities: tuple[MeteredQuantity, ...]
    content_hash: str
    evidence: Evidence
    annotation: Annotation | None = None
    reservation: str = ""

    @property
    def billable(self) -> Micros:
        return self.measured + self.inferred


def ledger_row(usage: Usage, ledger_seq: int) -> LedgerRow:
    """The row that the recorder appends for an accepted event."""
    segment: Segment = usage.segment
    return LedgerRow(
        ledger_seq=ledger_seq,
        tenant=usage.tenant,
        source=usage.source,
        event_id=usage.id,
        key=segment.key,
        revision=segment.revision,
        void=segment.void,
        line=segment.line,
        instrument=segment.instrument,
        customer=segment.context.customer,
        project=segment.context.project,
        run=segment.context.run,
        phase=segment.context.phase,
        service_code=segment.context.service_code,
        state=segment.outcome.state.value,
        sub_state=segment.outcome.sub_state.value,
        reason=segment.outcome.reason,
        responsible=segment.outcome.responsible.value,
        start=segment.start,
        end=segment.end,
        measured=segment.measured,
        inferred=segment.inferred,
        unknown=segment.unknown,
        quantities=segment.quantities,
        content_hash=usage.content_hash,
        evidence=segment.evidence,
        annotation=segment.annotation,
        reservation=segment.context.reservation,
    )


def effective(rows: Iterable[LedgerRow]) -> tuple[LedgerRow, ...]:
    """The rows that count, sorted by (start, instrument, source, key): per segment the highest revision, void ones left out.

    Identity is (tenant, source, key). A second row with the same identity and revision is a duplicate and counts once; with other content
    it raises Invalid(ledger_conflict): the recorder refuses such an event, so the slice is damaged.
    """
    latest: dict[tuple[str, str, UUID], LedgerRow] = {}
    for row in rows:
        identity = (row.tenant, row.source, row.key)
        known = latest.get(identity)
        if known is None or row.revision > known.revision:
            latest[identity] = row
        elif row.revision == known.revision and row.content_hash != known.content_hash:
            raise Invalid(
                "ledger_conflict",
                f"ledger rows {known.ledger_seq} and {row.ledger_seq} are the same revision of a segment with other content",
                field="ledger",
                remedy="compare both events; only one of them may be in the ledger",
            )
    return tuple(sorted((row for row in latest.values() if not row.void), key=_order))


def slice_digest(rows: Sequence[LedgerRow]) -> str:
    """SHA-256 over the content hashes of effective rows, one per line, in the order `effective` gives.

    A content hash covers what a row says and which segment of which tenant says it, but neither its revision nor its ledger number: so the
    same facts have the same digest whatever was corrected on the way.
    """
    return hashlib.sha256("\n".join([row.content_hash for row in rows]).encode()).hexdigest()


def _order(row: LedgerRow) -> tuple[Micros, str, str, UUID]:
    return row.start, row.instrument, row.source, row.key
