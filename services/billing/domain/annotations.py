"""People's notes on an instrument's time, from their records in any order (B-1).

A note explains: it gives a segment its reason, and its responsible party where it names one. State, durations and quantities stay what the
channels say, and what the state model had decided stays in the segment beside it. A note that was withdrawn was never in force.
"""

from __future__ import annotations

from services.billing.domain.e10 import Responsible, StateOutcome
from services.billing.domain.segment import Annotation
from services.billing.domain.stretches import Stretch, Stretches
from shared.contracts.lifecycle import AnnotationWithdrawn, InstrumentAnnotated
from shared.kernel.errors import Reject

NoteRecord = InstrumentAnnotated | AnnotationWithdrawn
LONGEST = 200
"""Characters of a text in a usage event."""

_NOTHING = Stretches()


class Annotations:
    """An index over records by event id. The mapping belongs to the caller's state; only `add` changes it."""

    def __init__(self, records: dict[str, NoteRecord]) -> None:
        self._records = records
        self._stretches: dict[str, Stretches] = {}
        for instrument in {record.instrument for record in records.values()}:
            self._index(instrument)

    def add(self, record: NoteRecord) -> InstrumentAnnotated | None:
        """The note that is in force from now on, or no longer; None when this record changes nothing.

        Raises Reject(annotation_text | annotation_range | annotation_responsible) for a note that says nothing that could hold.
        """
        if record.event_id in self._records:
            return None
        if isinstance(record, InstrumentAnnotated):
            _check(record)
        before = self._withdrawn(record.instrument)
        self._records[record.event_id] = record
        self._index(record.instrument)
        if isinstance(record, InstrumentAnnotated):
            return None if record.event_id in before else record
        note = self._records.get(record.annotation)
        if not isinstance(note, InstrumentAnnotated) or note.instrument != record.instrument:
            return None
        return None if note.event_id in before else note

    def of(self, instrument: str) -> Stretches:
        """Which note is in force when, by event id."""
        return self._stretches.get(instrument, _NOTHING)

    def explain(self, note: str, outcome: StateOutcome) -> tuple[StateOutcome, Annotation]:
        """What a note makes of the model's outcome, and the note with what the model had said."""
        record = self._records[note]
        assert isinstance(record, InstrumentAnnotated), "only notes are in force"
        party = Responsible(record.responsible) if record.responsible else outcome.responsible
        explained = StateOutcome(outcome.state, outcome.sub_state, record.reason, party)
        return explained, Annotation(note, record.who, outcome.reason, outcome.responsible)

    def _index(self, instrument: str) -> None:
        withdrawn = self._withdrawn(instrument)
        self._stretches[instrument] = Stretches(
            Stretch(note.event_id, note.from_, note.to, note.noted_at)
            for note in self._records.values()
            if isinstance(note, InstrumentAnnotated)
            and note.instrument == instrument
            and note.event_id not in withdrawn
        )

    def _withdrawn(self, instrument: str) -> set[str]:
        return {
            record.annotation
            for record in self._records.values()
            if isinstance(record, AnnotationWithdrawn) and record.instrument == instrument
        }


def _check(note: InstrumentAnnotated) -> None:
    texts = (note.event_id, note.reason, note.who)
    if any(len(text) > LONGEST or "\x00" in text for text in texts):
        raise Reject("annotation_text", f"a text of note {note.event_id[:60]!a} is longer than {LONGEST} or has a NUL")
    if note.from_ >= note.to:
        raise Reject("annotation_range", f"note {note.event_id} covers no time")
    if note.responsible and note.responsible not in [party.value for party in Responsible]:
        raise Reject("annotation_responsible", f"'{note.responsible}' is no responsible party")
