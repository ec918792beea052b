"""What a batch does to the tables: gathered while records are applied, written at once in the batch's transaction, rows of a kind together.

Ids are deterministic, so that a batch applied again after a crash adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from services.verification.adapters.announcements import event_message
from services.verification.domain.outcomes import CriterionState, Outcome, Transition
from shared.contracts.topics import Topics
from shared.kernel.canonical import canonical_json
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, utc
from shared.messaging.outbox import OutboxMessage, add
from shared.storage.pool import Connection

PlaceOf = Callable[[str, str, int], int | None]
"""Kafka offset of the frame (stream, boot, seq), None when it is not remembered."""


def word(outcome: Outcome) -> str:
    """As the tables and events write it."""
    return outcome.name.lower()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose results are written."""

    run: str
    line: str
    partition: int
    evaluation: int


@dataclass(slots=True)
class Effects:
    """Rows of one transaction."""

    topics: Topics
    results: list[tuple[Any, ...]] = field(default_factory=list)
    states: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    documents: list[tuple[UUID, str, str, UUID, str]] = field(default_factory=list)
    outbox: list[OutboxMessage] = field(default_factory=list)

    def transition(
        self,
        subject: Subject,
        change: Transition,
        place_of: PlaceOf,
        *,
        announce: bool = True,
        document: bool = True,
    ) -> None:
        """A criterion's outcome has grown, or stands in a new evaluation. After `run_stop` a run gets no more documents."""
        state = change.state
        result = stable_id("criterion-result", subject.run, subject.evaluation, change.criterion, word(change.after))
        self.results.append(
            (
                result,
                subject.run,
                subject.evaluation,
                change.criterion,
                word(change.before),
                word(change.after),
                state.margin,
                state.unit,
                None if state.decided_at is None else utc(state.decided_at),
                state.reason,
                _facts(state),
                _text(_positions(state, subject.partition, place_of)),
            )
        )
        if announce:
            self._announce(subject, change, result, document=document)

    def _announce(self, subject: Subject, change: Transition, result: UUID, *, document: bool) -> None:
        state = change.state
        data = {
            "run": subject.run,
            "line": subject.line,
            "evaluation": subject.evaluation,
            "criterion": change.criterion,
            "phase": state.phase,
            "before": word(change.before),
            "after": word(change.after),
            "margin": state.margin,
            "unit": state.unit,
            "reason": state.reason,
            "decided_at": state.decided_at,
            "result": str(result),
        }
        at = state.decided_at or state.quality.last_at or 0
        identity = [subject.evaluation, change.criterion, word(change.after)]
        self.event(subject, "criterion", identity, at, data)
        if document:
            self.document(subject.run, "event", f"result/{result}", data)

    def state(
        self, subject: Subject, state: CriterionState, position: int, activity: str, frontier: Micros | None
    ) -> None:
        """The criterion as the pages show it; the last one of a transaction counts."""
        self.states[subject.run, state.criterion] = (
            subject.run,
            state.criterion,
            subject.evaluation,
            position,
            activity,
            word(state.outcome),
            state.margin,
            state.low,
            state.high,
            None if frontier is None else utc(frontier),
            state.reason,
            _facts(state),
        )

    def event(self, subject: Subject, type_: str, identity: list[object], at: Micros, data: Mapping[str, Any]) -> None:
        self.outbox.append(
            event_message(
                self.topics, line=subject.line, run=subject.run, type_=type_, identity=identity, at=at, data=data
            )
        )

    def document(self, run: str, kind: str, identity: str, body: Mapping[str, Any]) -> None:
        start = stable_id("run-document", run, "start")
        self.documents.append((stable_id("run-document", run, identity), run, kind, start, _text(body)))

    async def write(self, connection: Connection) -> None:
        """In the order in which rows refer to each other."""
        await _insert(connection, _RESULTS, self.results)
        # Sorted, so that two transactions that write the same rows cannot wait for each other.
        await _insert(connection, _STATES, [self.states[key] for key in sorted(self.states)])
        await self.write_documents(connection)
        await add(connection, "verification", self.outbox)

    async def write_documents(self, connection: Connection) -> None:
        """What waits of the documents: `run_stop` has to come behind it."""
        await _insert(connection, _DOCUMENTS, self.documents)
        self.documents.clear()


_RESULTS = """
    insert into verification.criterion_result
        (result_id, run_id, evaluation, criterion, before, after, margin, unit, decided_at, reason, state, positions)
    select id, run, evaluation, criterion, before, after, margin, unit, decided_at, reason, state::jsonb, positions::jsonb
    from unnest(%b::uuid[], %b::text[], %b::int[], %b::text[], %b::text[], %b::text[], %b::float8[], %b::text[], %b::timestamptz[],
                %b::text[], %b::text[], %b::text[])
         u(id, run, evaluation, criterion, before, after, margin, unit, decided_at, reason, state, positions)
    on conflict (result_id) do nothing"""

_STATES = """
    insert into verification.criterion_state as c
        (run_id, criterion, evaluation, position, activity, verdict, margin, low, high, frontier, reason, state)
    select run, criterion, evaluation, position, activity, verdict, margin, low, high, frontier, reason, state::jsonb
    from unnest(%b::text[], %b::text[], %b::int[], %b::int[], %b::text[], %b::text[], %b::float8[], %b::float8[], %b::float8[],
                %b::timestamptz[], %b::text[], %b::text[])
         u(run, criterion, evaluation, position, activity, verdict, margin, low, high, frontier, reason, state)
    on conflict (run_id, criterion) do update
    set evaluation = excluded.evaluation, activity = excluded.activity, verdict = excluded.verdict, margin = excluded.margin,
        low = excluded.low, high = excluded.high, frontier = excluded.frontier, reason = excluded.reason, state = excluded.state,
        updated_at = clock_timestamp()"""

_DOCUMENTS = """
    insert into verification.run_document (document_id, run_id, kind, refers_to, body)
    select id, run, kind, start, body::jsonb
    from unnest(%b::uuid[], %b::text[], %b::text[], %b::uuid[], %b::text[]) u(id, run, kind, start, body)
    on conflict (document_id) do nothing"""


async def _insert(connection: Connection, statement: str, rows: list[Any]) -> None:
    """Columns as binary arrays (`%b`): as text, psycopg escapes every quote of every document by a regular expression."""
    if rows:
        await connection.execute(statement.encode(), [list(column) for column in zip(*rows, strict=True)])


def _facts(state: CriterionState) -> str:
    """The state as JSON; what is unbounded is null. Not canonical: no digest is taken of it."""
    facts: dict[str, Any] = msgspec.to_builtins(state)
    return msgspec.json.encode({**facts, "outcome": word(state.outcome)}).decode()


def _text(value: object) -> str:
    return canonical_json(value).decode()


def _positions(state: CriterionState, partition: int, place_of: PlaceOf) -> list[dict[str, object]]:
    if state.evidence is None:
        return []
    return [
        {
            "role": sample.role,
            "stream": sample.stream,
            "boot": sample.boot,
            "seq": sample.seq,
            "partition": partition,
            "offset": place_of(sample.stream, sample.boot, sample.seq),
        }
        for sample in state.evidence.samples
    ]
