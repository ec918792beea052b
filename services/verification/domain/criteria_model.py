"""The criteria file: one pydantic model, discriminated by `kind`, loaded from YAML or JSON (V-5). Closed: an unknown field is an error.

Everything after loading works on the compiled form (`plan.py`); this is the edge form that people write, hash and publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from services.verification.domain.criteria.entered import Inspection, LabResult
from services.verification.domain.criteria.events import Count, Mtbf, SuccessRate
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
    | Count
    | SuccessRate
    | Mtbf
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
    "count",
    "success_rate",
    "mtbf",
    "lab_result",
    "inspection",
)


class Phase(Model):
    """A phase of the run. `planned` is its intended length: horizons are checked against it, verdicts never use it."""

    id: Identifier
    title: Title
    planned: Quantity | None = None


class CriteriaSet(Model):
    """A published set of criteria: immutable, known by `id`, `version` and digest."""

    id: Identifier
    version: Annotated[int, Field(ge=1)]
    title: Title
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
    """A criteria set from YAML or JSON. Raises Malformed(criteria_malformed) or Invalid(criteria_invalid) with the first field at fault."""
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Malformed(
            "criteria_malformed", f"not YAML or JSON: {error}", remedy="check indentation and quotes at the line named"
        ) from error
    return validated(document)


def validated(document: Any, where: str = "") -> CriteriaSet:
    """The criteria set in a document; `where` stands before the fields at fault. Raises Invalid(criteria_invalid)."""
    try:
        return CriteriaSet.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        first = problems[0]
        raise Invalid(
            "criteria_invalid",
            first["msg"],
            field=".".join(part for part in (where, _path(first["loc"])) if part),
            remedy="see docs/criteria.md for the fields of each kind",
            extra={"errors": [_entry(item) for item in problems[:50]]},
        ) from error


def _entry(error: ErrorDetails) -> dict[str, str]:
    return {"field": _path(error["loc"]), "detail": error["msg"]}


_TAGS = {"constrained-str", "sum", "difference", "ratio", "scale", "linear", "absolute", "constant", *KINDS}


def _path(location: Sequence[str | int]) -> str:
    """The field as its author wrote it: pydantic's names of union branches left out."""
    text = ""
    for part in location:
        if part in _TAGS or str(part).startswith("tagged-union"):
            continue
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
