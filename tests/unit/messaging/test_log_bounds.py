"""A stored position outside the log stops the process instead of losing records silently."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shared.messaging.log_bounds import LogChanged, not_beyond, not_expired
from shared.messaging.positions import Partition

ZERO = Partition("t", 0)


def test_records_deleted_before_they_were_applied_are_an_error() -> None:
    not_expired({ZERO: 10}, {ZERO: 10})
    with pytest.raises(LogChanged, match="begins at 11"):
        not_expired({ZERO: 10}, {ZERO: 11})


async def test_a_position_beyond_the_end_is_an_error() -> None:
    async def ends() -> Mapping[Partition, int]:
        return {ZERO: 3}

    await not_beyond({ZERO: 3}, ends, patience=0.0)
    with pytest.raises(LogChanged, match="beyond the end"):
        await not_beyond({ZERO: 4}, ends, patience=0.0)


async def test_an_end_that_was_old_for_a_moment_is_waited_out() -> None:
    answers = iter([{ZERO: 3}, {ZERO: 4}])

    async def ends() -> Mapping[Partition, int]:
        return next(answers)

    await not_beyond({ZERO: 4}, ends, patience=5.0)
