"""The evaluator on the recordings, as the demonstration delivers them, against outcomes computed from the data alone (V-27)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.demo.configuration import CRITERIA, demo_plan, expected_run, registered_streams
from deploy.demo.plan import Begin, Enter, Finish, Plan, Send, starts_at
from deploy.demo.tennessee import RUNS
from services.verification.domain.criteria_model import load_criteria
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.outcomes import RunResult
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame, Quality, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded, RunStarted

Lifecycle = RunStarted | PhaseStarted | RunEnded


def records(plan: Plan, run: str) -> list[Frame | Lifecycle]:
    """Frames as the gateway would publish them, and the run's lifecycle, in the order of the plan."""
    log: list[Frame | Lifecycle] = []
    for step in plan.steps():
        match step:
            case Begin():
                log.append(PhaseStarted(f"{run}-first", run, "te1", step.at, "lined_out"))
            case Enter():
                log.append(PhaseStarted(f"{run}-{step.phase}", run, "te1", step.at, step.phase))
            case Finish():
                log.append(RunEnded(f"{run}-end", run, "te1", step.at, "completed"))
            case Send():
                for batch in step.batches:
                    if batch.note != "wrong_unit":
                        log.append(frame_of(batch.stream, batch.boot, batch.seq, batch.t0, batch.dt, batch.values))
    return log


def frame_of(stream: str, boot: str, seq: int, t0: int, dt: int, values: NDArray[np.float64]) -> Frame:
    quality = np.where(np.isfinite(values), 0, int(Quality.NOT_A_NUMBER)).astype(np.uint8)
    times = t0 + dt * np.arange(len(values), dtype=np.int64)
    return build_frame(
        stream=stream, registry_version=1, boot=boot, seq=seq, times=times, values=values, quality=quality
    )


def evaluated(plan: Plan, run: str) -> RunResult:
    """The live evaluation, a batch of records after the other, with a rebuild where something came late."""
    criteria = load_criteria(CRITERIA.read_text(encoding="utf-8"))
    run_plan = RunPlan.build(
        run=run, criteria=criteria, streams=tuple(registered_streams().values()), start=starts_at(run)
    )
    evaluator = RunEvaluator(run_plan)
    log = records(plan, run)
    for record in log:
        if isinstance(record, Frame):
            evaluator.add_frame(record)
        else:
            evaluator.apply(record)
        evaluator.advance()
    if evaluator.needs_rebuild:
        lifecycle = [record for record in log if not isinstance(record, Frame)]
        evaluator = rebuild(run_plan, lifecycle, [record for record in log if isinstance(record, Frame)])
    return evaluator.result()


@pytest.mark.parametrize("run", RUNS)
def test_outcomes_and_margins_are_those_of_the_data(run: str) -> None:
    plan = demo_plan([run])
    expected = expected_run(plan, run)
    result = evaluated(plan, run)
    assert result.outcome.name == expected.verdict
    assert {state.criterion: state.outcome.name for state in result.criteria} == {
        name: outcome for name, (outcome, _) in expected.criteria.items()
    }
    for state in result.criteria:
        margin = expected.criteria[state.criterion][1]
        if state.kind not in {"data_quality", "hold"}:
            assert state.margin == pytest.approx(margin, rel=1e-9, abs=1e-9)
        if state.kind == "hold":
            assert state.time_margin == pytest.approx((margin or 0.0) * 1e6)
