"""Decision rules: how measurement uncertainty enters a verdict (ISO/IEC 17025:2017, 7.8.6; ILAC-G8:09/2019; JCGM 106:2012).

| rule | acceptance | also said |
| --- | --- | --- |
| simple | the limit itself; equality passes | |
| guard_band | the limit less w = r·U | |
| min_probability | the limit less the w at which the probability of conformity is the agreed one | conformity probability |
| four_level | the limit itself; within w = r·U of it a pass or fail is conditional | level |

Probabilities are of a normal distribution with standard uncertainty u = U/k around the worst value, worked out in decimal arithmetic and
rounded to nine digits: the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache

from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.outcomes import Outcome
from services.verification.domain.signals import convert
from shared.kernel.errors import Invalid

_DIGITS = 50
_SHOWN = Decimal("1e-9")
_TAIL = 12
"""Standard deviations beyond which nothing is left at nine digits."""


class Level(StrEnum):
    """ILAC-G8 4.2.3, the statement in four levels."""

    PASS = "pass"
    CONDITIONAL_PASS = "conditional_pass"
    CONDITIONAL_FAIL = "conditional_fail"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class DecisionPlan:
    """A rule, compiled; `expanded`, `guard` and `band` are in the margin's unit.

    `guard` is what the acceptance limits were drawn in by (of four levels: the zone around the limit, which is not). `band` is the
    distance of the two limits, None where there is only one. `source` says where U comes from.
    """

    rule: str
    expanded: float = 0.0
    coverage_factor: float = 2.0
    guard: float = 0.0
    band: float | None = None
    source: str = ""


SIMPLE = DecisionPlan("simple")


def agreed_uncertainty(stated: Quantity, unit: str, where: str) -> float:
    """U of a criterion in `unit`. Raises Invalid(criteria_unit), and Invalid(criteria_decision_rule) unless it is positive: a negative one
    would widen the limits."""
    expanded = convert(stated, unit, where, difference=True)
    if not expanded > 0:
        raise Invalid(
            "criteria_decision_rule",
            f"an expanded uncertainty is greater than 0, not {stated.value:g} {stated.unit}",
            field=where,
            remedy="give U as a positive number, or choose the rule simple",
        )
    return expanded


@lru_cache(maxsize=65536)
def normal_cdf(x: float) -> Decimal:
    """P(Z <= x) of a standard normal variable: 1/2 + phi(x) (x + x^3/3 + x^5/15 + ...), whose terms are all of one sign."""
    if x >= _TAIL:
        return Decimal(1)
    if x <= -_TAIL:
        return Decimal(0)
    with localcontext(Context(prec=_DIGITS)) as context:
        z = Decimal(repr(x))
        term = total = abs(z)
        n = 1
        while term > total * Decimal("1e-40"):
            n += 2
            term = term * z * z / n
            total += term
        density = (-z * z / 2).exp(context) / (2 * _pi()).sqrt(context)
        half = density * total
        return Decimal("0.5") + (half if z >= 0 else -half)


def _pi() -> Decimal:
    return Decimal("3.14159265358979323846264338327950288419716939937510")


def probability(margin: float, standard: float, band: float | None) -> float:
    """That the true value lies within the limits, when the worst value lies `margin` inside the nearer one (outside: negative).

    `standard` is u > 0, `band` the distance of the limits or None.
    """
    return float(_unrounded(margin, standard, band).quantize(_SHOWN, rounding=ROUND_HALF_EVEN))


def _unrounded(margin: float, standard: float, band: float | None) -> Decimal:
    found = normal_cdf(margin / standard)
    if band is not None:
        found -= normal_cdf((margin - band) / standard)
    return max(found, Decimal(0))


def guard_of_probability(wanted: float, standard: float, band: float | None) -> float | None:
    """The smallest w >= 0 at which a margin of w has the wanted probability of conformity; None where no value of the band has it.

    Of two neighbouring numbers the larger one: the probability at w is never below the wanted one.
    """
    asked = Decimal(repr(wanted))
    most = band / 2 if band is not None else _TAIL * standard
    if _unrounded(most, standard, band) < asked:
        return None
    low, high = 0.0, most
    if _unrounded(0.0, standard, band) >= asked:
        return 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _unrounded(middle, standard, band) < asked:
            low = middle
        else:
            high = middle
    return high


def level_of(plan: DecisionPlan, outcome: Outcome, margin: float | None) -> Level | None:
    """The level of a decided outcome; None where the rule has none or nothing is decided."""
    if plan.rule != "four_level" or outcome not in (Outcome.PASS, Outcome.FAIL):
        return None
    if margin is None:
        return Level.FAIL if outcome is Outcome.FAIL else Level.PASS
    if outcome is Outcome.PASS:
        return Level.PASS if margin >= plan.guard else Level.CONDITIONAL_PASS
    return Level.CONDITIONAL_FAIL if 0 > margin >= -plan.guard else Level.FAIL


def conformity(plan: DecisionPlan, margin: float | None) -> float | None:
    """The probability of conformity at a final margin (against the acceptance limit); None under the simple rule or without a number."""
    if plan.rule == "simple" or margin is None or not plan.expanded > 0:
        return None
    drawn_in = 0.0 if plan.rule == "four_level" else plan.guard
    return probability(margin + drawn_in, plan.expanded / plan.coverage_factor, plan.band)
