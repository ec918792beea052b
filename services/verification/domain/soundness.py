"""What can be said of a criteria set field by field, before anything is compiled as a whole (V-8): each rule looks at one field, so that every
field at fault is named as its author wrote it, whatever is wrong beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from services.verification.domain.conditions import condition_node, margin_unit
from services.verification.domain.criteria import formulas, parts
from services.verification.domain.criteria.earlier import Reference
from services.verification.domain.criteria.temporal import FORMULA_KINDS, core_of
from services.verification.domain.decisions import agreed_uncertainty
from services.verification.domain.durations import micros_of
from services.verification.domain.signals import Channels, Draft, SignalPlan, compile_node, convert, logarithmic
from services.verification.domain.temporal import ordered
from shared.kernel.errors import Invalid
from shared.kernel.units import check_unit, is_logarithmic

MOST_PARTS = 1000
"""Channels, operations and comparisons of one criterion or condition."""

_DURATIONS = {
    "hold": ("duration",),
    "longest_excursion": ("at_most",),
    "cumulative_time_out": ("at_most",),
    "settle": ("by",),
    "rate_of_change": ("window",),
    "window_statistics": ("window",),
    "steady_state": ("window",),
    "data_quality": ("max_gap", "max_stuck", "max_saturated"),
    "envelope": ("reference.step", "at_most"),
    "mtbf": ("at_least",),
}
_OR_NONE = {"response": ("within", "after"), "until": ("within",), "since": ("within",)}
"""Durations that may be zero."""

_WIDTHS = {
    "balance": ("limit",),
    "setpoint_band": ("within",),
    "settle": ("tolerance", "overshoot"),
    "ramp": ("tolerance",),
    "steady_state": ("gradient",),
    "envelope": ("floor",),
}
_FORMULAS = {
    "condition": ("of",),
    "formula": ("of",),
    "response": ("trigger", "answer"),
    "until": ("holds", "until"),
    "since": ("trigger", "holds", "since"),
    "order": ("events",),
    "forbid": ("of", "during"),
    "count": ("event",),
    "success_rate": ("trial", "success"),
    "mtbf": ("failure", "operating"),
}
_SIGNALS = ("signal", "setpoint", "inputs", "outputs", "places")
_DIFFERENCES = frozenset({"integral", "totaliser", "compare_previous", "rate_of_change", "drift"})
"""Kinds whose limits are totals, differences or slopes: no unit has a zero of its own there."""

_SIGNAL_OPERATIONS = (
    parts.Sum,
    parts.Difference,
    parts.Ratio,
    parts.Scale,
    parts.Linear,
    parts.Absolute,
    parts.Constant,
)
_OPERATIONS = (
    *_SIGNAL_OPERATIONS,
    *(formulas.Compare, formulas.Is, formulas.Not, formulas.And, formulas.Or, formulas.Implies),
    *(formulas.Edge, formulas.Unary, formulas.Binary),
)


def alone(item: BaseModel, where: str) -> list[Invalid]:
    """What is wrong with a criterion or a phase by itself, whatever channels there are."""
    placed = list(_models(item, where))
    found: list[Invalid] = []
    if sum(isinstance(part, _OPERATIONS) for _, part in placed) > MOST_PARTS:
        found.append(
            Invalid(
                "criteria_formula",
                f"more than {MOST_PARTS} operations and comparisons",
                field=where,
                remedy="split it into several criteria",
            )
        )
    for place, part in placed:
        for rule in _RULES.get(type(part), ()):
            found += _told(rule, part, place)
    kind = getattr(item, "kind", None)
    if isinstance(item, parts.CriterionBase):
        for rule in (_durations, _widths, _decision, _quality, *_KIND_RULES.get(str(kind), ())):
            found += _told(rule, item, where)
    return found


def with_channels(criterion: Any, channels: Channels, where: str) -> list[Invalid]:
    """What is wrong with the signals and the formulas of a criterion, each by itself."""
    found: list[Invalid] = []
    for name in _SIGNALS:
        for place, signal in _each(criterion, name, where):
            found += _told(_signal, signal, place, channels)
    core = core_of(criterion)[1] if criterion.kind in FORMULA_KINDS else None
    given = [item for name in _FORMULAS.get(criterion.kind, ()) for item in _each(criterion, name, where)]
    return found + conditions([(place, formula, core or formula) for place, formula in given], channels)


def conditions(given: Iterable[tuple[str, Any, Any]], channels: Channels) -> list[Invalid]:
    """What is wrong with the comparisons and states of formulas, each by itself; then whether those of a whole have a unit in common. `given`
    are formulas with their place and the whole that they are part of."""
    placed = [(place, leaf, whole) for start, formula, whole in given for place, leaf in _leaves(formula, start)]
    found = [problem for place, leaf, _ in placed for problem in _told(_leaf, leaf, place, channels)]
    if found:
        return found
    units: dict[int, str] = {}
    for place, leaf, whole in placed:
        if id(whole) not in units:
            units[id(whole)] = margin_unit(whole, channels, place)
        found += _told(_in_common, leaf, place, channels, units[id(whole)])
    return found


def with_signal(criterion: Any, signal: SignalPlan, where: str) -> list[Invalid]:
    """What is wrong with the limits of a criterion on this signal."""
    if is_logarithmic(signal.unit) and criterion.kind != "data_quality":
        return [logarithmic(signal.unit, f"{where}.signal")]
    found: list[Invalid] = []
    for rule in (_in_order, _never_negative, _capability):
        found += _told(rule, criterion, where, signal)
    return found


def _told(rule: Callable[..., Iterator[Invalid] | None], *given: Any) -> list[Invalid]:
    """What a rule yields, and what it raises."""
    found: list[Invalid] = []
    try:
        for problem in rule(*given) or ():
            found.append(problem)
    except Invalid as problem:
        found.append(problem)
    return found


def _models(item: Any, where: str) -> Iterator[tuple[str, BaseModel]]:
    """Every part of a criterion or phase that is a model, with its field as people write it; itself first."""
    if isinstance(item, BaseModel):
        yield where, item
        for name in type(item).model_fields:
            yield from _models(getattr(item, name), f"{where}.{'for' if name == 'held_for' else name}")
    elif isinstance(item, tuple) and not isinstance(next(iter(item), None), float):
        for number, part in enumerate(item):
            yield from _models(part, f"{where}[{number}]")


def _each(item: Any, name: str, where: str) -> Iterator[tuple[str, Any]]:
    """A field's value with its place, or its values with theirs; nothing where it is not given."""
    value = getattr(item, name, None)
    if isinstance(value, tuple):
        yield from ((f"{where}.{name}[{number}]", part) for number, part in enumerate(value))
    elif value is not None:
        yield f"{where}.{name}", value


