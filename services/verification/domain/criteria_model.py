"""The criteria file: one pydantic model, discriminated by `kind`, loaded from YAML or JSON (V-5). Closed: an unknown field is an error.

Everything after loading works on the compiled form (`plan.py`); this is the edge form that people write, hash and publish.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, Malformed

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Title(_Model):
    """What readers see."""

    en: str = Field(min_length=1, max_length=300)
    zh: str = Field(min_length=1, max_length=300)


class Quantity(_Model):
    """A number with its UCUM unit, for example `{value: 2895, unit: kPa}` or `{value: 30, unit: min}`."""

    value: float
    unit: str = Field(min_length=1, max_length=60)


class Sum(_Model):
    op: Literal["sum"]
    of: tuple[Signal, ...] = Field(min_length=2, max_length=32)


class Difference(_Model):
    """First less second."""

    op: Literal["difference"]
    of: tuple[Signal, Signal]


class Ratio(_Model):
    """First over second; undefined where the second is zero."""

    op: Literal["ratio"]
    of: tuple[Signal, Signal]


class Scale(_Model):
    op: Literal["scale"]
    factor: float
    of: Signal


class Term(_Model):
    factor: float
    of: Signal


class Linear(_Model):
    """A linear combination; the unit is the first term's."""

    op: Literal["linear"]
    terms: tuple[Term, ...] = Field(min_length=1, max_length=32)


class Absolute(_Model):
    op: Literal["absolute"]
    of: Signal


class Constant(_Model):
    op: Literal["constant"]
    value: float
    unit: str


Expression = Annotated[
    Sum | Difference | Ratio | Scale | Linear | Absolute | Constant,
    Field(discriminator="op"),
]
Signal = Annotated[str, Field(min_length=3, max_length=200)] | Expression
"""A channel path (`reactor.pressure`) or arithmetic over channels."""


class Decision(_Model):
    """How uncertainty enters the verdict (V-9). `guard_band` tightens every limit by `multiplier` x U; U comes from the registry or from here."""

    rule: Literal["simple", "guard_band"] = "simple"
    multiplier: Annotated[float, Field(gt=0, le=10)] = 1.0
    uncertainty: Quantity | None = None


class QualityDemand(_Model):
    """Data quality as part of a criterion (V-10). `on_bad_quality` says what a value marked bad does besides being left out."""

    min_coverage: Share | None = None
    max_gap: Quantity | None = None
    on_bad_quality: Literal["exclude", "inconclusive", "fail"] = "exclude"


class _Criterion(_Model):
    id: Identifier
    clause: str = Field(default="", max_length=80)
    title: Title
    phase: Identifier
    decision: Decision = Decision()
    quality: QualityDemand = QualityDemand()


class _Limits(_Criterion):
    """At least one of `low` and `high`."""

    low: Quantity | None = None
    high: Quantity | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> _Limits:
        if self.low is None and self.high is None:
            raise ValueError("give at least one of low and high")
        return self


class Band(_Limits):
    kind: Literal["band"]
    signal: Signal


class Balance(_Criterion):
    """|sum of inputs - sum of outputs| within `limit`, or within `fraction` of the inputs' sum."""

    kind: Literal["balance"]
    inputs: tuple[Signal, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[Signal, ...] = Field(min_length=1, max_length=16)
    limit: Quantity | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_tolerance(self) -> Balance:
        if (self.limit is None) == (self.fraction is None):
            raise ValueError("give exactly one of limit and fraction")
        return self


class Hold(_Limits):
    """Within the band without interruption for at least `duration`, once or more in the phase."""

    kind: Literal["hold"]
    signal: Signal
    duration: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class LongestExcursion(_Limits):
    kind: Literal["longest_excursion"]
    signal: Signal
    at_most: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class CumulativeTimeOut(_Limits):
    kind: Literal["cumulative_time_out"]
    signal: Signal
    at_most: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class Settle(_Criterion):
    """Within `tolerance` of `target` from `by` after the phase's start to its end, never more than `overshoot` beyond the target."""

    kind: Literal["settle"]
    signal: Signal
    target: Quantity
    tolerance: Quantity
    by: Quantity
    overshoot: Quantity | None = None
    clock_in_hold: Literal["run", "stop"] = "run"


class RateOfChange(_Limits):
    """Least-squares slope over every sliding window (t - window, t]."""

    kind: Literal["rate_of_change"]
    signal: Signal
    window: Quantity
    min_count: Annotated[int, Field(ge=2)] = 2


class WindowStatistics(_Limits):
    """A statistic over the whole phase, over tumbling windows from the phase's start, or over sliding windows (t - window, t]."""

    kind: Literal["window_statistics"]
    signal: Signal
    statistic: Literal["mean", "sd", "min", "max", "rms", "percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)] | None = None
    windows: Literal["phase", "tumbling", "sliding"] = "phase"
    window: Quantity | None = None
    min_count: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _complete(self) -> WindowStatistics:
        if (self.windows == "phase") != (self.window is None):
            raise ValueError("window is given for tumbling and sliding windows, and only for them")
        if (self.statistic == "percentile") != (self.percentile is not None):
            raise ValueError("percentile is given for the statistic percentile, and only for it")
        return self


class DataQualityCriterion(_Criterion):
    """The quality of a signal as a criterion of its own."""

    kind: Literal["data_quality"]
    signal: Signal
    min_coverage: Share | None = None
    max_gap: Quantity | None = None
    max_stuck: Quantity | None = None
    max_nan: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some_demand(self) -> DataQualityCriterion:
        if self.min_coverage is None and self.max_gap is None and self.max_stuck is None and self.max_nan is None:
            raise ValueError("give at least one of min_coverage, max_gap, max_stuck and max_nan")
        return self


Criterion = Annotated[
    Band
    | Balance
    | Hold
    | LongestExcursion
    | CumulativeTimeOut
    | Settle
    | RateOfChange
    | WindowStatistics
    | DataQualityCriterion,
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
)


class Phase(_Model):
    """A phase of the run. `planned` is its intended length: horizons are checked against it, verdicts never use it."""

    id: Identifier
    title: Title
    planned: Quantity | None = None


class CriteriaSet(_Model):
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
    try:
        return CriteriaSet.model_validate(document)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        first = problems[0]
        raise Invalid(
            "criteria_invalid",
            first["msg"],
            field=_path(first["loc"]),
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
