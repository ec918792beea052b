"""Criteria that judge a run by earlier ones: an envelope around a family of reference runs, a statistic beside that of the run before."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.verification.domain.criteria.parts import (
    CriterionBase,
    Identifier,
    LimitsBase,
    Model,
    Number,
    Positive,
    Quantity,
    Signal,
)

MOST_POINTS = 20_000
"""Points of a reference: a phase of five hours at a second each, 320 KB in memory."""


class Reference(Model):
    """Mean and standard deviation (n - 1) over the runs of a family, at every `step` from the phase's start on. Each point holds until the
    next; beyond the last one there is no reference. `runs` names the family. It is part of the criteria, so their digest pins it."""

    step: Quantity
    unit: str = Field(min_length=1, max_length=60)
    mean: tuple[Number, ...] = Field(min_length=1, max_length=MOST_POINTS)
    sd: tuple[Annotated[Number, Field(ge=0)], ...] = Field(min_length=1, max_length=MOST_POINTS)
    runs: tuple[Identifier, ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _as_many(self) -> Reference:
        if len(self.mean) != len(self.sd):
            raise ValueError(f"mean has {len(self.mean)} points and sd {len(self.sd)}: give one of each per step")
        return self


class Envelope(CriterionBase):
    """Within `sigmas` standard deviations of the reference's mean (at least `floor`), aligned on the phase's start; outside for no longer
    than `at_most` in all, where that is given."""

    kind: Literal["envelope"]
    signal: Signal
    reference: Reference
    sigmas: Annotated[Number, Field(gt=0, le=100)] = 3.0
    floor: Quantity | None = None
    at_most: Quantity | None = None
    clock_in_hold: Literal["run", "stop"] = "run"


class ComparePrevious(LimitsBase):
    """A statistic of the phase beside the same statistic of the run before (iteration k - 1), as its verdict of record has it when this
    run starts. The limits bound the difference, or with `relation` ratio the quotient, of this run's value and that one's."""

    kind: Literal["compare_previous"]
    signal: Signal
    statistic: Literal["mean", "sd", "min", "max", "rms", "percentile"]
    percentile: Annotated[Number, Field(ge=0, le=100)] | None = None
    relation: Literal["difference", "ratio"] = "difference"
    min_count: Positive = 1

    @model_validator(mode="after")
    def _complete(self) -> ComparePrevious:
        if (self.statistic == "percentile") != (self.percentile is not None):
            raise ValueError("percentile is given for the statistic percentile, and only for it")
        return self
