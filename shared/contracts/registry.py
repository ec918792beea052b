"""What a stream's channels are: the part of the registry that gateways, criteria and meters share. Versions are immutable and hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum

from shared.kernel.canonical import digest
from shared.kernel.times import SECOND, Micros


class ChannelKind(StrEnum):
    ANALOGUE = "analogue"
    BOOLEAN = "boolean"
    ENUMERATION = "enumeration"
    COUNTER = "counter"


class Rule(StrEnum):
    """What happens to a value that is not a number or out of range."""

    MARK = "mark"  # stored, with a quality bit
    QUARANTINE = "quarantine"  # the whole record waits for a person


class ClockPolicy(StrEnum):
    LIVE = "live"  # the sender's clock is compared with ours; future times are quarantined
    RECORDED = "recorded"  # a replay of recorded data: event time lies in the past on purpose


@dataclass(frozen=True, slots=True)
class Name:
    """What people read, in English and Chinese."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Platform:
    """A pilot testing platform. `time_zone` is an IANA name: it decides days and tariff hours."""

    id: str
    name: Name
    time_zone: str


@dataclass(frozen=True, slots=True)
class Line:
    """A work centre: the unit that one customer books, and the Kafka key."""

    id: str
    platform: str
    name: Name
    sector: str = ""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A part of a line that is metered. `id` is `<line>/<name>`."""

    id: str
    line: str
    name: Name


class CustomerClass(StrEnum):
    INTERNAL = "internal"
    ACADEMIC = "academic"
    SME = "sme"
    INDUSTRY = "industry"


@dataclass(frozen=True, slots=True)
class Customer:
    """Who books and pays. `credit_code` is the unified social credit code (GB 32100)."""

    id: str
    name: Name
    class_: CustomerClass
    credit_code: str | None = None


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Expanded uncertainty U in the channel's unit with coverage factor k (GUM), where it comes from and until when it holds."""

    expanded: float
    coverage_factor: float
    source: str
    calibration_due: date | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One measured quantity of a stream. `low` and `high` are the range in `unit` (UCUM), None when unbounded."""

    name: str
    quantity_kind: str
    unit: str
    kind: ChannelKind = ChannelKind.ANALOGUE
    low: float | None = None
    high: float | None = None
    nan_rule: Rule = Rule.MARK
    range_rule: Rule = Rule.MARK
    pressure_reference: str | None = None
    uncertainty: Uncertainty | None = None
    codes: tuple[tuple[int, str], ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A version of a stream: the ordered channels of one instrument that are sampled together.

    `id` is `<line>/<name>`, unique in an installation. `period` is the expected spacing of rows, `max_age` how long a value holds
    (both µs). `line` is the Kafka key.
    """

    id: str
    version: int
    platform: str
    line: str
    instrument: str
    channels: tuple[Channel, ...]
    period: Micros
    max_age: Micros
    clock: ClockPolicy = ClockPolicy.LIVE
    future_bound: Micros = 5 * SECOND
    lateness_horizon: Micros | None = None

    def index(self, channel: str) -> int:
        """Column of a channel. Raises KeyError."""
        for position, candidate in enumerate(self.channels):
            if candidate.name == channel:
                return position
        raise KeyError(channel)

    def digest(self) -> str:
        """SHA-256 of everything but the version number."""
        facts = asdict(self)
        del facts["version"]
        for channel in facts["channels"]:
            if channel["uncertainty"] and channel["uncertainty"]["calibration_due"]:
                channel["uncertainty"]["calibration_due"] = channel["uncertainty"]["calibration_due"].isoformat()
        return digest(facts)


@dataclass(frozen=True, slots=True)
class RegistryDraft:
    """Part of a registry, by id: what a document asks for. Its streams have no version yet."""

    platforms: Mapping[str, Platform]
    lines: Mapping[str, Line]
    instruments: Mapping[str, Instrument]
    customers: Mapping[str, Customer]
    streams: Mapping[str, Stream]


def channel_path(stream: Stream, channel: str) -> str:
    """How criteria and state models name a channel: `<stream name>.<channel>`, for example `reactor.pressure`."""
    return f"{stream.id.split('/', 1)[1]}.{channel}"
