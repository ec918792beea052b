"""The rules at the door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from services.ingest.domain.admission import admit, compile_rules
from services.ingest.domain.clock import ClockJudgement
from services.ingest.domain.submission import Column, Submission
from shared.contracts.frame import Frame, Quality
from shared.contracts.registry import Stream
from shared.kernel.errors import Reject
from tests.unit.ingest.streams import PRESSURE, RISE, STRICT, TEMPERATURE, VALVE, stream

ANY_TIME = ClockJudgement(earliest=-(2**62), latest=2**62, suspect=False)


def send(
    values: dict[str, Sequence[float]], into: Stream | None = None, clock: ClockJudgement = ANY_TIME, **said: Any
) -> Frame:
    rows = len(next(iter(values.values()), ()))
    facts = {"stream": "te1/reactor", "boot": "b", "seq": 1, "sent_at": 0, "times": np.arange(rows, dtype=np.int64)}
    columns = {name: Column(np.array(column, dtype=np.float64)) for name, column in values.items()}
    submission = Submission(**{**facts, "columns": columns, **said})
    return admit(submission, compile_rules(into or stream()), 10, clock)


def test_values_arrive_in_the_channels_unit_and_the_unit_as_received_is_kept() -> None:  # I-3
    frame = send({"pressure": [1.0, 2.5], "temperature": [25.0, 0.0]}, units={"pressure": "bar", "temperature": "Cel"})
    np.testing.assert_allclose(frame.values_array(), [[100.0, 298.15], [250.0, 273.15]])
    assert frame.units == {"pressure": "bar", "temperature": "Cel"}


def test_a_unit_that_is_the_registered_one_is_not_mentioned() -> None:  # I-3
    assert send({"pressure": [1.0]}, units={"pressure": "kPa"}).units == {}


def test_a_difference_is_never_converted_with_an_offset() -> None:  # I-3
    frame = send({"rise": [5.0]}, into=stream(RISE), units={"rise": "Cel"})
    assert frame.values_array().tolist() == [[5.0]]


@pytest.mark.parametrize(
    ("values", "said", "code"),
    [
        ({"pressure": [1.0]}, {"units": {"pressure": "m"}}, "unit_incommensurable"),  # I-3
        ({"pressure": [1.0]}, {"units": {"pressure": "no-such-unit"}}, "unit_unknown"),  # I-3
        ({"pressure": [1.0]}, {"units": {"presure": "kPa"}}, "channel_unknown"),
        ({"presure": [1.0]}, {}, "channel_unknown"),  # I-18
        ({}, {}, "record_empty"),
        ({"pressure": []}, {}, "record_empty"),
        ({"pressure": [1.0, 2.0], "temperature": [1.0]}, {}, "shape_mismatch"),
        ({"pressure": [1.0, 2.0]}, {"times": np.array([5, 4])}, "times_unordered"),
        ({"pressure": [1.0]}, {"times": np.array([-1])}, "time_range"),
        ({"pressure": [1.0]}, {"times": np.array([2**62])}, "time_range"),
        ({"pressure": [1.0]}, {"sent_at": -1}, "time_range"),
        ({"pressure": [1.0]}, {"sent_at": 2**62}, "time_range"),
        ({"pressure": [1.0]}, {"boot": "a\x00b"}, "text_invalid"),
        ({"pressure": [1.0]}, {"boot": "a\nb"}, "text_invalid"),
    ],
)
def test_what_breaks_a_rule_waits_under_a_stable_code(values: Any, said: Any, code: str) -> None:
    with pytest.raises(Reject) as refused:
        send(values, **said)
    assert refused.value.code == code


def test_a_channel_left_out_is_missing_and_no_nan_burst() -> None:
    frame = send({"temperature": [300.0]})
    assert np.isnan(frame.values_array()[0, 0])
    assert frame.quality_array().tolist() == [[Quality.MISSING, Quality.GOOD]]


def test_not_numbers_and_infinities_are_stored_as_nan_with_their_mark() -> None:  # I-18
    frame = send({"pressure": [np.nan, np.inf, -np.inf], "temperature": [1.0, 2.0, 3.0]})
    assert np.isnan(frame.values_array()[:, 0]).all()
    assert frame.quality_array()[:, 0].tolist() == [Quality.NOT_A_NUMBER] * 3


def test_a_value_out_of_range_is_stored_as_sent_and_marked() -> None:  # I-18
    frame = send({"pressure": [3000.0, 3000.1], "temperature": [1.0, 1.0]})
    assert frame.values_array()[:, 0].tolist() == [3000.0, 3000.1]
    assert frame.quality_array()[:, 0].tolist() == [Quality.GOOD, Quality.OUT_OF_RANGE]


def test_a_boolean_is_zero_or_one() -> None:  # I-18
    frame = send({"valve": [0.0, 1.0, 0.5]}, into=stream(VALVE))
    assert frame.quality_array()[:, 0].tolist() == [0, 0, Quality.OUT_OF_RANGE]


@pytest.mark.parametrize(("value", "code"), [(np.nan, "value_not_a_number"), (101.0, "value_out_of_range")])
def test_a_channels_rule_can_be_to_quarantine(value: float, code: str) -> None:  # I-18
    with pytest.raises(Reject) as refused:
        send({"strict": [1.0, value]}, into=stream(STRICT))
    assert refused.value.code == code
    assert "strict" in refused.value.detail


def test_a_missing_value_of_a_strict_channel_is_no_reason_to_quarantine() -> None:
    frame = send({"pressure": [1.0]}, into=stream(PRESSURE, STRICT))
    assert frame.quality_array().tolist() == [[0, Quality.MISSING]]


def test_what_the_sender_distrusts_is_marked() -> None:
    column = Column(np.array([1.0, 2.0]), bad=np.array([False, True]))
    frame = send({"pressure": [1.0, 2.0]}, columns={"pressure": column, "temperature": Column(np.array([1.0, 1.0]))})
    assert frame.quality_array()[:, 0].tolist() == [0, Quality.SENDER_BAD]


def test_a_clock_that_is_suspect_marks_every_value() -> None:  # I-17
    frame = send({"pressure": [1.0], "temperature": [1.0]}, clock=ClockJudgement(-(2**62), 2**62, suspect=True))
    assert frame.quality_array().tolist() == [[Quality.CLOCK_SUSPECT] * 2]


@pytest.mark.parametrize(("time", "code"), [(101, "future_time"), (9, "too_late")])
def test_times_outside_what_the_clock_rule_allows_wait(time: int, code: str) -> None:  # I-17
    with pytest.raises(Reject) as refused:
        send({"pressure": [1.0]}, clock=ClockJudgement(10, 100, suspect=False), times=np.array([time]))
    assert refused.value.code == code


def test_a_matrix_has_to_fit_its_version() -> None:
    with pytest.raises(Reject, match="shape_mismatch"):
        send({"pressure": [1.0]}, columns=None, matrix=np.zeros((1, 3)))
    assert send({"pressure": [1.0]}, columns=None, matrix=np.ones((1, 2))).values_array().tolist() == [[1.0, 1.0]]


def test_a_frame_that_would_fill_the_memory_is_refused_before_it_is_built() -> None:  # I-13
    wide = stream(*(TEMPERATURE.__class__(name=f"c{n}", quantity_kind="temperature", unit="K") for n in range(4096)))
    with pytest.raises(Reject, match="frame_too_large"):
        send({"c0": [1.0] * 100}, into=wide)


def test_the_rules_do_not_change_what_the_sender_gave() -> None:
    values = np.array([[np.inf, 1.0]])
    send({"pressure": [1.0]}, columns=None, matrix=values)
    assert values.tolist() == [[np.inf, 1.0]]
