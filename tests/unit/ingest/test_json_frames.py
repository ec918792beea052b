"""The JSON forms."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from services.ingest.adapters.json_frames import read_json
from services.ingest.domain.submission import Identity, Submission
from shared.kernel.errors import Invalid, Malformed, Problem, Reject

FRAME: dict[str, Any] = {"stream": "te1/reactor", "boot": "b", "seq": 7, "t": [1, 2], "values": {"p": [1.5, 2]}}


def one(frame: object) -> Submission:
    (record,) = read_json(msgspec.json.encode(frame), 10)
    assert isinstance(record.content, Submission), record.content
    return record.content


def refusal(frame: object) -> Reject:
    (record,) = read_json(msgspec.json.encode(frame), 10)
    assert isinstance(record.content, Reject)
    return record.content


def test_columns_with_listed_instants() -> None:  # I-5
    read = one(FRAME)
    assert (read.stream, read.boot, read.seq, read.times.tolist()) == ("te1/reactor", "b", 7, [1, 2])
    assert read.columns is not None
    assert read.columns["p"].values.tolist() == [1.5, 2.0]


def test_columns_with_a_start_and_a_step() -> None:  # I-5
    read = one({**FRAME, "t": None, "t0": "1970-01-01T00:00:01Z", "dt": 250_000})
    assert read.times.tolist() == [1_000_000, 1_250_000]


def test_rows() -> None:  # I-5
    rows = [{"t": "1970-01-01T00:00:01Z", "p": 1}, {"t": "1970-01-01T00:00:02Z", "q": 2.5}]
    read = one({"stream": "s/a", "boot": "b", "seq": 1, "rows": rows})
    assert read.columns is not None
    assert read.times.tolist() == [1_000_000, 2_000_000]
    np.testing.assert_array_equal(read.columns["p"].values, [1.0, np.nan])
    assert read.columns["q"].missing is not None
    assert read.columns["q"].missing.tolist() == [True, False]


def test_null_is_missing_and_a_text_names_what_is_no_number() -> None:  # I-18
    read = one({**FRAME, "t": [1, 2, 3, 4], "values": {"p": [None, "NaN", "-Infinity", True]}})
    assert read.columns is not None
    column = read.columns["p"]
    np.testing.assert_array_equal(column.values, [np.nan, np.nan, -np.inf, 1.0])
    assert column.missing is not None
    assert column.missing.tolist() == [True, False, False, False]


def test_quality_marks_what_the_sender_distrusts() -> None:  # I-5
    read = one({**FRAME, "quality": {"p": [0, 3]}})
    assert read.columns is not None
    assert read.columns["p"].bad is not None
    assert read.columns["p"].bad.tolist() == [False, True]


def test_both_forms_of_the_decoder_read_the_same() -> None:
    plain, general = one(FRAME), one({**FRAME, "quality": {}})
    assert plain.columns is not None
    assert general.columns is not None
    assert plain.times.tolist() == general.times.tolist()
    assert plain.columns["p"].values.tolist() == general.columns["p"].values.tolist()


def test_many_frames_in_one_body() -> None:  # I-5
    for body in ({"frames": [FRAME, FRAME]}, [FRAME, FRAME]):
        assert len(read_json(msgspec.json.encode(body), 10)) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"seq": -1}, "record_malformed"),
        ({"seq": 2**63}, "record_malformed"),
        ({"seq": "7"}, "record_malformed"),
        ({"boot": ""}, "record_malformed"),
        ({"boot": "x" * 201}, "record_malformed"),
        ({"stream": 5}, "record_malformed"),
        ({"sequence": 1}, "record_malformed"),
        ({"t": None}, "record_malformed"),
        ({"t0": 5}, "record_malformed"),
        ({"t": None, "t0": 5}, "record_malformed"),
        ({"values": None}, "record_malformed"),
        ({"values": {"p": ["1.5", 2]}}, "value_type"),
        ({"values": {"p": [[1], 2]}}, "value_type"),
        ({"values": {"p": {"a": 1}}}, "value_type"),
        ({"t": ["yesterday", "today"]}, "time_malformed"),
        ({"t": ["2026-03-02T00:00:00", "2026-03-02T00:00:01"]}, "time_malformed"),
        ({"t": ["2026-03-02T00:00:00.0000001Z", "2026-03-02T00:00:01Z"]}, "time_malformed"),
        ({"t": [1, 2**63]}, "time_range"),
        ({"t": None, "t0": 2**62, "dt": 2**62}, "time_range"),
        ({"quality": {"p": [0]}}, "shape_mismatch"),
        ({"quality": {"q": [0, 0]}}, "shape_mismatch"),
    ],
)
def test_a_frame_that_breaks_the_form_is_refused_alone_and_keeps_its_name(change: Any, code: str) -> None:  # I-11
    good, bad = read_json(msgspec.json.encode([FRAME, {**FRAME, **change}]), 10)
    assert isinstance(good.content, Submission)
    assert isinstance(bad.content, Reject)
    assert bad.content.code == code
    if change.keys().isdisjoint({"seq", "boot", "stream"}):
        assert bad.identity == Identity("te1/reactor", "b", 7)


@pytest.mark.parametrize("frame", [5, "x", None, [], {}])
def test_what_is_no_frame_at_all_is_refused_alone(frame: object) -> None:  # I-11
    _, bad = read_json(msgspec.json.encode([FRAME, frame]), 10)
    assert isinstance(bad.content, Reject)


@pytest.mark.parametrize(
    ("body", "problem", "code"),
    [
        (b"{", Malformed, "json_malformed"),
        (b'{"stream": "a"', Malformed, "json_malformed"),
        (b"[1,]", Malformed, "json_malformed"),
        (b"\xff\xfe", Malformed, "json_malformed"),
        (b'{"stream": "\xff"}', Malformed, "json_malformed"),
        (b"nonsense", Malformed, "json_malformed"),
        (b"5", Invalid, "request_invalid"),
        (b'"text"', Invalid, "request_invalid"),
        (b'{"frames": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", Malformed, "json_too_deep"),
        (b"[" * 100_000 + b"]" * 100_000, Malformed, "json_too_deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, Malformed, "json_too_deep"),
    ],
)
def test_a_body_that_cannot_be_told_apart_is_refused_whole(
    body: bytes, problem: type[Problem], code: str
) -> None:  # I-12 I-13
    with pytest.raises(problem) as refused:
        read_json(body, 10)
    assert refused.value.code == code


def test_rows_with_ever_new_names_do_not_fill_the_memory() -> None:  # I-13
    rows = [{"t": number, f"c{number}": 1} for number in range(2000)]
    assert refusal({"stream": "s/a", "boot": "b", "seq": 1, "rows": rows}).code == "frame_too_large"


def test_a_lone_surrogate_is_no_text() -> None:
    with pytest.raises(Malformed):
        read_json(b'[{"stream":"te1/reactor","boot":"\\ud800","seq":1,"t":[1],"values":{"p":[1]}}]', 10)
