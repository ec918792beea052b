"""Signals: a channel, or arithmetic over channels, compiled to a small postfix program in one unit. Units are checked here, statically.

A signal of several channels has a value at every instant of any of them at which all are defined, each by its held value.

Some units have an arbitrary zero (Cel, degF). What is computed of such values is followed by its *weight*: how many times their zero is in it.
A level has 1, a difference 0, and so has a mean or a difference of levels; 2 T or T1 + T2 are neither, and would be other numbers in K.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.verification.domain.criteria import parts as model
from services.verification.domain.criteria.levels import Balance
from shared.contracts.registry import Channel, Stream, Uncertainty, channel_path
from shared.kernel import units
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid, Problem
from shared.kernel.times import Micros

CHANNEL, CONSTANT, ADD, SUBTRACT, DIVIDE, TIMES, PLUS, ABSOLUTE, NEGATE, LOWER, HIGHER, IS, SQUARE, ROOT, TRUTH = range(
    15
)
"""Operations of a program. NEGATE, LOWER (minimum), HIGHER (maximum), IS and TRUTH work on margins of conditions, see `conditions.py`."""

Operation = tuple[int, float]
Channels = Mapping[str, tuple[Stream, int]]


@dataclass(frozen=True, slots=True)
class Input:
    """One channel of a signal: its stream and column, and how long a value of it holds."""

    path: str
    stream: str
    column: int
    max_age: Micros


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """A signal ready to be computed. `program` is empty for a plain channel. `period` (µs) is the registered mean spacing of its
    instants; `uncertainty` and `bounds` (the range) are the registry's, for a plain channel only."""

    key: str
    inputs: tuple[Input, ...]
    program: tuple[Operation, ...]
    unit: str
    weight: float | None
    period: float
    uncertainty: Uncertainty | None
    bounds: tuple[float | None, float | None] | None = None
    outputs: int = 1  # values that the program leaves
    instants: bool = False  # one point at an instant, however many samples of one channel there are at it

    @property
    def difference(self) -> bool:
        return self.weight == 0.0

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(sorted({item.stream for item in self.inputs}))

    @property
    def max_age(self) -> Micros:
        return min(item.max_age for item in self.inputs)


