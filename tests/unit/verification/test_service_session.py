"""A run in the worker's memory: frozen at any point and fed the rest, it is the run that was never frozen (V-17)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.adapters.worker.session import (
    Cause,
    Need,
    Session,
    Stage,
    freeze_session,
    thaw_session,
)
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.outcomes import Outcome
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import read_again
from shared.contracts.frame import Frame, Quality, build_frame
from shared.contracts.lifecycle import PhaseStarted, RunEnded
from shared.contracts.registry import Channel, Stream
from shared.kernel.errors import Reject
from shared.kernel.times import SECOND

NAME = {"en": "a", "zh": "甲"}
STREAM = Stream(
    "l/s", 1, "p", "l", "l/i", (Channel("p", "pressure", "kPa"), Channel("f", "flow", "kg/h")), SECOND, 3 * SECOND
)
CRITERIA = CriteriaSet.model_validate(
    {
        "id": "c",
        "version": 1,
        "title": NAME,
        "phases": [{"id": "work", "title": NAME}],
        "criteria": [
            {
                "id": "limit",
                "kind": "band",
                "title": NAME,
                "phase": "work",
                "signal": "s.p",
                "high": {"value": 50, "unit": "kPa"},
            },
            {
                "id": "data",
                "kind": "data_quality",
                "title": NAME,
                "phase": "work",
                "signal": "s.f",
                "max_gap": {"value": 3, "unit": "s"},
            },
        ],
    }
)


def session() -> Session:
    plan = RunPlan.build(run="r", criteria=CRITERIA, streams=[STREAM], start=0)
    return Session("r", "l", 0, plan, ChannelOrder([STREAM], {("l/s", 1): STREAM}), RunEvaluator(plan))


def frame(seq: int, *, first: int | None = None, pressure: float = 10.0, **facts: Any) -> Frame:
    """Five seconds of the stream."""
    start = 5 * seq if first is None else first
    times = (start + np.arange(5, dtype=np.int64)) * SECOND
    values = np.column_stack([np.full(5, pressure + seq), np.full(5, 1.0)])
    return build_frame(stream="l/s", registry_version=1, boot="b", seq=seq, times=times, values=values, **facts)


def started() -> Session:
    run = session()
    run.apply(PhaseStarted("1", "r", "l", 0, "work"), 0)
    return run


@pytest.mark.parametrize("cut", range(9))
def test_a_session_frozen_anywhere_and_fed_the_rest_has_the_same_result(cut: int) -> None:
    # V-17, V-11
    frames = [frame(seq, pressure=48.0 if seq == 4 else 10.0) for seq in range(8)]
    whole, parts = started(), started()
    for offset, item in enumerate(frames):
        if offset == cut:
            parts = thaw_session(freeze_session(parts), parts.plan, parts.order, 0)
        for run in (whole, parts):
            run.take(item, offset + 1)
            run.advance()
    results = []
    for run in (whole, parts):
        run.apply(RunEnded("2", "r", "l", 40 * SECOND, "completed"), 9)
        run.count(run.evaluator.finish())
        results.append((run.evaluator.result(), run.outcome, run.marks, run.complete))
    assert results[0] == results[1]
    assert results[0][1] is Outcome.FAIL


def test_a_run_that_catches_up_holds_what_comes_and_judges_it_once_storage_is_read() -> None:
    # V-18
    run = session()
    run.need = Need(Cause.CATCH_UP, 1)
    run.apply(PhaseStarted("1", "r", "l", 0, "work"), 1)
    run.take(frame(1), 2)
    assert run.advance() == ()
    fresh = RunEvaluator(run.plan)
    run.order.add(fresh, frame(0))
    run.adopt(fresh)
    assert run.need is None
    expected = started()
    for seq in range(2):
        expected.take(frame(seq), seq)
    expected.advance()
    assert run.evaluator.states() == expected.evaluator.states()


def test_what_a_need_holds_is_forgotten_over_the_bound_and_read_from_storage_instead() -> None:
    # G12
    need = Need(Cause.LATE_DATA, 3)
    need.hold(frame(0), 100)
    need.forget(9)
    assert (need.cut, need.since, need.size) == (9, [], 0)


def test_a_late_sample_asks_for_a_rebuild_and_a_copy_does_not() -> None:
    # V-15
    run = started()
    for seq in (0, 1, 3):
        run.take(frame(seq), seq)
        run.advance()
    assert not run.take(frame(3), 4)
    run.advance()
    assert run.need is None
    assert run.take(frame(2), 5)
    run.advance()
    assert run.need == Need(Cause.LATE_DATA, 6)


def two_streams() -> Session:
    """A criterion on each of two streams."""
    other = Stream("l/t", 1, "p", "l", "l/i", STREAM.channels, SECOND, 3 * SECOND)
    document = CRITERIA.model_dump(mode="json")
    document["criteria"][1]["signal"] = "t.f"
    criteria = CriteriaSet.model_validate(document)
    plan = RunPlan.build(run="r", criteria=criteria, streams=[STREAM, other], start=0)
    versions = {(stream.id, 1): stream for stream in (STREAM, other)}
    run = Session("r", "l", 0, plan, ChannelOrder([STREAM, other], versions), RunEvaluator(plan))
    run.apply(PhaseStarted("1", "r", "l", 0, "work"), 0)
    return run


def test_a_late_sample_has_only_what_it_touched_read_again() -> None:
    # V-15
    run = two_streams()
    others = [msgspec.structs.replace(frame(seq), stream="l/t") for seq in range(4)]
    for offset, item in enumerate([frame(0), others[0], frame(1), others[1], frame(3), others[2]], start=1):
        run.take(item, offset)
        run.advance()
    assert run.take(frame(2, pressure=90.0), 7)
    run.advance()
    assert run.need == Need(Cause.LATE_DATA, 8)
    fresh = read_again(run.evaluator)
    assert [stream.id for stream in fresh.plan.streams] == ["l/s"]
    run.take(others[3], 8)
    before = run.evaluator
    fresh.apply(PhaseStarted("1", "r", "l", 0, "work"))
    for seq, pressure in ((0, 10.0), (1, 10.0), (2, 90.0), (3, 10.0)):
        run.order.add(fresh, frame(seq, pressure=pressure))
    run.adopt(fresh)
    assert run.need is None
    assert run.evaluator is before
    assert run.evaluator.stale == set()
    assert run.outcomes == {"limit": Outcome.FAIL}


def test_where_rows_were_dropped_the_whole_run_is_read() -> None:
    # V-15, G12
    run = two_streams()
    for offset, item in enumerate([frame(0), frame(1), frame(3)], start=1):
        run.take(item, offset)
        run.advance()
    run.take(frame(2), 4)
    run.advance()
    fresh = read_again(run.evaluator)
    run.order.add(fresh, frame(0))
    run.adopt(fresh)  # less than was seen, as after dropped rows
    assert run.need == Need(Cause.LATE_DATA, 5, whole=True)
    assert not run.need.partly


def test_after_the_cut_of_the_close_frames_are_noted_and_not_judged() -> None:
    # V-15, V-16
    run = started()
    run.take(frame(0), 0)
    run.apply(RunEnded("2", "r", "l", 20 * SECOND, "completed"), 1)
    assert run.stage is Stage.ENDING
    run.stage = Stage.CLOSING
    assert run.take(frame(1), 7)
    assert not run.take(frame(9, first=100), 8)
    assert run.late_after_cut == 8
    assert run.advance() == ()


def test_a_run_is_complete_when_every_stream_has_reached_its_last_instant() -> None:
    # V-16
    run = started()
    run.apply(RunEnded("2", "r", "l", 10 * SECOND, "completed"), 1)
    run.take(frame(0), 2)
    assert not run.complete
    run.take(frame(1), 3)
    assert run.complete


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"registry_version": 2}, "version_unknown"),
        ({"values": np.ones((5, 3))}, "shape_mismatch"),
        ({"boot": "a\n"}, "text_invalid"),
        ({"times": np.array([5, 4, 3, 2, 1]) * SECOND}, "times_unordered"),
        ({"received_at": 8_000_000_000_000_000}, "time_range"),
    ],
)
def test_a_frame_that_storage_refuses_is_refused_live_as_well(broken: dict[str, Any], code: str) -> None:
    # V-16: both evaluations read the same frames
    good: dict[str, Any] = {
        "stream": "l/s",
        "registry_version": 1,
        "boot": "b",
        "seq": 1,
        "times": np.arange(5, dtype=np.int64) * SECOND,
        "values": np.ones((5, 2)),
    }
    with pytest.raises(Reject) as refused:
        started().take(build_frame(**(good | broken)), 1)
    assert refused.value.code == code


def test_a_channel_that_a_version_lacks_is_missing_and_another_unit_is_converted() -> None:
    # G7
    other = Stream("l/s", 2, "p", "l", "l/i", (Channel("p", "pressure", "Pa"),), SECOND, 3 * SECOND)
    order = ChannelOrder([STREAM], {("l/s", 1): STREAM, ("l/s", 2): other})
    values, marks = order._arranged("l/s", 2, np.array([[60_000.0]]), np.zeros((1, 1), np.uint8))
    assert values[0, 0] == 60.0
    assert np.isnan(values[0, 1])
    assert marks.tolist() == [[0, Quality.MISSING]]
