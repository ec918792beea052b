"""Loads or compiles every kernel of the evaluator before the first record waits for it."""

from __future__ import annotations

import numpy as np

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.plan import RunPlan
from shared.contracts.lifecycle import PhaseStarted, RunEnded
from shared.contracts.registry import Channel, Stream
from shared.kernel.times import SECOND

_DURATION = {"value": 2, "unit": "s"}
_LIMITS = {"low": {"value": 0, "unit": "kPa"}, "high": {"value": 5, "unit": "kPa"}}
_ONE = {"value": 1, "unit": "1"}
_RATE = {"value": 1, "unit": "kPa/s"}
_EVENT = {"op": ">=", "left": "up.a", "right": {"value": 3, "unit": "kPa"}}
_Document = dict[str, object]


def _statistic(statistic: str, windows: str) -> _Document:
    document: _Document = {"kind": "window_statistics", **_LIMITS, "statistic": statistic, "windows": windows}
    if windows != "phase":
        document["window"] = _DURATION
    if statistic == "percentile":
        document["percentile"] = 50
    if statistic == "cpk":
        document |= {"upper_spec": {"value": 20, "unit": "kPa"}, "low": _ONE, "high": {"value": 99, "unit": "1"}}
    return document


_KINDS: tuple[_Document, ...] = (
    {"kind": "band", **_LIMITS},
    {"kind": "hold", **_LIMITS, "duration": _DURATION},
    {"kind": "longest_excursion", **_LIMITS, "at_most": _DURATION},
    {"kind": "cumulative_time_out", **_LIMITS, "at_most": _DURATION},
    {
        "kind": "settle",
        "target": {"value": 2, "unit": "kPa"},
        "tolerance": {"value": 9, "unit": "kPa"},
        "by": _DURATION,
        "overshoot": {"value": 20, "unit": "kPa"},
    },
    {"kind": "rate_of_change", "high": {"value": 9, "unit": "kPa/s"}, "window": _DURATION},
    *(
        _statistic(statistic, windows)
        for statistic in ("mean", "sd", "min", "max", "rms", "percentile", "cpk")
        for windows in ("phase", "tumbling", "sliding")
    ),
    {"kind": "fraction_in_band", **_LIMITS, "at_least": 0.5},
    {
        "kind": "ramp",
        "from_level": {"value": 0, "unit": "kPa"},
        "to_level": {"value": 5, "unit": "kPa"},
        "rate": _RATE,
        "tolerance": {"value": 9, "unit": "kPa"},
    },
    {"kind": "steady_state", "gradient": _RATE, "window": _DURATION, "windows": 2},
    {"kind": "drift", "high": _RATE},
    {"kind": "envelope", "reference": {"step": _DURATION, "unit": "kPa", "mean": [2] * 5, "sd": [1] * 5}},
    {"kind": "compare_previous", **_LIMITS, "statistic": "mean"},
    {"kind": "integral", "high": {"value": 9, "unit": "kPa.s"}},
    {"kind": "totaliser", "high": {"value": 9, "unit": "kPa"}},
    {"kind": "data_quality", "min_coverage": 0.5, "max_gap": _DURATION, "max_stuck": _DURATION, "max_nan": 3},
)

_OF_SEVERAL: tuple[_Document, ...] = (
    {"kind": "balance", "inputs": ["up.a"], "outputs": ["up.b"], "fraction": 0.5},
    {"kind": "uniformity", "places": ["up.a", "up.b"], "formula": "sd", "at_most": 0.5},
    {"kind": "setpoint_band", "signal": "up.a", "setpoint": "up.b", "fraction": 0.5},
    {"kind": "count", "event": _EVENT, "at_most": 3},
    {"kind": "success_rate", "trial": _EVENT, "success": _EVENT, "at_least": 0.5},
    {"kind": "response", "trigger": _EVENT, "answer": _EVENT, "within": _DURATION},
    {"kind": "until", "holds": _EVENT, "until": _EVENT},
    {"kind": "mtbf", "failure": _EVENT, "at_least": _DURATION},
)


def warm_up() -> None:
    """Judges a run of ten seconds with every kind of criterion. Seconds on a first start, a blink once the kernels are cached."""
    channels = tuple(Channel(name, "pressure", "kPa") for name in ("a", "b"))
    stream = Stream("warm/up", 1, "warm", "warm", "warm/up", channels, SECOND, 2 * SECOND)
    title = {"en": "warm", "zh": "warm"}
    common = {"title": title, "phase": "all"}
    criteria = CriteriaSet.model_validate(
        {
            "id": "warm",
            "version": 1,
            "title": title,
            "phases": [{"id": "all", "title": title, "planned": {"value": 10, "unit": "s"}}],
            "criteria": [
                *({**common, "signal": "up.a", **kind, "id": f"c{number}"} for number, kind in enumerate(_KINDS)),
                *({**common, **kind, "id": f"s{number}"} for number, kind in enumerate(_OF_SEVERAL)),
            ],
        }
    )
    evaluator = RunEvaluator(RunPlan.build(run="warm", criteria=criteria, streams=[stream], start=0))
    evaluator.apply(PhaseStarted("1", "warm", "warm", 0, "all"))
    times = np.arange(10, dtype=np.int64) * SECOND
    values = np.column_stack([np.arange(10.0), np.ones(10)])
    values[4, 0] = np.nan
    quality = np.isnan(values).astype(np.uint8) * 2
    for part in (slice(0, 5), slice(5, 10)):
        evaluator.add("warm/up", "b", part.start, bytes(32), times[part], values[part], quality[part])
        evaluator.advance()
    evaluator.states(now=10 * SECOND)
    evaluator.apply(RunEnded("2", "warm", "warm", 10 * SECOND, "completed"))
    evaluator.result()
