"""The kinds that judge a run by earlier ones: an envelope against its witness, a comparison against the statistic it is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.baselines import subject_of
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.outcomes import CriterionState, Outcome
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from shared.contracts.lifecycle import Baseline
from tests.property import brute_kinds as witness
from tests.property.recordings import SECOND, STREAMS, Recording, criteria_set, recordings, seconds
from tests.property.test_verification_kinds import agree, common, evaluate, limits, quality_of, signal_of

MEANS = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 2.0])
SPREADS = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@given(recordings(), common(), st.data())
def test_an_envelope_agrees_with_brute_force(recording: Recording, given_: Any, data: st.DataObject) -> None:
    """V-6, V-26, V-2: a reference with steps, on the run clock, shorter or longer than the phase."""
    name, phase, fields, coverage, gap = given_
    unit = "1" if name == "ratio" else "kPa"
    step, sigmas = data.draw(st.integers(1, 4)), data.draw(st.sampled_from([1.0, 2.0]))
    points = data.draw(st.lists(st.tuples(MEANS, SPREADS), min_size=1, max_size=12))
    floor, allowed = data.draw(st.sampled_from([None, 1.5])), data.draw(st.sampled_from([None, 1, 3]))
    clock = data.draw(st.sampled_from(["run", "stop"]))
    reference = {"step": seconds(step), "unit": unit, "mean": [m for m, _ in points], "sd": [sd for _, sd in points]}
    criterion = fields | {
        "kind": "envelope", "reference": reference, "sigmas": sigmas, "clock_in_hold": clock,
        "floor": None if floor is None else {"value": floor, "unit": unit},
        "at_most": None if allowed is None else seconds(allowed),
    }  # fmt: skip
    planned = criteria_set(criterion).model_dump(mode="json")
    for item in planned["phases"]:
        item["planned"] = None
    plan = RunPlan.build(
        run="run", criteria=CriteriaSet.model_validate(planned), streams=STREAMS, start=recording.start
    )
    state = rebuild(plan, recording.lifecycle(), recording.frames).result().criteria[0]
    halves = [(m, max(sigmas * sd, floor or 0.0)) for m, sd in points]
    expected = witness.envelope(
        signal_of(recording, name),
        recording.phase(phase, stops=clock == "stop"),
        step * SECOND,
        halves,
        None if allowed is None else allowed * SECOND,
    )
    agree(state, expected, quality_of(recording, name, phase), coverage, gap)


STATISTICS = st.sampled_from(["mean", "sd", "min", "max", "rms", "percentile"])


def compared(recording: Recording, criterion: dict[str, Any], previous: float | None, unit: str) -> CriterionState:
    criteria = criteria_set(criterion)
    subject = subject_of(criteria.criteria[0].model_dump(mode="json"))
    pinned = () if previous is None else (Baseline(subject, "before", 1, "d", previous, unit),)
    plan = RunPlan.build(run="run", criteria=criteria, streams=STREAMS, start=recording.start, baselines=pinned)
    return rebuild(plan, recording.lifecycle(), recording.frames).result().criteria[0]


@given(recordings(), common(), STATISTICS, st.data())
def test_a_comparison_is_the_statistic_with_its_limits_moved(
    recording: Recording, given_: Any, statistic: str, data: st.DataObject
) -> None:
    """V-6, V-26: everything said of it is what window_statistics says with limits around the value of the run before."""
    name, _, fields, _, _ = given_
    unit = "1" if name == "ratio" else "kPa"
    extra, low, high = data.draw(limits(name))
    previous = data.draw(st.sampled_from([-2.0, 0.5, 3.0]))
    extra |= {"statistic": statistic, "percentile": 90.0 if statistic == "percentile" else None}
    moved = {
        side: {"value": previous + value, "unit": unit}
        for side, value in (("low", low), ("high", high))
        if side in extra
    }
    plain = evaluate(recording, fields | extra | moved | {"kind": "window_statistics"})
    state = compared(recording, fields | extra | {"kind": "compare_previous"}, previous, unit)
    assert replace(state, kind=plain.kind, detail=plain.detail) == plain
    alone = compared(recording, fields | extra | {"kind": "compare_previous"}, None, unit)
    assert (alone.outcome, alone.margin, alone.worst_value) == (Outcome.INCONCLUSIVE, None, plain.worst_value)
    if plain.outcome is Outcome.PASS:
        assert alone.reason == "no_previous_run"
