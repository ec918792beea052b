"""Numbers, instants and demands of a report as text. Results are rounded; what was agreed or registered is written as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

from services.verification.adapters.reports.labels import Words
from services.verification.adapters.unit_signs import shown_unit
from shared.kernel.times import SECOND, Micros, utc

ABSENT = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_INFIX = {
    "sum": " + ", "difference": " \N{MINUS SIGN} ", "ratio": " / ", "and": " \N{LOGICAL AND} ", "or": " \N{LOGICAL OR} ",
    "<=": " \N{LESS-THAN OR EQUAL TO} ", ">=": " \N{GREATER-THAN OR EQUAL TO} ", "<": " < ", ">": " > ", "implies": " implies ",
}  # fmt: skip
_TEMPORAL = ("rise", "fall", "not", "always", "eventually", "historically", "once", "until", "since")
_PLAIN = 1e15
"""Results up to which no digit before the point is rounded away."""
_LEAST = 1e-300
"""Below it is the margin of a strict comparison at equality, the smallest number there is."""
_LONGEST = 21
"""Characters up to which a number is written without an exponent."""
_USUAL = (("windows", "phase"), ("min_count", 1), ("clock_in_hold", "run"))
"""What a criterion demands when its author said nothing; not worth a line."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One language and the line's time zone."""

    language: str
    zone: str

    @property
    def words(self) -> Words:
        return Words(self.language)

    def both(self, text: Mapping[str, str] | None) -> str:
        """A text that is given in both languages."""
        return ABSENT if text is None else text[self.language]

    def instant(self, at: Micros | None) -> str:
        if at is None:
            return ABSENT
        locale = "zh_Hans_CN" if self.language == "zh" else "en_GB"
        return format_datetime(utc(at), "yyyy-MM-dd HH:mm:ss ZZZZZ", tzinfo=ZoneInfo(self.zone), locale=locale)

    def duration(self, length: Micros | None) -> str:
        return ABSENT if length is None else f"{number(length / SECOND, 6)} s"

    def quantity(self, value: float | str | None, unit: str) -> str:
        """A result, rounded."""
        return ABSENT if value is None else f"{number(value)}{_sign(unit)}"

    def agreed(self, value: float | str | None, unit: str) -> str:
        """A quantity that somebody has written down, every digit of it."""
        return ABSENT if value is None else f"{exact(value)}{_sign(unit)}"

    def requirement(self, kind: str, demands: Sequence[Mapping[str, Any]]) -> str:
        """What kind of criterion it is, and everything it demands, in one line."""
        shown = [
            self._demand(item["name"], item["value"]) for item in demands if (item["name"], item["value"]) not in _USUAL
        ]
        return self.words("between").join([self.words.of("kind", kind), *shown])

    def _demand(self, name: str, value: Any) -> str:
        if name == "signal":
            return self.expression(value)
        if name in ("low", "high"):
            sign = "\N{GREATER-THAN OR EQUAL TO}" if name == "low" else "\N{LESS-THAN OR EQUAL TO}"
            return f"{sign}\N{NO-BREAK SPACE}{self.expression(value)}"
        return f"{self.words.of('field', name)} {self.expression(value)}"

    def expression(self, value: Any) -> str:
        """A quantity, a channel, arithmetic or a condition, as one writes them."""
        if isinstance(value, Mapping):
            if set(value) == {"value", "unit"}:
                return self.agreed(value["value"], value["unit"])
            if "step" in value and "sd" in value:
                step = self.expression(value["step"])
                return self.words("reference_points", points=len(value["mean"]), step=step, runs=len(value["runs"]))
            return self._operation(value)
        if isinstance(value, list | tuple):
            return ", ".join(map(self.expression, value))
        if isinstance(value, bool):
            return self.words("yes" if value else "no")
        if isinstance(value, int | float):
            return exact(value)
        return self.words.value(str(value))

    def _operation(self, value: Mapping[str, Any]) -> str:
        op = value.get("op")
        operands = value.get("of") if isinstance(value.get("of"), list) else None
        if operands is None and "left" in value and "right" in value:
            operands = [value["left"], value["right"]]
        if op in _INFIX and operands is not None:
            return f"({_INFIX[op].join(map(self.expression, operands))})"
        if op == "constant":
            return self.agreed(value["value"], value["unit"])
        if op in _TEMPORAL:
            return self._temporal(str(op), value)
        if op == "is":
            return f"({value['channel']} = {value['code']})"
        if op == "absolute":
            return f"|{self.expression(value['of'])}|"
        if op == "scale":
            return f"{exact(value['factor'])} · {self.expression(value['of'])}"
        rest = ", ".join(
            f"{self.words.of('field', name)} {self.expression(item)}"
            for name, item in value.items()
            if name != "op" and item is not None
        )
        return f"{op}({rest})" if op else rest

    def _temporal(self, op: str, value: Mapping[str, Any]) -> str:
        """As the criteria language writes it, `always[0 s, 30 min](…)`."""
        within = value.get("within")
        span = "" if within is None else f"[{self.expression(within['after'])}, {self.expression(within['upto'])}]"
        if op in ("until", "since"):
            return f"({f' {op}{span} '.join(map(self.expression, value['of']))})"
        inner = self.expression(value["of"])
        return f"{op}{span}{inner}" if inner.startswith("(") else f"{op}{span}({inner})"


def exact(value: float | str) -> str:
    """The shortest decimal form of the very value, with a true minus; an exponent only where the digits would fill a line."""
    if isinstance(value, str):
        return number(value)
    plain = format(Decimal(repr(value)), "f")
    text = plain.rstrip("0").rstrip(".") if "." in plain else plain
    if len(text) > _LONGEST:
        sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        head, tail = str(digits[0]), "".join(map(str, digits[1:]))
        text = f"{'-' * sign}{head}{'.' * bool(tail)}{tail} · 10^{int(exponent) + len(tail)}"
    return text.replace("-", _MINUS)


def number(value: float | str, digits: int = 4) -> str:
    """Rounded to significant digits, but never before the decimal point, with a true minus; the verdict used the unrounded value."""
    if isinstance(value, str):
        return {"Infinity": "\N{INFINITY}", "-Infinity": f"{_MINUS}\N{INFINITY}", "NaN": ABSENT}.get(value, value)
    if abs(value) < _LEAST or (abs(value) < _PLAIN and (abs(value) >= 10**digits or value == int(value))):
        text = f"{round(value)}"
    else:
        text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        text = f"{mantissa} · 10^{int(exponent)}"
    return text.replace("-", _MINUS)


def _sign(unit: str) -> str:
    return "" if unit in ("", "1") else f"\N{NO-BREAK SPACE}{shown_unit(unit)}"


def share(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.1f} %".replace("-", _MINUS)
