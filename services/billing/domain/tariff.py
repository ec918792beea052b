"""A tariff: versioned data, immutable once published (B-9). `tariff_file.py` makes it from YAML and checks it; `rating.py` applies it.

Prices are decimals of at most 12 places before tax, in the tariff's currency. Time bands lie on full local hours, because usage segments
end at every local hour: so a segment is always in exactly one band.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from services.billing.domain.e10 import EquipmentState, Responsible, SubState
from services.billing.domain.local_hours import HourCell
from shared.contracts.registry import CustomerClass, Name
from shared.kernel.times import Micros


@dataclass(frozen=True, slots=True)
class Band:
    """Local clock hours [from_hour, to_hour) of some weekdays (Monday = 0); from 22 to 6 wraps over midnight (the weekday is that of the
    hour itself)."""

    name: str
    from_hour: int
    to_hour: int
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)

    def holds(self, weekday: int, hour: int) -> bool:
        if weekday not in self.weekdays:
            return False
        if self.from_hour < self.to_hour:
            return self.from_hour <= hour < self.to_hour
        return hour >= self.from_hour or hour < self.to_hour


@dataclass(frozen=True, slots=True)
class Rate:
    """Price per hour where everything named fits; an empty tuple fits everything. The first rate that fits counts."""

    price: Decimal
    states: tuple[EquipmentState, ...] = ()
    sub_states: tuple[SubState, ...] = ()
    classes: tuple[CustomerClass, ...] = ()
    bands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """Time shown on the line with price 0: who bears it and why."""

    states: tuple[EquipmentState, ...]
    responsible: tuple[Responsible, ...]
    reason: Name


@dataclass(frozen=True, slots=True)
class SessionRule:
    """A session is one run on one instrument. Its time (waived time included, so that nobody pays for the platform's trouble) is brought up to
    `minimum`, then up to a multiple of `step` (µs, 0 for none); what is added costs `price` per hour."""

    minimum: Micros
    step: Micros
    price: Decimal


@dataclass(frozen=True, slots=True)
class TimeCharge:
    """One line per run: time by state, sub-state, customer class and time of day. `instruments` empty means every instrument."""

    code: str
    name: Name
    tax: str
    rates: tuple[Rate, ...]
    waivers: tuple[Waiver, ...] = ()
    instruments: tuple[str, ...] = ()
    session: SessionRule | None = None


class PriceModel(StrEnum):
    UNIT = "unit"  # every unit costs the same
    GRADUATED = "graduated"  # each tier's price for the units inside it
    VOLUME = "volume"  # the price of the tier reached, for every unit
    PACKAGE = "package"  # per started package


class Scope(StrEnum):
    RUN = "run"
    PERIOD = "period"


@dataclass(frozen=True, slots=True)
class Tier:
    """Units above the tier before, up to and including `up_to` (None: without end)."""

    up_to: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class QuantityCharge:
    """One line per run or per period for a metered quantity. UNIT and PACKAGE have one tier without end. A waived state's quantity is shown
    and costs nothing."""

    code: str
    name: Name
    tax: str
    quantity: str
    unit: str
    model: PriceModel
    tiers: tuple[Tier, ...]
    scope: Scope = Scope.PERIOD
    package: Decimal = Decimal(1)
    waivers: tuple[Waiver, ...] = ()
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlatCharge:
    """One line per run (or per period with any usage): a fixed price."""

    code: str
    name: Name
    tax: str
    price: Decimal
    scope: Scope = Scope.RUN


Charge = TimeCharge | QuantityCharge | FlatCharge


@dataclass(frozen=True, slots=True)
class Tax:
    """`rate` is a share: 0.06 for 6 %."""

    code: str
    name: Name
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Tariff:
    """Effective on local days [effective_from, effective_to) of its zone; None: open. `digest` names the version for ever."""

    id: str
    version: int
    name: Name
    currency: str
    time_zone: str
    effective_from: date
    effective_to: date | None
    bands: tuple[Band, ...]
    charges: tuple[Charge, ...]
    taxes: tuple[Tax, ...]
    digest: str

    def band(self, cell: HourCell) -> str:
        """Name of the band of an hour, '' where none holds."""
        for band in self.bands:
            if band.holds(cell.weekday, cell.hour):
                return band.name
        return ""

    def effective_on(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)
