"""Which run occupies a line at an instant, from its lifecycle records in any order.

Of several runs on a line the one that started last counts; when it has ended, the one before goes on. The answer is a function of the set
of records: order of arrival and repetition change nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort

from services.billing.domain.segment import RunContext
from shared.contracts.lifecycle import PhaseStarted, RunEnded, RunHeld, RunRestarted, RunStarted
from shared.kernel.times import Micros

RunRecord = RunStarted | PhaseStarted | RunHeld | RunRestarted | RunEnded

NOWHERE = RunContext()


class RunTimeline:
    """An index over records by event id. The mapping belongs to the caller's state; only `add` changes it."""

    def __init__(self, records: dict[str, RunRecord]) -> None:
        self._records = records
        self._instants: list[Micros] = []
        self._starts: list[tuple[Micros, str]] = []
        self._runs: dict[str, list[RunRecord]] = {}
        self._contexts: dict[int, RunContext] = {}
        for record in records.values():
            self._index(record)

    def add(self, record: RunRecord) -> bool:
        """False when the record was known."""
        if record.event_id in self._records:
            return False
        self._records[record.event_id] = record
        self._index(record)
        return True

    def first_at(self) -> Micros | None:
        return self._instants[0] if self._instants else None

    def context(self, instant: Micros) -> RunContext:
        """The run at an instant; a change at exactly this instant has happened."""
        index = bisect_right(self._instants, instant)
        if index not in self._contexts:
            self._contexts[index] = self._context_at(instant)
        return self._contexts[index]

    def next_change(self, instant: Micros) -> Micros | None:
        """The first instant later than this one at which the context may change."""
        index = bisect_right(self._instants, instant)
        return self._instants[index] if index < len(self._instants) else None

    def _index(self, record: RunRecord) -> None:
        insort(self._instants, record.at)
        insort(self._runs.setdefault(record.run, []), record, key=lambda item: (item.at, item.event_id))
        if isinstance(record, RunStarted):
            insort(self._starts, (record.at, record.run))
        self._contexts.clear()

    def _context_at(self, instant: Micros) -> RunContext:
        for at, run in reversed(self._starts):
            past = [record for record in self._runs[run] if record.at <= instant]
            if at <= instant and not any(isinstance(record, RunEnded) for record in past):
                return _context(past)
        return NOWHERE


def _context(past: list[RunRecord]) -> RunContext:
    start = next(record for record in past if isinstance(record, RunStarted))
    phases = [record.phase for record in past if isinstance(record, PhaseStarted)]
    holds = [record for record in past if isinstance(record, RunHeld | RunRestarted)]
    return RunContext(
        run=start.run,
        phase=phases[-1] if phases else "",
        held=bool(holds) and isinstance(holds[-1], RunHeld),
        customer=start.customer,
        project=start.project,
        service_code=start.service_code,
        tariff=start.tariff,
    )
