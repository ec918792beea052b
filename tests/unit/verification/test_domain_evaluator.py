"""Arrival, lateness and digests through the public evaluator."""

from __future__ import annotations

import numpy as np
import pytest

from services.verification.domain import evaluator as module
from services.verification.domain.arrivals import TAIL, Intervals
from services.verification.domain.evaluator import Lifecycle, NeedsRebuild, RunEvaluator
from services.verification.domain.outcomes import Arrival, Outcome, Verdict
from services.verification.domain.rebuilding import affected, read_again, rebuild, take_over
from shared.contracts.frame import Frame, Quality
from shared.contracts.lifecycle import RunEnded
from tests.unit.verification.building import FACTS, SECOND, begun, ended, fed, held, kpa, one, plan_of, seconds, two

BAND = {"kind": "band", "signal": "one.x", "low": kpa(90), "high": kpa(110)}
HOLD = {"kind": "hold", "signal": "one.x", "low": kpa(90), "duration": seconds(5), "clock_in_hold": "stop"}
OTHER = {"kind": "band", "signal": "two.z", "high": kpa(500)}


def test_the_same_frame_again_is_a_duplicate_and_another_under_its_name_a_conflict() -> None:  # V-16, G2
    live = fed(plan_of(BAND), begun(), one([(0, 100)]))
    assert live.add_frame(one([(0, 100)])).verdict is Verdict.DUPLICATE
    assert live.add_frame(one([(0, 500)])).verdict is Verdict.CONFLICT
    assert live.advance() == ()


def test_frames_outside_the_run_or_of_unread_streams_are_ignored() -> None:  # V-16
    live = fed(plan_of(BAND, start=100 * SECOND), begun(100))
    assert live.add_frame(one([(96, 100)])).verdict is Verdict.IGNORED  # more than the maximum age before the start
    assert live.add_frame(one([(97, 100)], seq=1)).verdict is Verdict.ACCEPTED
    assert live.add_frame(two([(100, 1)])).verdict is Verdict.IGNORED
    live.apply(ended(110))
    assert live.add_frame(one([(110, 500)], seq=2)).verdict is Verdict.IGNORED


def test_a_late_sample_marks_only_the_criteria_of_its_channels() -> None:  # V-15
    live = fed(plan_of(BAND, OTHER), begun(), one([(0, 100)]), two([(0, 100)]), one([(5, 100)], seq=2))
    assert live.add_frame(one([(3, 200)], seq=1)) == Arrival(Verdict.ACCEPTED, ("c0",))
    assert live.stale == {"c0"}
    assert [state.stale for state in live.states()] == [True, False]


def test_a_rebuild_mends_what_a_late_sample_broke() -> None:  # V-15
    frames = [one([(0, 100)]), one([(5, 100)], seq=2), one([(3, 200)], seq=1)]
    live = fed(plan_of(BAND), begun(), *frames)
    assert live.states()[0].outcome is Outcome.NONE  # the state itself is not corrupted by the late sample
    fresh = rebuild(plan_of(BAND), [begun()], frames)
    assert [(state.outcome, state.decided_at) for state in fresh.states()] == [(Outcome.FAIL, 3 * SECOND)]


def read_anew(live: RunEvaluator, *records: Frame | Lifecycle) -> None:
    """What the late record touched, from the records as storage has them."""
    fresh = read_again(live)
    for record in records:
        if isinstance(record, Frame):
            fresh.add_frame(record)
        else:
            fresh.apply(record)
    fresh.joined()
    fresh.advance()
    assert fresh.plan is not live.plan
    assert take_over(live, fresh)
    assert not live.needs_rebuild


def test_what_was_read_again_is_told_once() -> (
    None
):  # V-15, V-22: the outcome that the late sample brought is not told anew
    late = [
        one([(0, 100)]),
        one([(3, 200)], seq=1, marks=int(Quality.SENDER_BAD)),
        one([(4, 200)], seq=2),
        one([(5, 100)], seq=3),
    ]
    live = fed(plan_of(BAND, OTHER), begun(), late[0], two([(0, 100)]), late[3])
    for frame in late[1:3]:
        live.add_frame(frame)
    read_anew(live, begun(), *late)
    state = live.states()[0]
    assert (state.outcome, state.decided_at, state.quality.bad_samples) == (Outcome.FAIL, 4 * SECOND, 1)
    live.apply(ended(6))
    assert [transition.criterion for transition in live.finish()] == ["c1"]


