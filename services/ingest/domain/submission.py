"""What a sender said, before anything is judged: one frame, read from any wire form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.contracts.frame import MAX_ROWS
from shared.kernel.errors import Reject
from shared.kernel.times import Micros

MAX_CELLS = 250_000
"""Rows times registered channels of one frame: what fits a Kafka message of 4 MiB with times and quality."""


def check_size(rows: int, channels: int) -> None:
    """Raises Reject(frame_too_large)."""
    if rows > MAX_ROWS or rows * channels > MAX_CELLS:
        raise Reject(
            "frame_too_large",
            f"a frame has at most {MAX_ROWS} rows and {MAX_CELLS} values; this has {rows} x {channels}",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """Values of one channel, shape (n,), float64. `missing` marks instants without a value (NaN there), `bad` those the sender distrusts;
    None when there are none."""

    values: NDArray[np.float64]
    missing: NDArray[np.bool_] | None = None
    bad: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """One frame as sent: either `columns` by channel name, or `matrix` (n, k) in the channel order of `registry_version`.

    `sent_at` is 0 when the sender gave none, `registry_version` 0 for the current one. `units` are the UCUM units of the values by
    channel, where they may differ from the registered ones.
    """

    stream: str
    boot: str
    seq: int
    sent_at: Micros
    times: NDArray[np.int64]
    registry_version: int = 0
    columns: Mapping[str, Column] | None = None
    matrix: NDArray[np.float64] | None = None
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """What an unreadable record still says about itself, for the books."""

    stream: str | None = None
    boot: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """One record of a request: its bytes, and what they say or why they say nothing."""

    raw: bytes | memoryview
    content_type: str
    content: Submission | Reject
    identity: Identity
