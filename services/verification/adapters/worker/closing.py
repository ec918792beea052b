"""How an evaluation ends or is replaced: the live result, the recomputation from storage, late data (V-15, V-16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.verification.adapters.evidence import offsets_of
from services.verification.adapters.run_store import add_documents
from services.verification.adapters.worker import evaluations, run_phases
from services.verification.adapters.worker.effects import Effects, Subject, word
from services.verification.adapters.worker.rebuilds import Reading, Rebuilt, rebuild
from services.verification.adapters.worker.session import Cause, Session
from services.verification.domain.outcomes import Outcome, RunResult, Transition
from services.verification.domain.phases import PhaseSpan
from shared.observability.metrics import EVALUATION_MISMATCHES, VERDICTS, OfLine, OfVerdict
from shared.storage.pool import Connection, Pool

Places = Mapping[tuple[str, str, int], int]
"""Kafka offset by (stream, boot, seq)."""


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A result from stored frames, where the frames of its evidence lie in the log, and the run's phases."""

    result: RunResult
    places: Places
    phases: tuple[PhaseSpan, ...]

    def place_of(self, stream: str, boot: str, seq: int) -> int | None:
        return self.places.get((stream, boot, seq))


async def recompute(pool: Pool, reading: Reading) -> Recomputed:
    """The final result of a run from its stored frames."""
    evaluator = (await rebuild(pool, reading)).evaluator
    result = evaluator.result()
    async with pool.connection() as connection:
        places = await offsets_of(connection, [state.evidence for state in result.criteria])
    return Recomputed(result, places, evaluator.phases)


def subject_of(session: Session, evaluation: int | None = None) -> Subject:
    return Subject(session.run, session.line, session.partition, evaluation or session.evaluation)


async def tell_phases(connection: Connection, session: Session, effects: Effects) -> None:
    """The phases of the live evaluation, when they have changed."""
    spans = session.evaluator.phases
    await run_phases.tell(connection, subject_of(session), session.spans, spans, effects)
    session.spans = spans


async def adopt(connection: Connection, session: Session, rebuilt: Rebuilt, effects: Effects, recent: Places) -> None:
    """Go on with an evaluator read from storage. Outcomes that only grew continue the evaluation; anything else is a new one."""
    assert session.need is not None
    cause = session.need.cause
    before = dict(session.outcomes)
    for stream, at in rebuilt.marks.items():
        session.marks[stream] = max(session.marks.get(stream, at), at)
    session.adopt(rebuilt.evaluator)

    def place_of(stream: str, boot: str, seq: int) -> int | None:
        return recent.get((stream, boot, seq))

    states = {state.criterion: state for state in session.evaluator.states()}
    changed = [
        Transition(name, Outcome(before.get(name, 0)), state.outcome, state)
        for name, state in states.items()
        if state.outcome != before.get(name, 0)
    ]
    if cause is not Cause.ENGINE and all(change.after > change.before for change in changed):
        for change in changed:
            effects.transition(subject_of(session), change, place_of)
        await tell_phases(connection, session, effects)
        return
    words = {name: word(Outcome(outcome)) for name, outcome in before.items()}
    difference = evaluations.changes(words, list(states.values()))
    session.evaluation += 1
    await evaluations.open_evaluation(
        connection,
        session.plan,
        session.evaluation,
        cause=cause,
        supersedes=session.evaluation - 1,
        difference=difference,
    )
    await tell_phases(connection, session, effects)
    names = {change.criterion for change in changed}
    for change in evaluations.standing(list(states.values())):
        effects.transition(subject_of(session), change, place_of, announce=change.criterion in names)


async def finish(connection: Connection, session: Session, effects: Effects, cut: int, recent: Places) -> bool:
    """The live evaluation judges what waits and has its result; False when a late record asks for a rebuild first."""

    def place_of(stream: str, boot: str, seq: int) -> int | None:
        return recent.get((stream, boot, seq))

    transitions = session.evaluator.finish()
    session.count(transitions)
    for change in transitions:
        effects.transition(subject_of(session), change, place_of)
    await tell_phases(connection, session, effects)
    if session.evaluator.needs_rebuild:
        return False
    await evaluations.finish_live(connection, session.evaluation, session.evaluator.result(), cut)
    return True


