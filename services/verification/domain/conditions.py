"""Conditions: formulas without temporal operators, compiled to a signal whose value is the condition's margin at every instant.

The margin is negative exactly where the condition does not hold. Comparisons of one dimension give it in the unit of the first; where
dimensions differ it is a share (unit 1): the distance to the limit over the comparison's `scale`. `is` has no distance: ±infinity.
"""

from __future__ import annotations

from typing import Any

from services.verification.domain.criteria import formulas, parts
from services.verification.domain.signals import (
    CONSTANT,
    HIGHER,
    IS,
    LOWER,
    NEGATE,
    SUBTRACT,
    TIMES,
    Channels,
    Draft,
    Node,
    SignalPlan,
    compared,
    compile_node,
    convert,
    demand_meaning,
    in_unit,
    interval_unit,
    limit_of,
    plan_of,
)
from shared.contracts.registry import Channel, ChannelKind
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Invalid
from shared.kernel.units import commensurable

_TEMPORAL = (formulas.Unary, formulas.Binary, formulas.Edge)


def compile_condition(formula: Any, channels: Channels, where: str) -> SignalPlan:
    """The condition at field `where`. Raises Invalid(criteria_condition | criteria_unknown_channel | criteria_unit)."""
    draft = Draft(channels)
    node = condition_node(formula, draft, margin_unit(formula, channels, where), where)
    key = canonical_json({"condition": formula.model_dump(mode="json")}).decode()
    return plan_of(key, node, draft, plain=False)


def margin_unit(formula: Any, channels: Channels, where: str) -> str:
    """The unit of the formula's margin: that of its first comparison, or 1 where dimensions differ or nothing is compared."""
    units = [
        interval_unit(compile_node(item.left, Draft(channels), f"{place}.left").unit)
        for item, place in comparisons(formula, where)
    ]
    if not units or any(not commensurable(unit, units[0]) for unit in units):
        return "1"
    return units[0]


def comparisons(formula: Any, where: str) -> list[tuple[formulas.Compare, str]]:
    """Every comparison in a formula with its field, left to right."""
    if isinstance(formula, formulas.Compare):
        return [(formula, where)]
    inner = getattr(formula, "of", ())
    if not isinstance(inner, tuple):
        return comparisons(inner, f"{where}.of")
    return [found for k, part in enumerate(inner) for found in comparisons(part, f"{where}.of[{k}]")]


def condition_node(formula: Any, draft: Draft, unit: str, where: str) -> Node:
    """Raises Invalid as `compile_condition` does."""
    if isinstance(formula, formulas.Compare):
        return _compare(formula, draft, unit, where)
    if isinstance(formula, formulas.Is):
        return _is(formula, draft, unit, where)
    if isinstance(formula, _TEMPORAL):
        raise Invalid(
            "criteria_condition",
            f"{formula.op} needs the past or the future; a condition is judged at one instant",
            field=where,
            remedy="use comparisons with and, or, not; temporal operators belong into the kind formula",
        )
    if isinstance(formula, formulas.Not):
        return _negated(condition_node(formula.of, draft, unit, f"{where}.of"))
    nodes = [condition_node(part, draft, unit, f"{where}.of[{k}]") for k, part in enumerate(formula.of)]
    if isinstance(formula, formulas.Implies):
        nodes[0] = _negated(nodes[0])
    return _folded(nodes, LOWER if isinstance(formula, formulas.And) else HIGHER)


def _negated(node: Node) -> Node:
    return Node((*node.program, (NEGATE, 0.0)), node.unit, 0.0)


def _folded(nodes: list[Node], operation: int) -> Node:
    program = nodes[0].program
    for node in nodes[1:]:
        program = (*program, *node.program, (operation, 0.0))
    return Node(program, nodes[0].unit, 0.0)


def _compare(item: formulas.Compare, draft: Draft, unit: str, where: str) -> Node:
    left = compile_node(item.left, draft, f"{where}.left")
    if isinstance(item.right, parts.Quantity):
        demand_meaning(left, f"{where}.left")
        right = Node(((CONSTANT, limit_of(left, item.right, f"{where}.right")),), left.unit, left.weight)
    else:
        left, right = compared(left, compile_node(item.right, draft, f"{where}.right"), f"{where}.right")
    # `<` is the negation of `>=`: at equality its margin is just below zero.
    first, second = (right, left) if item.op in ("<=", ">") else (left, right)
    slack = Node((*first.program, *second.program, (SUBTRACT, 0.0)), left.unit, 0.0)
    slack = _scaled(item, slack, unit, where, span=left.difference)
    return _negated(slack) if item.op in ("<", ">") else slack


def _scaled(item: formulas.Compare, slack: Node, unit: str, where: str, *, span: bool) -> Node:
    """`span` says that the limit is one of a difference, so that its size is too."""
    if unit != "1" or commensurable(slack.unit, "1"):
        return in_unit(slack, unit, where)
    if item.scale is not None:
        one = abs(convert(item.scale, slack.unit, f"{where}.scale", difference=True))
    elif isinstance(item.right, parts.Quantity):
        one = abs(convert(item.right, slack.unit, f"{where}.right", difference=span))
    else:
        one = 0.0
    if one == 0.0:
        raise Invalid(
            "criteria_unit",
            "the formula compares quantities of different dimension, and this comparison has no size of its own",
            field=f"{where}.scale",
            remedy="give scale: the difference that counts as 1",
        )
    return Node((*slack.program, (TIMES, 1.0 / one)), "1", 0.0)


def _is(item: formulas.Is, draft: Draft, unit: str, where: str) -> Node:
    node = compile_node(item.channel, draft, f"{where}.channel")
    stream, column = draft.channels[item.channel]
    number = _number(item, stream.channels[column], where)
    return Node((*node.program, (IS, number)), unit, 0.0)


def _number(item: formulas.Is, channel: Channel, where: str) -> float:
    """What the channel carries for this code. Raises Invalid(criteria_condition) when it cannot."""
    if channel.kind is ChannelKind.BOOLEAN and isinstance(item.code, bool):
        return float(item.code)
    if channel.kind is ChannelKind.ENUMERATION and not isinstance(item.code, bool):
        for number, name in channel.codes:
            if item.code in (number, name):
                return float(number)
    known = "true, false" if channel.kind is ChannelKind.BOOLEAN else ", ".join(name for _, name in channel.codes)
    raise Invalid(
        "criteria_condition",
        f"{item.channel} is {channel.kind.value} and has no value {item.code}",
        field=f"{where}.code",
        remedy=f"use one of: {known}" if known else "compare it with a quantity instead",
    )
