"""Criteria on events: how often, how many of them well, how long between failures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.criteria.parts import CriterionBase, Natural, Number, Quantity

Confidence = Annotated[Number, Field(ge=0.5, le=0.9999)]


class Count(CriterionBase):
    """How often `event` becomes true in the phase."""

    kind: Literal["count"]
    event: Formula
    at_least: Natural | None = None
    at_most: Natural | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> Count:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at least one of at_least and at_most")
        return self


class SuccessRate(CriterionBase):
    """Trials, one each time `trial` becomes true, a success where `success` holds at that instant: the lower confidence bound
    (Clopper-Pearson, one-sided) of the probability of success is at least `at_least`."""

    kind: Literal["success_rate"]
    trial: Formula
    success: Formula
    at_least: Annotated[Number, Field(gt=0, lt=1)]
    confidence: Confidence = 0.95
    min_trials: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1


class Mtbf(CriterionBase):
    """Mean operating time between failures, one each time `failure` becomes true while `operating` holds: its lower confidence bound
    (time-terminated test) is at least `at_least`."""

    kind: Literal["mtbf"]
    failure: Formula
    operating: Formula | None = None
    at_least: Quantity
    confidence: Confidence = 0.95
    clock_in_hold: Literal["run", "stop"] = "run"
