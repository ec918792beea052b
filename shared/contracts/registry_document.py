"""The registry as people write it (YAML or JSON): checked, then turned into contract dataclasses.

Identities: a line is `te1`, its instruments and streams are `te1/<name>`. Durations are seconds or texts such as `180 s`, `3 min`, `1 h`, `35 d`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.contracts.registry import (
    Channel,
    ChannelKind,
    ClockPolicy,
    Customer,
    CustomerClass,
    Instrument,
    Line,
    Name,
    Platform,
    RegistryDraft,
    Rule,
    Stream,
    Uncertainty,
)
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.times import DAY, HOUR, MINUTE, SECOND, Micros
from shared.kernel.yaml_text import read_yaml_text

_UNITS: dict[str, Micros] = {"us": 1, "ms": 1000, "s": SECOND, "min": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)")
_MAX_DURATION = 3660 * DAY


def _duration(value: object) -> Micros:
    text = f"{value} s" if isinstance(value, int | float) else str(value).strip()
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("a duration is a number of seconds or a text such as `3 min`")
    micros = Decimal(match[1]) * _UNITS[match[2]]
    if micros != int(micros) or not 0 < micros <= _MAX_DURATION:
        raise ValueError("a duration is a whole number of microseconds between 0 and 10 years")
    return int(micros)


def _time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("not an IANA time zone, for example Asia/Shanghai")
    return ZoneInfo(value).key


Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=60)]
LineId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$", max_length=120)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]
Prose = Annotated[str, Field(max_length=400)]
Unit = Annotated[str, Field(min_length=1, max_length=60)]
Duration = Annotated[int, BeforeValidator(_duration)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NameDocument(_Model):
    en: Annotated[str, Field(min_length=1, max_length=200)]
    zh: Annotated[str, Field(min_length=1, max_length=200)]


class PlatformDocument(_Model):
    id: Id
    name: NameDocument
    time_zone: Annotated[str, AfterValidator(_time_zone)]


class LineDocument(_Model):
    id: Id
    platform: Id
    name: NameDocument
    sector: Prose = ""


class InstrumentDocument(_Model):
    id: LineId
    name: NameDocument


class CustomerDocument(_Model):
    id: Id
    name: NameDocument
    class_: CustomerClass = Field(alias="class")
    credit_code: Annotated[str, Field(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$")] | None = None


class UncertaintyDocument(_Model):
    expanded: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    coverage_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0
    source: Prose
    calibration_due: date | None = None


class ChannelDocument(_Model):
    name: Word
    quantity_kind: Word
    unit: Unit
    kind: ChannelKind = ChannelKind.ANALOGUE
    range: tuple[Number | None, Number | None] = (None, None)
    nan_rule: Rule = Rule.MARK
    range_rule: Rule = Rule.MARK
    pressure_reference: Annotated[str, Field(pattern="^(absolute|gauge|differential)$")] | None = None
    uncertainty: UncertaintyDocument | None = None
    codes: dict[int, Prose] = {}
    description: Prose = ""

    @model_validator(mode="after")
    def _consistent(self) -> ChannelDocument:
        low, high = self.range
        if low is not None and high is not None and low >= high:
            raise ValueError("the range is empty")
        if (self.kind is ChannelKind.ENUMERATION) != bool(self.codes):
            raise ValueError("an enumeration, and only an enumeration, has codes")
        return self


class StreamDocument(_Model):
    id: LineId
    instrument: LineId
    period: Duration
    max_age: Duration
    clock: ClockPolicy = ClockPolicy.LIVE
    future_bound: Duration = Field(default=5 * SECOND, validate_default=False)
    lateness_horizon: Duration | None = None
    channels: Annotated[list[ChannelDocument], Field(min_length=1, max_length=4096)]


class RegistryDocument(_Model):
    """The whole file. What it leaves out stays as it is registered."""

    platforms: list[PlatformDocument] = []
    lines: list[LineDocument] = []
    instruments: list[InstrumentDocument] = []
    customers: list[CustomerDocument] = []
    streams: list[StreamDocument] = []


def read_yaml(text: str) -> RegistryDocument:
    """Raises Malformed(yaml_malformed) or Invalid(registry_invalid)."""
    try:
        content = read_yaml_text(text)
    except yaml.YAMLError as error:
        raise Malformed("yaml_malformed", str(error), remedy="write well-formed YAML") from error
    return read_document(content)


def read_document(content: Any) -> RegistryDocument:
    """Raises Invalid(registry_invalid), with the path of the first thing wrong."""
    try:
        return RegistryDocument.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise Invalid(
            "registry_invalid", f"{field}: {first['msg']}", field=field, remedy="see the registry's guide"
        ) from error


def draft(document: RegistryDocument, platform_of_line: Callable[[str], str | None]) -> RegistryDraft:
    """The contract dataclasses of a document; `platform_of_line` knows the lines registered before. Streams have version 0 until they
    are compared with what is registered. Raises Invalid(registry_invalid) for a stream of an unknown line."""
    lines = {line.id: Line(line.id, line.platform, _name(line.name), line.sector) for line in document.lines}

    def platform_of(line: str) -> str:
        platform = lines[line].platform if line in lines else platform_of_line(line)
        if platform is None:
            raise Invalid(
                "registry_invalid", f"there is no line {line}", field="streams", remedy="register the line first"
            )
        return platform

    return RegistryDraft(
        platforms=_by_id(Platform(item.id, _name(item.name), item.time_zone) for item in document.platforms),
        lines=lines,
        instruments=_by_id(
            Instrument(item.id, item.id.split("/")[0], _name(item.name)) for item in document.instruments
        ),
        customers=_by_id(
            Customer(item.id, _name(item.name), item.class_, item.credit_code) for item in document.customers
        ),
        streams=_by_id(_stream(item, platform_of(item.id.split("/")[0])) for item in document.streams),
    )


def _by_id(items: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        if item.id in found:
            raise Invalid("registry_invalid", f"{item.id} is there twice", field=item.id, remedy="keep one of them")
        found[item.id] = item
    return found


def _name(document: NameDocument) -> Name:
    return Name(en=document.en, zh=document.zh)


def _stream(document: StreamDocument, platform: str) -> Stream:
    return Stream(
        id=document.id,
        version=0,
        platform=platform,
        line=document.id.split("/")[0],
        instrument=document.instrument,
        channels=tuple(_channel(channel) for channel in document.channels),
        period=document.period,
        max_age=document.max_age,
        clock=document.clock,
        future_bound=document.future_bound,
        lateness_horizon=document.lateness_horizon,
    )


def _channel(document: ChannelDocument) -> Channel:
    known = document.uncertainty
    return Channel(
        name=document.name,
        quantity_kind=document.quantity_kind,
        unit=document.unit,
        kind=document.kind,
        low=document.range[0],
        high=document.range[1],
        nan_rule=document.nan_rule,
        range_rule=document.range_rule,
        pressure_reference=document.pressure_reference,
        uncertainty=None
        if known is None
        else Uncertainty(known.expanded, known.coverage_factor, known.source, known.calibration_due),
        codes=tuple(sorted(document.codes.items())),
        description=document.description,
    )
