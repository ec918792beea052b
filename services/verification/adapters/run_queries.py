"""The queries behind the read model, each for a page of runs at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from services.verification.adapters.limits import limits_of
from services.verification.adapters.views import (
    BoardRow,
    CriterionRow,
    EvaluationRow,
    PhaseView,
    TransitionRow,
)
from services.verification.domain.computed import measured, worst_unit
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.signals import Channels, conversion_between
from shared.contracts.lifecycle import Baseline, PinnedStream
from shared.kernel.canonical import digest
from shared.kernel.times import Micros, micros
from shared.storage.pool import Connection

_RUNNING = ("running", "held")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A row of verification.run with the names of customer and zone of platform."""

    run: str
    line: str
    zone: str
    customer: str
    customer_name: Mapping[str, str]
    project: str
    item: str
    item_revision: str
    iteration: int
    state: str
    phase: str | None
    verdict: str
    verdict_state: str
    evaluation: int
    started_at: Micros | None
    ended_at: Micros | None
    planned_end: Micros | None
    end_reason: str | None
    gaps: int
    late: int
    criteria_set: str
    criteria_version: int
    criteria_digest: str
    streams: tuple[PinnedStream, ...]
    baselines: tuple[Baseline, ...]


async def select_runs(
    connection: Connection,
    *,
    run: str | None = None,
    only: str | None = None,
    line: str | None = None,
    project: str | None = None,
    limit: int = 1,
    offset: int = 0,
) -> list[RunFacts]:
    """Runs in progress first, then the newest."""
    cursor = await connection.execute(
        """select r.run_id, r.line_id, coalesce(p.time_zone, 'UTC'), r.customer_id, coalesce(c.name, '{}'), r.project, r.item, r.item_revision,
                  r.iteration, r.state, r.phase, r.verdict, r.verdict_state, r.evaluation, r.started_at, r.ended_at, r.planned_end,
                  r.end_reason, r.gaps, r.late, r.criteria_set, r.criteria_version, r.criteria_digest, r.streams, r.baselines
           from verification.run r
           left join ingest.platform p using (platform_id)
           left join ingest.customer c using (customer_id)
           where (%(run)s::text is null or r.run_id = %(run)s)
             and (%(only)s::text is null or (r.state in ('running', 'held')) = (%(only)s = 'running'))
             and (%(line)s::text is null or r.line_id = %(line)s)
             and (%(project)s::text is null or r.project = %(project)s)
           order by (r.state in ('running', 'held')) desc, r.created_at desc, r.run_id desc
           limit %(limit)s offset %(offset)s""",
        {"run": run, "only": only, "line": line, "project": project, "limit": limit, "offset": offset},
    )
    return [_facts(row) for row in await cursor.fetchall()]


async def board_rows(
    connection: Connection, runs: Sequence[RunFacts], criteria: Mapping[str, CriteriaSet]
) -> list[BoardRow]:
    """`criteria` by digest."""
    names = [facts.run for facts in runs]
    counts = await _counts(connection, names)
    spans = await _phase_spans(connection, names)
    newest = await _newest(connection, runs)
    rows = []
    for facts in runs:
        phases = _phases(facts, criteria[facts.criteria_digest], spans.get(facts.run, {}))
        words, open_phases = counts.get(facts.run, ({}, frozenset()))
        shown = {
            "run": facts.run,
            "state": facts.state,
            "phase": facts.phase,
            "verdict": [facts.verdict, facts.verdict_state, facts.evaluation],
            "counts": words,
            "newest": newest.get(facts.run),
            "gaps": [facts.gaps, facts.late],
        }
        rows.append(
            BoardRow(
                run=facts.run,
                line=facts.line,
                zone=facts.zone,
                customer=facts.customer,
                customer_name=facts.customer_name,
                project=facts.project,
                item=facts.item,
                item_revision=facts.item_revision,
                iteration=facts.iteration,
                state=facts.state,
                phase=facts.phase,
                phases=phases,
                verdict=facts.verdict,
                verdict_state=facts.verdict_state,
                word=_word(facts),
                evaluation=facts.evaluation,
                counts=words,
                started_at=facts.started_at,
                ended_at=facts.ended_at,
                planned_end=facts.planned_end,
                next_decision=_next_decision(phases, open_phases) if facts.state in _RUNNING else None,
                newest=newest.get(facts.run),
                gaps=facts.gaps,
                late=facts.late,
                version=digest(shown)[:12],
            )
        )
    return rows


