"""The text form read into a document with places; the model then checks it as it checks YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from lark import Lark, Token, UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken
from lark.exceptions import VisitError
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive, v_args

from services.verification.domain.criteria.grammar import GRAMMAR
from services.verification.domain.criteria.marks import (
    DEEPEST,
    MOST_VALUES,
    Mark,
    Marked,
    Repeated,
    bounded,
    once,
    sound_text,
    too_deep,
    too_many,
    unreadable,
    whole_number,
)
from shared.kernel.errors import Malformed, Problem

_SAID = {
    "QUANTITY": "a quantity such as 5 kPa",
    "NUMBER": "a number",
    "INT": "a whole number",
    "STRING": 'a text in "quotes"',
    "PATH": "a channel",
    "WORD": "a word",
    "ID": "an id",
    "RELATION": "<=, <, >= or >",
    "SIGN": "+ or -",
    "$END": "the end",
}


MOST_TOKENS = 2 * MOST_VALUES
"""A value of a list comes with its comma."""

_OPENING, _CLOSING = frozenset({"LPAR", "LSQB", "LBRACE"}), frozenset({"RPAR", "RSQB", "RBRACE"})


def is_text_form(text: str) -> bool:
    """Whether a document is written in the text form: its first word is `criteria` and no colon follows it."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            return words[0] == "criteria" and len(words) > 1
    return False


def read_text(text: str) -> Marked:
    """The document of a criteria set. Raises Malformed(criteria_syntax | criteria_size | criteria_repeated) with line, column and what would
    fit there."""
    return _read(text, "set")


def read_formula(text: str) -> Any:
    """The document of a formula or of arithmetic. Raises as `read_text`."""
    return _read(text, "value").plain()


def _read(text: str, start: str) -> Marked:
    reading = _Reading()
    try:
        made = reading.transform(_tree(text, start))
    except UnexpectedInput as error:
        raise _syntax(error, text) from error
    except VisitError as error:
        if isinstance(error.orig_exc, Problem):
            raise error.orig_exc from error
        raise
    return once(bounded(_made(made)), reading.repeated)


def _tree(text: str, start: str) -> Any:
    """Raises UnexpectedInput, or Malformed(criteria_size) before more is kept in memory than a document may hold."""
    parsing = _parser().parse_interactive(text, start=start)
    depth = 0
    for number, token in enumerate(parsing.iter_parse()):
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
        if depth > DEEPEST:
            raise too_deep(_place(token))
        if number > MOST_TOKENS:
            raise too_many(_place(token))
    return parsing.feed_eof()  # type: ignore[no-untyped-call]


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, start=["set", "value"], maybe_placeholders=False)


def _syntax(error: UnexpectedInput, text: str) -> Malformed:
    if isinstance(error, UnexpectedToken):
        wanted, found = error.accepts or error.expected, str(error.token) or "the end"
        line, column = (-1, -1) if error.token.type == "$END" else (error.line, error.column)
    elif isinstance(error, UnexpectedCharacters):
        wanted, found = error.allowed or set(), text.split("\n")[error.line - 1][error.column - 1 :][:1]
        line, column = error.line, error.column
    else:
        assert isinstance(error, UnexpectedEOF)
        wanted, found, line, column = set(error.expected), "the end", -1, -1
    if line < 1:
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    fits = sorted({_said(name) for name in wanted if not name.startswith("__")})
    return unreadable(
        "criteria_syntax",
        f"{found!r} does not fit here",
        Mark(line, column),
        f"write {_or(fits)}" if fits else "see docs/criteria.md",
    )


_SYMBOLS = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}", "COMMA": ",", "COLON": ":",
            "EQUAL": "=", "SLASH": "/", "STAR": "*"}  # fmt: skip


def _said(name: str) -> str:
    """A terminal of the grammar as people know it: what it is, or the sign or word itself."""
    return _SAID.get(name) or f"`{_SYMBOLS.get(name, name.lower().strip('_'))}`"


def _or(what: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(what[:-1]), what[-1]) if part)


def _place(token: Token) -> Mark:
    return Mark(token.line or 1, token.column or 1)