def _leaves(formula: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(formula, formulas.Compare | formulas.Is):
        yield where, formula
        return
    for place, part in _each(formula, "of", where):
        yield from _leaves(part, place)


def _signal(signal: Any, where: str, channels: Channels) -> None:
    compile_node(signal, Draft(channels), where)


def _leaf(leaf: Any, where: str, channels: Channels) -> Iterator[Invalid]:
    if isinstance(leaf, formulas.Compare):
        draft = Draft(channels)
        for name, side in (("left", leaf.left), ("right", leaf.right)):
            if isinstance(side, parts.Quantity):
                continue
            node = compile_node(side, draft, f"{where}.{name}")
            if is_logarithmic(node.unit):
                yield logarithmic(node.unit, f"{where}.{name}")
                return
        if not draft.sources:
            yield _without_channel(where)
            return
    condition_node(leaf, Draft(channels), margin_unit(leaf, channels, where), where)


def _in_common(leaf: Any, where: str, channels: Channels, unit: str) -> None:
    condition_node(leaf, Draft(channels), unit, where)


def _unit(part: parts.Quantity | parts.Constant, where: str) -> Iterator[Invalid]:
    """A unit that is known, and has differences."""
    place = f"{where}.unit" if isinstance(part, parts.Constant) else where
    yield from _named_unit(part.unit, place)


def _reference(part: Reference, where: str) -> Iterator[Invalid]:
    yield from _named_unit(part.unit, f"{where}.unit")


def _named_unit(unit: str, where: str) -> Iterator[Invalid]:
    try:
        check_unit(unit)
    except Invalid as problem:
        raise Invalid("criteria_unit", problem.detail, field=where, remedy=problem.remedy) from problem
    if is_logarithmic(unit):
        yield logarithmic(unit, where)


def _interval(part: formulas.Interval, where: str) -> Iterator[Invalid]:
    found = []
    for name in ("after", "upto"):
        try:
            found.append(micros_of(getattr(part, name), f"{where}.{name}", least=0))
        except Invalid as problem:
            yield problem
    if len(found) == 2:
        ordered(found[0], found[1], where)


def _response(criterion: Any, where: str) -> None:
    ordered(
        micros_of(criterion.after, f"{where}.after", least=0),
        micros_of(criterion.within, f"{where}.within", least=0),
        f"{where}.within",
    )


def _arithmetic(part: Any, where: str) -> Iterator[Invalid]:
    if isinstance(part, parts.Ratio) and _is_zero(part.of[1]):
        yield Invalid(
            "criteria_signal", "a ratio whose divisor is always zero", field=f"{where}.of[1]", remedy="name a divisor"
        )


def _is_zero(signal: Any) -> bool:
    if isinstance(signal, parts.Constant):
        return signal.value == 0
    if isinstance(signal, parts.Scale):
        return signal.factor == 0 or _is_zero(signal.of)
    return isinstance(signal, parts.Absolute) and _is_zero(signal.of)


def _scale(part: formulas.Compare, where: str) -> Iterator[Invalid]:
    if part.scale is not None and part.scale.value <= 0:
        yield _limit("the difference that counts as 1 must be above zero", f"{where}.scale", "give a positive scale")


def _without_channel(where: str) -> Invalid:
    return Invalid(
        "criteria_signal",
        "there is no channel in it: nothing is measured",
        field=where,
        remedy="name a channel, as <stream>.<channel>",
    )


def _has_channel(criterion: Any, where: str) -> Iterator[Invalid]:
    signal = criterion.signal
    if not any(isinstance(value, str) for value in _operands(signal)):
        yield _without_channel(f"{where}.signal")


def _operands(signal: Any) -> Iterator[Any]:
    waiting = [signal]
    while waiting:
        here = waiting.pop()
        if isinstance(here, parts.Linear):
            waiting += [term.of for term in here.terms]
        elif isinstance(here, parts.Constant | str):
            yield here
        else:
            waiting += here.of if isinstance(here.of, tuple) else [here.of]


def _durations(criterion: Any, where: str) -> Iterator[Invalid]:
    for names, least in ((_DURATIONS, 1), (_OR_NONE, 0)):
        for name in names.get(criterion.kind, ()):
            quantity = criterion
            for step in name.split("."):
                quantity = getattr(quantity, step)
            yield from _duration(quantity, f"{where}.{name}", least)


def _quality(criterion: Any, where: str) -> Iterator[Invalid]:
    for name in ("max_gap", "idle"):
        yield from _duration(getattr(criterion.quality, name), f"{where}.quality.{name}", 1)


def phase_duration(phase: Any, where: str) -> list[Invalid]:
    """What is wrong with the planned length of a phase."""
    return list(_duration(phase.planned, f"{where}.planned", 1))


def _duration(quantity: parts.Quantity | None, where: str, least: int) -> Iterator[Invalid]:
    if quantity is None:
        return
    try:
        micros_of(quantity, where, least=least)
    except Invalid as problem:
        yield problem


def _widths(criterion: Any, where: str) -> Iterator[Invalid]:
    for name in _WIDTHS.get(criterion.kind, ()):
        quantity = getattr(criterion, name)
        if quantity is not None and quantity.value < 0:
            yield _limit(
                f"{name} is a width and must not be negative", f"{where}.{name}", "give its size, without a sign"
            )


def _decision(criterion: Any, where: str) -> None:
    given = criterion.decision.uncertainty
    if given is not None:
        agreed_uncertainty(given, given.unit, f"{where}.decision.uncertainty")


def _totaliser(criterion: Any, where: str) -> Iterator[Invalid]:
    if criterion.rollover is not None and not criterion.rollover.value > 0:
        yield _limit(
            "a counter rolls over above zero", f"{where}.rollover", "give the reading at which it begins again"
        )


def _count(criterion: Any, where: str) -> Iterator[Invalid]:
    if None not in (criterion.at_least, criterion.at_most) and criterion.at_least > criterion.at_most:
        yield _limit("at_least is more than at_most: no number is both", f"{where}.at_least", "exchange the two")


def _places(criterion: Any, where: str) -> Iterator[Invalid]:
    for number, place in enumerate(criterion.places):
        if place in criterion.places[:number]:
            yield Invalid(
                "criteria_signal",
                "the same place twice",
                field=f"{where}.places[{number}]",
                remedy="name each place once",
            )


def _inspection(criterion: Any, where: str) -> Iterator[Invalid]:
    if criterion.decision.rule != "simple":
        yield Invalid(
            "criteria_decision_rule",
            f"a person's finding has no uncertainty: the rule {criterion.decision.rule} has no meaning for it",
            field=f"{where}.decision.rule",
            remedy="use simple",
        )


def _lab_result(criterion: Any, where: str) -> Iterator[Invalid]:
    yield from _reversed(criterion, "low", "high", where, difference=False)


def _in_order(criterion: Any, where: str, signal: SignalPlan) -> Iterator[Invalid]:
    """Limits, each in its own unit, of which the low one is not above the high one."""
    spread = getattr(criterion, "statistic", None) in ("sd", "cpk")
    absolute = not (criterion.kind in _DIFFERENCES or spread or signal.difference)
    yield from _reversed(criterion, "low", "high", where, difference=not absolute)


def _capability(criterion: Any, where: str, signal: SignalPlan) -> Iterator[Invalid]:
    if getattr(criterion, "statistic", None) == "cpk":
        yield from _reversed(criterion, "lower_spec", "upper_spec", where, difference=signal.difference)


def _reversed(criterion: Any, low: str, high: str, where: str, *, difference: bool) -> Iterator[Invalid]:
    bottom, top = getattr(criterion, low, None), getattr(criterion, high, None)
    if bottom is None or top is None:
        return
    if convert(bottom, top.unit, f"{where}.{high}", difference=difference) > top.value:
        yield _limit(f"{low} lies above {high}: no value is between them", f"{where}.{low}", "exchange the two")


def _never_negative(criterion: Any, where: str, signal: SignalPlan) -> Iterator[Invalid]:
    what = {"sd": "a standard deviation", "rms": "a root mean square"}.get(getattr(criterion, "statistic", ""))
    if criterion.kind == "compare_previous":
        what = "a ratio of values" if criterion.relation == "ratio" else None
    if criterion.kind == "totaliser":
        what = "what a counter counts"
    if what is None:
        return
    absolute = what == "a root mean square" and not signal.difference
    for name in ("low", "high"):
        given = getattr(criterion, name)
        if given is None:
            continue
        value = convert(given, signal.unit, f"{where}.{name}", difference=False) if absolute else given.value
        if value < 0:
            yield _limit(f"{what} is never negative", f"{where}.{name}", "give a limit of 0 or more")


def _limit(detail: str, where: str, remedy: str) -> Invalid:
    return Invalid("criteria_limit", detail, field=where, remedy=remedy)


_RULES: dict[type[BaseModel], tuple[Callable[..., Any], ...]] = {
    parts.Quantity: (_unit,),
    parts.Constant: (_unit,),
    parts.Ratio: (_arithmetic,),
    Reference: (_reference,),
    formulas.Interval: (_interval,),
    formulas.Compare: (_scale,),
}
_KIND_RULES: dict[str, tuple[Callable[..., Any], ...]] = {
    "response": (_response,),
    "totaliser": (_totaliser,),
    "count": (_count,),
    "uniformity": (_places,),
    "inspection": (_inspection,),
    "lab_result": (_lab_result,),
    **dict.fromkeys(
        (
            *("band", "hold", "longest_excursion", "cumulative_time_out", "settle", "rate_of_change"),
            *("window_statistics", "data_quality", "setpoint_band", "fraction_in_band", "ramp", "steady_state"),
            *("drift", "integral", "envelope", "compare_previous"),
        ),
        (_has_channel,),
    ),
}
