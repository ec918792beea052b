"""Tariffs as accountants write them: YAML with prices as text, checked, resolved to a `Tariff` (B-9).

    tariff = load_tariff(text)                  # raises Malformed | Invalid with a stable code and the place; checks included

```yaml
id: hz-chem-2026
version: 1
name: {en: Line hire 2026, zh: 2026 年产线使用收费}
currency: CNY
time_zone: Asia/Shanghai
effective_from: 2026-01-01
bands:
  - {name: day, hours: [8, 22]}
  - {name: night, hours: [22, 8]}
taxes:
  - {code: services, name: {en: VAT 6 %, zh: 增值税 6%}, rate: "0.06"}
charges:
  - kind: time
    code: reactor-time
    name: {en: Reactor, zh: 反应器机时}
    tax: services
    instruments: [te1/reactor]
    rates:
      - {states: [productive, engineering], bands: [day], classes: [sme], price: "900"}
      - {states: [productive, engineering], price: "1200"}
      - {price: "300"}
    waivers:
      - {states: [unscheduled_down], responsible: [platform], reason: {en: at the platform's expense, zh: 由平台承担}}
    session: {minimum: 2 h, round_up: 15 min, price: "300"}
  - kind: quantity
    code: energy
    name: {en: Electricity, zh: 电能}
    tax: services
    quantity: energy
    unit: kW.h
    model: graduated
    tiers: [{up_to: "5000", price: "0.85"}, {price: "0.72"}]
```
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.billing.domain.durations import Duration
from services.billing.domain.e10 import EquipmentState, Responsible, SubState
from services.billing.domain.tariff import (
    Band,
    Charge,
    FlatCharge,
    PriceModel,
    QuantityCharge,
    Rate,
    Scope,
    SessionRule,
    Tariff,
    Tax,
    Tier,
    TimeCharge,
    Waiver,
)
from services.billing.domain.tariff_checks import check_tariff
from shared.contracts.registry import CustomerClass, Name
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.times import DAY, MINUTE
from shared.kernel.yaml_text import read_yaml_text

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
_DECIMAL = re.compile(r"^-?[0-9]{1,15}(\.[0-9]{1,40})?$")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _decimal(text: object) -> Decimal:
    if not isinstance(text, str) or not _DECIMAL.match(text):
        raise ValueError(f"'{text}' is not a decimal in quotation marks, for example \"0.85\"")
    return Decimal(text)


Number = Annotated[Decimal, BeforeValidator(_decimal)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Name(_File):
    en: str = Field(min_length=1, max_length=200)
    zh: str = Field(min_length=1, max_length=200)

    def name(self) -> Name:
        return Name(self.en, self.zh)


class _Band(_File):
    name: Identifier
    hours: tuple[Annotated[int, Field(ge=0, le=23)], Annotated[int, Field(ge=0, le=24)]]
    weekdays: tuple[Weekday, ...] = _WEEKDAYS


class _Tax(_File):
    code: Identifier
    name: _Name
    rate: Number


class _Rate(_File):
    price: Number
    states: tuple[EquipmentState, ...] = ()
    sub_states: tuple[SubState, ...] = ()
    classes: tuple[CustomerClass, ...] = ()
    bands: tuple[Identifier, ...] = ()


class _Waiver(_File):
    states: tuple[EquipmentState, ...] = Field(min_length=1)
    responsible: tuple[Responsible, ...] = Field(min_length=1)
    reason: _Name

    def waiver(self) -> Waiver:
        return Waiver(self.states, self.responsible, self.reason.name())


class _Session(_File):
    price: Number
    minimum: Annotated[Duration, Field(ge=0, le=31 * DAY)] = 0
    round_up: Literal["1 min", "15 min", "30 min", "60 min"] | None = None

    def rule(self) -> SessionRule:
        step = int(self.round_up.split()[0]) * MINUTE if self.round_up else 0
        return SessionRule(self.minimum, step, self.price)


class _Charge(_File):
    code: Identifier
    name: _Name
    tax: Identifier


class _TimeCharge(_Charge):
    kind: Literal["time"]
    instruments: tuple[str, ...] = ()
    rates: tuple[_Rate, ...] = Field(min_length=1, max_length=200)
    waivers: tuple[_Waiver, ...] = ()
    session: _Session | None = None


class _Tier(_File):
    price: Number
    up_to: Number | None = None


class _QuantityCharge(_Charge):
    kind: Literal["quantity"]
    quantity: Identifier
    unit: str = Field(min_length=1, max_length=60)
    model: PriceModel
    tiers: tuple[_Tier, ...] = ()
    price: Number | None = None
    package: Number = Decimal(1)
    scope: Scope = Scope.PERIOD
    instruments: tuple[str, ...] = ()
    waivers: tuple[_Waiver, ...] = ()


class _FlatCharge(_Charge):
    kind: Literal["flat"]
    price: Number
    scope: Scope = Scope.RUN


AnyCharge = Annotated[_TimeCharge | _QuantityCharge | _FlatCharge, Field(discriminator="kind")]


class TariffFile(_File):
    """The whole file. `pilotline: tariff` may say what it is."""

    pilotline: Literal["tariff"] = "tariff"
    id: Identifier
    version: int = Field(ge=1, le=2**31 - 1)
    name: _Name
    currency: str
    time_zone: str = "Asia/Shanghai"
    effective_from: date
    effective_to: date | None = None
    bands: tuple[_Band, ...] = Field(default=(), max_length=48)
    taxes: tuple[_Tax, ...] = Field(min_length=1, max_length=16)
    charges: tuple[AnyCharge, ...] = Field(min_length=1, max_length=100)


def load_tariff(text: str) -> Tariff:
    """The tariff in a YAML text, checked. Raises Malformed(tariff_malformed) for what is no such file and the codes of `check_tariff`."""
    try:
        file = TariffFile.model_validate(read_yaml_text(text))
    except yaml.YAMLError as error:
        raise Malformed(
            "tariff_malformed", f"not YAML: {error}", field="body", remedy="see docs/billing-rules.md"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Malformed(
            "tariff_malformed", f"{place}: {first['msg']}", field=place, remedy="see docs/billing-rules.md"
        ) from error
    tariff = resolve_tariff(file)
    check_tariff(tariff)
    return tariff


def resolve_tariff(file: TariffFile) -> Tariff:
    """Without the checks. Raises Invalid(tariff_tiers) for a quantity charge that has neither a price nor tiers, or both."""
    return Tariff(
        id=file.id,
        version=file.version,
        name=file.name.name(),
        currency=file.currency,
        time_zone=file.time_zone,
        effective_from=file.effective_from,
        effective_to=file.effective_to,
        bands=tuple(
            Band(band.name, *band.hours, weekdays=tuple(_WEEKDAYS.index(day) for day in band.weekdays))
            for band in file.bands
        ),
        charges=tuple(_charge(charge) for charge in file.charges),
        taxes=tuple(Tax(tax.code, tax.name.name(), tax.rate) for tax in file.taxes),
        digest=digest(file.model_dump(mode="json", exclude={"version"})),
    )


def _charge(file: _TimeCharge | _QuantityCharge | _FlatCharge) -> Charge:
    name = file.name.name()
    if isinstance(file, _FlatCharge):
        return FlatCharge(file.code, name, file.tax, file.price, file.scope)
    waivers = tuple(waiver.waiver() for waiver in file.waivers)
    if isinstance(file, _TimeCharge):
        return TimeCharge(
            code=file.code,
            name=name,
            tax=file.tax,
            rates=tuple(Rate(r.price, r.states, r.sub_states, r.classes, r.bands) for r in file.rates),
            waivers=waivers,
            instruments=file.instruments,
            session=None if file.session is None else file.session.rule(),
        )
    if (file.price is None) == (not file.tiers):
        raise Invalid(
            "tariff_tiers",
            f"charge {file.code} needs a price or tiers, not both",
            field=f"charges.{file.code}",
            remedy="write price for unit and package, tiers for graduated and volume",
        )
    tiers = tuple(Tier(tier.up_to, tier.price) for tier in file.tiers)
    return QuantityCharge(
        code=file.code,
        name=name,
        tax=file.tax,
        quantity=file.quantity,
        unit=file.unit,
        model=file.model,
        tiers=tiers if file.price is None else (Tier(None, file.price),),
        scope=file.scope,
        package=file.package,
        waivers=waivers,
        instruments=file.instruments,
    )
