"""The final result of an evaluation and its digest (V-16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from services.verification.domain.outcomes import CriterionState, Outcome, RunResult
from services.verification.domain.plan import ENGINE, RunPlan
from shared.kernel.canonical import digest


def result_of(plan: RunPlan, how: str, states: Sequence[CriterionState], inputs: Sequence[object]) -> RunResult:
    """The run's outcome is its worst criterion's. Kafka offsets are nowhere in it: they differ under duplication."""
    inputs_digest = digest(list(inputs))
    outcome = max((state.outcome for state in states), default=Outcome.NONE)
    results = [result_facts(state) for state in states]
    whole = digest([ENGINE, plan.run, plan.start, plan.criteria_digest, inputs_digest, how, results])
    return RunResult(
        run=plan.run,
        outcome=outcome,
        how=how,
        criteria=tuple(states),
        inputs_digest=inputs_digest,
        criteria_digest=plan.criteria_digest,
        engine=ENGINE,
        digest=whole,
    )


def result_facts(state: CriterionState) -> dict[str, object]:
    """What the digest covers of a criterion: everything but what is shown to people only."""
    facts: dict[str, object] = asdict(state)
    for shown in ("activity", "detail", "stale"):
        del facts[shown]
    facts["outcome"] = state.outcome.name
    return facts
