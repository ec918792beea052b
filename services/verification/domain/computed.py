"""The signals that some kinds compute from several parts: what is left of a tolerance, and the truth of conditions as a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.verification.domain.conditions import condition_node, margin_unit
from services.verification.domain.criteria.events import Count, Mtbf, SuccessRate
from services.verification.domain.criteria.process import SetpointBand, Uniformity
from services.verification.domain.criteria.temporal import FORMULA_KINDS
from services.verification.domain.signals import (
    ABSOLUTE,
    ADD,
    CONSTANT,
    DIVIDE,
    HIGHER,
    LOWER,
    PLUS,
    ROOT,
    SQUARE,
    SUBTRACT,
    TIMES,
    TRUTH,
    Channels,
    Draft,
    Node,
    Operation,
    SignalPlan,
    arbitrary_zero,
    compared,
    compile_balance,
    compile_node,
    compile_signal,
    convert,
    in_unit,
    plan_of,
)
from services.verification.domain.temporal import formula_signal
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid
from shared.kernel.times import SECOND

Program = tuple[Operation, ...]

_LEVELS = frozenset({"longest_excursion", "cumulative_time_out", "fraction_in_band", "envelope"})
"""Kinds whose worst value is a value of the signal, although their margin may be a time or a share."""

SLACKS = frozenset({"balance", "setpoint_band", "uniformity"})
"""Kinds whose signal is what is left of an allowance."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A value that was measured, with its unit."""

    value: float
    unit: str


def signal_of(criterion: Any, channels: Channels, where: str) -> SignalPlan:
    """The signal that a criterion at field `where` is judged on. Raises Invalid with the field at fault."""
    if criterion.kind == "balance":
        return compile_balance(criterion, channels, where)
    if isinstance(criterion, SetpointBand):
        return setpoint_slack(criterion, channels, where)
    if isinstance(criterion, Uniformity):
        return uniformity_slack(criterion, channels, where)
    if isinstance(criterion, Count):
        return truths({"event": criterion.event}, channels, where)
    if isinstance(criterion, SuccessRate):
        return truths({"trial": criterion.trial, "success": criterion.success}, channels, where)
    if isinstance(criterion, Mtbf):
        return truths({"failure": criterion.failure, "operating": criterion.operating}, channels, where)
    if criterion.kind in FORMULA_KINDS:
        return formula_signal(criterion, channels, where)
    return compile_signal(criterion.signal, channels, f"{where}.signal")


def worst_unit(criterion: Any, unit: str, channels: Channels) -> str:
    """The unit of a result's worst value; `unit` is that of its margin."""
    return signal_of(criterion, channels, "criterion").unit if criterion.kind in _LEVELS else unit


def measured(criterion: Any, result: Mapping[str, Any]) -> Measured | None:
    """What was measured, where a result's worst value is something else: what is left of an allowance, or a value beside a demand on time.

    None where it is the worst value, where nothing was measured, and of an allowance that is a share of the signal: there the worst slack
    does not say what it was a share of. `result` is an evaluation's, as digested.
    """
    if criterion.kind in SLACKS:
        allowed = _allowed(criterion, result["unit"])
        left = result["worst_value"]
        return None if allowed is None or left is None else Measured(max(allowed - left, 0.0), result["unit"])
    if not result["quality"]["coverage"]:
        return None
    if criterion.kind == "longest_excursion":
        allowed_time = round(convert(criterion.at_most, "us", "criterion.at_most", difference=True))
        return Measured((allowed_time - result["time_margin"]) / SECOND, "s")
    if criterion.kind == "cumulative_time_out" or (criterion.kind == "envelope" and criterion.at_most is not None):
        return Measured(result["time_out"] / SECOND, "s")
    if criterion.kind == "fraction_in_band" and result["margin"] is not None:
        return Measured(criterion.at_least + result["margin"], "1")
    return None


def _allowed(criterion: Any, unit: str) -> float | None:
    """The allowance that the signal of the criterion is counted down from; None where it is a share of another signal."""
    if isinstance(criterion, Uniformity):
        return criterion.at_most
    name = "within" if isinstance(criterion, SetpointBand) else "limit"
    quantity = getattr(criterion, name)
    return None if quantity is None else convert(quantity, unit, f"criterion.{name}", difference=True)


