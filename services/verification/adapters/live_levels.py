"""Levels for live pages: margins of the criteria, newest data of the streams. Numbers as finished strings, states as words."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contracts.registry import ClockPolicy
from shared.kernel.times import SECOND, Micros, micros, to_rfc3339
from shared.storage.pool import Connection

_OVERLAP = timedelta(seconds=3)
"""A row's time is that of its statement, its visibility that of its commit: how far back the next look reaches."""

_Level = tuple[str, str, str, Mapping[str, Any]]


class LevelReader:
    """Remembers what it has given, so that a look gives what is new. One look for all readers."""

    def __init__(self, now: Callable[[], Micros]) -> None:
        self._now = now
        self._since = datetime(1970, 1, 1, tzinfo=UTC)
        self._given: dict[str, datetime] = {}
        self._fresh: dict[str, dict[str, Micros]] = {}
        self._delayed: dict[str, float] = {}

    async def changed(self, connection: Connection, scopes: Collection[str | None]) -> list[_Level]:
        """(run, key, event name, data) of everything in these scopes (None: every run) that has changed since the last look."""
        runs = None if None in scopes else sorted(run for run in scopes if run is not None)
        levels = await self._fresh_levels(connection, runs)
        wanted = sorted(run for run in scopes if run is not None)
        if wanted:
            levels += await self._margins(connection, wanted)
        return levels

    async def snapshot(self, connection: Connection, run: str | None) -> Mapping[str, Any]:
        """Every level of a scope, and the heartbeat's facts."""
        await self._fresh_levels(connection, None if run is None else [run])
        margins = []
        if run is not None:
            cursor = await connection.execute(f"{_MARGINS} where run_id = %s order by position".encode(), (run,))
            margins = [_margin(row) for row in await cursor.fetchall()]
        return {**self.beat(run), "criteria": margins}

    def beat(self, run: str | None) -> dict[str, Any]:
        """`delayed_seconds`: by how much the newest data of a stream with a live clock is later than its period explains."""
        runs = self._fresh if run is None else {run: self._fresh.get(run, {})}
        watermark = {stream: to_rfc3339(at) for streams in runs.values() for stream, at in streams.items()}
        delayed = max((self._delayed.get(name, 0.0) for name in runs), default=0.0)
        return {"server_time": to_rfc3339(self._now()), "watermark": watermark, "delayed_seconds": delayed}

    async def _margins(self, connection: Connection, runs: list[str]) -> list[_Level]:
        cursor = await connection.execute(
            f"{_MARGINS} where run_id = any(%s) and updated_at > %s".encode(), (runs, self._since)
        )
        levels: list[_Level] = []
        newest = self._since
        for row in await cursor.fetchall():
            run, criterion, updated_at = row[0], row[1], row[-1]
            key = f"{run}/{criterion}"
            newest = max(newest, updated_at)
            if self._given.get(key) != updated_at:
                self._given[key] = updated_at
                levels.append((run, key, "margin", _margin(row)))
        if newest - _OVERLAP > self._since:
            self._since = newest - _OVERLAP
            self._given = {key: at for key, at in self._given.items() if at > self._since}
        return levels

    async def _fresh_levels(self, connection: Connection, runs: list[str] | None) -> list[_Level]:
        """Newest sample per stream of every running run, and which runs have news."""
        cursor = await connection.execute(
            """select r.run_id, s.stream_id, l.measured_at, v.description ->> 'clock', (v.description ->> 'period')::bigint
               from verification.run r
               cross join lateral jsonb_to_recordset(r.streams) p(stream text, version int)
               join ingest.stream s on s.stream_id = p.stream
               join ingest.stream_version v on v.stream_id = p.stream and v.version = p.version
               join ingest.latest l using (stream_no)
               where r.state in ('running', 'held') and (%(runs)s::text[] is null or r.run_id = any(%(runs)s))""",
            {"runs": runs},
        )
        found: dict[str, dict[str, Micros]] = {}
        delayed: dict[str, float] = {}
        for run, stream, measured_at, clock, period in await cursor.fetchall():
            at = micros(measured_at)
            found.setdefault(run, {})[stream] = at
            late = (self._now() - at - 2 * period) / SECOND
            if clock == ClockPolicy.LIVE and late > 3:
                delayed[run] = max(delayed.get(run, 0.0), round(late, 1))
        changed = [run for run, streams in found.items() if self._fresh.get(run) != streams]
        self._fresh = found if runs is None else {**self._fresh, **found}
        self._delayed = delayed if runs is None else {**self._delayed, **delayed}
        return [(run, f"{run}/fresh", "fresh", {"run": run, "newest": _newest(found[run])}) for run in changed]


_MARGINS = "select run_id, criterion, activity, verdict, margin, low, high, state ->> 'unit', updated_at from verification.criterion_state"


def _margin(row: tuple[Any, ...]) -> dict[str, Any]:
    run, criterion, activity, verdict, margin, low, high, unit, _ = row
    return {
        "run": run,
        "criterion": criterion,
        "word": verdict if activity == "decided" else activity,
        "margin": _text(margin),
        "low": _text(low),
        "high": _text(high),
        "unit": unit,
    }


def _text(value: float | None) -> str | None:
    return None if value is None or not math.isfinite(value) else f"{value:.6g}"


def _newest(streams: Mapping[str, Micros]) -> str:
    return to_rfc3339(max(streams.values()))
