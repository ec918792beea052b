"""The senders' clocks: estimated from `sent_at`, trusted within limits, never corrected."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from shared.contracts.registry import ClockPolicy, Stream
from shared.kernel.times import DAY, SECOND, Micros

_WEIGHT = 8
_FOREVER: Micros = 2**62


@dataclass(frozen=True, slots=True)
class ClockRule:
    """`suspect_beyond`: an estimated offset above it marks values. `horizon`: how late data may be where the stream does not say.
    `remembered`: how many sources have an estimate."""

    suspect_beyond: Micros = 2 * SECOND
    horizon: Micros = 35 * DAY
    remembered: int = 100_000


@dataclass(frozen=True, slots=True)
class ClockJudgement:
    """Instants of a record must lie in [earliest, latest]; `suspect` marks its values."""

    earliest: Micros
    latest: Micros
    suspect: bool


class Clocks:
    """One offset estimate (sender minus us, exponentially smoothed) per stream, the least recently heard forgotten."""

    def __init__(self, rule: ClockRule) -> None:
        self._rule = rule
        self._offsets: OrderedDict[str, float] = OrderedDict()

    def judge(self, stream: Stream, sent_at: Micros, received_at: Micros) -> ClockJudgement:
        """Learn from `sent_at` (0: not given) and say what this record may contain.

        A recorded stream has no rule. The future bound follows the estimated offset, but only as far as an offset is not suspect:
        otherwise a sender could move the bound at will.
        """
        if stream.clock is ClockPolicy.RECORDED:
            return ClockJudgement(
                earliest=_before(received_at, stream.lateness_horizon), latest=_FOREVER, suspect=False
            )
        offset = self._learn(stream.id, sent_at, received_at) if sent_at else self._offsets.get(stream.id, 0.0)
        allowed = max(0, min(int(offset), self._rule.suspect_beyond))
        horizon = self._rule.horizon if stream.lateness_horizon is None else stream.lateness_horizon
        return ClockJudgement(
            earliest=_before(received_at, horizon),
            latest=received_at + allowed + stream.future_bound,
            suspect=abs(offset) > self._rule.suspect_beyond,
        )

    def _learn(self, stream: str, sent_at: Micros, received_at: Micros) -> float:
        seen = float(sent_at - received_at)
        known = self._offsets.get(stream)
        offset = seen if known is None else known + (seen - known) / _WEIGHT
        self._offsets[stream] = offset
        self._offsets.move_to_end(stream)
        if len(self._offsets) > self._rule.remembered:
            self._offsets.popitem(last=False)
        return offset


def _before(received_at: Micros, horizon: Micros | None) -> Micros:
    return -_FOREVER if horizon is None else received_at - horizon