def _of_token(token: Token) -> Marked:
    mark = _place(token)
    if token.type == "QUANTITY":
        number, unit = str(token).split(None, 1)
        return Marked({"value": Marked(float(number), mark), "unit": Marked(_unit(unit, mark), mark)}, mark)
    if token.type == "STRING":
        return Marked(_text(str(token), mark), mark)
    if token.type in ("TRUE", "FALSE"):
        return Marked(token.type == "TRUE", mark)
    if token.type in ("NUMBER", "INT"):
        return Marked(float(token) if token.type == "NUMBER" else whole_number(str(token), mark), mark)
    return Marked(str(token), mark)


def _unit(written: str, mark: Mark) -> str:
    if written.startswith("'"):
        return written[1:-1]
    return _text(written, mark) if written.startswith('"') else written


def _text(written: str, mark: Mark) -> str:
    """A text in quotes, with the escapes of JSON."""
    try:
        return sound_text(str(json.loads(written, strict=False)), mark)
    except json.JSONDecodeError as error:
        raise unreadable(
            "criteria_syntax",
            f"{error.msg} in {written[:40]}",
            mark,
            'write \\" for a quote and \\\\ for a backslash',
        ) from error


def _made(item: Marked | Token) -> Marked:
    return _of_token(item) if isinstance(item, Token) else item


def _operand(item: Marked | Token) -> Marked:
    """Of arithmetic: there a quantity is a constant."""
    if isinstance(item, Token) and item.type == "QUANTITY":
        found = _of_token(item)
        return Marked({"op": Marked("constant", found.mark), **found.value}, found.mark)
    return _made(item)


_MANY = {"any": "or", "all": "and", "implies": "implies"}
_ONE = {"not_": "not"} | {name: name for name in ("always", "eventually", "historically", "once", "rise", "fall")}


class _Argument:
    def __init__(self, name: Token, value: Marked) -> None:
        self.name, self.value = name, value


