"""What we pack for PostgreSQL by hand, and keys' scopes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import psycopg
import pytest
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.pq import Format

from shared.contracts.frame import build_frame
from shared.http.keys import check_scope
from shared.kernel.errors import Forbidden
from shared.storage.api_keys import Caller, Role, Scope
from shared.storage.arrays import FLOAT8_ARRAY, INT8_ARRAY, speak_numpy
from shared.storage.blocks import StoredFrame


@pytest.mark.parametrize(
    ("array", "oid"),
    [
        (np.array([1, -(2**63), 2**63 - 1]), INT8_ARRAY),
        (np.array([0.1, -0.0, 5e-324, np.inf]), FLOAT8_ARRAY),
        (np.arange(10)[::2], INT8_ARRAY),
        (np.empty(0), FLOAT8_ARRAY),
    ],
)
def test_an_array_is_packed_as_psycopg_reads_it(array: np.ndarray, oid: int) -> None:
    connection = SimpleNamespace(adapters=AdaptersMap(psycopg.adapters), connection=None)
    speak_numpy(connection)
    context = Transformer(connection)
    dumper = context.get_dumper(array, PyFormat.BINARY)
    packed = dumper.dump(array)
    assert dumper.oid == oid
    assert packed is not None
    assert Transformer().get_loader(oid, Format.BINARY).load(bytes(packed)) == array.tolist()


def test_a_stored_frames_hash_is_that_of_the_frame_that_was_sent() -> None:
    times, values = np.array([5, 6]), np.array([[1.0, np.nan], [3.0, 4.0]])
    sent = build_frame(stream="te1/reactor", registry_version=1, boot="b", seq=7, times=times, values=values)
    quality = np.zeros((2, 2), dtype=np.uint8)
    said = (sent.stream, sent.boot, sent.seq, 1, 0, 0, 0, sent.content_hash(), False)
    stored = StoredFrame(*said, sent.times_array(), sent.values_array(), quality)
    assert stored.content_hash() == sent.content_hash()


@pytest.mark.parametrize(
    ("scope", "reaches"),
    [
        (Scope(), True),
        (Scope(platform="p"), True),
        (Scope(line="l"), True),
        (Scope(instrument="l/i"), True),
        (Scope(platform="q"), False),
        (Scope(platform="p", line="m"), False),
        (Scope(instrument="l/j"), False),
    ],
)
def test_a_scope_binds_every_coordinate_it_names(scope: Scope, reaches: bool) -> None:  # I-4
    caller = Caller("prefix", "label", Role.GATEWAY, scope, "prefix")
    if reaches:
        check_scope(caller, platform="p", line="l", instrument="l/i")
    else:
        with pytest.raises(Forbidden, match="key_scope"):
            check_scope(caller, platform="p", line="l", instrument="l/i")


def test_a_key_of_one_instrument_does_not_reach_what_has_none() -> None:  # I-4
    assert not Scope(instrument="l/i").covers(platform="p", line="l")
    assert Scope(instrument="l/i").covers_line(platform="p", line="l")
    assert not Scope(instrument="l/i").covers_line(platform="p", line="m")
