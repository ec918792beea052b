"""Reservations of an instrument, from their records in any order: whose slot an instant is, and whether it counts (B-2).

A reservation covers [from, to), or up to the instant of its cancellation. Of several on an instant the one booked first counts. Its time
counts for the customer who booked it: while nobody's run occupies the line, and while a run of that customer does; never while the slot is
used by somebody else.
"""

from __future__ import annotations

from services.billing.domain.segment import RunContext
from services.billing.domain.stretches import Stretch, Stretches
from shared.contracts.lifecycle import InstrumentReserved, ReservationCancelled
from shared.kernel.errors import Reject
from shared.kernel.times import Micros

ReservationRecord = InstrumentReserved | ReservationCancelled
LONGEST = 200
"""Characters of a text in a usage event."""
_NOTHING = Stretches()


class Reservations:
    """An index over records by event id. The mapping belongs to the caller's state; only `add` changes it."""

    def __init__(self, records: dict[str, ReservationRecord]) -> None:
        self._records = records
        self._booked: dict[str, InstrumentReserved] = {}
        self._cancelled: dict[str, Micros] = {}
        self._stretches: dict[str, Stretches] = {}
        for record in records.values():
            self._know(record)
        for instrument in {record.instrument for record in records.values()}:
            self._index(instrument)

    def add(self, record: ReservationRecord) -> tuple[Micros, Micros] | None:
        """The time [start, end) about which something else is true now; None when this record changes nothing.

        Raises Reject(reservation_range | reservation_text) for a reservation that says nothing that could hold.
        """
        if record.event_id in self._records:
            return None
        if isinstance(record, InstrumentReserved):
            _check(record)
        before = self._span(record.reservation)
        self._records[record.event_id] = record
        self._know(record)
        self._index(record.instrument)
        after = self._span(record.reservation)
        if before == after:
            return None
        if before is None or after is None:
            return before or after
        return after[1], before[1]

    def next_change(self, instrument: str, instant: Micros) -> Micros | None:
        """The first instant later than this one at which another reservation may cover the instrument."""
        return self._stretches.get(instrument, _NOTHING).next_change(instant)

    def context(self, instrument: str, instant: Micros, run: RunContext) -> RunContext:
        """The run's context with the reservation that counts; without a run, that of the customer whose slot it is."""
        name = self._stretches.get(instrument, _NOTHING).at(instant)
        if not name:
            return run
        slot = self._booked[name]
        if run.run and run.customer != slot.customer:
            return run
        return RunContext(
            run=run.run,
            phase=run.phase,
            held=run.held,
            customer=slot.customer,
            project=run.project if run.run else slot.project,
            service_code=run.service_code if run.run else slot.service_code,
            tariff=run.tariff if run.run else slot.tariff,
            reservation=name,
        )

    def _know(self, record: ReservationRecord) -> None:
        if isinstance(record, InstrumentReserved):
            self._booked.setdefault(record.reservation, record)
        else:
            known = self._cancelled.get(record.reservation, record.at)
            self._cancelled[record.reservation] = min(known, record.at)

    def _span(self, reservation: str) -> tuple[Micros, Micros] | None:
        slot = self._booked.get(reservation)
        if slot is None:
            return None
        end = min(slot.to, self._cancelled.get(reservation, slot.to))
        return (slot.from_, end) if slot.from_ < end else None

    def _index(self, instrument: str) -> None:
        spans = {
            name: (slot, span)
            for name, slot in self._booked.items()
            if slot.instrument == instrument and (span := self._span(name)) is not None
        }
        self._stretches[instrument] = Stretches(
            Stretch(name, start, end, -slot.booked_at) for name, (slot, (start, end)) in spans.items()
        )


def _check(slot: InstrumentReserved) -> None:
    if slot.from_ >= slot.to:
        raise Reject("reservation_range", f"reservation {slot.reservation[:60]!a} covers no time")
    texts = (slot.reservation, slot.customer, slot.project, slot.service_code, slot.tariff)
    if any(len(text) > LONGEST or "\x00" in text for text in texts):
        raise Reject(
            "reservation_text", f"a text of reservation {slot.reservation[:60]!a} is longer than {LONGEST} or has a NUL"
        )
