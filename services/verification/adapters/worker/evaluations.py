"""Evaluations, verdicts and mismatches in PostgreSQL: written by the worker only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.adapters.worker.effects import word
from services.verification.domain.outcomes import CriterionState, Outcome, RunResult, Transition
from services.verification.domain.plan import ENGINE, RunPlan
from services.verification.domain.results import result_facts
from shared.kernel.canonical import canonical_json
from shared.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class InForce:
    """The evaluation in force of a run."""

    number: int
    digest: str | None
    inputs_digest: str | None
    outcomes: Mapping[str, str]
    """Criterion to outcome, empty while the evaluation is open."""
    upto: int
    """The offset below which the log was read."""


async def open_evaluation(
    connection: Connection,
    plan: RunPlan,
    number: int,
    *,
    cause: str,
    supersedes: int | None = None,
    difference: Sequence[Mapping[str, Any]] = (),
) -> None:
    """A live evaluation begins and is the one in force."""
    await connection.execute(
        """insert into verification.evaluation (run_id, number, kind, cause, supersedes, engine, criteria_digest, difference)
           values (%s, %s, 'live', %s, %s, %s, %s, %s::jsonb) on conflict (run_id, number) do nothing""",
        (plan.run, number, cause, supersedes, ENGINE, plan.criteria_digest, _json(list(difference))),
    )
    if supersedes is not None:
        await connection.execute(
            """update verification.evaluation set state = 'final', closed_at = clock_timestamp()
               where run_id = %s and number = %s and state = 'open'""",
            (plan.run, supersedes),
        )
    await connection.execute("update verification.run set evaluation = %s where run_id = %s", (number, plan.run))


async def finish_live(connection: Connection, number: int, result: RunResult, cut: int) -> None:
    """The live evaluation has its result."""
    await connection.execute(
        """update verification.evaluation set state = 'final', verdict = %s, inputs_digest = %s, digest = %s, upto_offset = %s,
               result = %s::jsonb, closed_at = clock_timestamp()
           where run_id = %s and number = %s""",
        (word(result.outcome), result.inputs_digest, result.digest, cut, _result(result), result.run, number),
    )


async def insert_stored(
    connection: Connection,
    number: int,
    result: RunResult,
    *,
    cause: str,
    supersedes: int,
    cut: int,
    difference: Sequence[Mapping[str, Any]],
) -> None:
    """A recomputation from stored frames."""
    await connection.execute(
        """insert into verification.evaluation
               (run_id, number, kind, cause, supersedes, state, verdict, engine, criteria_digest, inputs_digest, digest, upto_offset, result,
                difference, closed_at)
           values (%s, %s, 'stored', %s, %s, 'final', %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb, clock_timestamp())
           on conflict (run_id, number) do nothing""",
        (
            result.run,
            number,
            cause,
            supersedes,
            word(result.outcome),
            result.engine,
            result.criteria_digest,
            result.inputs_digest,
            result.digest,
            cut,
            _result(result),
            _json(list(difference)),
        ),
    )


async def set_verdict(connection: Connection, run: str, outcome: str, state: str, number: int) -> None:
    """What the run is worth at the moment: `state` is provisional, final or mismatch."""
    await connection.execute(
        "update verification.run set verdict = %s, verdict_state = %s, evaluation = %s where run_id = %s",
        (outcome, state, number, run),
    )


async def reopen_verdict(connection: Connection, run: str, late: int) -> None:
    """Late data or a further entry has reached a closed run: its verdict stands until the new evaluation, but is not the last word."""
    await connection.execute(
        "update verification.run set verdict_state = 'provisional', late = %s where run_id = %s", (late, run)
    )


async def late_of(connection: Connection, run: str) -> int:
    """How many late frames the run has had."""
    cursor = await connection.execute("select late from verification.run where run_id = %s", (run,))
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def mismatched(connection: Connection, run: str) -> bool:
    """Whether an alarm stands: then no later evaluation is final by itself."""
    found = await connection.execute("select from verification.evaluation_mismatch where run_id = %s limit 1", (run,))
    return found.rowcount > 0


async def set_counts(connection: Connection, run: str, gaps: int, late: int) -> None:
    await connection.execute("update verification.run set gaps = %s, late = %s where run_id = %s", (gaps, late, run))


async def record_mismatch(
    connection: Connection, live: InForce, stored: int, result: RunResult, difference: Sequence[Mapping[str, Any]]
) -> None:
    """Both evaluations are kept; this row is the alarm."""
    await connection.execute(
        """insert into verification.evaluation_mismatch (run_id, live, stored, live_digest, stored_digest, difference)
           values (%s, %s, %s, %s, %s, %s::jsonb) on conflict do nothing""",
        (result.run, live.number, stored, live.digest or "", result.digest, _json(list(difference))),
    )


async def in_force(connection: Connection, run: str) -> InForce | None:
    """The newest evaluation of the run."""
    cursor = await connection.execute(
        """select number, digest, inputs_digest, coalesce(result -> 'criteria', '[]'), coalesce(upto_offset, 0)
           from verification.evaluation
           where run_id = %s order by number desc limit 1""",
        (run,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    outcomes = {item["criterion"]: item["outcome"].lower() for item in row[3]}
    return InForce(row[0], row[1], row[2], outcomes, row[4])


def changes(before: Mapping[str, str], states: Sequence[CriterionState]) -> list[dict[str, Any]]:
    """What an evaluation says otherwise than the one before, by criterion."""
    return [
        {
            "criterion": state.criterion,
            "before": before.get(state.criterion, "none"),
            "after": word(state.outcome),
            "margin": state.margin,
            "reason": state.reason,
        }
        for state in states
        if before.get(state.criterion, "none") != word(state.outcome)
    ]


def standing(states: Sequence[CriterionState]) -> list[Transition]:
    """Every decided criterion as a transition: a new evaluation says all of its outcomes."""
    return [
        Transition(state.criterion, Outcome.NONE, state.outcome, state)
        for state in states
        if state.outcome is not Outcome.NONE
    ]


def _result(result: RunResult) -> str:
    return _json({"how": result.how, "criteria": [result_facts(state) for state in result.criteria]})


def _json(value: object) -> str:
    return canonical_json(value).decode()
