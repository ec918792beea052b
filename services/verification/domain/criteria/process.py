"""Criteria on how a process runs over a phase: setpoints, ramps, steady state, drift, shares of time, totals, uniformity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from services.verification.domain.criteria.parts import MOST, CriterionBase, LimitsBase, Number, Quantity, Share, Signal


class SetpointBand(CriterionBase):
    """Within `within`, or within the share `fraction` of the setpoint's size, of another signal that carries the setpoint."""

    kind: Literal["setpoint_band"]
    signal: Signal
    setpoint: Signal
    within: Quantity | None = None
    fraction: Annotated[Number, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_tolerance(self) -> SetpointBand:
        if (self.within is None) == (self.fraction is None):
            raise ValueError("give exactly one of within and fraction")
        return self


class FractionInBand(LimitsBase):
    """In band for at least the share `at_least` of the time for which the signal is defined."""

    kind: Literal["fraction_in_band"]
    signal: Signal
    at_least: Share
    clock_in_hold: Literal["run", "stop"] = "run"


class Ramp(CriterionBase):
    """Within `tolerance` of a ramp that begins at the phase's start at `from_level` and goes to `to_level` with `rate`, then stays there."""

    kind: Literal["ramp"]
    signal: Signal
    from_level: Quantity
    to_level: Quantity
    rate: Quantity
    tolerance: Quantity
    clock_in_hold: Literal["run", "stop"] = "run"


class SteadyState(CriterionBase):
    """`windows` successive windows of length `window` in each of which the least-squares slope lies within ± `gradient`, once in the phase."""

    kind: Literal["steady_state"]
    signal: Signal
    gradient: Quantity
    window: Quantity
    windows: Annotated[int, Field(strict=True, ge=1, le=1000)] = 3
    min_count: Annotated[int, Field(strict=True, ge=2, le=MOST)] = 2


class Drift(LimitsBase):
    """The least-squares slope over the whole phase."""

    kind: Literal["drift"]
    signal: Signal
    min_count: Annotated[int, Field(strict=True, ge=2, le=MOST)] = 2


class Integral(LimitsBase):
    """The integral of the held value over the phase, as energy from power or volume from a flow."""

    kind: Literal["integral"]
    signal: Signal
    clock_in_hold: Literal["run", "stop"] = "run"


class Totaliser(LimitsBase):
    """What a counter has counted in the phase. A reading below the one before is a counter that began again at zero, or at `rollover`."""

    kind: Literal["totaliser"]
    signal: Annotated[str, Field(min_length=3, max_length=200)]
    rollover: Quantity | None = None


class Uniformity(CriterionBase):
    """Non-uniformity over the places of a part at every instant, at most `at_most` (a share): `formula` says which.

    half_range: (max - min) / (2 mean), as in wafer processing; range: (max - min) / mean; sd: standard deviation (n - 1) / mean.
    """

    kind: Literal["uniformity"]
    places: tuple[Signal, ...] = Field(min_length=2, max_length=64)
    formula: Literal["half_range", "range", "sd"]
    at_most: Annotated[Number, Field(gt=0)]
