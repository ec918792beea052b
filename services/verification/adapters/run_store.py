"""Runs, their commands and documents in PostgreSQL; what they announce goes to the outbox in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.verification.adapters.announcements import event_message
from services.verification.domain.baselines import Recorded
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.run_state import RunState
from services.verification.ports import Announcement, CommandRecord, Run, Scene, VerificationKind
from shared.contracts.lifecycle import Baseline, PinnedStream, encode_line_record
from shared.contracts.topics import Kind, Topics
from shared.kernel.canonical import canonical_json
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, micros, utc
from shared.messaging.outbox import OutboxMessage, add
from shared.storage.pool import Connection

RUN_COLUMNS = """
    run_id, project, customer_id, platform_id, line_id, scene, verification_kind, item, item_revision, iteration, previous_run, equipment,
    criteria_set, criteria_version, criteria_digest, streams, tariff, service_code, planned_end, created_by, state, phase, started_at,
    ended_at, end_reason, baselines"""


class RunStore:
    """`KeepsRuns` on one connection."""

    def __init__(self, connection: Connection, topics: Topics) -> None:
        self._connection = connection
        self._topics = topics

    async def insert(self, run: Run) -> bool:
        cursor = await self._connection.execute(
            f"""insert into verification.run ({RUN_COLUMNS})
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb)
                on conflict (run_id) do nothing""".encode(),
            _row(run),
        )
        return cursor.rowcount == 1

    async def lock(self, run: str) -> Run | None:
        cursor = await self._connection.execute(
            f"select {RUN_COLUMNS} from verification.run where run_id = %s for no key update".encode(), (run,)
        )
        row = await cursor.fetchone()
        return None if row is None else run_of(row)

    async def find(self, run: str) -> Run | None:
        """Without a lock."""
        cursor = await self._connection.execute(
            f"select {RUN_COLUMNS} from verification.run where run_id = %s".encode(), (run,)
        )
        row = await cursor.fetchone()
        return None if row is None else run_of(row)

    async def commands(self, run: str) -> Sequence[CommandRecord]:
        cursor = await self._connection.execute(
            """select run_id, key, command, phase, at, who, reason, problem, state_after, received_at
               from verification.run_command where run_id = %s order by id""",
            (run,),
        )
        return [_command(row) for row in await cursor.fetchall()]

    async def begun_by_condition(self, run: str) -> frozenset[str]:
        cursor = await self._connection.execute(
            "select phase from verification.run_phase where run_id = %s and starts_by = 'condition'", (run,)
        )
        return frozenset(row[0] for row in await cursor.fetchall())

    async def recorded(self, run: str) -> Recorded | None:
        cursor = await self._connection.execute(
            """select e.number, e.digest, e.result, c.document
               from verification.run r
               join verification.evaluation e on e.run_id = r.run_id and e.number = r.evaluation
               join verification.criteria_set c on c.set_id = r.criteria_set and c.version = r.criteria_version
               where r.run_id = %s and r.verdict_state <> 'provisional' and e.result is not null""",
            (run,),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        number, digest, result, document = row
        facts = {item["criterion"]: item for item in result["criteria"]}
        return Recorded(run, number, digest, CriteriaSet.model_validate(document), facts)

    async def record(self, command: CommandRecord) -> None:
        await self._connection.execute(
            """insert into verification.run_command (run_id, key, command, phase, at, who, reason, outcome, problem, state_after)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s)""",
            (
                command.run,
                command.key,
                command.command,
                command.phase,
                utc(command.at),
                command.who,
                command.reason,
                "carried_out" if command.problem is None else "refused",
                None if command.problem is None else canonical_json(command.problem).decode(),
                command.state_after,
            ),
        )

    async def save(self, run: Run) -> None:
        await self._connection.execute(
            """update verification.run set state = %s, phase = %s, streams = %s::jsonb, started_at = %s, ended_at = %s, end_reason = %s,
                   baselines = %s::jsonb, verdict_state = case when %s then 'final' else verdict_state end
               where run_id = %s""",
            (
                run.state,
                run.phase,
                _structs(run.streams),
                _instant(run.started_at),
                _instant(run.ended_at),
                run.end_reason,
                _structs(run.baselines),
                run.ended_at is not None and run.started_at is None,
                run.run,
            ),
        )

    async def announce(self, run: Run, announcement: Announcement) -> None:
        messages = []
        if (record := announcement.record) is not None:
            lifecycle = OutboxMessage(
                event_id=UUID(record.event_id),
                topic=self._topics.line_records,
                key=run.line,
                kind=Kind.LIFECYCLE,
                value=encode_line_record(record),
            )
            messages.append(lifecycle)
        event = event_message(
            self._topics,
            line=run.line,
            run=run.run,
            type_=announcement.event_type,
            identity=[announcement.identity],
            at=announcement.at,
            data=announcement.event_data,
        )
        await add(self._connection, "verification", [*messages, event])
        await add_documents(self._connection, run.run, announcement.documents)


async def add_documents(
    connection: Connection, run: str, documents: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> None:
    """Append (kind, identity within the run, body); every document but the first refers to `run_start`. A known identity adds nothing."""
    start = stable_id("run-document", run, "start")
    for kind, identity, body in documents:
        await connection.execute(
            """insert into verification.run_document (document_id, run_id, kind, refers_to, body)
               values (%s, %s, %s, %s, %s::jsonb) on conflict (document_id) do nothing""",
            (
                stable_id("run-document", run, identity),
                run,
                kind,
                None if kind == "run_start" else start,
                canonical_json(body).decode(),
            ),
        )


def run_of(row: Sequence[Any]) -> Run:
    """The run in a row of `RUN_COLUMNS`."""
    (run, project, customer, platform, line, scene, kind, item, revision, iteration, previous, equipment, criteria_set, version, digest,
     streams, tariff, service_code, planned_end, created_by, state, phase, started_at, ended_at, end_reason, baselines) = row  # fmt: skip
    return Run(
        run=run,
        project=project,
        customer=customer,
        platform=platform,
        line=line,
        scene=Scene(scene),
        verification_kind=VerificationKind(kind),
        item=item,
        item_revision=revision,
        iteration=iteration,
        previous_run=previous,
        equipment=tuple(equipment),
        criteria_set=criteria_set,
        criteria_version=version,
        criteria_digest=digest,
        streams=tuple(PinnedStream(**pinned) for pinned in streams),
        tariff=tariff,
        service_code=service_code,
        planned_end=None if planned_end is None else micros(planned_end),
        created_by=created_by,
        state=RunState(state),
        phase=phase,
        started_at=None if started_at is None else micros(started_at),
        ended_at=None if ended_at is None else micros(ended_at),
        end_reason=end_reason,
        baselines=tuple(Baseline(**pinned) for pinned in baselines),
    )


def _row(run: Run) -> Sequence[Any]:
    return (
        run.run,
        run.project,
        run.customer,
        run.platform,
        run.line,
        run.scene,
        run.verification_kind,
        run.item,
        run.item_revision,
        run.iteration,
        run.previous_run,
        list(run.equipment),
        run.criteria_set,
        run.criteria_version,
        run.criteria_digest,
        _structs(run.streams),
        run.tariff,
        run.service_code,
        _instant(run.planned_end),
        run.created_by,
        run.state,
        run.phase,
        _instant(run.started_at),
        _instant(run.ended_at),
        run.end_reason,
        _structs(run.baselines),
    )


def _structs(items: Sequence[PinnedStream | Baseline]) -> str:
    return canonical_json([msgspec.structs.asdict(item) for item in items]).decode()


def _command(row: Sequence[Any]) -> CommandRecord:
    run, key, command, phase, at, who, reason, problem, state_after, received_at = row
    return CommandRecord(
        run, key, command, phase, micros(at), who, reason, problem, RunState(state_after), micros(received_at)
    )


def _instant(value: Micros | None) -> Any:
    return None if value is None else utc(value)
