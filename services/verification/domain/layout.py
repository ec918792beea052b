"""What an evaluator is made of for a plan: the channels it keeps, and the criteria grouped by the streams they wait for."""

from __future__ import annotations

import numpy as np

from services.verification.domain.groups import Group
from services.verification.domain.plan import CriterionPlan, RunPlan
from services.verification.domain.rows import StreamRows


def columns_of(plan: RunPlan) -> tuple[dict[str, int], dict[str, StreamRows]]:
    """For every channel that a criterion or the condition of a phase reads, its row in a chunk of its stream; and the empty rows of every stream."""
    used: dict[str, dict[str, int]] = {stream.id: {} for stream in plan.streams}
    signals = [*(criterion.signal for criterion in plan.criteria), *(condition.signal for condition in plan.conditions)]
    for signal in signals:
        for item in signal.inputs:
            used[item.stream][item.path] = item.column
    columns: dict[str, int] = {}
    rows = {}
    for stream, paths in used.items():
        ordered = sorted(paths, key=lambda path: paths[path])
        columns.update({path: place for place, path in enumerate(ordered)})
        rows[stream] = StreamRows(np.array([paths[path] for path in ordered], np.int64))
    return columns, rows


def groups_of(plan: RunPlan, columns: dict[str, int]) -> list[Group]:
    """Criteria over the same set of streams together, in order of the streams' names."""
    by_streams: dict[tuple[str, ...], list[tuple[int, CriterionPlan]]] = {}
    for number, criterion in enumerate(plan.criteria):
        by_streams.setdefault(criterion.signal.streams, []).append((number, criterion))
    return [Group(streams, members, columns) for streams, members in sorted(by_streams.items())]
