"""The phases of a run in the tables, and what is said when a condition has begun or ended one (V-3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.verification.adapters.worker.effects import Effects, Subject
from services.verification.domain.phases import CONDITION, PhaseSpan
from shared.kernel.times import Micros, micros, utc
from shared.storage.pool import Connection


async def tell(
    connection: Connection,
    subject: Subject,
    before: Sequence[PhaseSpan],
    spans: Sequence[PhaseSpan],
    effects: Effects,
    *,
    document: bool = True,
) -> None:
    """Writes the phases when they are not those of `before`, and says the boundaries that a condition has found since. After `run_stop` a
    run gets no more documents."""
    if tuple(before) == tuple(spans):
        return
    known = set(_boundaries(before))
    for what, phase, at in _boundaries(spans):
        if (what, phase, at) in known:
            continue
        data = {"run": subject.run, "line": subject.line, "phase": phase, "at": at, "by": CONDITION}
        identity = f"phase/{what}/{phase}/{at}"
        effects.event(subject, f"run.phase_{what}", [identity], at, data)
        if document:
            effects.document(subject.run, "event", identity, {**data, "event": f"phase_{what}"})
    await _write(connection, subject, spans)


async def read(connection: Connection, run: str) -> tuple[PhaseSpan, ...]:
    """As they were last written, in order of their start."""
    cursor = await connection.execute(
        """select phase, started_at, ended_at, starts_by, ends_itself from verification.run_phase
           where run_id = %s order by started_at, ended_at""",
        (run,),
    )
    return tuple(
        PhaseSpan(phase, micros(start), None if end is None else micros(end), starts_by, ends_itself)
        for phase, start, end, starts_by, ends_itself in await cursor.fetchall()
    )


def _boundaries(spans: Sequence[PhaseSpan]) -> Iterator[tuple[str, str, Micros]]:
    for span in spans:
        if span.starts_by == CONDITION:
            yield "started", span.phase, span.start
        if span.ends_itself and span.end is not None:
            yield "ended", span.phase, span.end


async def _write(connection: Connection, subject: Subject, spans: Sequence[PhaseSpan]) -> None:
    await connection.execute("delete from verification.run_phase where run_id = %s", (subject.run,))
    for span in spans:
        await connection.execute(
            """insert into verification.run_phase (run_id, phase, started_at, ended_at, starts_by, ends_itself, evaluation)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            (
                subject.run,
                span.phase,
                utc(span.start),
                None if span.end is None else utc(span.end),
                span.starts_by,
                span.ends_itself,
                subject.evaluation,
            ),
        )
    newest = spans[-1] if spans else None
    if newest is not None and newest.starts_by == CONDITION:
        await connection.execute(
            "update verification.run set phase = %s where run_id = %s and state in ('running', 'held')",
            (newest.phase, subject.run),
        )