async def close(connection: Connection, session: Session, recomputed: Recomputed, effects: Effects, cut: int) -> None:
    """Compare the live result with the recomputation, bit for bit. Equal: final. Different: both are kept, and an alarm."""
    live = await evaluations.in_force(connection, session.run)
    assert live is not None
    result = recomputed.result
    number = live.number + 1
    difference = evaluations.changes(live.outcomes, result.criteria)
    await evaluations.insert_stored(
        connection, number, result, cause="close", supersedes=live.number, cut=cut, difference=difference
    )
    _say_all(effects, session, recomputed, number, announce=set())
    if live.digest == result.digest:
        await _verdict(connection, session, result, effects, number, "final")
    else:
        await evaluations.record_mismatch(connection, live, number, result, difference)
        facts = {"run": session.run, "line": session.line, "live": live.digest, "stored": result.digest}
        effects.event(
            subject_of(session, number),
            "evaluation_mismatch",
            [number],
            session.end or 0,
            {**facts, "difference": difference},
        )
        EVALUATION_MISMATCHES.add(OfLine(session.line))
        await _verdict(connection, session, result, effects, number, "mismatch")
    stop = {"at": session.end, "how": result.how, "verdict": word(result.outcome), "digest": result.digest}
    await effects.write_documents(connection)
    await add_documents(connection, session.run, [("run_stop", "stop", {**stop, "evaluation": number})])


async def supersede(
    connection: Connection, session: Session, recomputed: Recomputed, effects: Effects, cut: int
) -> None:
    """Late data of a closed run, or a further entry: a new evaluation, unless what is in force is the same (a copy, or outside of the
    run)."""
    before = await evaluations.in_force(connection, session.run)
    assert before is not None
    result = recomputed.result
    state = "mismatch" if await evaluations.mismatched(connection, session.run) else "final"
    if before.inputs_digest == result.inputs_digest and before.digest == result.digest:
        await evaluations.set_verdict(connection, session.run, _worth(result, state), state, before.number)
        return
    number = before.number + 1
    difference = evaluations.changes(before.outcomes, result.criteria)
    await evaluations.insert_stored(
        connection,
        number,
        result,
        cause=session.cause_between(before.upto, cut),
        supersedes=before.number,
        cut=cut,
        difference=difference,
    )
    _say_all(effects, session, recomputed, number, announce={item["criterion"] for item in difference})
    before_phases = await run_phases.read(connection, session.run)
    await run_phases.tell(
        connection, subject_of(session, number), before_phases, recomputed.phases, effects, document=False
    )
    await _verdict(connection, session, result, effects, number, state)


def _say_all(effects: Effects, session: Session, recomputed: Recomputed, number: int, *, announce: set[str]) -> None:
    subject = subject_of(session, number)
    for change in evaluations.standing(recomputed.result.criteria):
        effects.transition(subject, change, recomputed.place_of, announce=change.criterion in announce, document=False)
    for position, state in enumerate(recomputed.result.criteria):
        effects.state(subject, state, position, str(state.activity), session.end)


async def _verdict(
    connection: Connection, session: Session, result: RunResult, effects: Effects, number: int, state: str
) -> None:
    outcome = _worth(result, state)
    await evaluations.set_verdict(connection, session.run, outcome, state, number)
    facts = {"run": session.run, "line": session.line, "evaluation": number, "verdict": outcome, "state": state}
    effects.event(
        subject_of(session, number), "verdict", [number], session.end or 0, {**facts, "digest": result.digest}
    )
    VERDICTS.add(OfVerdict("close", outcome))


def _worth(result: RunResult, state: str) -> str:
    """A run whose evaluations disagree is not decided, whatever they say."""
    return "inconclusive" if state == "mismatch" else word(result.outcome)
