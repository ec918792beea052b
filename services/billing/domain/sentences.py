"""One plain sentence per line, English and Chinese (B-14). For people: hours are shown to 0.01, the tree has every digit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from services.billing.domain.charge_lines import LinePart, LinePlan
from shared.contracts.registry import Name
from shared.kernel.canonical import decimal_text
from shared.kernel.money import CONTEXT

_STATES_ZH = {
    "productive": "生产",
    "standby": "待机",
    "engineering": "工程",
    "scheduled_down": "计划停机",
    "unscheduled_down": "非计划停机",
    "non_scheduled": "非排程",
}
_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Sentence:
    en: str
    zh: str


def sentence_of(name: Name, plan: LinePlan, amount: Decimal, currency: str) -> Sentence:
    """Which charge, for which run, so much at which price, what was waived and why, and the amount."""
    en = "; ".join(_part_en(part, currency) for part in plan.parts)
    zh = ";".join(_part_zh(part, currency) for part in plan.parts)
    run_en = f" of run {plan.scope}" if plan.scope else ""
    run_zh = f"(运行 {plan.scope})" if plan.scope else ""
    return Sentence(
        en=f"{name.en}{run_en}: {en}; rounded once to {money(amount)} {currency}.",
        zh=f"{name.zh}{run_zh}:{zh};仅舍入一次,合计 {money(amount)} {currency}。",
    )


def money(amount: Decimal) -> str:
    """An amount with two decimals and thousands separators."""
    return f"{amount:,.2f}"


def _part_en(part: LinePart, currency: str) -> str:
    if part.unit != "s":
        return _quantity_en(part, currency)
    what = f"{_hours(part.quantity)} h"
    if part.topped_up:
        return f"{what} added for the minimum session and rounding up at {_price(part.price)} {currency}/h"
    states = " and ".join(state.replace("_", " ") for state in part.states)
    band = f" ({part.band})" if part.band else ""
    unknown = f", {_hours(part.unknown)} h without data not billed" if part.unknown else ""
    if part.waived is not None:
        return f"{what} {states}{band} at 0 ({part.waived.en}){unknown}"
    return f"{what} {states}{band} at {_price(part.price)} {currency}/h{unknown}"


def _part_zh(part: LinePart, currency: str) -> str:
    if part.unit != "s":
        return _quantity_zh(part, currency)
    what = f"{_hours(part.quantity)} 小时"
    if part.topped_up:
        return f"按最低时长和进位补计 {what},单价 {_price(part.price)} {currency}/小时"
    states = "、".join(_STATES_ZH[state] for state in part.states)
    band = f"({part.band})" if part.band else ""
    unknown = f",另有 {_hours(part.unknown)} 小时无数据不计费" if part.unknown else ""
    if part.waived is not None:
        return f"{states}{band}{what},单价 0({part.waived.zh}){unknown}"
    return f"{states}{band}{what},单价 {_price(part.price)} {currency}/小时{unknown}"


def _quantity_en(part: LinePart, currency: str) -> str:
    what = f"{decimal_text(part.quantity)} {part.unit}"
    if part.waived is not None:
        return f"{what} at 0 ({part.waived.en})"
    return f"{what} at {_price(part.price)} {currency}/{part.unit}" if part.price is not None else f"{what} by tiers"


def _quantity_zh(part: LinePart, currency: str) -> str:
    what = f"{decimal_text(part.quantity)} {part.unit}"
    if part.waived is not None:
        return f"{what},单价 0({part.waived.zh})"
    return (
        f"{what},单价 {_price(part.price)} {currency}/{part.unit}" if part.price is not None else f"{what},按阶梯计价"
    )


def _hours(seconds: Decimal) -> str:
    return decimal_text(CONTEXT.divide(seconds, _HOUR).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def _price(price: Decimal | None) -> str:
    return "0" if price is None else decimal_text(price)
