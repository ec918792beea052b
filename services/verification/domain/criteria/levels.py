"""Criteria on the level of a signal: bands, time out of band, settling, slopes, statistics, balance, data quality."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.verification.domain.criteria.parts import (
    MOST,
    CriterionBase,
    LimitsBase,
    Natural,
    Number,
    Positive,
    Quantity,
    Share,
    Signal,
)


class Band(LimitsBase):
    kind: Literal["band"]
    signal: Signal


class Balance(CriterionBase):
    """|sum of inputs - sum of outputs| within `limit`, or within `fraction` of the inputs' sum."""

    kind: Literal["balance"]
    inputs: tuple[Signal, ...] = Field(min_length=1, max_length=16)
    outputs: tuple[Signal, ...] = Field(min_length=1, max_length=16)
    limit: Quantity | None = None
    fraction: Annotated[Number, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_tolerance(self) -> Balance:
        if (self.limit is None) == (self.fraction is None):
            raise ValueError("give exactly one of limit and fraction")
        return self


class Hold(LimitsBase):
    """Within the band without interruption for at least `duration`, once or more in the phase."""

    kind: Literal["hold"]
    signal: Signal
    duration: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class LongestExcursion(LimitsBase):
    kind: Literal["longest_excursion"]
    signal: Signal
    at_most: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class CumulativeTimeOut(LimitsBase):
    kind: Literal["cumulative_time_out"]
    signal: Signal
    at_most: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class Settle(CriterionBase):
    """Within `tolerance` of `target` from `by` after the phase's start to its end, never more than `overshoot` beyond the target."""

    kind: Literal["settle"]
    signal: Signal
    target: Quantity
    tolerance: Quantity
    by: Quantity
    overshoot: Quantity | None = None
    clock_in_hold: Literal["run", "stop"] = "run"


class RateOfChange(LimitsBase):
    """Least-squares slope over every sliding window (t - window, t]."""

    kind: Literal["rate_of_change"]
    signal: Signal
    window: Quantity
    min_count: Annotated[int, Field(strict=True, ge=2, le=MOST)] = 2


class WindowStatistics(LimitsBase):
    """A statistic over the whole phase, over tumbling windows from the phase's start, or over sliding windows (t - window, t].

    cpk is the process capability min(upper_spec - mean, mean - lower_spec) / (3 sd) (ISO 22514-2 with the sd of the window); its limits
    have unit 1.
    """

    kind: Literal["window_statistics"]
    signal: Signal
    statistic: Literal["mean", "sd", "min", "max", "rms", "percentile", "cpk"]
    percentile: Annotated[Number, Field(ge=0, le=100)] | None = None
    lower_spec: Quantity | None = None
    upper_spec: Quantity | None = None
    windows: Literal["phase", "tumbling", "sliding"] = "phase"
    window: Quantity | None = None
    min_count: Positive = 1

    @model_validator(mode="after")
    def _complete(self) -> WindowStatistics:
        if (self.windows == "phase") != (self.window is None):
            raise ValueError("window is given for tumbling and sliding windows, and only for them")
        if (self.statistic == "percentile") != (self.percentile is not None):
            raise ValueError("percentile is given for the statistic percentile, and only for it")
        if (self.statistic == "cpk") != (self.lower_spec is not None or self.upper_spec is not None):
            raise ValueError("lower_spec, upper_spec or both are given for the statistic cpk, and only for it")
        return self


class DataQualityCriterion(CriterionBase):
    """The quality of a signal as a criterion of its own."""

    kind: Literal["data_quality"]
    signal: Signal
    min_coverage: Share | None = None
    max_gap: Quantity | None = None
    max_stuck: Quantity | None = None
    max_nan: Natural | None = None
    max_saturated: Quantity | None = None
    max_clock_suspect: Natural | None = None

    @model_validator(mode="after")
    def _some_demand(self) -> DataQualityCriterion:
        names = ("min_coverage", "max_gap", "max_stuck", "max_nan", "max_saturated", "max_clock_suspect")
        if all(getattr(self, name) is None for name in names):
            raise ValueError(f"give at least one of {', '.join(names)}")
        return self
