"""Clock hours, days and months of a platform's time zone (IANA), as instants. Safe over DST: an hour cell ends wherever the local clock
reaches a full hour or jumps. No zone is taken to change twice within a UTC day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.kernel.errors import Invalid
from shared.kernel.times import DAY, HOUR, Micros, micros, utc

_CACHED_HOURS = 100_000


@dataclass(frozen=True, slots=True)
class HourCell:
    """[start, end) lies in one local clock hour. `weekday` counts from Monday = 0."""

    start: Micros
    end: Micros
    day: date
    hour: int

    @property
    def weekday(self) -> int:
        return self.day.weekday()


@lru_cache(maxsize=64)
def local_hours(zone: str) -> LocalHours:
    """The one `LocalHours` of a zone: what it has looked up serves every rating. Raises Invalid(time_zone_unknown)."""
    return LocalHours(zone)


@dataclass(slots=True)
class LocalHours:
    """Hour cells of one zone. Raises Invalid(time_zone_unknown) for a zone that is none."""

    zone: str
    _info: ZoneInfo = field(init=False, repr=False)
    _cells: dict[int, tuple[HourCell, ...]] = field(init=False, repr=False, default_factory=dict)
    _days: dict[int, Micros] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self._info = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise Invalid(
                "time_zone_unknown",
                f"'{self.zone}' is not an IANA time zone",
                field="time_zone",
                remedy="write a name such as Asia/Shanghai",
            ) from error

    def cell(self, instant: Micros) -> HourCell:
        """The cell that holds the instant."""
        hour = instant // HOUR
        cells = self._cells.get(hour)
        if cells is None:
            if len(self._cells) >= _CACHED_HOURS:
                self._cells.clear()
                self._days.clear()
            cells = self._cells[hour] = tuple(self._cells_of(hour))
        for cell in cells:
            if instant < cell.end:
                return cell
        raise AssertionError("the cells of an hour cover it")

    def day_start(self, day: date) -> Micros:
        """First instant of a local day (later than midnight where the clock skips it)."""
        before = micros(datetime(day.year, day.month, day.day, tzinfo=self._info)) - 3 * HOUR
        cell = self.cell(before)
        while cell.day < day:
            cell = self.cell(cell.end)
        return cell.start

    def month(self, year: int, month: int) -> tuple[Micros, Micros]:
        """[start, end) of a local month."""
        following = date(year + month // 12, month % 12 + 1, 1)
        return self.day_start(date(year, month, 1)), self.day_start(following)

    def _offset(self, instant: Micros) -> Micros:
        """Offset from UTC at an instant. A day on which it does not change is asked once: the zone database is slow."""
        day = instant // DAY
        constant = self._days.get(day)
        if constant is not None:
            return constant
        first, last = self._look_up(day * DAY), self._look_up((day + 1) * DAY - 1)
        if first != last:
            return self._look_up(instant)
        self._days[day] = first
        return first

    def _look_up(self, instant: Micros) -> Micros:
        offset = utc(instant).astimezone(self._info).utcoffset()
        assert offset is not None
        return offset // timedelta(microseconds=1)

    def _cells_of(self, hour: int) -> list[HourCell]:
        """The cells that together cover [hour, hour + 1) of UTC; the first and last may reach beyond it."""
        cells: list[HourCell] = []
        instant = hour * HOUR
        while instant < (hour + 1) * HOUR:
            cells.append(self._cell_at(instant))
            instant = cells[-1].end
        return cells

    def _cell_at(self, instant: Micros) -> HourCell:
        offset = self._offset(instant)
        start = (instant + offset) // HOUR * HOUR - offset
        end = start + HOUR
        if self._offset(start) != offset:
            start = self._change(start, instant)
        if self._offset(end - 1) != offset:
            end = self._change(instant, end - 1)
        local = utc(instant + offset)
        return HourCell(start, end, local.date(), local.hour)

    def _change(self, low: Micros, high: Micros) -> Micros:
        """First instant in (low, high] whose offset is that of `high`; the zone changes once between them."""
        wanted = self._offset(high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == wanted:
                high = middle
            else:
                low = middle
        return high
