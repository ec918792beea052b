"""The binary form, and how a record is kept."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.adapters.binary_frames import read_binary
from services.ingest.domain.keeping import kept, printable
from services.ingest.domain.submission import Submission
from shared.contracts.frame import build_frame, encode_frame
from shared.kernel.errors import Malformed, Reject

FRAME = encode_frame(
    build_frame(
        stream="te1/reactor", registry_version=0, boot="b", seq=1, times=np.array([5, 6]), values=np.ones((2, 3))
    )
)


def body(*frames: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)


def test_frames_lie_one_after_the_other() -> None:  # I-5
    records = read_binary(body(FRAME, FRAME), 10)
    assert [record.raw for record in records] == [FRAME, FRAME]
    content = records[1].content
    assert isinstance(content, Submission)
    assert content.matrix is not None
    assert (content.times.tolist(), content.matrix.shape) == ([5, 6], (2, 3))


def test_a_frame_that_cannot_be_read_does_not_hurt_its_neighbours() -> None:  # I-11
    good, bad, also_good = read_binary(body(FRAME, b"nonsense", FRAME), 10)
    assert isinstance(good.content, Submission)
    assert isinstance(also_good.content, Submission)
    assert isinstance(bad.content, Reject)
    assert bad.content.code == "frame_malformed"


@pytest.mark.parametrize("cut", [1, 3, 4, 20, len(FRAME) + 3])
def test_lengths_that_do_not_fit_the_body_refuse_it_whole(cut: int) -> None:  # I-12
    with pytest.raises(Malformed, match="frames_malformed"):
        read_binary(body(FRAME)[:cut], 10)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(noise: bytes) -> None:  # I-12
    try:
        records = read_binary(noise, 10)
    except Malformed:
        return
    assert len(records) <= 11


def test_a_record_is_kept_whole_when_it_can_be() -> None:  # I-19
    assert kept(b"small") == (b"small", "", True)
    large = b"0123456789" * 100_000
    raw, encoding, complete = kept(large)
    assert (encoding, complete) == ("zstd", True)
    assert zstandard.decompress(raw) == large


def test_a_record_that_fits_no_message_is_cut_and_says_so() -> None:  # I-19
    noise = os.urandom(5 * 1024 * 1024)
    raw, encoding, complete = kept(noise)
    assert (encoding, complete) == ("zstd", False)
    assert len(raw) < 3 * 1024 * 1024
    assert noise.startswith(zstandard.decompress(raw))


def test_a_name_is_made_printable_for_the_books() -> None:
    assert printable("a\x00b\n") == "a\ufffdb\ufffd"
    assert printable("x" * 300) == "x" * 200
    assert printable("") is None