@dataclass(slots=True)
class Draft:
    """What is being compiled: the channels there are, and those that the signal has read so far."""

    channels: Channels
    inputs: list[Input] = field(default_factory=list)
    sources: list[tuple[Stream, Channel]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Node:
    """A compiled part of a signal. `weight`: how many times the zero of its unit is in it; None for a constant in a unit with a true zero,
    which may be a level or a difference."""

    program: tuple[Operation, ...]
    unit: str
    weight: float | None

    @property
    def difference(self) -> bool:
        return self.weight == 0.0


def channels_of(streams: Iterable[Stream]) -> dict[str, tuple[Stream, int]]:
    """Every channel path with its stream and column."""
    return {
        channel_path(stream, channel.name): (stream, column)
        for stream in streams
        for column, channel in enumerate(stream.channels)
    }


def compile_signal(signal: Any, channels: Channels, where: str) -> SignalPlan:
    """The signal at field `where`. Raises Invalid(criteria_unknown_channel | criteria_unit)."""
    draft = Draft(channels)
    node = compile_node(signal, draft, where)
    demand_meaning(node, where)
    return plan_of(canonical_json(written(signal)).decode(), node, draft, plain=isinstance(signal, str))


def compile_balance(criterion: Balance, channels: Channels, where: str) -> SignalPlan:
    """What is left of the tolerance, allowed - |inputs - outputs|: a balance holds where it is not negative."""
    draft = Draft(channels)
    into = _sum(
        [compile_node(s, draft, f"{where}.inputs[{i}]") for i, s in enumerate(criterion.inputs)], f"{where}.inputs"
    )
    out = _sum([compile_node(s, draft, f"{where}.outputs[{i}]") for i, s in enumerate(criterion.outputs)], where)
    into, out = compared(into, out, f"{where}.outputs")
    lost: tuple[Operation, ...] = (*into.program, *out.program, (SUBTRACT, 0.0), (ABSOLUTE, 0.0))
    if criterion.limit is not None:
        allowed = convert(criterion.limit, into.unit, f"{where}.limit", difference=True)
        program = (*lost, (TIMES, -1.0), (PLUS, allowed))
    else:
        if arbitrary_zero(into.unit) and not into.difference:
            raise Invalid(
                "criteria_unit",
                f"a share of a sum in {into.unit}, whose zero is arbitrary, has no meaning",
                field=f"{where}.fraction",
                remedy="give limit, a difference in K",
            )
        program = (*into.program, (TIMES, criterion.fraction or 0.0), *lost, (SUBTRACT, 0.0))
    key = {"balance": criterion.model_dump(mode="json", include={"inputs", "outputs", "limit", "fraction"})}
    return plan_of(canonical_json(key).decode(), Node(program, into.unit, 0.0), draft, plain=False)


def convert(quantity: model.Quantity, unit: str, where: str, *, difference: bool) -> float:
    """A quantity's value in `unit`. Raises Invalid(criteria_unit)."""
    value = conversion_between(quantity.unit, unit, where, difference=difference).of(quantity.value)
    if not math.isfinite(value):
        raise Invalid(
            "criteria_unit",
            f"{quantity.value:g} {quantity.unit} is more than a number in {unit} can hold",
            field=where,
            remedy="give a smaller number",
        )
    return value


def conversion_between(source: str, target: str, where: str, *, difference: bool) -> units.Conversion:
    """How to bring `source` to `target`. Raises Invalid(criteria_unit) with the field at fault."""
    try:
        counted = [unit for unit in (source, target) if source != target and units.is_logarithmic(unit)]
        found = None if counted else units.conversion(source, target, difference=difference)
    except Problem as problem:
        raise Invalid(
            "criteria_unit", problem.detail, field=where, remedy=f"use {target} or a unit of the same dimension"
        ) from problem
    if found is None:
        raise logarithmic(counted[0], where)
    return found


def logarithmic(unit: str, where: str) -> Invalid:
    """The refusal of a unit such as dB, whose values have no differences and no factor to any other unit."""
    return Invalid(
        "criteria_unit",
        f"{unit} counts in a logarithm: its values have no differences, and a limit in it no conversion",
        field=where,
        remedy="use a channel and limits in the quantity itself, for example Pa or W",
    )


def interval_unit(unit: str) -> str:
    """The unit of differences of values in `unit`: K for Cel, which has a zero of its own; otherwise the unit itself."""
    if unit == "K" or not units.commensurable(unit, "K"):
        return unit
    return "K" if units.conversion(unit, "K").offset != 0.0 else unit


def arbitrary_zero(unit: str) -> bool:
    """Whether a level in `unit` is not a multiple of it: 20 Cel are not twice 10 Cel."""
    return interval_unit(unit) != unit


def demand_meaning(node: Node, where: str) -> None:
    """Raises Invalid(criteria_unit) unless the node is a level or a difference, where its unit's zero is arbitrary."""
    if arbitrary_zero(node.unit) and node.weight not in (0.0, 1.0):
        raise _meaningless(f"the zero of {node.unit}, which is arbitrary, is in it {node.weight:g} times", where)


def limit_of(value: Node | SignalPlan, quantity: model.Quantity, where: str) -> float:
    """A limit of a value, in its unit: a level of a level, a difference of a difference. Raises Invalid(criteria_unit)."""
    limit = convert(quantity, value.unit, where, difference=value.difference)
    if value.weight not in (None, 0.0, 1.0) and arbitrary_zero(quantity.unit):
        raise _meaningless(
            f"what has a limit in {quantity.unit} counts the zero of {value.unit} {value.weight:g} times", where
        )
    return limit


def _meaningless(detail: str, where: str) -> Invalid:
    return Invalid(
        "criteria_unit",
        f"{detail}: it is neither a level nor a difference",
        field=where,
        remedy="let the factors of the levels add up to 1 (a mean) or 0 (a difference), or use channels in K",
    )


def compared(left: Node, right: Node, where: str) -> tuple[Node, Node]:
    """Both in the unit of `left`, to be subtracted: level from level or difference from difference. Raises Invalid(criteria_unit)."""
    left = left if left.weight is not None else replace(left, weight=right.weight)
    right = right if right.weight is not None else replace(right, weight=left.weight)
    if left.weight != right.weight and (arbitrary_zero(left.unit) or arbitrary_zero(right.unit)):
        raise _meaningless(f"a value in {left.unit} beside one in {right.unit} that has not the same zero", where)
    return left, in_unit(right, left.unit, where)


def plan_of(key: str, node: Node, draft: Draft, *, plain: bool) -> SignalPlan:
    """Raises Invalid(criteria_signal) for arithmetic of constants alone."""
    if not draft.sources:
        raise Invalid(
            "criteria_signal",
            "there is no channel in it: nothing is measured",
            remedy="name a channel, as <stream>.<channel>",
        )
    rate = sum(1.0 / stream.period for stream in {id(s): s for s, _ in draft.sources}.values())
    return SignalPlan(
        key=key,
        inputs=tuple(draft.inputs),
        program=() if plain else node.program,
        unit=node.unit,
        weight=node.weight,
        period=1.0 / rate,
        uncertainty=draft.sources[0][1].uncertainty if plain else None,
        bounds=(draft.sources[0][1].low, draft.sources[0][1].high) if plain else None,
    )


def compile_node(signal: Any, draft: Draft, where: str) -> Node:
    if isinstance(signal, str):
        return _channel(signal, draft, where)
    if isinstance(signal, model.Constant):
        _known_unit(signal.unit, f"{where}.unit")
        return Node(((CONSTANT, signal.value),), signal.unit, 1.0 if arbitrary_zero(signal.unit) else None)
    if isinstance(signal, model.Scale):
        return _times(compile_node(signal.of, draft, f"{where}.of"), signal.factor)
    if isinstance(signal, model.Absolute):
        node = compile_node(signal.of, draft, f"{where}.of")
        if arbitrary_zero(node.unit) and not node.difference:
            raise _meaningless(f"the size of a value in {node.unit}, whose zero is arbitrary", where)
        return Node((*node.program, (ABSOLUTE, 0.0)), node.unit, node.weight)
    if isinstance(signal, model.Linear):
        nodes = [compile_node(term.of, draft, f"{where}.terms[{i}].of") for i, term in enumerate(signal.terms)]
        scaled = [in_unit(node, nodes[0].unit, f"{where}.terms[{i}]") for i, node in enumerate(nodes)]
        return _sum([_times(node, term.factor) for node, term in zip(scaled, signal.terms, strict=True)], where)
    parts = [compile_node(part, draft, f"{where}.of[{i}]") for i, part in enumerate(signal.of)]
    if isinstance(signal, model.Sum):
        return _sum(parts, where)
    if isinstance(signal, model.Difference):
        left, right = parts[0], in_unit(parts[1], parts[0].unit, f"{where}.of[1]")
        if left.weight is None:  # what a level is taken from is a level
            left = replace(left, weight=right.weight)
        return Node((*left.program, *right.program, (SUBTRACT, 0.0)), left.unit, _added(left, _times(right, -1.0)))
    return _ratio(parts[0], parts[1], where)


def _channel(path: str, draft: Draft, where: str) -> Node:
    if path not in draft.channels:
        names = sorted(draft.channels)
        near = [name for name in names if name.split(".")[0] == path.split(".")[0]] or names
        raise Invalid(
            "criteria_unknown_channel",
            f"no pinned stream has a channel {path}",
            field=where,
            remedy=f"use one of: {', '.join(near[:12])}",
        )
    stream, column = draft.channels[path]
    channel = stream.channels[column]
    index = next((i for i, item in enumerate(draft.inputs) if item.path == path), len(draft.inputs))
    if index == len(draft.inputs):
        draft.inputs.append(Input(path, stream.id, column, stream.max_age))
        draft.sources.append((stream, channel))
    return Node(((CHANNEL, float(index)),), channel.unit, 0.0 if units.is_difference(channel.quantity_kind) else 1.0)


def _sum(nodes: list[Node], where: str) -> Node:
    total = nodes[0]
    for node in nodes[1:]:
        right = in_unit(node, total.unit, where)
        total = Node((*total.program, *right.program, (ADD, 0.0)), total.unit, _added(total, right))
    return total


def _times(node: Node, factor: float) -> Node:
    weight = None if node.weight is None else _whole(node.weight * factor)
    return Node((*node.program, (TIMES, factor)), node.unit, weight)


def _added(left: Node, right: Node) -> float | None:
    """A constant that may be either is a difference beside what is not."""
    if left.weight is None and right.weight is None:
        return None
    return _whole((left.weight or 0.0) + (right.weight or 0.0))


def _whole(weight: float) -> float:
    """Factors such as 0.3333333333 add up to a mean."""
    near = float(round(weight)) if math.isfinite(weight) else weight
    return near if abs(weight - near) < 1e-9 else weight


def _ratio(left: Node, right: Node, where: str) -> Node:
    for node, part in ((left, 0), (right, 1)):
        if arbitrary_zero(node.unit) and not node.difference:
            raise Invalid(
                "criteria_unit",
                f"a ratio of values in {node.unit}, whose zero is arbitrary, has no meaning",
                field=f"{where}.of[{part}]",
                remedy="take a difference first, or use a channel in K",
            )
    left, right = in_unit(left, interval_unit(left.unit), where), in_unit(right, interval_unit(right.unit), where)
    if units.commensurable(left.unit, right.unit):
        right, unit = in_unit(right, left.unit, where), "1"
    else:
        unit = f"({left.unit})/({right.unit})"
    return Node((*left.program, *right.program, (DIVIDE, 0.0)), unit, 1.0)


def in_unit(node: Node, unit: str, where: str) -> Node:
    """The node in another unit: the zero moves as often as it is in it. A constant that may be either is taken for a difference."""
    weight = node.weight or 0.0
    conversion = conversion_between(node.unit, unit, where, difference=weight == 0.0)
    known = weight if arbitrary_zero(unit) else node.weight
    if conversion.is_identity:
        return replace(node, unit=unit, weight=known)
    program = (*node.program, (TIMES, conversion.factor))
    if conversion.offset:
        program = (*program, (PLUS, conversion.offset * weight))
    return Node(program, unit, known)


def _known_unit(unit: str, where: str) -> None:
    try:
        units.check_unit(unit)
    except Problem as problem:
        raise Invalid("criteria_unit", problem.detail, field=where, remedy=problem.remedy) from problem


def written(signal: Any) -> Any:
    return signal if isinstance(signal, str) else signal.model_dump(mode="json")
