"""Which kernel judges which kind, and how a criterion becomes its lane. A new kind is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.verification.domain.criteria.temporal import FORMULA_KINDS
from services.verification.domain.kinds import (
    band,
    drift,
    envelope,
    events,
    formula,
    fraction,
    hold,
    integral,
    previous,
    quality,
    ramp,
    rate,
    settle,
    statistics,
    statistics_blocks,
    statistics_sliding,
    steady,
    time_out,
    totaliser,
)
from services.verification.domain.kinds.lanes import Kind, Lane, Measures

KERNELS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        band.KIND,
        drift.KIND,
        envelope.KIND,
        events.COUNT,
        events.MTBF,
        events.SUCCESS,
        formula.KIND,
        fraction.KIND,
        hold.KIND,
        integral.KIND,
        previous.KIND,
        quality.KIND,
        ramp.KIND,
        rate.KIND,
        settle.KIND,
        statistics_blocks.KIND,
        statistics_sliding.KIND,
        steady.KIND,
        time_out.KIND,
        totaliser.KIND,
    )
}

_LANES: dict[str, tuple[str, Callable[[Any, Measures], Lane]]] = {
    "band": ("band", band.band_lane),
    "balance": ("band", band.slack_lane),
    "setpoint_band": ("band", band.slack_lane),
    "uniformity": ("band", band.slack_lane),
    "hold": ("hold", hold.hold_lane),
    "longest_excursion": ("time_out", time_out.excursion_lane),
    "cumulative_time_out": ("time_out", time_out.cumulative_lane),
    "settle": ("settle", settle.settle_lane),
    "rate_of_change": ("rate", rate.rate_lane),
    "data_quality": ("quality", quality.quality_lane),
    "fraction_in_band": ("fraction", fraction.fraction_lane),
    "ramp": ("ramp", ramp.ramp_lane),
    "steady_state": ("steady", steady.steady_lane),
    "drift": ("drift", drift.drift_lane),
    "envelope": ("envelope", envelope.envelope_lane),
    "compare_previous": ("previous", previous.previous_lane),
    "integral": ("integral", integral.integral_lane),
    "totaliser": ("totaliser", totaliser.totaliser_lane),
    "count": ("count", events.count_lane),
    "success_rate": ("success", events.success_lane),
    "mtbf": ("mtbf", events.mtbf_lane),
}


def lane_of(criterion: Any, measures: Measures) -> tuple[Kind, Lane]:
    """The kernel and the lane of a criterion. Raises Invalid with a `criteria_...` code."""
    if criterion.kind == "window_statistics":
        name = "statistics_sliding" if criterion.windows == "sliding" else "statistics_blocks"
        return KERNELS[name], statistics.statistics_lane(criterion, measures)
    if criterion.kind in FORMULA_KINDS:
        return formula.KIND, formula.formula_lane(criterion, measures)
    name, build = _LANES[criterion.kind]
    return KERNELS[name], build(criterion, measures)
