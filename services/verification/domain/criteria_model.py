"""The criteria file: one pydantic model, discriminated by `kind`, loaded from YAML or JSON (V-5). Closed: an unknown field is an error.

Everything after loading works on the compiled form (`plan.py`); this is the edge form that people write, hash and publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import yaml
from pydantic import AliasChoices, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from services.verification.domain.criteria.earlier import ComparePrevious, Envelope
from services.verification.domain.criteria.entered import Inspection, LabResult
from services.verification.domain.criteria.events import Count, Mtbf, SuccessRate
from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.criteria.levels import (
    Balance,
    Band,
    CumulativeTimeOut,
    DataQualityCriterion,
    Hold,
    LongestExcursion,
    RateOfChange,
    Settle,
    WindowStatistics,
)
from services.verification.domain.criteria.marks import Marked, marked_yaml
from services.verification.domain.criteria.parts import Identifier, Model, Quantity, Title
from services.verification.domain.criteria.process import (
    Drift,
    FractionInBand,
    Integral,
    Ramp,
    SetpointBand,
    SteadyState,
    Totaliser,
    Uniformity,
)
from services.verification.domain.criteria.reading import is_text_form, read_text
from services.verification.domain.criteria.temporal import (
    Condition,
    Forbid,
    FormulaCriterion,
    Order,
    Response,
    Since,
    Until,
)
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, Malformed

Criterion = Annotated[
    Band
    | Balance
    | Hold
    | LongestExcursion
    | CumulativeTimeOut
    | Settle
    | RateOfChange
    | WindowStatistics
    | DataQualityCriterion
    | SetpointBand
    | FractionInBand
    | Ramp
    | SteadyState
    | Drift
    | Integral
    | Totaliser
    | Uniformity
    | Envelope
    | ComparePrevious
    | Count
    | SuccessRate
    | Mtbf
    | Condition
    | FormulaCriterion
    | Response
    | Until
    | Since
    | Order
    | Forbid
    | LabResult
    | Inspection,
    Field(discriminator="kind"),
]


KINDS = (
    "band",
    "balance",
    "hold",
    "longest_excursion",
    "cumulative_time_out",
    "settle",
    "rate_of_change",
    "window_statistics",
    "data_quality",
    "setpoint_band",
    "fraction_in_band",
    "ramp",
    "steady_state",
    "drift",
    "integral",
    "totaliser",
    "uniformity",
    "envelope",
    "compare_previous",
    "count",
    "success_rate",
    "mtbf",
    "condition",
    "formula",
    "response",
    "until",
    "since",
    "order",
    "forbid",
    "lab_result",
    "inspection",
)


class Boundary(Model):
    """A condition on telemetry, and for how long it has to hold without interruption (written `for`; at once without it)."""

    formula: Formula
    held_for: Quantity | None = Field(default=None, validation_alias=AliasChoices("for", "held_for"))


class Phase(Model):
    """A phase of the run. `planned` is its intended length: horizons are checked against it, verdicts never use it. It begins and ends by
    command, or when a condition holds (V-3)."""

    id: Identifier
    title: Title
    planned: Quantity | None = None
    starts_when: Boundary | None = None
    ends_when: Boundary | None = None


class Adopted(Model):
    """The version of a standard that a set keeps: it may tighten it, never loosen it."""

    id: Identifier
    version: str = Field(min_length=1, max_length=40)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class CriteriaSet(Model):
    """A published set of criteria: immutable, known by `id`, `version` and digest."""

    id: Identifier
    version: Annotated[int, Field(ge=1)]
    title: Title
    standard: Adopted | None = None
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=64)
    criteria: tuple[Criterion, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _names_once(self) -> CriteriaSet:
        for what, names in (("phase", [p.id for p in self.phases]), ("criterion", [c.id for c in self.criteria])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} id used twice: {', '.join(twice)}")
        return self

    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest(self.model_dump(mode="json"))


def load_criteria(text: str | bytes) -> CriteriaSet:
    """A criteria set from YAML, JSON or the text form. Raises as `read_criteria`."""
    return read_criteria(text)[0]


def read_criteria(text: str | bytes) -> tuple[CriteriaSet, Marked]:
    """A criteria set, and where its fields stand in the text.

    Raises Malformed(criteria_malformed | criteria_syntax) or Invalid(criteria_invalid) with the first field at fault; `errors` lists all of
    them with field, line, column and detail.
    """
    try:
        written = text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise Malformed(
            "criteria_malformed", f"not UTF-8: {error.reason} at byte {error.start}", remedy="save it as UTF-8"
        ) from error
    document = read_text(written) if is_text_form(written) else _read_yaml(written)
    return validated(document.plain(), marks=document), document


def _read_yaml(text: str) -> Marked:
    try:
        return marked_yaml(text)
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        place: dict[str, object] = {} if at is None else {"line": at.line + 1, "column": at.column + 1}
        raise Malformed(
            "criteria_malformed",
            f"not YAML or JSON: {error}",
            remedy="check indentation and quotes at the line named",
            extra=place,
        ) from error


def validated(document: Any, where: str = "", marks: Marked | None = None) -> CriteriaSet:
    """The criteria set in a document; `where` stands before the fields at fault. Raises Invalid(criteria_invalid)."""
    try:
        return CriteriaSet.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        # A list counts only what is valid in it: that it is too short then follows from what is wrong in it.
        problems = [item for item in problems if item["type"] != "too_short"] or problems
        listed = [_entry(item, where, marks) for item in problems[:50]]
        place: dict[str, object] = {name: listed[0][name] for name in ("line", "column") if name in listed[0]}
        raise Invalid(
            "criteria_invalid",
            problems[0]["msg"],
            field=str(listed[0]["field"]),
            remedy="see docs/criteria.md for the fields of each kind",
            extra={**place, "errors": listed},
        ) from error


def _entry(error: ErrorDetails, where: str, marks: Marked | None) -> dict[str, object]:
    field = _path(error["loc"])
    entry: dict[str, object] = {
        "field": ".".join(part for part in (where, field) if part),
        "detail": error["msg"],
    }
    if marks is not None:
        mark = marks.at(field)
        entry |= {"line": mark.line, "column": mark.column}
    return entry


_OPERATORS = {
    *("sum", "difference", "ratio", "scale", "linear", "absolute", "constant"),
    *("<=", "<", ">=", ">", "is", "not", "and", "or", "implies", "rise", "fall"),
    *("always", "eventually", "historically", "once", "until", "since"),
}
_TAGS = {"constrained-str", *_OPERATORS, *KINDS}
_BRANCHES = ("tagged-union", "function-", "Quantity", "constrained")


def _path(location: Sequence[str | int]) -> str:
    """The field as its author wrote it: pydantic's names of union branches left out."""
    text = ""
    for part in location:
        if part in _TAGS or str(part).startswith(_BRANCHES):
            continue
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
