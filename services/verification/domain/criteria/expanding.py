"""What each kind stands for: a formula of the core where it is one, else the stated aggregate that is compared with the limits (V-7).

s and e are the phase's start and end, v(t) the held value, x_k the samples; formulas are in the text form and can be read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.verification.domain.criteria.temporal import FORMULA_KINDS, Scope, core_of
from services.verification.domain.criteria.writing import formula_text, quantity_text, signal_text

Expansion = Callable[[Any], str]


def expansion(criterion: Any) -> str:
    """Of any kind. Raises KeyError for a kind that states none."""
    return EXPANSIONS[criterion.kind](criterion)


def _band(criterion: Any, x: str) -> str:
    """The condition of being in band."""
    parts = []
    if criterion.low is not None:
        parts.append(f"{x} >= {quantity_text(criterion.low)}")
    if criterion.high is not None:
        parts.append(f"{x} <= {quantity_text(criterion.high)}")
    return " and ".join(parts)


def _in_band(criterion: Any) -> str:
    return _band(criterion, signal_text(criterion.signal))


def _limited(criterion: Any, what: str) -> str:
    """A number between the criterion's limits."""
    return _band(criterion, what)


def _balance(criterion: Any) -> str:
    into = " + ".join(signal_text(part) for part in criterion.inputs)
    out = " + ".join(signal_text(part) for part in criterion.outputs)
    allowed = f"{criterion.fraction!r} * ({into})" if criterion.limit is None else quantity_text(criterion.limit)
    return f"always(abs(({into}) - ({out})) <= {allowed})"


def _hold(criterion: Any) -> str:
    duration = quantity_text(criterion.duration)
    return f"eventually(always[0 s, {duration}]({_in_band(criterion)}))  on v(t), windows closed at s and open at e"


def _settle(criterion: Any) -> str:
    away = f"abs({_bare(criterion.signal)} - {quantity_text(criterion.target)})"
    text = f"always({away} <= {quantity_text(criterion.tolerance)}) on [s + {quantity_text(criterion.by)}, e)"
    if criterion.overshoot is not None:
        text += f" and always(beyond the target <= {quantity_text(criterion.overshoot)}) on [s, e)"
    return text


def _bare(signal: Any) -> str:
    text = signal_text(signal)
    return text if isinstance(signal, str) else f"({text})"


def _statistics(criterion: Any) -> str:
    name = criterion.statistic
    if name == "percentile":
        name = f"percentile {criterion.percentile:g}"
    windows = {
        "phase": "all x_k in [s, e)",
        "tumbling": "every [s + jW, s + (j+1)W) that fits",
        "sliding": "every (t_k - W, t_k] with t_k - W >= s",
    }[criterion.windows]
    width = "" if criterion.window is None else f", W = {quantity_text(criterion.window)}"
    return f"{_limited(criterion, f'{name}({signal_text(criterion.signal)})')}  over {windows}{width}"


def _quality(criterion: Any) -> str:
    demands = [
        (criterion.min_coverage, "coverage >= {}"),
        (criterion.max_gap, "longest gap <= {}"),
        (criterion.max_stuck, "longest time with one value <= {}"),
        (criterion.max_saturated, "longest time at the range's end <= {}"),
        (criterion.max_nan, "values that are not a number <= {}"),
        (criterion.max_clock_suspect, "values of suspect clock <= {}"),
    ]
    return " and ".join(
        text.format(demand if isinstance(demand, int | float) else quantity_text(demand))
        for demand, text in demands
        if demand is not None
    )


def _setpoint(criterion: Any) -> str:
    setpoint = _bare(criterion.setpoint)
    allowed = (
        f"{criterion.fraction!r} * abs({setpoint})" if criterion.within is None else quantity_text(criterion.within)
    )
    return f"always(abs({_bare(criterion.signal)} - {setpoint}) <= {allowed})"


def _ramp(criterion: Any) -> str:
    line = f"{quantity_text(criterion.from_level)} to {quantity_text(criterion.to_level)} at {quantity_text(criterion.rate)}"
    return f"always(abs({_bare(criterion.signal)} - line(t)) <= {quantity_text(criterion.tolerance)}), line: {line} from s on"


def _steady(criterion: Any) -> str:
    window, gradient = quantity_text(criterion.window), quantity_text(criterion.gradient)
    return (
        f"{criterion.windows} successive windows of {window} from s on, each with "
        f"abs(slope({signal_text(criterion.signal)})) <= {gradient}"
    )


