"""Which runs of a line a record reaches, and what it does to them: the same for a record of the log and for one of a kept batch."""

from __future__ import annotations

from collections.abc import Sequence

from services.verification.adapters.worker.closing import subject_of
from services.verification.adapters.worker.effects import Effects
from services.verification.adapters.worker.session import Session, Stage
from services.verification.domain.evaluator import Lifecycle
from shared.contracts.frame import Frame, decode_frame
from shared.contracts.lifecycle import Entry, GapSeen, RunStarted, decode_line_record
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.kernel.times import utc
from shared.messaging.processor import Record

Reached = list[tuple[Session, bool]]
"""The sessions, and for a frame whether it came late for them."""


def give_frame(frame: Frame, offset: int, sessions: Sequence[Session]) -> Reached:
    """Raises Reject for a frame that storage refuses as well; then no session has taken it."""
    return [(session, session.take(frame, offset)) for session in sessions if session.wants(frame)]


def give_lifecycle(record: Lifecycle, offset: int, sessions: Sequence[Session]) -> Reached:
    """A start is no business of a run that has started; nor is anything behind its end but what people enter."""
    if isinstance(record, RunStarted):
        return []
    always = isinstance(record, Entry)
    reached = [session for session in sessions if session.run == record.run and (always or session.stage is Stage.LIVE)]
    for session in reached:
        session.apply(record, offset)
    return [(session, False) for session in reached]


def give_gap(gap: GapSeen, sessions: Sequence[Session]) -> Reached:
    reached: Reached = []
    for session in sessions:
        end = session.end
        if gap.stream in session.order and gap.before >= session.plan.start and (end is None or gap.after < end):
            session.gaps = max(0, session.gaps + (-1 if gap.closed else 1))
            session.changes += 1
            reached.append((session, False))
    return reached


def give_again(record: Record, sessions: Sequence[Session]) -> list[Session]:
    """A record of a kept batch; what was refused the first time is refused again."""
    try:
        if record.kind == Kind.FRAME:
            return [session for session, _ in give_frame(decode_frame(record.value), record.offset, sessions)]
        content = decode_line_record(record.value)
    except Reject:
        return []
    if isinstance(content, GapSeen):
        return [session for session, _ in give_gap(content, sessions)]
    if isinstance(content, Lifecycle):
        return [session for session, _ in give_lifecycle(content, record.offset, sessions)]
    return []


def say_late(session: Session, frame: Frame, effects: Effects) -> None:
    """An event for whoever watches: a sample came after its instant had been judged."""
    at = int(frame.times_array()[0])
    facts = {"run": session.run, "line": session.line, "stream": frame.stream, "boot": frame.boot, "seq": frame.seq}
    effects.event(subject_of(session), "late", [frame.stream, frame.boot, frame.seq], at, {**facts, "at": at})


def say_gap(session: Session, gap: GapSeen, effects: Effects) -> None:
    """An event for whoever watches: records of a stream are missing, or have come after all."""
    facts = {
        "run": session.run,
        "line": session.line,
        "stream": gap.stream,
        "boot": gap.boot,
        "from_seq": gap.from_seq,
        "to_seq": gap.to_seq,
        "after": utc(gap.after).isoformat(),
        "before": utc(gap.before).isoformat(),
        "closed": gap.closed,
    }
    effects.event(subject_of(session), "gap", [gap.event_id], gap.after, facts)
