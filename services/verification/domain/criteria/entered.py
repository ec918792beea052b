"""Criteria on what people enter: laboratory results and inspections."""

from __future__ import annotations

from typing import Literal

from pydantic import StrictBool

from services.verification.domain.criteria.parts import CriterionBase, LimitsBase


class LabResult(LimitsBase):
    """A laboratory's value within the limits: entered by one person, confirmed by another. It may come long after the run."""

    kind: Literal["lab_result"]


class Inspection(CriterionBase):
    """A person's finding, passed or not. `attachment` says whether a file (photograph, protocol) must come with it, `second_person`
    whether somebody else has to confirm it."""

    kind: Literal["inspection"]
    attachment: Literal["required", "optional"] = "required"
    second_person: StrictBool = False
