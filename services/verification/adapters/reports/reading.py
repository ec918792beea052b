"""The facts of a report, read in the caller's snapshot: run, criteria, registry versions, lifecycle, evaluation, deviations, arrival counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from services.verification.adapters.worker import run_phases
from services.verification.adapters.worker.book import Book
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.plan import RunPlan
from services.verification.domain.reports.facts import Customer, Deviation, Evaluation, RunFacts, StreamQuality
from services.verification.handlers import Order, line_record
from services.verification.ports import Run
from shared.contracts.lifecycle import RunStarted
from shared.contracts.registry import Stream
from shared.kernel.errors import NotAllowed, NotFound, Reject
from shared.kernel.times import Micros, micros, utc
from shared.storage.pool import Connection
from shared.storage.registry import CachedRegistry, Registry


@dataclass(frozen=True, slots=True)
class Found:
    """The facts, and what is needed to judge the run again: frames below `upto_offset`, from `first_needed` on."""

    facts: RunFacts
    plan: RunPlan
    lifecycle: Sequence[Lifecycle]
    versions: dict[tuple[str, int], Stream]
    evaluations: Sequence[dict[str, Any]]
    upto_offset: int

    @property
    def streams(self) -> list[str]:
        return [stream.id for stream in self.plan.streams]

    @property
    def span(self) -> tuple[Micros, Micros]:
        """The stretch of event time whose frames can matter."""
        return self.plan.first_needed, self.facts.run["ended_at"]


async def read_facts(connection: Connection, registry: CachedRegistry, run: str) -> Found:
    """Raises NotFound(run_unknown | report_customer_unknown) or NotAllowed(report_run_open)."""
    book = Book(registry)
    known = await registry.refresh()
    found = await book.run(connection, run)
    if found is None:
        raise NotFound("run_unknown", f"there is no run {run}", field="run", remedy="see GET /v1/runs")
    if found.started_at is None or found.ended_at is None:
        raise NotAllowed(
            "report_run_open", f"the run {run} has not ended", field="run", remedy="complete or stop it first"
        )
    evaluations = await _evaluations(connection, run)
    evaluation, upto = await _in_force(connection, run, evaluations)
    records = await _lifecycle(connection, book, found, upto)
    criteria = (found.criteria_set, found.criteria_version, found.criteria_digest)
    try:
        plan, _ = await book.plan(
            connection,
            run,
            start=found.started_at,
            criteria=criteria,
            pinned=found.streams,
            baselines=found.baselines,
        )
    except Reject as reject:
        raise NotAllowed("report_not_reproduced", reject.detail, field="run") from reject
    streams = [book.versions[item.stream, item.version] for item in found.streams]
    facts = RunFacts(
        run=_run(found),
        customer=_customer(known, found.customer),
        platform_name=known.platforms[found.platform].name,
        line_name=known.lines[found.line].name,
        zone=known.platforms[found.platform].time_zone,
        criteria=await _criteria(connection, found),
        streams=streams,
        lifecycle=msgspec.to_builtins(records),
        evaluation=evaluation,
        deviations=await _deviations(connection, run),
        quality=[await _quality(connection, stream.id, plan.first_needed, found.ended_at, upto) for stream in streams],
        phases=await run_phases.read(connection, run),
    )
    return Found(facts, plan, records, dict(book.versions), evaluations, upto)


async def _lifecycle(connection: Connection, book: Book, run: Run, upto: int) -> list[Lifecycle]:
    """The records that the evaluation has read, the start first."""
    assert run.started_at is not None
    records = [item.record for item in await book.lifecycle(connection, run) if item.offset < upto]
    cursor = await connection.execute(
        "select key, who from verification.run_command where run_id = %s and command = 'start' and outcome = 'carried_out'",
        (run.run,),
    )
    row = await cursor.fetchone()
    assert row is not None
    started = line_record(Order(run.run, row[0], "start", run.started_at, row[1]), run)
    assert isinstance(started, RunStarted)
    return [started, *records]


async def _criteria(connection: Connection, run: Run) -> dict[str, Any]:
    cursor = await connection.execute(
        "select document from verification.criteria_set where set_id = %s and version = %s",
        (run.criteria_set, run.criteria_version),
    )
    row = await cursor.fetchone()
    assert row is not None
    document: dict[str, Any] = row[0]
    return document


async def _evaluations(connection: Connection, run: str) -> list[dict[str, Any]]:
    names = ("number", "kind", "cause", "supersedes", "state", "verdict", "engine", "criteria_digest", "inputs_digest", "digest",
             "result", "difference")  # fmt: skip
    cursor = await connection.execute(
        f"select {', '.join(names)} from verification.evaluation where run_id = %s order by number".encode(), (run,)
    )
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


async def _in_force(
    connection: Connection, run: str, evaluations: Sequence[dict[str, Any]]
) -> tuple[Evaluation | None, int]:
    cursor = await connection.execute(
        """select r.verdict_state, r.evaluation, e.upto_offset,
                  exists (select from verification.evaluation_mismatch m where m.run_id = r.run_id)
           from verification.run r left join verification.evaluation e on e.run_id = r.run_id and e.number = r.evaluation
           where r.run_id = %s""",
        (run,),
    )
    row = await cursor.fetchone()
    assert row is not None
    state, number, upto, mismatch = row
    kept = next((item for item in evaluations if item["number"] == number), None)
    if kept is None or kept["result"] is None or upto is None:
        return None, 0
    evaluation = Evaluation(
        number=number,
        cause=kept["cause"],
        final=state == "final",
        mismatch=bool(mismatch) or state == "mismatch",
        verdict=kept["verdict"],
        how=kept["result"]["how"],
        engine=kept["engine"],
        criteria_digest=kept["criteria_digest"],
        inputs_digest=kept["inputs_digest"],
        digest=kept["digest"],
        results=kept["result"]["criteria"],
    )
    return evaluation, int(upto)


async def _deviations(connection: Connection, run: str) -> list[Deviation]:
    cursor = await connection.execute(
        """select deviation_id::text, criterion, kind, reason, recorded_by, recorded_at, accepted_by, accepted_at
           from verification.deviation where run_id = %s order by recorded_at, deviation_id""",
        (run,),
    )
    return [
        Deviation(name, criterion, kind, reason, author, micros(at), by, None if when is None else micros(when))
        for name, criterion, kind, reason, author, at, by, when in await cursor.fetchall()
    ]


async def _quality(connection: Connection, stream: str, from_: Micros, to: Micros, upto: int) -> StreamQuality:
    cursor = await connection.execute(
        """select count(*) filter (where b.late), min(b.received_at), max(b.received_at)
           from ingest.block b join ingest.stream s using (stream_no)
           where s.stream_id = %s and b.t1 >= %s and b.t0 < %s and b.kafka_offset < %s""",
        (stream, utc(from_), utc(to), upto),
    )
    row = await cursor.fetchone()
    assert row is not None
    late, first, last = row
    cursor = await connection.execute(
        """select count(*), coalesce(sum(to_seq - from_seq + 1), 0) from ingest.gap
           where stream_id = %s and closed_at is null and coalesce(after, '-infinity') < %s and coalesce(before, 'infinity') > %s""",
        (stream, utc(to), utc(from_)),
    )
    gap = await cursor.fetchone()
    assert gap is not None
    cursor = await connection.execute(
        """select code, sum(count) from ingest.quarantine where stream_id = %s
           and (%s::timestamptz is null or (first_seen <= %s and last_seen >= %s)) group by code order by code""",
        (stream, first, last, first),
    )
    refused = {code: int(count) for code, count in await cursor.fetchall()}
    return StreamQuality(
        stream, late, gap[0], int(gap[1]),
        {code: count for code, count in refused.items() if code != "conflict"}, refused.get("conflict", 0),
    )  # fmt: skip


def _run(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(run)
    for name in ("streams", "tariff", "service_code", "planned_end", "created_by", "phase"):
        del facts[name]
    return facts


def _customer(registry: Registry, customer: str) -> Customer:
    known = registry.customers.get(customer)
    if known is None:
        raise NotFound(
            "report_customer_unknown", f"the registry has no customer {customer}", field="customer",
            remedy="register it: `pilotline registry apply FILE`",
        )  # fmt: skip
    return Customer(known.id, known.name, known.credit_code)