async def criterion_rows(
    connection: Connection, run: str, criteria: CriteriaSet, channels: Channels
) -> tuple[CriterionRow, ...]:
    """In the order of the set."""
    cursor = await connection.execute(
        """select criterion, evaluation, activity, verdict, margin, low, high, frontier, reason, state
           from verification.criterion_state where run_id = %s order by position""",
        (run,),
    )
    documents = {item.id: item for item in criteria.criteria}
    rows = []
    for name, evaluation, activity, verdict, margin, low, high, frontier, reason, state in await cursor.fetchall():
        document = documents[name]
        rows.append(
            CriterionRow(
                criterion=name,
                clause=document.clause,
                title=document.title.model_dump(),
                phase=document.phase,
                kind=document.kind,
                activity=activity,
                verdict=verdict,
                word=verdict if activity == "decided" else activity,
                unit=state["unit"],
                margin=margin,
                low=low,
                high=high,
                share=state["share"],
                worst_at=state["worst_at"],
                worst_value=state["worst_value"],
                worst_unit=worst_unit(document, state["unit"], channels),
                measured=measured(document, state),
                decided_at=state["decided_at"],
                frontier=_micros(frontier),
                reason=reason,
                detail=state["detail"],
                limits=limits_of(document, channels),
                evaluation=evaluation,
                version=digest([evaluation, activity, verdict, margin, low, high, reason])[:12],
                state=state,
            )
        )
    return tuple(rows)


async def evaluations(connection: Connection, run: str) -> tuple[EvaluationRow, ...]:
    """Oldest first."""
    cursor = await connection.execute(
        """select number, kind, cause, supersedes, state, verdict, engine, digest, inputs_digest, criteria_digest, upto_offset, opened_at,
                  closed_at, coalesce(difference, '[]')
           from verification.evaluation where run_id = %s order by number""",
        (run,),
    )
    return tuple(EvaluationRow(*_cells(row)) for row in await cursor.fetchall())


async def transitions(connection: Connection, run: str, criterion: str) -> tuple[TransitionRow, ...]:
    """Oldest first."""
    cursor = await connection.execute(
        """select result_id::text, evaluation, before, after, margin, unit, decided_at, reason, state, positions
           from verification.criterion_result where run_id = %s and criterion = %s order by evaluation, recorded_at, result_id""",
        (run, criterion),
    )
    return tuple(TransitionRow(*_cells(row)) for row in await cursor.fetchall())


async def read_sets(connection: Connection, runs: Iterable[RunFacts], known: dict[str, CriteriaSet]) -> None:
    """Adds the sets of the runs that are not known yet."""
    missing = {(facts.criteria_set, facts.criteria_version) for facts in runs if facts.criteria_digest not in known}
    for set_id, version in sorted(missing):
        cursor = await connection.execute(
            "select digest, document from verification.criteria_set where set_id = %s and version = %s",
            (set_id, version),
        )
        row = await cursor.fetchone()
        assert row is not None  # the run refers to it by a foreign key
        known[row[0]] = CriteriaSet.model_validate(row[1])


async def cursor_of(connection: Connection) -> str:
    """Where the event stream continues behind what this transaction sees."""
    cursor = await connection.execute("select coalesce(max(published_seq), 0) from verification.outbox")
    row = await cursor.fetchone()
    return f"v{row[0] if row else 0}"


def _word(facts: RunFacts) -> str:
    if facts.verdict != "none":
        return facts.verdict
    return "open" if facts.ended_at is None or facts.started_at is not None else "none"


