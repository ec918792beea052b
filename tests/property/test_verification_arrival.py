"""One answer whatever happened on the way (G4): order, duplication, cutting into messages, late frames, snapshots; honest intervals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.verification.domain.evaluator import Lifecycle, NeedsRebuild, RunEvaluator
from services.verification.domain.outcomes import CriterionState, Outcome, Verdict
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import affected, read_again, read_whole, rebuild, take_over
from services.verification.domain.results import result_facts
from shared.contracts.frame import Frame, build_frame
from shared.contracts.lifecycle import PhaseStarted
from tests.property.recordings import SECOND, Recording, kpa, recordings, seconds

BOTH = {"op": "difference", "of": ["fast.x", "slow.z"]}
RANGE = {"low": kpa(-2), "high": kpa(2)}
HIGH_OR_BOTH = {
    "op": "or",
    "of": [{"op": ">=", "left": "fast.x", "right": kpa(1)}, {"op": "<", "left": BOTH, "right": kpa(2)}],
}
LOW_Y = {"op": "<=", "left": "fast.y", "right": kpa(1)}
REFERENCE = {"step": seconds(3), "unit": "kPa", "mean": [0.0, 1.0, -1.0] * 400, "sd": [1.0, 0.5, 2.0] * 400}
CRITERIA: tuple[dict[str, Any], ...] = (
    {"kind": "band", "phase": "p", "signal": "fast.x", "quality": {"max_gap": seconds(4)}} | RANGE,
    {"kind": "band", "phase": "q", "signal": BOTH, "quality": {"min_coverage": 0.6}} | RANGE,
    {"kind": "hold", "phase": "p", "signal": "fast.y", "duration": seconds(4), "clock_in_hold": "stop"} | RANGE,
    {"kind": "hold", "phase": "q", "signal": BOTH, "duration": seconds(3)} | RANGE,
    {"kind": "longest_excursion", "phase": "p", "signal": "fast.x", "at_most": seconds(2)} | RANGE,
    {"kind": "cumulative_time_out", "phase": "p", "signal": BOTH, "at_most": seconds(3), "clock_in_hold": "stop"}
    | RANGE,
    {"kind": "settle", "phase": "p", "signal": "fast.y", "target": kpa(1), "tolerance": kpa(3), "by": seconds(3)},
    {
        "kind": "rate_of_change",
        "phase": "p",
        "signal": "fast.x",
        "window": seconds(4),
        "high": {"value": 1, "unit": "kPa/s"},
    },
    {"kind": "window_statistics", "phase": "p", "signal": "slow.z", "statistic": "sd", "high": kpa(2)},
    {
        "kind": "window_statistics",
        "phase": "p",
        "signal": BOTH,
        "statistic": "mean",
        "windows": "sliding",
        "window": seconds(5),
    }
    | RANGE,
    {"kind": "window_statistics", "phase": "q", "signal": "fast.x", "statistic": "max", "high": kpa(3)},
    {"kind": "window_statistics", "phase": "p", "signal": "fast.y", "statistic": "percentile", "percentile": 90}
    | {"windows": "tumbling", "window": seconds(6), "high": kpa(3)},
    {"kind": "data_quality", "phase": "p", "signal": "fast.x", "max_gap": seconds(4), "max_stuck": seconds(5)},
    {"kind": "fraction_in_band", "phase": "p", "signal": BOTH, "at_least": 0.5, "clock_in_hold": "stop"} | RANGE,
    {"kind": "ramp", "phase": "q", "signal": "fast.x", "from_level": kpa(0), "to_level": kpa(3), "tolerance": kpa(3)}
    | {"rate": {"value": 1, "unit": "kPa/s"}, "clock_in_hold": "stop"},
    {"kind": "steady_state", "phase": "p", "signal": "fast.x", "window": seconds(4), "windows": 2}
    | {"gradient": {"value": 1, "unit": "kPa/s"}},
    {"kind": "drift", "phase": "p", "signal": BOTH, "high": {"value": 1, "unit": "kPa/s"}},
    {"kind": "integral", "phase": "p", "signal": "fast.y", "low": {"value": 0, "unit": "kPa.s"}},
    {"kind": "totaliser", "phase": "p", "signal": "fast.y", "low": kpa(3), "high": kpa(9)},
    {"kind": "uniformity", "phase": "q", "places": ["fast.x", "slow.z"], "formula": "half_range", "at_most": 1.0},
    {"kind": "setpoint_band", "phase": "p", "signal": "fast.x", "setpoint": "slow.z", "within": kpa(3)},
    {"kind": "envelope", "phase": "p", "signal": BOTH, "clock_in_hold": "stop", "at_most": seconds(2)}
    | {"reference": REFERENCE},
    {"kind": "envelope", "phase": "q", "signal": "fast.y", "reference": REFERENCE},
    {"kind": "compare_previous", "phase": "p", "signal": "fast.x", "statistic": "mean"} | RANGE,
    {"kind": "count", "phase": "p", "event": {"op": ">=", "left": "fast.x", "right": kpa(1)}, "at_least": 1},
    {"kind": "count", "phase": "q", "event": {"op": ">=", "left": BOTH, "right": kpa(1)}, "at_most": 1},
    {
        "kind": "success_rate",
        "phase": "p",
        "trial": {"op": ">=", "left": "fast.x", "right": kpa(1)},
        "success": {"op": "<", "left": "slow.z", "right": kpa(2)},
        "at_least": 0.5,
    },
    {
        "kind": "mtbf",
        "phase": "p",
        "failure": {"op": ">=", "left": "fast.x", "right": kpa(1)},
        "operating": {"op": "<", "left": "fast.y", "right": kpa(2)},
        "at_least": seconds(2),
    },
    {"kind": "condition", "phase": "p", "of": HIGH_OR_BOTH},
    {"kind": "response", "phase": "p", "trigger": HIGH_OR_BOTH, "answer": LOW_Y, "within": seconds(4)},
    {"kind": "until", "phase": "q", "holds": LOW_Y, "until": HIGH_OR_BOTH},
    {"kind": "since", "phase": "p", "trigger": HIGH_OR_BOTH, "holds": LOW_Y, "since": LOW_Y, "within": seconds(6)},
    {"kind": "order", "phase": "p", "events": [LOW_Y, HIGH_OR_BOTH]},
    {"kind": "forbid", "phase": "p", "of": LOW_Y, "during": HIGH_OR_BOTH},
    {"kind": "window_statistics", "phase": "p", "signal": "fast.x", "statistic": "cpk", "windows": "sliding"}
    | {"window": seconds(5), "low": {"value": 0, "unit": "1"}, "upper_spec": kpa(3)},
)


def in_log_order(recording: Recording, frames: list[Frame], delay: int = 0) -> list[Frame | Lifecycle]:
    """Frames in the order given; a lifecycle record before the first frame that reaches `delay` beyond it."""
    log: list[Frame | Lifecycle] = []
    waiting = recording.lifecycle()
    for frame in frames:
        while waiting and waiting[0].at + delay <= int(frame.times_array().max()):
            log.append(waiting.pop(0))
        log.append(frame)
    return [*log, *waiting]


def by_time(frames: tuple[Frame, ...]) -> list[Frame]:
    return sorted(frames, key=lambda frame: (int(frame.times_array()[0]), frame.stream, frame.boot, frame.seq))


def feed(evaluator: RunEvaluator, record: Frame | Lifecycle) -> None:
    if isinstance(record, Frame):
        evaluator.add_frame(record)
    else:
        evaluator.apply(record)


def recut(frames: tuple[Frame, ...], size: int) -> list[Frame]:
    """The same rows in other messages: sequence numbers are the row's own, so that the order of rows stays what it was."""
    cut = []
    for frame in frames:
        times, values, marks = frame.times_array(), frame.values_array(), frame.quality_array()
        for at in range(0, frame.rows, size):
            part = slice(at, at + size)
            cut.append(
                build_frame(
                    stream=frame.stream,
                    registry_version=1,
                    boot=frame.boot,
                    seq=frame.seq + at,
                    times=times[part],
                    values=values[part],
                    quality=marks[part],
                )
            )
    return cut


