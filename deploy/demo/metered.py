"""What metering must come to, computed from the recordings as they are delivered: integrals of held values, and the one loss of a feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from deploy.demo.configuration import delivered_channels
from deploy.demo.plan import LENGTH, Plan, starts_at
from deploy.demo.tennessee import FAULT_ROW, ROW_PERIOD, load_run
from shared.kernel.times import HOUR, MINUTE, Micros

INTEGRALS = {
    "d_feed": "reactor.d_feed",
    "e_feed": "reactor.e_feed",
    "compressor_energy": "separator.compressor_work",
    "steam": "stripper.steam_flow",
}
"""Metered quantities that are a rate per hour over time, and the rate's channel."""

_A_FEED, _A_VALVE = 0, 43  # columns of XMEAS 1 and XMV 3
_LOST_BELOW, _OPEN_ABOVE, _DWELL = 0.01, 50.0, 30 * MINUTE


@dataclass(frozen=True, slots=True)
class FeedLoss:
    """The A feed is lost from `start` (after the dwell) to the run's end."""

    start: Micros
    hours: Decimal


def integrals(plan: Plan, run: str) -> Mapping[str, Fraction]:
    """Each quantity over the run [start, end): the held value times its time, exact in the decimals of the recording."""
    channels = delivered_channels(plan, run)
    start = starts_at(run)
    amounts = {}
    for quantity, path in INTEGRALS.items():
        pieces = channels[path].samples().pieces(start, start + LENGTH)
        amounts[quantity] = sum((Fraction(repr(x)) * Fraction(b - a, HOUR) for a, b, x in pieces), Fraction(0))
    return amounts


def feed_loss(run: str) -> FeedLoss | None:
    """The loss of the A feed in the challenge, up to the end of the run: nothing flows for half an hour although the valve stands open."""
    table = load_run(run)
    empty_from = _to_the_end(table[:, _A_FEED] < _LOST_BELOW)
    open_from = _to_the_end(table[:, _A_VALVE] > _OPEN_ABOVE)
    begin = max(empty_from * ROW_PERIOD + _DWELL, open_from * ROW_PERIOD, FAULT_ROW * ROW_PERIOD)
    if begin >= LENGTH:
        return None
    return FeedLoss(starts_at(run) + begin, Decimal(LENGTH - begin) / HOUR)


def _to_the_end(holds: NDArray[np.bool_]) -> int:
    """The row from which on it holds without a break."""
    broken = np.flatnonzero(~holds)
    return int(broken[-1]) + 1 if len(broken) else 0
