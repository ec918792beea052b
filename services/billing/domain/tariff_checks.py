"""What a tariff must satisfy before it may be published. Every refusal has a stable code, names the place and says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from services.billing.domain.e10 import EquipmentState, Responsible, SubState
from services.billing.domain.local_hours import local_hours
from services.billing.domain.tariff import (
    FlatCharge,
    PriceModel,
    QuantityCharge,
    Rate,
    Tariff,
    TimeCharge,
)
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import Invalid
from shared.kernel.units import check_unit

CURRENCIES = frozenset({"CNY", "EUR", "USD", "GBP", "CHF", "HKD", "SGD"})
"""ISO 4217 currencies of two decimals: an amount is rounded to 0.01 once per line."""

PRICE_DECIMALS = 12


def check_tariff(tariff: Tariff) -> None:
    """Raises Invalid with the first of: tariff_currency, time_zone_unknown, tariff_effective, tariff_duplicate, tariff_band_hours,
    tariff_band_overlap, tariff_band_unknown, tariff_tax_unknown, tariff_price_precision, tariff_price_negative, tariff_tiers,
    tariff_state_not_covered (names the states), unit_unknown."""
    if tariff.currency not in CURRENCIES:
        raise Invalid(
            "tariff_currency",
            f"'{tariff.currency}' is not one of {', '.join(sorted(CURRENCIES))}",
            field="currency",
            remedy="write an ISO 4217 code of a currency with two decimals",
        )
    local_hours(tariff.time_zone)
    if tariff.effective_to is not None and tariff.effective_to <= tariff.effective_from:
        raise Invalid(
            "tariff_effective",
            "the tariff ends before it begins",
            field="effective_to",
            remedy="effective_to is the first day on which it no longer holds",
        )
    _refuse_duplicates([charge.code for charge in tariff.charges], "charges")
    _refuse_duplicates([band.name for band in tariff.bands], "bands")
    _refuse_duplicates([tax.code for tax in tariff.taxes], "taxes")
    _check_bands(tariff)
    for place, price in _prices(tariff):
        _check_price(place, price)
    for charge in tariff.charges:
        _check_tax(tariff, charge.tax, charge.code)
        if isinstance(charge, TimeCharge):
            _check_rates(tariff, charge)
        elif isinstance(charge, QuantityCharge):
            _check_tiers(charge)


def fitting_rate(rates: Iterable[Rate], state: str, sub_state: str, class_: str, band: str) -> Rate | None:
    """The first rate that fits."""
    for rate in rates:
        if (
            (not rate.states or state in rate.states)
            and (not rate.sub_states or sub_state in rate.sub_states)
            and (not rate.classes or class_ in rate.classes)
            and (not rate.bands or band in rate.bands)
        ):
            return rate
    return None


def _refuse_duplicates(names: list[str], place: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Invalid("tariff_duplicate", f"'{name}' is there twice", field=place, remedy="name each once")


def _check_bands(tariff: Tariff) -> None:
    for band in tariff.bands:
        if band.from_hour == band.to_hour or not band.weekdays:
            raise Invalid(
                "tariff_band_hours",
                f"band {band.name} covers no hour",
                field=f"bands.{band.name}",
                remedy="give full hours from and to, for example [22, 6] over midnight, and at least one weekday",
            )
    for weekday in range(7):
        for hour in range(24):
            holding = [band.name for band in tariff.bands if band.holds(weekday, hour)]
            if len(holding) > 1:
                raise Invalid(
                    "tariff_band_overlap",
                    f"hour {hour} of weekday {weekday} (Monday is 0) lies in {' and '.join(holding)}",
                    field="bands",
                    remedy="let every hour lie in at most one band",
                )


def _prices(tariff: Tariff) -> Iterator[tuple[str, Decimal]]:
    for charge in tariff.charges:
        place = f"charges.{charge.code}"
        if isinstance(charge, FlatCharge):
            yield f"{place}.price", charge.price
        elif isinstance(charge, QuantityCharge):
            yield from ((f"{place}.tiers.{index}.price", tier.price) for index, tier in enumerate(charge.tiers))
        else:
            yield from ((f"{place}.rates.{index}.price", rate.price) for index, rate in enumerate(charge.rates))
            if charge.session is not None:
                yield f"{place}.session.price", charge.session.price
    for tax in tariff.taxes:
        yield f"taxes.{tax.code}.rate", tax.rate


def _check_price(place: str, price: Decimal) -> None:
    exponent = price.as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > PRICE_DECIMALS:
        raise Invalid(
            "tariff_price_precision",
            f"{price} has more than {PRICE_DECIMALS} decimals",
            field=place,
            remedy=f"write at most {PRICE_DECIMALS} decimals",
        )
    if price < 0:
        raise Invalid("tariff_price_negative", f"{price} is negative", field=place, remedy="credits are adjustments")


def _check_tax(tariff: Tariff, code: str, charge: str) -> None:
    if all(tax.code != code for tax in tariff.taxes):
        raise Invalid(
            "tariff_tax_unknown",
            f"there is no tax '{code}'",
            field=f"charges.{charge}.tax",
            remedy="define it under taxes",
        )


def _check_rates(tariff: Tariff, charge: TimeCharge) -> None:
    names = {band.name for band in tariff.bands}
    for index, rate in enumerate(charge.rates):
        for band in rate.bands:
            if band not in names:
                raise Invalid(
                    "tariff_band_unknown",
                    f"there is no band '{band}'",
                    field=f"charges.{charge.code}.rates.{index}.bands",
                    remedy="define it under bands",
                )
    open_hours = any(
        not any(band.holds(weekday, hour) for band in tariff.bands) for weekday in range(7) for hour in range(24)
    )
    bands = sorted(names) + ([""] if open_hours else [])
    missing = [state.value for state in EquipmentState if not _covered(charge, state, bands)]
    if missing:
        raise Invalid(
            "tariff_state_not_covered",
            f"charge {charge.code} has no rate for {', '.join(missing)} in every class and band",
            field=f"charges.{charge.code}.rates",
            remedy="add rates for these states, a last rate without conditions, or waive them",
            extra={"states": missing},
        )


def _covered(charge: TimeCharge, state: EquipmentState, bands: list[str]) -> bool:
    waived = {party for waiver in charge.waivers if state in waiver.states for party in waiver.responsible}
    if waived == set(Responsible):
        return True
    return all(
        fitting_rate(charge.rates, state, sub_state, class_, band) is not None
        for sub_state in SubState
        for class_ in CustomerClass
        for band in bands
    )


def _check_tiers(charge: QuantityCharge) -> None:
    check_unit(charge.unit)
    limits = [tier.up_to for tier in charge.tiers]
    bounded = [limit for limit in limits[:-1] if limit is not None]
    rising = all(low < high for low, high in zip([Decimal(0), *bounded], bounded, strict=False))
    single = charge.model in (PriceModel.UNIT, PriceModel.PACKAGE)
    fits = len(limits) == 1 if single else True
    if limits[-1] is not None or len(bounded) != len(limits) - 1 or not rising or not fits or charge.package <= 0:
        raise Invalid(
            "tariff_tiers",
            f"the tiers of charge {charge.code} do not cover every quantity once",
            field=f"charges.{charge.code}.tiers",
            remedy="let up_to rise from above 0 and leave it out of the last tier; unit and package have one price",
        )
