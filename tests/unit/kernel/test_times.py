"""Instants: microseconds, exact both ways."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.kernel.times import from_rfc3339, micros, to_rfc3339, utc


@given(st.integers(min_value=0, max_value=4_102_444_800_000_000))
def test_an_instant_survives_text_and_datetime(instant: int) -> None:
    assert from_rfc3339(to_rfc3339(instant)) == instant
    assert micros(utc(instant)) == instant


def test_offsets_and_decimals_are_read() -> None:
    assert from_rfc3339("2026-03-02T00:00:00+08:00") == micros(datetime(2026, 3, 1, 16, tzinfo=UTC))
    assert from_rfc3339("2026-03-02T00:00:00.25Z") % 1_000_000 == 250_000
    assert from_rfc3339("2026-03-02T00:00:00.123456000Z") % 1_000_000 == 123_456


@pytest.mark.parametrize("text", ["2026-03-02T00:00:00", "2026-03-02T00:00:00.1234567Z", "yesterday"])
def test_a_time_without_zone_or_finer_than_a_microsecond_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|finer|Invalid"):
        from_rfc3339(text)
