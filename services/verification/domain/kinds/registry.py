"""Which kernel judges which kind, and how a criterion becomes its lane. A new kind is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.verification.domain.kinds import (
    band,
    hold,
    quality,
    rate,
    settle,
    statistics,
    statistics_blocks,
    statistics_sliding,
    time_out,
)
from services.verification.domain.kinds.lanes import Kind, Lane, Measures

KERNELS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        band.KIND,
        hold.KIND,
        quality.KIND,
        rate.KIND,
        settle.KIND,
        statistics_blocks.KIND,
        statistics_sliding.KIND,
        time_out.KIND,
    )
}

_LANES: dict[str, tuple[str, Callable[[Any, Measures], Lane]]] = {
    "band": ("band", band.band_lane),
    "balance": ("band", band.balance_lane),
    "hold": ("hold", hold.hold_lane),
    "longest_excursion": ("time_out", time_out.excursion_lane),
    "cumulative_time_out": ("time_out", time_out.cumulative_lane),
    "settle": ("settle", settle.settle_lane),
    "rate_of_change": ("rate", rate.rate_lane),
    "data_quality": ("quality", quality.quality_lane),
}


def lane_of(criterion: Any, measures: Measures) -> tuple[Kind, Lane]:
    """The kernel and the lane of a criterion. Raises Invalid with a `criteria_...` code."""
    if criterion.kind == "window_statistics":
        name = "statistics_sliding" if criterion.windows == "sliding" else "statistics_blocks"
        return KERNELS[name], statistics.statistics_lane(criterion, measures)
    name, build = _LANES[criterion.kind]
    return KERNELS[name], build(criterion, measures)
