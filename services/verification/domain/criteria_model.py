"""The criteria file: one pydantic model, discriminated by `kind`, loaded from YAML or JSON (V-5). Closed: an unknown field is an error.

Everything after loading works on the compiled form (`plan.py`); this is the edge form that people write, hash and publish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AliasChoices, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from services.verification.domain.criteria.earlier import ComparePrevious, Envelope
from services.verification.domain.criteria.entered import Inspection, LabResult
from services.verification.domain.criteria.events import Count, Mtbf, SuccessRate
from services.verification.domain.criteria.form_errors import FormError, form_errors
from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.criteria.json_reading import marked_json
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
from services.verification.domain.criteria.marks import Mark, Marked, unreadable
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
from services.verification.domain.criteria.yaml_reading import marked_yaml
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, TooLarge

LONGEST_TEXT = 4 * 1024 * 1024
"""Bytes of a criteria file."""

_KIND_OF_FILE = "begin with id:, version:, title:, phases: and criteria:, as docs/criteria.md shows"

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


MOST_LISTED = 200
"""Errors of the form that are told at once."""


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
    version: Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
    title: Title
    standard: Adopted | None = None
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=64)
    criteria: tuple[Criterion, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _names_once(self) -> CriteriaSet:
        said: list[str] = []
        fields: list[str] = []
        for what, of, named in (("phases", "phase", self.phases), ("criteria", "criterion", self.criteria)):
            again = _repeated(named)
            if again:
                said.append(f"{of} id used twice: {', '.join(sorted({named[place].id for place in again}))}")
                fields += [f"{what}[{place}].id" for place in again]
        if fields:
            raise PydanticCustomError("name_repeated", "{said}", {"said": "; ".join(said), "fields": fields})
        return self

    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return digest(self.model_dump(mode="json"))


def load_criteria(text: str | bytes) -> CriteriaSet:
    """A criteria set from YAML, JSON or the text form. Raises as `read_criteria`."""
    return read_criteria(text)[0]


def read_criteria(text: str | bytes) -> tuple[CriteriaSet, Marked]:
    """A criteria set, and where its fields stand in the text.

    A text that begins with `{` is JSON, one whose first word is `criteria` the text form, any other YAML. Raises TooLarge(criteria_size),
    Malformed(criteria_malformed | criteria_syntax | criteria_size | criteria_repeated) for what cannot be read, or Invalid(criteria_invalid)
    with the first field at fault; `errors` lists all of them with field, line, column and detail.
    """
    size = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size > LONGEST_TEXT:
        raise TooLarge(
            "criteria_size",
            f"the file has {size} bytes; {LONGEST_TEXT} are the limit",
            field="line 1",
            remedy="split it into several sets",
            extra={"line": 1, "column": 1},
        )
    written = _decoded(text) if isinstance(text, bytes) else text
    written = written.removeprefix("\ufeff")
    if is_text_form(written):
        document = read_text(written)
    elif written.lstrip(" \t\r\n").startswith("{"):
        document = marked_json(written)
    else:
        document = marked_yaml(written)
    if not isinstance(document.value, Mapping):
        found = "nothing" if document.value is None else "a list" if isinstance(document.value, list) else "one value"
        raise unreadable(
            "criteria_malformed", f"the file holds {found}, and no criteria set", document.mark, _KIND_OF_FILE
        )
    return validated(document.plain(), marks=document), document


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise unreadable(
            "criteria_malformed",
            f"not UTF-8: {error.reason} at byte {error.start}",
            Mark(line, 1),
            "save it as UTF-8",
        ) from error


def _repeated(named: Sequence[Any]) -> list[int]:
    """Which have an id that one before them has."""
    first: dict[str, int] = {}
    return [place for place, item in enumerate(named) if first.setdefault(item.id, place) != place]


def validated(document: Any, where: str = "", marks: Marked | None = None) -> CriteriaSet:
    """The criteria set in a document; `where` stands before the fields at fault. Raises Invalid(criteria_invalid)."""
    try:
        return CriteriaSet.model_validate(document)
    except ValidationError as error:
        found = form_errors(error.errors(include_url=False, include_input=False)[:MOST_LISTED], document)
        listed = [_entry(item, where, marks) for item in found]
        place: dict[str, object] = {name: listed[0][name] for name in ("line", "column") if name in listed[0]}
        raise Invalid(
            "criteria_invalid",
            found[0].detail,
            field=str(listed[0]["field"]),
            remedy="see docs/criteria.md for the fields of each kind",
            extra={**place, "errors": listed},
        ) from error


def _entry(error: FormError, where: str, marks: Marked | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "field": ".".join(part for part in (where, error.field) if part),
        "detail": error.detail,
    }
    if marks is not None:
        mark = marks.at(error.field)
        entry |= {"line": mark.line, "column": mark.column}
    return entry
