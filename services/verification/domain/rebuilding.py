"""Evaluators read again from stored frames: a whole run, or only the criteria that something late has touched (V-15, V-16, V-18)."""

from __future__ import annotations

from collections.abc import Iterable

from services.verification.domain.arrivals import LONG_TAIL
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.groups import Group
from services.verification.domain.plan import RunPlan
from services.verification.domain.snapshots import arrays_of
from shared.contracts.frame import Frame

REBUILD_ROWS = 65_536
"""Rows that an ordered rebuild gathers before it judges them."""


def rebuild(
    plan: RunPlan,
    lifecycle: Iterable[Lifecycle],
    frames: Iterable[Frame],
    *,
    in_order: bool = False,
) -> RunEvaluator:
    """A fresh evaluator fed with stored frames: V-16 (close), V-15 (late data), V-18 (runs that start in the past).

    The frames may come in any order, and are then all held until they are judged. With `in_order` the caller promises that the first
    instants of the frames never fall, and memory stays bounded; that is for a run that has ended (ValueError otherwise), because a
    stream that is silent at the end could still speak.
    """
    evaluator = RunEvaluator(plan, LONG_TAIL if in_order else None)
    for record in lifecycle:
        evaluator.apply(record)
    if in_order and not evaluator.ended:
        raise ValueError("a rebuild in order of time needs the run's end")
    waiting = 0
    for frame in frames:
        if in_order and waiting >= REBUILD_ROWS:
            evaluator.advance(upto=int(frame.times_array().min()) - 1)
            waiting = 0
        evaluator.add_frame(frame)
        waiting += frame.rows
    evaluator.advance()
    evaluator.joined()
    return evaluator


def read_whole(plan: RunPlan) -> RunEvaluator:
    """A fresh evaluator for everything that is stored of a run."""
    # Stored frames come in order of time, which is only nearly the order of seq: a usual tail would see late records that are none.
    return RunEvaluator(plan, LONG_TAIL)


def read_again(evaluator: RunEvaluator) -> RunEvaluator:
    """A fresh evaluator of the criteria that something late has touched, and of those that share their streams' rows; of the whole run where
    that is all of them. It takes the run's records and the stored frames of its plan's streams, and what has come since."""
    plan = affected(evaluator)
    fresh = read_whole(plan)
    for name, rows in fresh._rows.items():
        # A remembered position names its boot by number: both evaluators must number boots alike before one takes over from the other.
        rows.boots = list(evaluator._rows[name].boots)
    return fresh


def affected(evaluator: RunEvaluator) -> RunPlan:
    """What has to be read again: every group of criteria with one that is stale, or over a stream whose chain of inputs is broken."""
    plan = evaluator.plan
    broken = {stream for (stream, _), arrivals in evaluator._arrivals.items() if not arrivals.whole(evaluator._end)}
    names = [name for group in evaluator._groups if _touched(evaluator, group, broken) for name in _names(plan, group)]
    covered = {stream for group in evaluator._groups for stream in group.streams}
    whole = len(names) in (0, len(plan.criteria)) or not broken <= covered or not evaluator.stale <= set(names)
    return plan if whole else plan.only(names)


def take_over(evaluator: RunEvaluator, fresh: RunEvaluator) -> bool:
    """Puts what `fresh` (of `read_again`) has found in the place of what was known of its criteria and streams. Both have seen the same
    records. False, and nothing is changed, where rows were dropped in between: then the whole run has to be read."""
    mine = {group.streams: group for group in evaluator._groups}
    pairs = [(mine[group.streams], group) for group in fresh._groups]
    if any(old.released != new.released or old.behind or new.behind for old, new in pairs):
        return False
    for old, new in pairs:
        for target, source in zip(arrays_of(old), arrays_of(new), strict=True):
            target[...] = source
    numbers = {plan.id: number for number, plan in enumerate(evaluator.plan.criteria)}
    for number, plan in enumerate(fresh.plan.criteria):
        evaluator._outcomes[numbers[plan.id]] = fresh._outcomes[number]
        evaluator._bad[numbers[plan.id]] = fresh._bad[number]
    evaluator._arrivals.update(fresh._arrivals)
    evaluator.stale = (evaluator.stale - {plan.id for plan in fresh.plan.criteria}) | fresh.stale
    return True


def _touched(evaluator: RunEvaluator, group: Group, broken: set[str]) -> bool:
    stale = any(name in evaluator.stale for name in _names(evaluator.plan, group))
    return stale or not broken.isdisjoint(group.streams)


def _names(plan: RunPlan, group: Group) -> list[str]:
    return [plan.criteria[member.number].id for member in group.members]
