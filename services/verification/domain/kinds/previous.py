"""compare_previous: a statistic of the whole phase within limits around that of the run before.

The limits are previous + low and previous + high, or previous x low and previous x high; margin, proof and evidence are then those of
window_statistics. Without a pinned value of the run before nothing is judged, but the statistic is still told: the next run compares with it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from services.verification.domain.kinds.band import span, tolerance
from services.verification.domain.kinds.lanes import PARAMS, Judgement, Kind, Lane, Measures, View
from services.verification.domain.kinds.statistics import CODES, PERCENTILE, RMS, SD, demand_size
from services.verification.domain.kinds.statistics_blocks import KIND as BLOCKS
from services.verification.domain.kinds.statistics_blocks import blocks_kernel, judge_blocks

_FAR_AWAY = 1e300
"""Stands for no limit where the statistic has to be told: an infinite margin would not be."""

HAS_PREVIOUS = PARAMS + 4


def judge_previous(view: View) -> Judgement:
    found = judge_blocks(view)
    if view.q[HAS_PREVIOUS]:
        return found
    return replace(found, margin=None, low=-math.inf, high=math.inf, undecided=found.undecided or "no_previous_run")


KIND = Kind(
    name="previous",
    kernel=blocks_kernel,
    judge=judge_previous,
    floats=BLOCKS.floats,
    ints=BLOCKS.ints,
    remembered=BLOCKS.remembered,
    ring_floats=BLOCKS.ring_floats,
    params=(5, 5),
)


def previous_lane(criterion: Any, measures: Measures) -> Lane:
    code = CODES[criterion.statistic]
    previous = measures.baseline(difference=code == SD)
    if code == RMS:
        demand_size(measures)
    if criterion.relation == "ratio" and previous == 0.0:
        previous = None
    low, high = _limits(criterion, measures, previous)
    slots = measures.slots(measures.planned("percentile")) if code == PERCENTILE else 0
    return Lane(
        floats=(low, high, (criterion.percentile or 0.0) / 100.0, -math.inf, math.inf),
        ints=(0, criterion.min_count, measures.gap, code, int(previous is not None)),
        unit=measures.unit,
        tolerance=None if previous is None else tolerance(low, high),
        slots=slots,
    )


def _limits(criterion: Any, measures: Measures, previous: float | None) -> tuple[float, float]:
    """In the signal's unit. The uncertainty of a comparison is not that of one reading: it comes from the criterion."""
    sides = []
    for name, none in (("low", -math.inf), ("high", math.inf)):
        given = getattr(criterion, name)
        if criterion.relation == "ratio":
            sides.append(none if given is None else measures.ratio(given, name))
        else:
            sides.append(none if given is None else measures.span(given, name))
    low, high = sides
    if criterion.relation == "ratio" and previous is not None:
        low, high = sorted((low * previous, high * previous))
    elif previous is not None:
        low, high = previous + low, previous + high
    width = measures.guard(from_registry=False, band=span(low, high))
    return (low + width, high - width) if previous is not None else (-_FAR_AWAY, _FAR_AWAY)
