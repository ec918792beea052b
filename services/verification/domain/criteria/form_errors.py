"""Errors of the form, told in the words of the file: the field as its author wrote it, and of the branches of a union the one that was meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

_BRANCHES = {
    "constrained-str": "a channel",
    "tagged-union": "arithmetic over channels",
    "Quantity": "a quantity such as {value: 5, unit: kPa}",
    "bool": "true or false",
    "int": "a whole number",
    "str": "a text",
}
_MAPPING = "a mapping of fields is wanted"
_SAID = {
    "missing": "the field is missing",
    "extra_forbidden": "there is no such field",
    "tuple_type": "a list is wanted",
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "float_type": "a number is wanted, in digits and without quotes",
    "int_type": "a whole number is wanted, in digits and without quotes",
    "string_type": "a text is wanted; what looks like a number or a truth stands in quotes",
}


@dataclass(frozen=True, slots=True)
class FormError:
    """A field of a document and what is wrong with its form."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Placed:
    error: ErrorDetails
    field: str
    branch: str | None  # of a union that takes something else than what was written


def form_errors(problems: Sequence[ErrorDetails], document: Any) -> list[FormError]:
    """Each error at its field. A list that is too short only because of what is wrong in it is not said."""
    placed = [_placed(error, document) for error in problems]
    meant = [item for item in placed if item.branch is None and not _follows(item, placed)]
    found = [said for item in meant for said in _errors(item)]
    wanted: dict[str, list[str]] = {}
    for item in placed:
        if item.branch is not None and not any(_around(item.field, other.field) for other in meant):
            words = wanted.setdefault(item.field, [])
            if _BRANCHES[item.branch] not in words:
                words.append(_BRANCHES[item.branch])
    found += [FormError(field, f"wanted: {' or '.join(words)}") for field, words in wanted.items()]
    return list(dict.fromkeys(found))


def _follows(item: _Placed, placed: Sequence[_Placed]) -> bool:
    return item.error["type"] == "too_short" and any(
        other is not item and _around(item.field, other.field) for other in placed
    )


def _around(field: str, other: str) -> bool:
    return field == other or other.startswith((f"{field}.", f"{field}["))


def _errors(item: _Placed) -> Iterator[FormError]:
    """At its field, or at each of those that it names."""
    error, context = item.error, item.error.get("ctx", {})
    if error["type"] == "name_repeated":
        yield from (FormError(field, error["msg"]) for field in context["fields"])
        return
    if error["type"] == "model_type" and context.get("class_name") == "Quantity":
        yield FormError(item.field, f"wanted: {_BRANCHES['Quantity']}")
        return
    if error["type"] == "union_tag_not_found":
        yield FormError(item.field, f"{str(context['discriminator']).strip(chr(39))} is missing")
        return
    said = error["msg"].removeprefix("Value error, ").replace("Tuple should", "A list should")
    yield FormError(item.field, _SAID.get(error["type"], said))


def _placed(error: ErrorDetails, document: Any) -> _Placed:
    """In a mapping a branch is what its `kind` or `op` says, once: behind it the same word is a field, as `until` is in the kind until."""
    text, here, inside = "", document, False
    for part in error["loc"]:
        if isinstance(part, int):
            text += f"[{part}]"
            here = here[part] if isinstance(here, Sequence) and not isinstance(here, str) and part < len(here) else None
            inside = False
            continue
        given = isinstance(here, Mapping)
        if given and not inside and part in (here.get("kind"), here.get("op")):
            inside = True
            continue
        named = next((name for name in _BRANCHES if part.startswith(name)), None)
        if named is not None and not (given and part in here):
            if not _takes(named, here):
                return _Placed(error, text, named)
            continue
        text += f".{part}" if text else part
        here, inside = here.get(part) if given else None, False
    return _Placed(error, text, None)


def _takes(branch: str, value: Any) -> bool:
    """Whether a branch of a union is the one for what was written."""
    if branch == "tagged-union":
        return isinstance(value, Mapping) and "op" in value
    if branch == "Quantity":
        return isinstance(value, Mapping) and "op" not in value
    return branch in ("constrained-str", "str") and isinstance(value, str)