def _uniformity(criterion: Any) -> str:
    places = ", ".join(signal_text(place) for place in criterion.places)
    return f"always({criterion.formula}({places}) <= {criterion.at_most!r})"


def _envelope(criterion: Any) -> str:
    width = f"{criterion.sigmas:g} * sd(t - s)"
    if criterion.floor is not None:
        width = f"max({width}, {quantity_text(criterion.floor)})"
    reference, v = criterion.reference, _bare(criterion.signal)
    away = f"abs({v} - mean(t - s)) <= {width}"
    formula = (
        f"always({away})"
        if criterion.at_most is None
        else f"time of not ({away}) <= {quantity_text(criterion.at_most)}"
    )
    of = f" of {len(reference.runs)} runs" if reference.runs else ""
    points = f"{len(reference.mean)} points, {quantity_text(reference.step)} apart"
    return f"{formula}  on v(t); reference{of}: {points}"


def _previous(criterion: Any) -> str:
    name = criterion.statistic if criterion.percentile is None else f"percentile {criterion.percentile:g}"
    between = "/" if criterion.relation == "ratio" else "-"
    value = f"{name}({signal_text(criterion.signal)})"
    return f"{_limited(criterion, f'{value} {between} previous')}  over all x_k in [s, e); previous: the same of the run before"


def _count(criterion: Any) -> str:
    number = f"number of rise({formula_text(criterion.event)})"
    limits = [f"{number} >= {criterion.at_least}"] if criterion.at_least is not None else []
    if criterion.at_most is not None:
        limits.append(f"{number} <= {criterion.at_most}")
    return " and ".join(limits)


def _success(criterion: Any) -> str:
    return (
        f"Clopper-Pearson lower bound at {criterion.confidence:g} of P({formula_text(criterion.success)} at "
        f"rise({formula_text(criterion.trial)})) >= {criterion.at_least!r}"
    )


def _mtbf(criterion: Any) -> str:
    operating = "v(t) defined" if criterion.operating is None else formula_text(criterion.operating)
    return (
        f"lower bound at {criterion.confidence:g} of time({operating}) / number of rise({formula_text(criterion.failure)}) "
        f">= {quantity_text(criterion.at_least)}"
    )


def _core(criterion: Any) -> str:
    scope, formula = core_of(criterion)
    text = formula_text(formula)
    return {
        Scope.EVERY: f"always({text})",
        Scope.SOME: f"eventually({text})",
        Scope.FIRST: f"{text}  at the first instant",
    }[scope]


def _inspection(criterion: Any) -> str:
    return "passed, as a second person has confirmed" if criterion.second_person else "passed, as a person has entered"


EXPANSIONS: dict[str, Expansion] = {
    "band": lambda c: f"always({_in_band(c)})",
    "balance": _balance,
    "hold": _hold,
    "longest_excursion": lambda c: f"longest time of not ({_in_band(c)}) <= {quantity_text(c.at_most)}  on v(t)",
    "cumulative_time_out": lambda c: f"time of not ({_in_band(c)}) <= {quantity_text(c.at_most)}  on v(t)",
    "settle": _settle,
    "rate_of_change": lambda c: (
        f"{_limited(c, f'slope({signal_text(c.signal)})')}  over every (t_k - W, t_k] with t_k - W >= s, "
        f"W = {quantity_text(c.window)}"
    ),
    "window_statistics": _statistics,
    "data_quality": _quality,
    "setpoint_band": _setpoint,
    "fraction_in_band": lambda c: f"time of ({_in_band(c)}) / time of v(t) defined >= {c.at_least!r}",
    "ramp": _ramp,
    "steady_state": _steady,
    "drift": lambda c: f"{_limited(c, f'slope({signal_text(c.signal)})')}  over all x_k in [s, e)",
    "integral": lambda c: f"{_limited(c, f'integral({signal_text(c.signal)})')}  of v(t) over [s, e)",
    "totaliser": lambda c: f"{_limited(c, f'counted({signal_text(c.signal)})')}  over [s, e)",
    "uniformity": _uniformity,
    "envelope": _envelope,
    "compare_previous": _previous,
    "count": _count,
    "success_rate": _success,
    "mtbf": _mtbf,
    **dict.fromkeys(FORMULA_KINDS, _core),
    "lab_result": lambda c: f"{_limited(c, 'x')}  of the confirmed result x",
    "inspection": _inspection,
}