def test_a_broken_chain_alone_has_its_stream_read_again() -> (
    None
):  # V-15, V-16: a frame far behind, of instants nobody has judged yet
    quick = [one([(k, 100)], seq=k + 1) for k in range(TAIL + 2)]
    behind, other = one([(900, 100)], seq=0), two([(0, 100)])
    live = fed(plan_of(BAND, OTHER), begun(), other, *quick)
    assert not live.needs_rebuild
    live.add_frame(behind)
    assert live.stale == set()
    assert live.needs_rebuild
    assert [stream.id for stream in affected(live).streams] == ["line/one"]
    live.advance()
    read_anew(live, begun(), *quick, behind)
    live.apply(ended(1000))
    whole = rebuild(plan_of(BAND, OTHER), [begun(), ended(1000)], [*quick, behind, other])
    assert live.result() == whole.result()


def test_a_late_phase_or_hold_marks_the_criteria_that_have_gone_past_it() -> None:  # V-2, V-15
    live = fed(plan_of(BAND, HOLD), begun(), one([(t, 100) for t in range(9)]))
    assert live.apply(held(4, 6)[0]) == ("c1",)
    assert live.apply(begun(5, "q")) == ("c0",)


def test_a_phase_that_begins_at_a_judged_sample_is_late() -> None:  # V-15: the sample at 5 s belongs to the phase q
    live = fed(plan_of(BAND, BAND | {"phase": "q"}), begun(), one([(t, 100) for t in range(6)]))
    assert live.apply(begun(5, "q")) == ("c0", "c1")
    live = fed(plan_of(BAND, BAND | {"phase": "q"}), begun(), one([(t, 100) for t in range(6)]))
    assert live.apply(begun(5.000001, "q")) == ()


def test_no_result_before_the_end_or_past_a_late_record() -> None:  # V-16
    live = fed(plan_of(BAND), begun(), one([(0, 100)]), one([(2, 100)], seq=2))
    with pytest.raises(NeedsRebuild, match="has not ended"):
        live.result()
    live.add_frame(one([(1, 100)], seq=1))
    live.apply(ended(3))
    with pytest.raises(NeedsRebuild, match="late record: c0"):
        live.result()


def test_the_digest_covers_inputs_criteria_and_the_way_the_run_ended() -> None:  # V-16
    frames = [one([(0, 100)]), one([(1, 100)], seq=1)]
    records: list[Lifecycle] = [begun(), ended(2)]
    digest = rebuild(plan_of(BAND), records, frames).result().digest
    stopped: list[Lifecycle] = [begun(), RunEnded(at=2 * SECOND, how="stopped", **FACTS)]
    assert rebuild(plan_of(BAND), stopped, frames).result().digest != digest
    assert rebuild(plan_of(BAND | {"clause": "5.1"}), records, frames).result().digest != digest
    assert rebuild(plan_of(BAND), records, [frames[0], one([(1, 100.5)], seq=1)]).result().digest != digest
    assert rebuild(plan_of(BAND), records, [frames[0], one([(1, 100)], seq=2)]).result().digest != digest
    assert rebuild(plan_of(BAND), records, [*frames, one([(2, 900)], seq=2)]).result().digest == digest


def test_a_frame_later_than_the_tail_breaks_the_chain_of_inputs_only() -> None:  # V-16
    frames = [one([(t, 100)], seq=t) for t in range(TAIL + 10)]
    late = one([(TAIL + 20, 100)], seq=1)  # a low number with a new instant: no criterion has gone past it
    live = fed(plan_of(BAND), begun(), frames[0], *frames[2:], late, ended(TAIL + 30))
    assert live.stale == set()
    assert live.needs_rebuild
    rebuilt = rebuild(plan_of(BAND), [begun(), ended(TAIL + 30)], [frames[0], *frames[2:], late])
    assert not rebuilt.needs_rebuild


