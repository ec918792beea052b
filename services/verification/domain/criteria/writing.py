"""A criteria set in YAML, and a set, a criterion, a signal or a formula in the text form; reading it again gives the same model (V-5)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from services.verification.domain.criteria import formulas, parts

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z0-9_]+)*(\.[A-Za-z0-9_]+)+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNIT = re.compile(r"[A-Za-z%][A-Za-z0-9%]*([./][A-Za-z%][A-Za-z0-9%-]*)*")
_NOT_APOSTROPHES = re.compile(r"['\n\r]")
_OTHER_BREAKS = re.compile("[\r\x85\u2028\u2029]")
_KEYWORDS = frozenset(
    {
        *("criteria", "version", "phase", "criterion", "clause", "in", "not", "abs", "linear", "constant", "rise"),
        *("fall", "always", "eventually", "historically", "once", "until", "since", "and", "or", "implies", "is"),
        *("scale", "true", "false"),
    }
)
_HEAD = ("id", "clause", "title", "phase", "kind", "decision", "quality")


class _Dumper(yaml.SafeDumper):
    """Texts with line breaks other than a line feed are written as escapes: YAML reads them as blanks or line feeds otherwise."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _OTHER_BREAKS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)


def set_yaml(criteria: Any) -> str:
    """The whole set as YAML, defaults left out; ends with a newline."""
    document = criteria.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=140))


def set_text(criteria: Any) -> str:
    """The whole set; ends with a newline."""
    more = _options(criteria, ("id", "version", "title", "phases", "criteria"))
    lines = [f"criteria {criteria.id} version {criteria.version} {_title(criteria.title)}{more}", ""]
    lines += [f"phase {phase.id} {_title(phase.title)}{_options(phase, ('id', 'title'))}" for phase in criteria.phases]
    for criterion in criteria.criteria:
        lines += ["", criterion_text(criterion)]
    return "\n".join(lines) + "\n"


def criterion_text(criterion: Any) -> str:
    """One criterion, over several lines."""
    clause = f" clause {json.dumps(criterion.clause, ensure_ascii=False)}" if criterion.clause else ""
    lines = [f"criterion {criterion.id} {_title(criterion.title)}{clause} in {criterion.phase}:"]
    lines.append("    " + kind_text(criterion))
    for name in ("decision", "quality"):
        given = _given(getattr(criterion, name), ())
        if given:
            lines.append(f"    {name}({', '.join(given)})")
    return "\n".join(lines)


def kind_text(criterion: Any) -> str:
    """`kind(signal, name = value, …)`."""
    first = [signal_text(criterion.signal)] if "signal" in type(criterion).model_fields else []
    return f"{criterion.kind}({', '.join([*first, *_given(criterion, (*_HEAD, 'signal'))])})"


def quantity_text(quantity: parts.Quantity | parts.Constant) -> str:
    return f"{_number(quantity.value)} {_unit(quantity.unit)}"


def _unit(unit: str) -> str:
    """A unit that is no plain word in apostrophes; one with an apostrophe or a line break in it as quoted text."""
    if _UNIT.fullmatch(unit):
        return unit
    return json.dumps(unit, ensure_ascii=False) if _NOT_APOSTROPHES.search(unit) else f"'{unit}'"


def signal_text(signal: Any) -> str:
    """Arithmetic over channels; a lone constant says that it is one."""
    if isinstance(signal, parts.Constant):
        return f"constant({quantity_text(signal)})"
    if isinstance(signal, str):
        return signal if _PATH.fullmatch(signal) else json.dumps(signal, ensure_ascii=False)
    if isinstance(signal, parts.Sum):
        return " + ".join(_operand(part) for part in signal.of)
    if isinstance(signal, parts.Difference):
        return " - ".join(_operand(part) for part in signal.of)
    if isinstance(signal, parts.Ratio):
        return " / ".join(_operand(part) for part in signal.of)
    if isinstance(signal, parts.Scale):
        return f"{_number(signal.factor)} * {_operand(signal.of)}"
    if isinstance(signal, parts.Absolute):
        return f"abs({signal_text(signal.of)})"
    assert isinstance(signal, parts.Linear)
    return f"linear({', '.join(f'{_number(term.factor)} * {_operand(term.of)}' for term in signal.terms)})"


def _operand(signal: Any) -> str:
    if isinstance(signal, parts.Constant):
        return quantity_text(signal)
    text = signal_text(signal)
    return text if isinstance(signal, str | parts.Absolute | parts.Linear) else f"({text})"


def formula_text(formula: Any) -> str:
    """A formula in infix form."""
    if isinstance(formula, formulas.Compare):
        right = (
            quantity_text(formula.right) if isinstance(formula.right, parts.Quantity) else signal_text(formula.right)
        )
        scale = f" scale {quantity_text(formula.scale)}" if formula.scale is not None else ""
        return f"{signal_text(formula.left)} {formula.op} {right}{scale}"
    if isinstance(formula, formulas.Is):
        return f"{signal_text(formula.channel)} is {json.dumps(formula.code, ensure_ascii=False)}"
    if isinstance(formula, formulas.And | formulas.Or | formulas.Implies):
        return f" {formula.op} ".join(_part(part) for part in formula.of)
    within = getattr(formula, "within", None)
    window = "" if within is None else f"[{quantity_text(within.after)}, {quantity_text(within.upto)}]"
    if isinstance(formula, formulas.Binary):
        return f"{_part(formula.of[0], tight=True)} {formula.op}{window} {_part(formula.of[1], tight=True)}"
    return f"{formula.op}{window}({formula_text(formula.of)})"


def _part(formula: Any, *, tight: bool = False) -> str:
    text = formula_text(formula)
    bare = isinstance(formula, formulas.Compare | formulas.Is | formulas.Unary | formulas.Edge | formulas.Not)
    return text if bare and not (tight and isinstance(formula, formulas.Compare | formulas.Is)) else f"({text})"


def _title(title: parts.Title) -> str:
    return f"{json.dumps(title.en, ensure_ascii=False)} / {json.dumps(title.zh, ensure_ascii=False)}"


def _options(model: BaseModel, without: Iterable[str]) -> str:
    given = _given(model, without)
    return f" ({', '.join(given)})" if given else ""


def _given(model: BaseModel, without: Iterable[str]) -> list[str]:
    """The fields that differ from their default, as `name = value`."""
    skipped = set(without)
    return [
        f"{name} = {_value(getattr(model, name))}"
        for name, field in type(model).model_fields.items()
        if name not in skipped and getattr(model, name) != field.default
    ]


def _value(value: Any) -> str:
    if isinstance(value, parts.Quantity):
        return quantity_text(value)
    if isinstance(value, parts.Sum | parts.Difference | parts.Ratio | parts.Scale | parts.Linear | parts.Absolute):
        return signal_text(value)
    if isinstance(value, parts.Constant):
        return signal_text(value)
    if isinstance(value, BaseModel) and type(value).__module__ == formulas.__name__:
        return formula_text(value) if hasattr(value, "op") else record_text(value)
    if isinstance(value, BaseModel):
        return record_text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, str):
        plain = _PATH.fullmatch(value) or (_WORD.fullmatch(value) and value not in _KEYWORDS)
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    assert isinstance(value, Sequence)
    return f"[{', '.join(_value(item) for item in value)}]"


def record_text(model: BaseModel) -> str:
    return "{" + ", ".join(_given(model, ())) + "}"


def _number(value: float) -> str:
    whole = abs(value) < 1e15 and value == int(value) and str(value) != "-0.0"
    return str(int(value)) if whole else repr(value)
