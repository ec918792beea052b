"""The bytes of version 1: what earlier releases wrote is read for ever, and a sender in another language can compare its own."""

from __future__ import annotations

import numpy as np

from shared.contracts.frame import Frame, build_frame, decode_frame, encode_frame
from shared.contracts.quarantine import QuarantineRecord, decode_quarantine, encode_quarantine

# As documented for senders: twelve fields, the trailing `units` left out.
SENT = bytes.fromhex(
    "9c01ab7465312f72656163746f7200a1620700000202"
    "c41005000000000000000600000000000000"
    "c420000000000000f03f000000000000f87f00000000000008400000000000001040"
    "c400"
)
HASH = bytes.fromhex("029568e95c2f531eaf75d3295209618488437c20a2a49203a47fe98fa9ba9195")
WAITING = bytes.fromhex(
    "9e01ab7465312f72656163746f72ac756e69745f756e6b6e6f776ea26e6fc40168c403726177a0c3b06170706c69636174696f6e2f6a736f6ea16b05a1620702"
)


def frame() -> Frame:
    times, values = np.array([5, 6]), np.array([[1.0, np.nan], [3.0, 4.0]])
    return build_frame(stream="te1/reactor", registry_version=0, boot="b", seq=7, times=times, values=values)


def test_a_frame_without_the_trailing_field_is_read() -> None:  # I-5
    assert decode_frame(SENT) == frame()


def test_what_we_write_is_the_documented_form_with_its_trailing_field() -> None:  # I-5
    assert encode_frame(frame()) == b"\x9d" + SENT[1:] + b"\x80"


def test_the_content_hash_of_a_frame_never_changes() -> None:  # I-14 G10
    assert decode_frame(SENT).content_hash() == HASH


def test_a_quarantined_record_keeps_its_form() -> None:  # I-19
    record = QuarantineRecord(
        version=1,
        stream="te1/reactor",
        code="unit_unknown",
        detail="no",
        hash=b"h",
        raw=b"raw",
        encoding="",
        complete=True,
        content_type="application/json",
        source="k",
        received_at=5,
        boot="b",
        seq=7,
        registry_version=2,
    )
    assert encode_quarantine(record) == WAITING
    assert decode_quarantine(WAITING) == record