@given(recordings(), st.randoms(use_true_random=False))
def test_any_order_with_duplicates_gives_the_same_digest(recording: Recording, random: Any) -> None:  # G4, V-26
    plan = recording.plan(*CRITERIA)
    reference = rebuild(plan, recording.lifecycle(), recording.frames).result()
    frames = list(recording.frames) + [frame for frame in recording.frames if random.random() < 0.3]
    random.shuffle(frames)
    assert rebuild(plan, recording.lifecycle(), frames).result() == reference
    assert rebuild(plan, recording.lifecycle(), by_time(recording.frames), in_order=True).result() == reference


@given(recordings(), st.integers(1, 4))
def test_cutting_into_other_messages_changes_no_margin(recording: Recording, size: int) -> None:  # V-11, G4
    plan = recording.plan(*CRITERIA)
    whole = rebuild(plan, recording.lifecycle(), recording.frames).result()
    cut = rebuild(plan, recording.lifecycle(), recut(recording.frames, size)).result()
    assert [without_evidence(s) for s in cut.criteria] == [without_evidence(s) for s in whole.criteria]


def without_evidence(state: CriterionState) -> dict[str, object]:
    facts = result_facts(state)
    del facts["evidence"]
    return facts


@given(recordings(), st.randoms(use_true_random=False))
def test_a_live_evaluation_ends_as_the_rebuilt_one(recording: Recording, random: Any) -> None:  # V-14, V-15, V-16, V-26
    plan = recording.plan(*CRITERIA)
    frames = by_time(recording.frames)
    for _ in range(random.randrange(3)):
        if len(frames) > 1:
            frames.insert(random.randrange(len(frames)), frames.pop(random.randrange(len(frames))))
    live = RunEvaluator(plan)
    outcomes = {criterion.id: Outcome.NONE for criterion in plan.criteria}
    for record in in_log_order(recording, frames, delay=random.choice([0, 1, 4]) * SECOND):
        feed(live, record)
        if random.random() < 0.7:
            for transition in live.advance():
                assert outcomes[transition.criterion] is transition.before < transition.after  # G6
                outcomes[transition.criterion] = transition.after
    live.finish()
    reference = rebuild(plan, recording.lifecycle(), frames).result()
    for state, final in zip(live.states(), reference.criteria, strict=True):
        if not state.stale:
            assert result_facts(state) == result_facts(final)
    if live.needs_rebuild:
        with pytest.raises(NeedsRebuild):
            live.result()
    else:
        assert live.result() == reference


