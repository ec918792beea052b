"""The registry as every service reads it: contract dataclasses, any version. Ingest is the only writer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.contracts.registry import Customer, CustomerClass, Instrument, Line, Name, Platform, Stream
from shared.storage.pool import Connection, Pool


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything registered at one moment, by id. `streams` are the current versions, `versions` all of them by (id, version), `numbers`
    the short key of a stream in the ingest tables."""

    platforms: Mapping[str, Platform]
    lines: Mapping[str, Line]
    instruments: Mapping[str, Instrument]
    customers: Mapping[str, Customer]
    streams: Mapping[str, Stream]
    versions: Mapping[tuple[str, int], Stream]
    numbers: Mapping[str, int]

    def streams_of_line(self, line: str) -> tuple[Stream, ...]:
        """Current versions, by id."""
        return tuple(self.streams[key] for key in sorted(self.streams) if self.streams[key].line == line)


def stream_description(stream: Stream) -> dict[str, Any]:
    """What `ingest.stream_version.description` holds: the stream without id and version, as JSON types."""
    facts: dict[str, Any] = msgspec.to_builtins(stream)
    del facts["id"], facts["version"]
    return facts


def stream_from_description(stream_id: str, version: int, description: Mapping[str, Any]) -> Stream:
    """Inverse of `stream_description`. Raises msgspec.ValidationError for a row no release has written."""
    return msgspec.convert({"id": stream_id, "version": version, **description}, Stream, strict=False)


async def read_stream(connection: Connection, stream_id: str, version: int | None = None) -> Stream | None:
    """One version of a stream, the current one by default; None when there is none."""
    cursor = await connection.execute(
        """select v.version, v.description from ingest.stream s join ingest.stream_version v using (stream_id)
           where s.stream_id = %s and v.version = coalesce(%s, s.current_version)""",
        (stream_id, version),
    )
    row = await cursor.fetchone()
    return None if row is None else stream_from_description(stream_id, row[0], row[1])


async def read_registry(connection: Connection) -> Registry:
    """The whole registry."""
    versions: dict[tuple[str, int], Stream] = {}
    current: dict[str, Stream] = {}
    numbers: dict[str, int] = {}
    cursor = await connection.execute(
        """select s.stream_no, s.stream_id, s.current_version, v.version, v.description
           from ingest.stream s join ingest.stream_version v using (stream_id) order by s.stream_id, v.version"""
    )
    for number, stream_id, current_version, version, description in await cursor.fetchall():
        stream = stream_from_description(stream_id, version, description)
        versions[stream_id, version] = stream
        numbers[stream_id] = number
        if version == current_version:
            current[stream_id] = stream
    return Registry(
        platforms=await _by_id(connection, "select platform_id, name, time_zone from ingest.platform", _platform),
        lines=await _by_id(connection, "select line_id, platform_id, name, sector from ingest.line", _line),
        instruments=await _by_id(connection, "select instrument_id, line_id, name from ingest.instrument", _instrument),
        customers=await _by_id(
            connection, "select customer_id, name, class, credit_code from ingest.customer", _customer
        ),
        streams=current,
        versions=versions,
        numbers=numbers,
    )


class CachedRegistry:
    """The registry as of at most `max_age` seconds ago. One reload at a time, however many ask."""

    def __init__(self, pool: Pool, *, max_age: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._max_age = max_age
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._registry: Registry | None = None
        self._read_at = 0.0

    async def current(self) -> Registry:
        """Reads again when the copy is too old. Raises psycopg.Error or PoolTimeout."""
        return await self.refresh(unless_younger=self._max_age)

    async def refresh(self, *, unless_younger: float = 0.0) -> Registry:
        """Reads now, unless the copy is younger than that many seconds."""
        if self._younger(unless_younger):
            return self._known()
        async with self._lock:
            if self._younger(unless_younger):
                return self._known()
            started = self._monotonic()
            async with self._pool.connection() as connection:
                self._registry = await read_registry(connection)
            self._read_at = started
            return self._registry

    def _younger(self, seconds: float) -> bool:
        return self._registry is not None and self._monotonic() - self._read_at < seconds

    def _known(self) -> Registry:
        assert self._registry is not None
        return self._registry


async def _by_id(connection: Connection, query: str, build: Callable[..., Any]) -> dict[str, Any]:
    cursor = await connection.execute(query.encode())
    return {row[0]: build(*row) for row in await cursor.fetchall()}


def _name(value: Mapping[str, str]) -> Name:
    return Name(en=value["en"], zh=value["zh"])


def _platform(platform_id: str, name: Mapping[str, str], time_zone: str) -> Platform:
    return Platform(id=platform_id, name=_name(name), time_zone=time_zone)


def _line(line_id: str, platform_id: str, name: Mapping[str, str], sector: str) -> Line:
    return Line(id=line_id, platform=platform_id, name=_name(name), sector=sector)


def _instrument(instrument_id: str, line_id: str, name: Mapping[str, str]) -> Instrument:
    return Instrument(id=instrument_id, line=line_id, name=_name(name))


def _customer(customer_id: str, name: Mapping[str, str], class_: str, credit_code: str | None) -> Customer:
    return Customer(id=customer_id, name=_name(name), class_=CustomerClass(class_), credit_code=credit_code)