def test_a_frame_that_begins_at_the_runs_end_is_no_input() -> None:  # V-16, whichever was known first
    frames = [one([(0, 100)]), one([(1, 100)], seq=1), one([(2, 900)], seq=2)]
    live = RunEvaluator(plan_of(BAND))
    live.apply(begun())
    for frame in frames:
        live.add_frame(frame)
    live.apply(ended(2))
    assert live.result() == rebuild(plan_of(BAND), [begun(), ended(2)], frames[:2]).result()


def test_a_linked_frame_at_the_runs_end_breaks_the_chain() -> None:  # V-16: it lies behind the end and is in the chain
    plan = plan_of(BAND | {"phase": "q"})
    frames = [one([(t, 100)], seq=t) for t in range(TAIL + 10)]  # linked are those up to 9 s
    early = fed(plan, begun(), *frames, ended(9))
    assert early.stale == set()
    assert early.needs_rebuild
    later = fed(plan, begun(), *frames, ended(9.5))
    assert later.result() == rebuild(plan, [begun(), ended(9.5)], frames).result()


def test_a_rebuild_takes_stored_frames_in_any_order() -> None:  # G4, V-16
    frames = [one([(t, 100)], seq=t) for t in range(3 * TAIL)]
    records: list[Lifecycle] = [begun(), ended(3 * TAIL)]
    result = rebuild(plan_of(BAND), records, frames).result()
    assert rebuild(plan_of(BAND), records, frames[::-1]).result() == result
    assert rebuild(plan_of(BAND), records, frames, in_order=True).result() == result
    assert fed(plan_of(BAND), records[0], *frames, records[1]).result() == result


def test_rows_wait_in_bounded_memory_for_a_slower_stream(monkeypatch: pytest.MonkeyPatch) -> None:  # G12, V-14
    monkeypatch.setattr(module, "MAX_WAITING_ROWS", 20)
    both = {"kind": "band", "signal": {"op": "sum", "of": ["one.x", "two.z"]}, "high": kpa(500)}
    plan = plan_of(BAND, both)
    frames = [one([(t, 100)], seq=t) for t in range(25)]
    live = fed(plan, begun(), *frames)
    assert live.stale == set()  # nothing to mend yet: the slower stream is silent
    assert len(live.snapshot()) < 20_000
    assert live.states()[0].quality.samples == 25
    again = RunEvaluator.restore(plan, live.snapshot())
    live.add_frame(two([(30, 1000)]))
    live.add_frame(one([(30, 100)], seq=25))
    live.advance()
    assert live.stale == {"c1"}
    assert again.apply(ended(30)) == ("c1",)


def test_a_rebuild_in_order_of_time_is_for_a_run_that_has_ended() -> None:  # V-18
    with pytest.raises(ValueError, match="needs the run's end"):
        rebuild(plan_of(BAND), [begun()], [], in_order=True)


def test_a_snapshot_of_another_plan_is_refused() -> None:  # V-17
    blob = fed(plan_of(BAND), begun(), one([(0, 100)])).snapshot()
    with pytest.raises(NeedsRebuild):
        RunEvaluator.restore(plan_of(BAND, OTHER), blob)


def test_a_run_in_the_past_needs_samples_from_the_maximum_age_before_its_start() -> None:  # V-18
    plan = plan_of(BAND, OTHER, start=100 * SECOND)
    assert plan.first_needed == 95 * SECOND


def test_rows_out_of_order_inside_a_frame_are_judged_in_order_of_time() -> None:  # V-11
    frame: Frame = one([(2, 100), (0, 120), (1, 130)])
    state = rebuild(plan_of(BAND), [begun(), ended(3)], [frame]).result().criteria[0]
    assert (state.decided_at, state.worst_at) == (0, SECOND)
    assert state.evidence is not None
    assert state.evidence.samples[0].row == 2


def test_intervals_stay_joined() -> None:  # V-16
    numbers = Intervals()
    random = np.random.default_rng(3)
    for number in random.permutation(200).tolist():
        assert numbers.add(number)
        assert not numbers.add(number)
    assert (numbers.starts, numbers.ends) == ([0], [199])