@given(recordings(), st.data())
def test_a_late_frame_names_the_criteria_it_touches(recording: Recording, data: st.DataObject) -> None:  # V-15
    plan = recording.plan(*CRITERIA)
    frames = by_time(recording.frames)
    if not frames:
        return
    late = frames.pop(data.draw(st.integers(0, len(frames) - 1)))
    live = RunEvaluator(plan)
    for record in in_log_order(recording, frames):
        feed(live, record)
        live.advance()
    live.finish()
    before = {state.criterion: result_facts(state) for state in live.states()}
    arrival = live.add_frame(late)
    after = rebuild(plan, recording.lifecycle(), recording.frames).result()
    changed = {s.criterion for s in after.criteria if result_facts(s) != before[s.criterion]}
    assert changed <= live.stale
    if arrival.verdict is Verdict.ACCEPTED:
        assert set(arrival.late) <= live.stale


@given(recordings(), st.data())
def test_a_snapshot_at_any_record_continues_as_if_nothing_happened(
    recording: Recording, data: st.DataObject
) -> None:  # V-17, V-26
    plan = recording.plan(*CRITERIA)
    log = in_log_order(recording, by_time(recording.frames))
    cuts = set(data.draw(st.lists(st.integers(0, len(log)), max_size=4)))
    straight, killed = RunEvaluator(plan), RunEvaluator(plan)
    for k, record in enumerate(log):
        if k in cuts:
            killed = RunEvaluator.restore(plan, killed.snapshot())
        transitions = []
        for evaluator in (straight, killed):
            feed(evaluator, record)
            transitions.append(evaluator.advance())
        assert transitions[0] == transitions[1]
        assert straight.snapshot() == killed.snapshot()
    straight.finish()
    killed.finish()
    assert straight.states() == killed.states()


@given(recordings())
def test_the_interval_only_narrows_and_never_excludes_the_final_margin(recording: Recording) -> None:  # V-12, V-26
    plan = recording.plan(*CRITERIA)
    final = {
        state.criterion: state for state in rebuild(plan, recording.lifecycle(), recording.frames).result().criteria
    }
    live = RunEvaluator(plan)
    seen: dict[str, list[CriterionState]] = {name: [] for name in final}
    for record in in_log_order(recording, by_time(recording.frames)):
        feed(live, record)
        live.advance()
        for state in live.states():
            seen[state.criterion].append(state)
    for name in final.keys() - live.stale:  # what a late record touched is a new evaluation, with intervals of its own
        narrows(seen[name], final[name])


def narrows(states: list[CriterionState], final: CriterionState) -> None:
    low, high = -math.inf, math.inf
    for state in states:
        assert low <= state.low
        assert state.high <= high
        low, high = state.low, state.high
        if final.margin is not None:
            assert low <= final.margin <= high
        if state.outcome in (Outcome.PASS, Outcome.FAIL):
            assert (final.outcome, final.decided_at) == (state.outcome, state.decided_at)


