"""Curves and documents for people: spikes survive, gaps are null, buckets stand still."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.verification.adapters import curves
from services.verification.adapters.limits import bounds_of, limits_of
from services.verification.adapters.views import Bounds, Limits, Stretch
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.signals import channels_of
from services.verification.entrypoints.documents import json_of
from services.verification.entrypoints.web.presentation import written
from shared.contracts.registry import Channel, Stream, Uncertainty
from shared.kernel.times import MINUTE, SECOND

NAME = {"en": "a", "zh": "甲"}
FAST = Stream(
    "l/fast",
    1,
    "p",
    "l",
    "l/i",
    (Channel("p", "pressure", "kPa", uncertainty=Uncertainty(2.0, 2.0, "certificate")),),
    SECOND,
    3 * SECOND,
)
SLOW = Stream("l/slow", 1, "p", "l", "l/i", (Channel("p", "pressure", "kPa"),), 10 * SECOND, 15 * SECOND)
CHANNELS = channels_of([FAST, SLOW])


@pytest.mark.parametrize("points", [10, 50, 400])
def test_a_spike_of_one_sample_shows_at_every_zoom(points: int) -> None:
    # L-2
    times = np.arange(10_000, dtype=np.int64) * SECOND
    values = np.zeros(10_000)
    values[7_123] = 99.0
    _, _, hi, _ = curves._buckets(times, values, (), 0, 10_000 * SECOND, points)
    assert max(value for value in hi if value is not None) == 99.0


def test_buckets_begin_at_multiples_of_their_width_however_the_window_moves() -> None:
    # L-2
    times = np.arange(10_000, dtype=np.int64) * SECOND
    first = curves._buckets(times, times.astype(np.float64), (), 0, 9_000 * SECOND, 100)[0]
    later = curves._buckets(times[500:], times[500:].astype(np.float64), (), 500 * SECOND, 9_500 * SECOND, 100)[0]
    assert set(later[1:-1]) <= set(first) | set(later[-20:])
    assert {(at - curves.bucket_width(90 * SECOND) // 2) % curves.bucket_width(90 * SECOND) for at in first} == {0}


def test_a_stretch_without_data_is_a_gap_and_a_null() -> None:
    # L-2
    times = np.array([0, 1, 2, 20, 21], np.int64) * SECOND
    gaps = curves._gaps(times, 0, 3 * SECOND)
    assert gaps == (Stretch(5 * SECOND, 20 * SECOND, "no_data"),)
    at, lo, hi, raw = curves._buckets(times, np.ones(5), gaps, 0, 22 * SECOND, 100)
    assert raw
    assert [value is None for value in lo] == [False, False, False, True, False, False]
    assert (lo, at[3]) == (hi, (5 + 20) * SECOND // 2)


def test_a_signal_of_two_channels_takes_each_by_its_held_value() -> None:
    # V-6, conventions
    criteria = CriteriaSet.model_validate(
        {
            "id": "c",
            "version": 1,
            "title": NAME,
            "phases": [{"id": "work", "title": NAME}],
            "criteria": [
                {
                    "id": "d",
                    "kind": "band",
                    "title": NAME,
                    "phase": "work",
                    "signal": {"op": "difference", "of": ["fast.p", "slow.p"]},
                    "high": {"value": 1, "unit": "kPa"},
                }
            ],
        }
    )
    signal = curves.signal_of(criteria, "d", None, CHANNELS)
    fast = (np.array([0, 1, 2, 30], np.int64) * SECOND, np.array([5.0, 6.0, 7.0, 8.0]))
    slow = (np.array([1], np.int64) * SECOND, np.array([1.0]))
    by_path = {"fast.p": fast, "slow.p": slow}
    times, values = curves.combine(signal, [by_path[item.path] for item in signal.inputs])
    assert times.tolist() == [0, SECOND, 2 * SECOND, 30 * SECOND]
    assert [None if math.isnan(value) else value for value in values] == [None, 5.0, 6.0, None]


def test_limits_are_in_the_unit_of_the_signal_with_the_guard_band_of_the_registry() -> None:
    # V-9, L-2
    set_ = CriteriaSet.model_validate(
        {
            "id": "c",
            "version": 1,
            "title": NAME,
            "phases": [{"id": "work", "title": NAME}],
            "criteria": [
                {
                    "id": "b",
                    "kind": "band",
                    "title": NAME,
                    "phase": "work",
                    "signal": "fast.p",
                    "high": {"value": 0.1, "unit": "MPa"},
                    "decision": {"rule": "guard_band"},
                },
                {
                    "id": "s",
                    "kind": "settle",
                    "title": NAME,
                    "phase": "work",
                    "signal": "fast.p",
                    "target": {"value": 10, "unit": "kPa"},
                    "tolerance": {"value": 1, "unit": "kPa"},
                    "by": {"value": 1, "unit": "min"},
                },
            ],
        }
    )
    assert [limits_of(item, CHANNELS) for item in set_.criteria] == [
        Limits(None, 100.0, 2.0, "kPa"),
        Limits(9.0, 11.0, 0.0, "kPa"),
    ]


def test_the_bounds_of_an_envelope_are_drawn_where_they_were_judged() -> None:
    # V-6, L-2: mean 1, 2, 3 kPa and half widths 2 sd, less the guard band of 2 kPa, from a phase that began at 60 s
    document = {
        "id": "e", "kind": "envelope", "title": NAME, "phase": "work", "signal": "fast.p", "sigmas": 2, "decision": {"rule": "guard_band"},
        "reference": {"step": {"value": 10, "unit": "s"}, "unit": "kPa", "mean": [1, 2, 3], "sd": [2, 3, 4], "runs": ["a", "b"]},
    }  # fmt: skip
    set_ = CriteriaSet.model_validate(
        {"id": "c", "version": 1, "title": NAME, "phases": [{"id": "work", "title": NAME}], "criteria": [document]}
    )
    [criterion] = set_.criteria
    whole = (0, 200 * SECOND)
    bounds = bounds_of(criterion, CHANNELS, 60 * SECOND, whole)
    assert bounds == Bounds((60 * SECOND, 70 * SECOND, 80 * SECOND), (-1.0, -2.0, -3.0), (3.0, 6.0, 9.0))
    zoomed = bounds_of(criterion, CHANNELS, 60 * SECOND, (75 * SECOND, 79 * SECOND))
    assert zoomed == Bounds((70 * SECOND,), (-2.0,), (6.0,))
    held = criterion.model_copy(update={"clock_in_hold": "stop"})
    assert bounds_of(held, CHANNELS, 60 * SECOND, whole) is None
    assert "reference (3 points, 10 s apart, of 2 runs)" in written(criterion.model_dump(mode="json"))


def test_documents_write_instants_as_rfc_3339_and_what_is_unbounded_as_null() -> None:
    # L-2
    document = json_of({"worst_at": MINUTE, "low": -math.inf, "nested": [{"start": 0, "margin": 1.5}]})
    assert document == {
        "worst_at": "1970-01-01T00:01:00Z",
        "low": None,
        "nested": [{"start": "1970-01-01T00:00:00Z", "margin": 1.5}],
    }
