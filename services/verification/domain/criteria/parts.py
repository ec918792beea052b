"""What criteria are made of: titles, quantities, signals, decision rules, demands on data quality. A closed model: an unknown field is an error."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.verification.domain.criteria.marks import Bare

MOST = 1_000_000_000
"""The largest number that anything is counted to."""


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Bare) else value


Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
Number = Annotated[float, Field(strict=True), BeforeValidator(_number)]
"""A number that is written as one: no text, no truth."""
Share = Annotated[float, Field(strict=True, ge=0, le=1), BeforeValidator(_number)]
Natural = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Positive = Annotated[int, Field(strict=True, ge=1, le=MOST)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Title(Model):
    """What readers see."""

    en: str = Field(min_length=1, max_length=300)
    zh: str = Field(min_length=1, max_length=300)


class Quantity(Model):
    """A number with its UCUM unit, for example `{value: 2895, unit: kPa}` or `{value: 30, unit: min}`."""

    value: Number
    unit: str = Field(min_length=1, max_length=60)


class Sum(Model):
    op: Literal["sum"]
    of: tuple[Signal, ...] = Field(min_length=2, max_length=32)


class Difference(Model):
    """First less second."""

    op: Literal["difference"]
    of: tuple[Signal, Signal]


class Ratio(Model):
    """First over second; undefined where the second is zero."""

    op: Literal["ratio"]
    of: tuple[Signal, Signal]


class Scale(Model):
    op: Literal["scale"]
    factor: Number
    of: Signal


class Term(Model):
    factor: Number
    of: Signal


class Linear(Model):
    """A linear combination; the unit is the first term's."""

    op: Literal["linear"]
    terms: tuple[Term, ...] = Field(min_length=1, max_length=32)


class Absolute(Model):
    op: Literal["absolute"]
    of: Signal


class Constant(Model):
    op: Literal["constant"]
    value: Number
    unit: str = Field(min_length=1, max_length=60)


Expression = Annotated[
    Sum | Difference | Ratio | Scale | Linear | Absolute | Constant,
    Field(discriminator="op"),
]
Signal = Annotated[str, Field(min_length=3, max_length=200)] | Expression
"""A channel path (`reactor.pressure`) or arithmetic over channels."""


class Decision(Model):
    """How uncertainty enters the verdict, agreed before measuring. U comes from the registry or from here, with its coverage factor k.

    guard_band tightens every limit by w = `multiplier` x U; four_level calls what lies within w of a limit conditional;
    min_probability demands at least `probability` that the true value conforms.
    """

    rule: Literal["simple", "guard_band", "four_level", "min_probability"] = "simple"
    multiplier: Annotated[Number, Field(gt=0, le=10)] = 1.0
    uncertainty: Quantity | None = None
    coverage_factor: Annotated[Number, Field(gt=0, le=10)] = 2.0
    probability: Annotated[Number, Field(ge=0.5, le=0.999999)] = 0.95


class QualityDemand(Model):
    """Data quality as part of a criterion (V-10). `on_bad_quality` says what a value marked bad does besides being left out.

    After `idle` without a sample the criterion shows that it waits; at the phase's end it is then INCONCLUSIVE, no data since.
    """

    min_coverage: Share | None = None
    max_gap: Quantity | None = None
    idle: Quantity | None = None
    on_bad_quality: Literal["exclude", "inconclusive", "fail"] = "exclude"


class CriterionBase(Model):
    id: Identifier
    clause: str = Field(default="", max_length=80)
    title: Title
    phase: Identifier
    decision: Decision = Decision()
    quality: QualityDemand = QualityDemand()


class LimitsBase(CriterionBase):
    """At least one of `low` and `high`."""

    low: Quantity | None = None
    high: Quantity | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> LimitsBase:
        if self.low is None and self.high is None:
            raise ValueError("give at least one of low and high")
        return self