@given(recordings())
def test_a_conflicting_resend_changes_nothing(recording: Recording) -> None:  # G2, V-16
    plan = recording.plan(*CRITERIA)
    live = RunEvaluator(plan)
    for record in in_log_order(recording, by_time(recording.frames)):
        feed(live, record)
        if isinstance(record, Frame):
            other = build_frame(
                stream=record.stream,
                registry_version=1,
                boot=record.boot,
                seq=record.seq,
                times=record.times_array(),
                values=np.nan_to_num(record.values_array()) + 1.0,
            )
            assert live.add_frame(record).verdict in (Verdict.DUPLICATE, Verdict.IGNORED)
            assert live.add_frame(other).verdict in (Verdict.CONFLICT, Verdict.IGNORED)
    reference = rebuild(plan, recording.lifecycle(), recording.frames)
    live.finish()
    if not live.needs_rebuild:
        assert live.result() == reference.result()


@given(recordings(), st.data())
def test_what_a_late_record_touched_is_read_again_and_nothing_else(recording: Recording, data: st.DataObject) -> None:
    """V-15, G4: after it the evaluator is the one that has read everything, and goes on as that one does."""
    plan = recording.plan(*CRITERIA)
    frames = by_time(recording.frames)
    for _ in range(data.draw(st.integers(1, 3)) if frames else 0):
        frames.insert(data.draw(st.integers(0, len(frames))), frames.pop(data.draw(st.integers(0, len(frames) - 1))))
    log = in_log_order(recording, frames)
    live = RunEvaluator(plan)
    for k, record in enumerate(log):
        feed(live, record)
        live.advance()
        if live.needs_rebuild:
            cut = data.draw(st.integers(0, k + 1))
            fresh = read_again(live)
            for stored in sorted_as_stored(log[:cut]):
                feed(fresh, stored)
            fresh.advance()
            fresh.joined()
            for since in log[cut : k + 1]:
                feed(fresh, since)
            fresh.advance()
            wanted = whole_evaluator(plan, log[: k + 1])
            if fresh.plan is plan:
                live = fresh
            else:
                untouched = [state for state in live.states() if state.criterion not in fresh.plan.order]
                assert take_over(live, fresh)
                assert [state for state in live.states() if state.criterion not in fresh.plan.order] == untouched
            assert [s for s in live.states() if not s.stale] == [
                s for s in wanted.states() if s.criterion not in live.stale
            ]
            live = RunEvaluator.restore(plan, live.snapshot())
    live.finish()
    if not live.needs_rebuild:
        assert live.result() == rebuild(plan, recording.lifecycle(), recording.frames).result()


def sorted_as_stored(log: list[Frame | Lifecycle]) -> list[Frame | Lifecycle]:
    """The run's records, then the frames in order of time."""
    records: list[Frame | Lifecycle] = [item for item in log if not isinstance(item, Frame)]
    return [*records, *by_time(tuple(item for item in log if isinstance(item, Frame)))]


def whole_evaluator(plan: RunPlan, log: list[Frame | Lifecycle]) -> RunEvaluator:
    evaluator = read_whole(plan)
    for record in sorted_as_stored(log):
        feed(evaluator, record)
    evaluator.advance()
    return evaluator


def test_only_the_groups_of_the_touched_criteria_are_read_again() -> None:  # V-15
    recording = Recording(0, 20 * SECOND, 40 * SECOND, (), (), {})
    plan = recording.plan(*CRITERIA)
    live = RunEvaluator(plan)
    for record in recording.lifecycle()[:1]:
        live.apply(record)
    assert affected(live) is plan
    live.stale = {"c8"}  # slow.z alone
    names = [name for name, signal in zip(plan.order, (c.signal for c in plan.criteria), strict=True)
             if signal.streams == ("line/slow",)]  # fmt: skip
    assert list(affected(live).order) == names
    assert [stream.id for stream in affected(live).streams] == ["line/slow"]


@given(recordings(), st.integers(0, 3))
def test_only_the_wanted_criteria_are_rebuilt(recording: Recording, number: int) -> None:  # V-15
    plan = recording.plan(*CRITERIA)
    whole = rebuild(plan, recording.lifecycle(), recording.frames).result()
    part = rebuild(plan.only([f"c{number}"]), recording.lifecycle(), recording.frames).result()
    assert [result_facts(s) for s in part.criteria] == [result_facts(whole.criteria[number])]


def test_phases_that_never_begin_end_inconclusive() -> None:  # G5, V-10
    recording = Recording(0, 10, 20, (), (), {})
    plan = recording.plan(*CRITERIA)
    records = [r for r in recording.lifecycle() if not (isinstance(r, PhaseStarted) and r.phase == "q")]
    result = rebuild(plan, records, ()).result()
    reasons = {state.phase: state.reason for state in result.criteria if state.kind != "data_quality"}
    assert reasons["q"] == "phase_not_run"
    assert reasons["p"] == "no_data"
    assert result.outcome is Outcome.FAIL  # the criterion that asks for data has its proof
