"""Exact confidence bounds of counted events, in decimal arithmetic: the same digits on every machine.

Rounded down to twelve significant digits, so that a bound is never larger than the true one by more than its last digit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from functools import lru_cache
from math import comb

_DIGITS = 40
_SHOWN = 12
_STEPS = 120


@lru_cache(maxsize=4096)
def clopper_pearson_lower(successes: int, trials: int, confidence: float) -> float:
    """The one-sided lower bound p of a probability: P(X >= successes | p) = 1 - confidence for X binomial. 0 without a success.

    C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404. Raises ValueError unless 0 <= successes <= trials and trials > 0.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials")
    if successes == 0:
        return 0.0
    with _exact() as context:
        risk = 1 - Decimal(repr(confidence))
        if successes == trials:
            return _shown((risk.ln(context) / trials).exp(context))
        ways = context.create_decimal(comb(trials, successes))

        def beyond(p: Decimal) -> Decimal:
            """P(X >= successes | p); its terms fall from the first on, because p stays below successes / trials."""
            odds = p / (1 - p)
            term = ways * p**successes * (1 - p) ** (trials - successes)
            total = term
            for k in range(successes, trials):
                term = term * (trials - k) / (k + 1) * odds
                total += term
                if term < total * Decimal("1e-30"):
                    break
            return total

        return _shown(_root(beyond, Decimal(0), Decimal(successes) / trials, risk, rising=True))


@lru_cache(maxsize=4096)
def poisson_upper(events: int, confidence: float) -> float:
    """The one-sided upper bound m of a Poisson mean: P(N <= events | m) = 1 - confidence; half the chi-square quantile with
    2 events + 2 degrees of freedom (IEC 60605-4, time-terminated test). Rounded up."""
    if events < 0:
        raise ValueError(f"{events} events")
    with _exact() as context:
        risk = 1 - Decimal(repr(confidence))
        if events == 0:
            return _shown(-risk.ln(context), up=True)

        def within(m: Decimal) -> Decimal:
            term = (-m).exp(context)
            total = term
            for k in range(1, events + 1):
                term = term * m / k
                total += term
            return total

        high = Decimal(events + 1)
        while within(high) > risk:
            high *= 2
        return _shown(_root(within, Decimal(0), high, risk, rising=False), up=True)


def _root(
    function: Callable[[Decimal], Decimal], low: Decimal, high: Decimal, wanted: Decimal, *, rising: bool
) -> Decimal:
    """Where a monotone function takes the wanted value, to twenty digits, from the side that makes a bound the safe one."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if (function(middle) < wanted) == rising:
            low = middle
        else:
            high = middle
        if high - low < high * Decimal("1e-20"):
            break
    return low if rising else high


def _exact() -> AbstractContextManager[Context]:
    return localcontext(Context(prec=_DIGITS, Emin=-(10**15), Emax=10**15))


def _shown(bound: Decimal, *, up: bool = False) -> float:
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return float(Context(prec=_SHOWN, rounding=rounding).create_decimal(bound))
