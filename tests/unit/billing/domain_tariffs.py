"""Tariffs that tests rate by."""

from __future__ import annotations

TARIFF = """
id: test
version: 1
name: {en: Test tariff, zh: 测试资费}
currency: CNY
time_zone: Asia/Shanghai
effective_from: 2026-01-01
bands:
  - {name: day, hours: [8, 22]}
  - {name: night, hours: [22, 8]}
taxes:
  - {code: services, name: {en: VAT 6 %, zh: 增值税 6%}, rate: "0.06"}
  - {code: goods, name: {en: VAT 13 %, zh: 增值税 13%}, rate: "0.13"}
charges:
  - kind: time
    code: hours
    name: {en: Reactor hours, zh: 反应器机时}
    tax: services
    rates:
      - {states: [productive], bands: [day], classes: [sme], price: "900"}
      - {states: [productive], classes: [sme], price: "600"}
      - {states: [productive], price: "1200"}
      - {price: "120"}
    waivers:
      - {states: [unscheduled_down], responsible: [platform], reason: {en: at the platform's expense, zh: 由平台承担}}
  - kind: quantity
    code: energy
    name: {en: Electricity, zh: 电能}
    tax: goods
    quantity: energy
    unit: kW.h
    model: graduated
    tiers: [{up_to: "100", price: "0.85"}, {up_to: "1000", price: "0.72"}, {price: "0.613333333333"}]
"""

SESSION = TARIFF.replace("    waivers:", '    session: {minimum: 2 h, round_up: 15 min, price: "300"}\n    waivers:')