def setpoint_slack(criterion: SetpointBand, channels: Channels, where: str) -> SignalPlan:
    """Allowed less |x - setpoint|, in the unit of differences of the signal. A share is taken of the setpoint's size."""
    draft = Draft(channels)
    value = compile_node(criterion.signal, draft, f"{where}.signal")
    setpoint = compile_node(criterion.setpoint, draft, f"{where}.setpoint")
    value, setpoint = compared(value, setpoint, f"{where}.setpoint")
    away: Program = (*value.program, *setpoint.program, (SUBTRACT, 0.0), (ABSOLUTE, 0.0))
    if criterion.within is not None:
        allowed = convert(criterion.within, value.unit, f"{where}.within", difference=True)
        program: Program = (*away, (TIMES, -1.0), (PLUS, allowed))
    else:
        if arbitrary_zero(value.unit) and not value.difference:
            raise Invalid(
                "criteria_unit",
                f"a share of a setpoint in {value.unit}, whose zero is arbitrary, has no meaning",
                field=f"{where}.fraction",
                remedy="give within, a difference in K",
            )
        share = criterion.fraction or 0.0
        program = (*setpoint.program, (ABSOLUTE, 0.0), (TIMES, share), *away, (SUBTRACT, 0.0))
    key = {"setpoint": criterion.model_dump(mode="json", include={"signal", "setpoint", "within", "fraction"})}
    return plan_of(canonical_json(key).decode(), Node(program, value.unit, 0.0), draft, plain=False)


def uniformity_slack(criterion: Uniformity, channels: Channels, where: str) -> SignalPlan:
    """at_most less the non-uniformity over the places; undefined where their mean is zero."""
    draft = Draft(channels)
    nodes = [compile_node(place, draft, f"{where}.places[{k}]") for k, place in enumerate(criterion.places)]
    unit = nodes[0].unit
    if any(arbitrary_zero(node.unit) and not node.difference for node in nodes):
        raise Invalid(
            "criteria_unit",
            f"a share of a mean in {unit}, whose zero is arbitrary, has no meaning",
            field=f"{where}.places",
            remedy="use channels whose unit has a true zero",
        )
    places = [in_unit(node, unit, f"{where}.places[{k}]").program for k, node in enumerate(nodes)]
    mean: Program = (*_folded(places, ADD), (TIMES, 1.0 / len(places)), (ABSOLUTE, 0.0))
    if criterion.formula == "sd":
        spread = _standard_deviation(places)
    else:
        half = 0.5 if criterion.formula == "half_range" else 1.0
        spread = (*_folded(places, HIGHER), *_folded(places, LOWER), (SUBTRACT, 0.0), (TIMES, half))
    program: Program = (*spread, *mean, (DIVIDE, 0.0), (TIMES, -1.0), (PLUS, criterion.at_most))
    key = {"uniformity": criterion.model_dump(mode="json", include={"places", "formula", "at_most"})}
    return plan_of(canonical_json(key).decode(), Node(program, "1", 0.0), draft, plain=False)


def _folded(places: Sequence[Program], operation: int) -> Program:
    program = places[0]
    for place in places[1:]:
        program = (*program, *place, (operation, 0.0))
    return program


def _standard_deviation(places: Sequence[Program]) -> Program:
    """With n - 1, from differences to the first place: their squares are as small as the spread, whatever the level."""
    n = len(places)
    away = [(*place, *places[0], (SUBTRACT, 0.0)) for place in places[1:]]
    squares = _folded([(*each, (SQUARE, 0.0)) for each in away], ADD)
    total = (*_folded(away, ADD), (SQUARE, 0.0), (TIMES, 1.0 / n))
    return (*squares, *total, (SUBTRACT, 0.0), (TIMES, 1.0 / (n - 1)), (ROOT, 0.0))


def truths(conditions: dict[str, Any], channels: Channels, where: str) -> SignalPlan:
    """The truth of conditions as one number, 1 for the first and 2 for the second. A condition that is None always holds."""
    draft = Draft(channels)
    program: Program = ()
    for bit, (name, formula) in enumerate(conditions.items()):
        weight = float(1 << bit)
        if formula is None:
            part: Program = ((CONSTANT, weight),)
        else:
            field = f"{where}.{name}"
            node = condition_node(formula, draft, margin_unit(formula, channels, field), field)
            part = (*node.program, (TRUTH, 0.0), (TIMES, weight))
        program = (*program, *part, (ADD, 0.0)) if program else part
    key = {"truths": {name: f if f is None else f.model_dump(mode="json") for name, f in conditions.items()}}
    return plan_of(canonical_json(key).decode(), Node(program, "1", 1.0), draft, plain=False)
