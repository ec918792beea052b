"""Tariffs from YAML: what may be published, and what is refused under which code."""

from __future__ import annotations

import pytest

from services.billing.domain.tariff_file import load_tariff
from shared.kernel.errors import Problem
from tests.unit.billing.domain_tariffs import SESSION, TARIFF

_TIERS = 'tiers: [{up_to: "100", price: "0.85"}, {up_to: "1000", price: "0.72"}, {price: "0.613333333333"}]'


# B-9
@pytest.mark.parametrize(
    ("before", "after", "code", "field"),
    [
        ('      - {price: "120"}\n', "", "tariff_state_not_covered", "charges.hours.rates"),
        ('{price: "120"}', '{classes: [sme], price: "120"}', "tariff_state_not_covered", "charges.hours.rates"),
        ('{price: "120"}', '{bands: [day], price: "120"}', "tariff_state_not_covered", "charges.hours.rates"),
        ("0.613333333333", "0.6133333333333", "tariff_price_precision", "charges.energy.tiers.2.price"),
        ('"0.85"', "0.85", "tariff_malformed", "charges.1.quantity.tiers.0.price"),
        ('"0.85"', '"-0.85"', "tariff_price_negative", "charges.energy.tiers.0.price"),
        ('"0.85"', '"1e3"', "tariff_malformed", "charges.1.quantity.tiers.0.price"),
        ("hours: [22, 8]", "hours: [21, 8]", "tariff_band_overlap", "bands"),
        ("hours: [22, 8]", "hours: [22, 22]", "tariff_band_hours", "bands.night"),
        ("bands: [day]", "bands: [noon]", "tariff_band_unknown", "charges.hours.rates.0.bands"),
        ("currency: CNY", "currency: JPY", "tariff_currency", "currency"),
        ("Asia/Shanghai", "Asia/Hangzhou", "time_zone_unknown", "time_zone"),
        ("2026-01-01", "2026-01-01\neffective_to: 2025-01-01", "tariff_effective", "effective_to"),
        ("tax: goods", "tax: none", "tariff_tax_unknown", "charges.energy.tax"),
        ("code: energy", "code: hours", "tariff_duplicate", "charges"),
        ('up_to: "1000"', 'up_to: "90"', "tariff_tiers", "charges.energy.tiers"),
        (_TIERS, 'tiers: [{up_to: "100", price: "1"}]', "tariff_tiers", "charges.energy.tiers"),
        (_TIERS, "", "tariff_tiers", "charges.energy"),
        (_TIERS, _TIERS + '\n    price: "1"', "tariff_tiers", "charges.energy"),
        ("unit: kW.h", "unit: kWhs", "unit_unknown", "unit"),
        ("name: day, hours: [8", "name: day, hours: [8.5", "tariff_malformed", "bands.0.hours.0"),
        ("id: test", "id: {", "tariff_malformed", "body"),
    ],
)
def test_a_wrong_tariff_is_refused_with_a_stable_code_and_the_place(
    before: str, after: str, code: str, field: str | None
) -> None:
    assert before in TARIFF
    with pytest.raises(Problem) as refusal:
        load_tariff(TARIFF.replace(before, after))
    assert (refusal.value.code, refusal.value.field) == (code, field)
    assert refusal.value.remedy


# B-9
def test_the_refusal_names_the_states_that_are_not_covered() -> None:
    with pytest.raises(Problem) as refusal:
        load_tariff(TARIFF.replace('{price: "120"}', '{states: [standby, engineering, scheduled_down], price: "1"}'))
    assert refusal.value.document()["states"] == ["unscheduled_down", "non_scheduled"]


# B-9
def test_a_state_that_is_waived_for_every_party_needs_no_rate() -> None:
    every = "[customer, platform, utility, supplier, force_majeure]"
    text = TARIFF.replace('{price: "120"}', '{states: [standby, engineering, scheduled_down], price: "1"}')
    text = text.replace(
        "states: [unscheduled_down], responsible: [platform]",
        f"states: [unscheduled_down, non_scheduled], responsible: {every}",
    )
    assert len(load_tariff(text).charges) == 2


# B-9
def test_the_digest_names_what_the_tariff_says() -> None:
    assert load_tariff(TARIFF).digest != load_tariff(SESSION).digest
    assert load_tariff(TARIFF).digest == load_tariff(TARIFF.replace("version: 1", "version: 2")).digest