@v_args(meta=True)
class _Reading(Transformer_NonRecursive[Token, Any]):
    """Every rule to a marked value, an argument, or a list of them. `repeated` are the names given more than once."""

    def __init__(self) -> None:
        super().__init__()
        self.repeated: list[Repeated] = []

    def _put(self, facts: dict[str, Marked], given: Iterable[tuple[str, Marked]]) -> None:
        for name, value in given:
            first = facts.setdefault(name, value)
            if first is not value:
                self.repeated.append(Repeated(name, first, value.mark))

    def set(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        id_, version, title, *rest = parts
        document = {"id": _of_token(id_), "version": _of_token(version), "title": title}
        options = rest.pop(0) if rest and isinstance(rest[0], dict) else {}
        phases = [value for kind, value in rest if kind == "phase"]
        criteria = [value for kind, value in rest if kind == "criterion"]
        document |= {"phases": Marked(phases, _mark(meta)), "criteria": Marked(criteria, _mark(meta))}
        self._put(document, options.items())
        return Marked(document, _mark(meta))

    def title(self, meta: Meta, parts: Sequence[Token]) -> Marked:
        return Marked({"en": _of_token(parts[0]), "zh": _of_token(parts[1])}, _mark(meta))

    def phase(self, meta: Meta, parts: Sequence[Any]) -> tuple[str, Marked]:
        id_, title, *options = parts
        facts = {"id": _of_token(id_), "title": title}
        self._put(facts, options[0].items() if options else ())
        return "phase", Marked(facts, _mark(meta))

    def criterion(self, meta: Meta, parts: Sequence[Any]) -> tuple[str, Marked]:
        id_, title, *rest = parts
        facts: dict[str, Marked] = {"id": _of_token(id_), "title": title}
        if rest[0].type == "STRING":
            facts["clause"] = _of_token(rest.pop(0))
        phase, kind, arguments, *more = rest
        facts |= {"phase": _of_token(phase), "kind": _of_token(kind)}
        self._put(facts, self._named(arguments, "signal"))
        self._put(facts, more)
        return "criterion", Marked(facts, _mark(meta))

    def part(self, meta: Meta, parts: Sequence[Any]) -> tuple[str, Marked]:
        name, arguments = parts
        facts: dict[str, Marked] = {}
        self._put(facts, self._named(arguments, "rule"))
        return str(name), Marked(facts, _mark(meta))

    @staticmethod
    def _named(arguments: Sequence[Any], first: str) -> list[tuple[str, Marked]]:
        """A value without a name is the signal of a kind, the rule of a decision."""
        return [
            (str(item.name), item.value) if isinstance(item, _Argument) else (first, _made(item)) for item in arguments
        ]

    def options(self, _meta: Meta, parts: Sequence[_Argument]) -> dict[str, Marked]:
        facts: dict[str, Marked] = {}
        self._put(facts, self._named(parts, ""))
        return facts

    def arguments(self, _meta: Meta, parts: Sequence[Any]) -> list[Any]:
        return list(parts)

    def argument(self, _meta: Meta, parts: Sequence[Any]) -> _Argument:
        return _Argument(parts[0], _made(parts[1]))

    def list(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return Marked([_made(item) for item in parts], _mark(meta))

    def record(self, meta: Meta, parts: Sequence[_Argument]) -> Marked:
        return Marked(self.options(meta, parts), _mark(meta))

    def interval(self, meta: Meta, parts: Sequence[Token]) -> Marked:
        return Marked({"after": _of_token(parts[0]), "upto": _of_token(parts[1])}, _mark(meta))

    def group(self, _meta: Meta, parts: Sequence[Any]) -> Marked:
        return _made(parts[0])

    def constant(self, _meta: Meta, parts: Sequence[Token]) -> Marked:
        return _operand(parts[0])

    def add(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        """Left to right: what is added in a row is one sum, each subtraction a difference."""
        summed = [_operand(parts[0])]
        for sign, item in zip(parts[1::2], parts[2::2], strict=True):
            if sign == "+":
                summed.append(_operand(item))
            else:
                left = summed[0] if len(summed) == 1 else self._op(meta, "sum", summed)
                summed = [self._op(meta, "difference", [left, _operand(item)])]
        return summed[0] if len(summed) == 1 else self._op(meta, "sum", summed)

    def scale(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return self._of(meta, "scale", _operand(parts[1]), factor=_of_token(parts[0]))

    def ratio(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return self._op(meta, "ratio", [_operand(item) for item in parts])

    def absolute(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return self._of(meta, "absolute", _operand(parts[0]))

    def linear(self, meta: Meta, parts: Sequence[Marked]) -> Marked:
        facts = {"op": Marked("linear", _mark(meta)), "terms": Marked(list(parts), _mark(meta))}
        return Marked(facts, _mark(meta))

    def weighed(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return Marked({"factor": _of_token(parts[0]), "of": _operand(parts[1])}, _mark(meta))

    def compare(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        left, relation, right, *scale = parts
        facts = {"op": _of_token(relation), "left": _operand(left), "right": _made(right)}
        if scale:
            facts["scale"] = _of_token(scale[0])
        return Marked(facts, _mark(meta))

    def is_(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        facts = {"op": Marked("is", _mark(meta)), "channel": _made(parts[0]), "code": _made(parts[1])}
        return Marked(facts, _mark(meta))

    def until(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return self._binary(meta, "until", parts)

    def since(self, meta: Meta, parts: Sequence[Any]) -> Marked:
        return self._binary(meta, "since", parts)

    def _binary(self, meta: Meta, op: str, parts: Sequence[Any]) -> Marked:
        made = self._op(meta, op, [parts[0], parts[-1]])
        if len(parts) == 3:
            made.value["within"] = parts[1]
        return made

    def __default__(self, data: Token, children: Sequence[Any], meta: Meta) -> Marked:
        """The rules that differ by their operator alone."""
        if data in _MANY:
            return self._op(meta, _MANY[data], children)
        within = {} if len(children) == 1 else {"within": children[0]}
        return self._of(meta, _ONE[data], _made(children[-1]), **within)

    @staticmethod
    def _op(meta: Meta, op: str, of: Sequence[Any]) -> Marked:
        mark = _mark(meta)
        return Marked({"op": Marked(op, mark), "of": Marked([_made(item) for item in of], mark)}, mark)

    @staticmethod
    def _of(meta: Meta, op: str, of: Marked, **more: Marked) -> Marked:
        return Marked({"op": Marked(op, _mark(meta)), "of": of, **more}, _mark(meta))


def _mark(meta: Meta) -> Mark:
    return Mark(getattr(meta, "line", 1), getattr(meta, "column", 1))