async def _counts(connection: Connection, runs: Sequence[str]) -> dict[str, tuple[dict[str, int], frozenset[str]]]:
    """Per run how many criteria have each word, and the phases with criteria that are not decided."""
    cursor = await connection.execute(
        """select run_id, case when activity = 'decided' then verdict else activity end, state ->> 'phase', count(*)
           from verification.criterion_state where run_id = any(%s) group by 1, 2, 3""",
        (list(runs),),
    )
    found: dict[str, tuple[dict[str, int], frozenset[str]]] = {}
    for run, word, phase, count in await cursor.fetchall():
        words, phases = found.get(run, ({}, frozenset()))
        words[word] = words.get(word, 0) + count
        found[run] = (words, phases | {phase} if word in {"open", "waiting", "rebuilding"} else phases)
    return found


async def _phase_spans(
    connection: Connection, runs: Sequence[str]
) -> dict[str, dict[str, tuple[Micros, Micros | None]]]:
    """As the worker has found them; a command that it has not read yet is the start of a phase too."""
    cursor = await connection.execute(
        """select run_id, phase, started_at, ended_at from verification.run_phase where run_id = any(%(runs)s)
           union all
           select c.run_id, c.phase, c.at, null from verification.run_command c
           where c.run_id = any(%(runs)s) and c.command = 'phase' and c.outcome = 'carried_out'
             and not exists (select from verification.run_phase p where p.run_id = c.run_id and p.phase = c.phase)""",
        {"runs": list(runs)},
    )
    found: dict[str, dict[str, tuple[Micros, Micros | None]]] = {}
    for run, phase, start, end in await cursor.fetchall():
        found.setdefault(run, {})[phase] = (micros(start), _micros(end))
    return found


async def _newest(connection: Connection, runs: Sequence[RunFacts]) -> dict[str, Micros]:
    """Newest sample of each run's streams inside the run, as far as `latest` knows it."""
    cursor = await connection.execute(
        "select s.stream_id, l.measured_at from ingest.latest l join ingest.stream s using (stream_no) where s.line_id = any(%s)",
        (sorted({facts.line for facts in runs}),),
    )
    latest = {stream: micros(at) for stream, at in await cursor.fetchall()}
    newest = {}
    for facts in runs:
        instants = [latest[pinned.stream] for pinned in facts.streams if pinned.stream in latest]
        if instants and facts.started_at is not None:
            newest[facts.run] = min(max(instants), facts.ended_at) if facts.ended_at is not None else max(instants)
    return newest


def _phases(
    facts: RunFacts, criteria: CriteriaSet, spans: Mapping[str, tuple[Micros, Micros | None]]
) -> tuple[PhaseView, ...]:
    starts = {name: start for name, (start, _) in spans.items()}
    order = sorted(starts, key=lambda name: starts[name])
    ends: dict[str, Micros] = {name: starts[following] for name, following in pairwise(order)}
    ends |= {name: end for name, (_, end) in spans.items() if end is not None}
    return tuple(
        PhaseView(
            id=phase.id,
            title=phase.title.model_dump(),
            started_at=starts.get(phase.id),
            ended_at=ends.get(phase.id, facts.ended_at if phase.id in starts else None),
            planned=None
            if phase.planned is None
            else round(
                phase.planned.value * conversion_between(phase.planned.unit, "us", "planned", difference=True).factor
            ),
        )
        for phase in criteria.phases
    )


def _next_decision(phases: Sequence[PhaseView], undecided: frozenset[str]) -> Micros | None:
    ends = [
        phase.started_at + phase.planned
        for phase in phases
        if phase.id in undecided and phase.started_at is not None and phase.planned is not None
    ]
    return min(ends, default=None)


def _facts(row: Sequence[Any]) -> RunFacts:
    *cells, streams, baselines = _cells(row)
    cells.append(tuple(PinnedStream(**pinned) for pinned in streams))
    cells.append(tuple(Baseline(**pinned) for pinned in baselines))
    return RunFacts(*cells)


def _cells(row: Sequence[Any]) -> list[Any]:
    """With instants as µs; the columns of a query are in the order of the dataclass."""
    return [micros(cell) if isinstance(cell, datetime) else cell for cell in row]


def _micros(value: datetime | None) -> Micros | None:
    return None if value is None else micros(value)
