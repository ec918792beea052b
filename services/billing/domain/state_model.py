"""The state model of a line's instruments: conditions on channels, ordered rules to SEMI E10 states, quantities to meter (B-1, B-2).

Everything is resolved: channels are columns of streams, limits are in the channels' own units, times are µs. `state_model_file.py` makes
it from YAML and checks it. Versions are immutable; `StateModel.digest` names one for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.billing.domain.e10 import StateOutcome
from services.billing.domain.segment import QuantityKind
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class ChannelRef:
    """A channel by stream id and channel name, with how long a value of it holds (µs)."""

    stream: str
    channel: str
    max_age: Micros


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with hysteresis and minimum dwell.

    With `above`, it turns on when the value is > `on` and off when it is < `off`; otherwise on when < `on`, off when > `off`. Where both limits
    are equal, it turns off as soon as it is no longer on. A change takes effect once it has lasted `dwell` without a break, at the instant
    it has lasted so long (never backdated). Unknown while the channel has no value.
    """

    name: str
    channel: ChannelRef
    above: bool
    on: float
    off: float
    dwell: Micros = 0


class RunActivity(StrEnum):
    NONE = "none"
    ACTIVE = "active"  # running, not held
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Holds:
    """The named condition is on."""

    condition: str


@dataclass(frozen=True, slots=True)
class RunIs:
    activities: tuple[RunActivity, ...]


@dataclass(frozen=True, slots=True)
class PhaseIs:
    phases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Not:
    of: Expression


@dataclass(frozen=True, slots=True)
class AllOf:
    of: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    of: tuple[Expression, ...]


Expression = Holds | RunIs | PhaseIs | Not | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class StateRule:
    when: Expression
    outcome: StateOutcome


@dataclass(frozen=True, slots=True)
class GapRule:
    """While the rules cannot decide, the last state goes on for at most `hold` (inferred); after that the time is `outcome`, unknown."""

    hold: Micros
    outcome: StateOutcome


@dataclass(frozen=True, slots=True)
class QuantityRule:
    """What to meter. For an integral, one (channel unit x hour) is `numerator / denominator` of `unit`; for maximum and mean, one channel
    unit is. A count names a condition, samples and bytes a stream, instead of a channel; one (byte) or (hour) reserved is as much of `unit`."""

    name: str
    kind: QuantityKind
    unit: str
    channel: ChannelRef | None = None
    condition: str | None = None
    stream: str | None = None
    numerator: int = 1
    denominator: int = 1


@dataclass(frozen=True, slots=True)
class InstrumentModel:
    """First rule that holds wins; `default` when none does."""

    instrument: str
    conditions: tuple[Condition, ...]
    rules: tuple[StateRule, ...]
    default: StateOutcome
    gap: GapRule
    quantities: tuple[QuantityRule, ...]

    def channels(self) -> tuple[ChannelRef, ...]:
        """Every channel the instrument's conditions and quantities read, sorted, each once."""
        used = {condition.channel for condition in self.conditions}
        used |= {rule.channel for rule in self.quantities if rule.channel is not None}
        return tuple(sorted(used, key=lambda ref: (ref.stream, ref.channel)))

    def streams(self) -> tuple[str, ...]:
        counted = {rule.stream for rule in self.quantities if rule.stream is not None}
        return tuple(sorted(counted | {ref.stream for ref in self.channels()}))


@dataclass(frozen=True, slots=True)
class StateModel:
    """A version for one line. `patience`: a stream this far behind the line's newest one is not waited for (µs)."""

    id: str
    version: int
    line: str
    patience: Micros
    instruments: tuple[InstrumentModel, ...]
    digest: str

    def streams(self) -> tuple[str, ...]:
        return tuple(sorted({stream for instrument in self.instruments for stream in instrument.streams()}))


def conditions_in(expression: Expression) -> Iterator[str]:
    """Names of the conditions an expression reads."""
    if isinstance(expression, Holds):
        yield expression.condition
    elif isinstance(expression, Not):
        yield from conditions_in(expression.of)
    elif isinstance(expression, AllOf | AnyOf):
        for part in expression.of:
            yield from conditions_in(part)
