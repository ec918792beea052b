"""What a compiled criterion accepts, in words: its acceptance limits in the unit that it is judged in, the decision rule that drew them in, and
what it demands of its data (V-8, V-9, V-10)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from services.verification.domain.entries import EnteredPlan
from services.verification.domain.plan import CriterionPlan

_LEVELS = frozenset({"band", "hold", "longest_excursion", "cumulative_time_out", "fraction_in_band", "totaliser"})
_LIMITED = _LEVELS | {"window_statistics", "rate_of_change", "drift", "integral"}
_TIMED = frozenset({"longest_excursion", "cumulative_time_out", "fraction_in_band", "envelope"})
"""Kinds whose margin is a time or a share, and whose guard band is one of levels."""

_SLACKS = frozenset({"balance", "setpoint_band", "uniformity"})
_RULES = {
    "simple": "simple acceptance, equality with a limit passes",
    "guard_band": "guard band",
    "four_level": "four levels, the limits stay where they are",
    "min_probability": "minimum probability of conformity",
}


def compiled_text(criterion: Any, plan: CriterionPlan) -> Iterator[tuple[str, str]]:
    """What stands beside the expansion of a criterion: (label, text)."""
    accepted = _accepted(criterion, plan)
    if accepted:
        yield "accepts", accepted
    yield "decision", _decision(criterion, plan)
    yield "data", _data(plan)


def entered_text(plan: EnteredPlan) -> Iterator[tuple[str, str]]:
    """The same of a criterion that people answer."""
    if plan.kind != "lab_result":
        return
    if plan.guard is None:
        yield "accepts", f"{_between(plan.low, plan.high, plan.unit)}, less the guard band"
        yield "decision", f"guard band of {plan.multiplier:.10g} U, where U comes with each result"
        return
    yield "accepts", _between(plan.low + plan.guard, plan.high - plan.guard, plan.unit)
    yield "decision", f"guard band of {plan.guard:.10g} {plan.unit}" if plan.guard else _RULES["simple"]


def _accepted(criterion: Any, plan: CriterionPlan) -> str:
    floats, unit = plan.lane.floats, plan.signal.unit
    if plan.kind in _LIMITED:
        factor = plan.lane.factor
        return _between(floats[0] * factor, floats[1] * factor, unit if plan.kind in _LEVELS else plan.lane.unit)
    if plan.kind in _SLACKS:
        what = "what is left of the tolerance"
        return f"{what} is at least {floats[0]:.10g} {unit}"
    if plan.kind == "settle":
        over = f", overshoot at most {floats[2]:.10g} {unit}" if math.isfinite(floats[2]) else ""
        return f"{floats[0]:.10g} +- {floats[1]:.10g} {unit}{over}"
    if plan.kind == "ramp":
        return f"the ramp +- {floats[3]:.10g} {unit}"
    if plan.kind == "steady_state":
        return f"slopes of +- {floats[0] * plan.lane.factor:.10g} {plan.lane.unit}"
    if plan.kind == "envelope":
        halves = floats[1 + plan.lane.ints[1] :]
        narrow, wide = f"{min(halves):.10g}", f"{max(halves):.10g}"
        return f"the mean +- {narrow if narrow == wide else f'{narrow} to {wide}'} {unit}"
    if plan.kind == "compare_previous":
        return f"limits beside the value of the run before, which is known when a run starts; in {unit}"
    return ""


def _between(low: float, high: float, unit: str) -> str:
    if not math.isfinite(low):
        return f"at most {high:.10g} {unit}"
    return f"{low:.10g} to {high:.10g} {unit}" if math.isfinite(high) else f"at least {low:.10g} {unit}"


def _decision(criterion: Any, plan: CriterionPlan) -> str:
    rule, decision = _RULES[plan.decision.rule], plan.decision
    if decision.rule == "simple":
        return rule
    unit = plan.signal.unit if plan.kind in _TIMED else plan.lane.unit
    if decision.rule == "min_probability":
        width = f"w = {decision.guard:.10g} {unit}, for {criterion.decision.probability:.10g}"
    else:
        width = f"w = {criterion.decision.multiplier:.10g} U = {decision.guard:.10g} {unit}"
    source = "the criterion" if decision.source == "criterion" else f"the registry ({decision.source})"
    known = f"U = {decision.expanded:.10g} {unit}, k = {decision.coverage_factor:.10g}, " if decision.expanded else "U "
    return f"{rule}: {width}; {known}from {source}"


def _data(plan: CriterionPlan) -> str:
    demands = []
    if plan.min_coverage is not None:
        demands.append(f"coverage of at least {plan.min_coverage:.10g}")
    if plan.max_gap is not None:
        demands.append(f"no gap longer than {plan.max_gap / 1e6:.10g} s")
    if plan.idle is not None:
        demands.append(f"no silence longer than {plan.idle / 1e6:.10g} s at the end")
    bad = {"exclude": "left out", "inconclusive": "left out, and INCONCLUSIVE", "fail": "FAIL"}[plan.on_bad_quality]
    return "; ".join([*demands, f"values marked bad: {bad}"])
