"""Local hours, days and months as instants, over every change of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from services.billing.domain.local_hours import LocalHours
from shared.kernel.errors import Invalid
from shared.kernel.times import DAY, HOUR, MINUTE, Micros, micros


def instant(text: str) -> Micros:
    return micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


# B-3, B-21
@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), [0, 1, 3, 4]),
        ("Europe/Berlin", date(2026, 10, 25), [0, 1, 2, 2, 3]),
        ("Asia/Shanghai", date(2026, 2, 28), [0, 1, 2, 3]),
        ("Australia/Lord_Howe", date(2026, 4, 5), [0, 1, 1, 2, 3]),
        ("Asia/Kolkata", date(2026, 1, 1), [0, 1, 2]),
    ],
)
def test_hours_of_a_day_are_those_the_wall_clock_shows(zone: str, day: date, hours: list[int]) -> None:
    local = LocalHours(zone)
    cell = local.cell(local.day_start(day))
    seen: list[int] = []
    while len(seen) < len(hours):
        assert cell.day == day
        seen.append(cell.hour)
        cell = local.cell(cell.end)
    assert seen == hours


# B-21
@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Shanghai", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]
)
def test_cells_tile_a_year_without_gap_or_overlap(zone: str) -> None:
    local = LocalHours(zone)
    position = instant("2026-01-01T00:00:00")
    cell = local.cell(position)
    while cell.end < position + 366 * DAY:
        following = local.cell(cell.end)
        assert following.start == cell.end
        assert 0 < cell.end - cell.start <= HOUR
        assert local.cell(cell.end - 1) == cell
        cell = following


# B-21
def test_month_ends_of_shanghai_lie_at_sixteen_hours_utc() -> None:
    start, end = LocalHours("Asia/Shanghai").month(2026, 2)
    assert (start, end) == (instant("2026-01-31T16:00:00"), instant("2026-02-28T16:00:00"))
    assert LocalHours("Asia/Shanghai").month(2026, 12)[1] == instant("2026-12-31T16:00:00")


# B-21
def test_a_month_with_a_change_of_the_clock_is_an_hour_shorter_or_longer() -> None:
    local = LocalHours("Europe/Berlin")
    march, october = local.month(2026, 3), local.month(2026, 10)
    assert march[1] - march[0] == 31 * DAY - HOUR
    assert october[1] - october[0] == 31 * DAY + HOUR


def test_a_day_whose_midnight_is_skipped_begins_when_the_clock_resumes() -> None:
    assert LocalHours("Africa/Cairo").day_start(date(2026, 4, 24)) == instant("2026-04-23T22:00:00")


def test_half_hour_zones_begin_their_hours_at_the_half() -> None:
    assert (
        LocalHours("Asia/Kolkata").cell(instant("2026-01-01T00:00:00")).start
        == instant("2026-01-01T00:00:00") - 30 * MINUTE
    )


def test_a_zone_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid) as refusal:
        LocalHours("Asia/Hangzhou")
    assert refusal.value.code == "time_zone_unknown"
