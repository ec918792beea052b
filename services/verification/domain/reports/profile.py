"""What a platform says of itself on its reports, and what people say of one run: the two forms that are written by hand (YAML or JSON).

Closed models: an unknown field is an error. A text is given once for every language, or as `{en: …, zh: …}`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from services.verification.domain.reports.signatures import Role
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.yaml_text import read_yaml_text

_ROLES = Annotated[tuple[Role, ...], Field(min_length=1, max_length=len(Role))]
_Line = Annotated[str, Field(min_length=1, max_length=300)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Words(_Form):
    """A text in both languages."""

    en: str = Field(min_length=1, max_length=4000)
    zh: str = Field(min_length=1, max_length=4000)


def _both(value: Any) -> Any:
    return {"en": value, "zh": value} if isinstance(value, str) else value


Text = Annotated[Words, BeforeValidator(_both)]


class Accreditation(_Form):
    body: _Line
    number: _Line
    scope: Text | None = None


class Laboratory(_Form):
    """Who issues the reports (ISO/IEC 17025:2017, 7.8.2.1 b)."""

    name: Text
    address: Text
    contact: _Line
    accreditation: Accreditation | None = None


class ReportType(_Form):
    """A kind of report: its title, and who signs it, in this order."""

    title: Text
    signatures: _ROLES

    @model_validator(mode="after")
    def _once(self) -> ReportType:
        if len(set(self.signatures)) != len(self.signatures):
            raise ValueError("every role signs once")
        return self


class Profile(_Form):
    """What stands on every report of a platform. `location`: where the work is done, when it is not at the address."""

    platform: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
    laboratory: Laboratory
    location: Text | None = None
    report_types: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)], ReportType] = Field(
        min_length=1
    )
    remark: Text | None = None


class External(_Form):
    """A result that somebody else provided (7.8.2.1 p)."""

    provider: _Line
    what: Text


class Sampling(_Form):
    """How the item was chosen (7.8.2.1 k); `statement` says so when it was not sampled by the laboratory."""

    statement: Text
    sampled_on: date | None = None


class Particulars(_Form):
    """What no measurement knows of a run: its item as received, the customer's contact, conditions, opinions."""

    customer_contact: Text
    item_description: Text
    item_condition: Text
    item_received_on: date
    sampling: Sampling
    environment: Text | None = None
    additions: Text | None = None
    externals: tuple[External, ...] = ()
    opinions: Text | None = None


_Model = TypeVar("_Model", Profile, Particulars)


def load_profile(text: str | bytes) -> Profile:
    """Raises Malformed(report_form_malformed) or Invalid(report_form_invalid) with the first field at fault."""
    return _load(text, Profile)


def load_particulars(text: str | bytes) -> Particulars:
    """Raises Malformed(report_form_malformed) or Invalid(report_form_invalid) with the first field at fault."""
    return _load(text, Particulars)


def _load(text: str | bytes, model: type[_Model]) -> _Model:
    try:
        document = read_yaml_text(text)
    except yaml.YAMLError as error:
        raise Malformed(
            "report_form_malformed",
            f"not YAML or JSON: {error}",
            remedy="check indentation and quotes at the line named",
        ) from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Invalid(
            "report_form_invalid",
            first["msg"],
            field=".".join(str(part) for part in first["loc"]),
            remedy="docs/reports.md shows every field",
        ) from error
