"""The wire: what is written can be read, what is malformed is named."""

from __future__ import annotations

from uuid import UUID

import msgspec
import numpy as np
import pytest

from shared.contracts.events import CloudEvent, decode_event, encode_event
from shared.contracts.frame import Quality, build_frame, decode_frame, encode_frame
from shared.contracts.lifecycle import RunEnded, decode_line_record, encode_line_record
from shared.contracts.topics import Topics
from shared.kernel.errors import Reject


def test_a_frame_survives_the_wire_with_its_arrays() -> None:
    values = np.array([[1.0, np.nan], [3.0, 4.0]])
    quality = np.array([[0, Quality.MISSING], [0, 0]], dtype=np.uint8)
    frame = build_frame(
        stream="te1/reactor",
        registry_version=2,
        boot="b",
        seq=7,
        times=np.array([5, 6]),
        values=values,
        quality=quality,
    )
    read = decode_frame(encode_frame(frame))
    assert read == frame
    assert read.times_array().tolist() == [5, 6]
    np.testing.assert_array_equal(read.values_array(), values)
    np.testing.assert_array_equal(read.quality_array(), quality)


def test_the_content_hash_depends_on_what_was_said_and_not_on_when_it_arrived() -> None:
    def frame(value: float, received_at: int, nan: float = np.nan) -> bytes:
        values = np.array([[value, nan]])
        return build_frame(
            stream="s/a",
            registry_version=1,
            boot="b",
            seq=1,
            times=np.array([1]),
            values=values,
            received_at=received_at,
        ).content_hash()

    other_nan = float(np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0])
    assert frame(1.0, 10) == frame(1.0, 20) == frame(1.0, 10, other_nan)  # I-14
    assert frame(1.0, 10) != frame(2.0, 10)  # I-14


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xc1", "frame_malformed"), (msgspec.msgpack.encode([1, "s"]), "frame_malformed")],
)
def test_what_is_no_frame_is_named(data: bytes, code: str) -> None:
    with pytest.raises(Reject) as reject:
        decode_frame(data)
    assert reject.value.code == code


def test_a_frame_whose_shape_does_not_fit_its_arrays_is_rejected() -> None:
    frame = build_frame(stream="s/a", registry_version=1, boot="b", seq=1, times=np.array([1]), values=np.ones((1, 2)))
    for change, code in (
        ({"rows": 2}, "frame_shape"),
        ({"version": 9}, "frame_version"),
        ({"quality": b"1"}, "frame_shape"),
    ):
        with pytest.raises(Reject) as reject:
            decode_frame(encode_frame(msgspec.structs.replace(frame, **change)))
        assert reject.value.code == code


def test_a_lifecycle_record_survives_the_wire_and_garbage_is_named() -> None:
    record = RunEnded(event_id=str(UUID(int=1)), run="r", line="te1", at=5, how="completed")
    assert decode_line_record(encode_line_record(record)) == record
    with pytest.raises(Reject, match="line_record_malformed"):
        decode_line_record(b"nonsense")


def test_an_event_has_one_byte_form_and_only_cloudevents_1_0_is_read() -> None:
    event = CloudEvent(id="1", source="s", type="t", subject="", time="2026-03-02T00:00:00Z", data={"seconds": "1.5"})
    assert decode_event(encode_event(event)) == event
    with pytest.raises(Reject, match="event_version"):
        decode_event(encode_event(msgspec.structs.replace(event, specversion="0.3")))
    with pytest.raises(Reject, match="event_malformed"):
        decode_event(b"{}")


def test_a_prefix_keeps_installations_apart() -> None:
    assert Topics("t1.").line_records == "t1.line.records"
    assert [name for name, _ in Topics("t1.").named()] == [
        "t1.line.records",
        "t1.verification.events",
        "t1.usage.events",
    ]
