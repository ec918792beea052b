"""The meter as a processor of `line.records`: frames and run records of each line through its `LineMeter`, and what comes out, in the
transaction that also moves the position. Memory is a copy of `billing.meter_state`: killed at any point, the next process goes on from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import structlog

from services.billing.adapters import meter_tables as tables
from services.billing.adapters.state_models import list_state_models, resolve
from services.billing.domain.line_meter import Arrival, LineMeter, MeterPlan
from services.billing.domain.readings import readings_of
from shared.contracts.frame import decode_frame
from shared.contracts.lifecycle import decode_line_record
from shared.contracts.registry import Stream
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.messaging.dead_letters import dead_letter
from shared.messaging.processor import Record
from shared.observability import metrics
from shared.storage.pool import Connection
from shared.storage.registry import CachedRegistry, Registry

NAME = "billing.meter"
_log = structlog.get_logger(__name__)


class Meter:
    """A `Processor` (shared.messaging.processor) of `line.records`; usage events go to `usage_topic` by the outbox."""

    name = NAME
    kinds: frozenset[str] | None = frozenset({Kind.FRAME, Kind.LIFECYCLE, Kind.GAP, Kind.ANNOTATION, Kind.RESERVATION})
    tick_seconds: float | None = 0.25

    def __init__(self, registry: CachedRegistry, *, line_topic: str, usage_topic: str) -> None:
        self._registry = registry
        self._line_topic = line_topic
        self._usage_topic = usage_topic
        self._meters: dict[str, LineMeter] = {}
        self._partition_of: dict[str, int] = {}
        self._fed: dict[int, int] = {}
        self._emitted: dict[str, int] = defaultdict(int)

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        """Lines are loaded with their next record; those that wait for a rebuild or are behind at once: nothing else may ever come."""
        self._meters.clear()
        self._partition_of.clear()
        self._emitted.clear()
        positions = await tables.next_offsets(connection, NAME, self._line_topic)
        self._fed = {number: positions.get(number, 0) for number in partitions}
        for stored in await tables.load_meters(connection, partitions=partitions):
            await self._load(stored.line, connection)
        cursor = await connection.execute(
            "select line, partition from billing.meter_state where partition = any(%s)", (list(partitions),)
        )
        self._partition_of.update(await cursor.fetchall())

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        """Apply a batch; with or without one, go on where a line is behind, and compute again what waits for stored frames."""
        by_line: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            if record.key:
                by_line[record.key.decode("utf-8", "replace")].append(record)
            else:
                await dead_letter(
                    connection, NAME, record, Reject("key_missing", "a line's record has its line as key")
                )
        for line, batch in by_line.items():
            partition = self._partition_of[line] = batch[-1].partition
            self._fed[partition] = max(self._fed.get(partition, 0), batch[-1].offset + 1)
            meter = self._meters.get(line) or await self._load(line, connection)
            if meter is not None:
                await self._feed(line, meter, batch, connection)
        for line, meter in self._meters.items():
            if meter.behind is not None and line not in by_line:
                await self._advance(line, meter, connection)
            if meter.stale is not None:
                await self._rebuild(line, meter, connection)

    async def committed(self) -> None:
        for line, amount in self._emitted.items():
            metrics.USAGE_EVENTS.add(metrics.OfLine(line), amount)
        self._emitted.clear()

    async def _load(self, line: str, connection: Connection) -> LineMeter | None:
        """The line's meter as stored, a new one under the line's newest state model, or None when there is none to meter by."""
        registry = await self._known(line)
        models = await list_state_models(connection, line=line)
        if registry is None or not models:
            return None
        stored = next((row for row in await tables.load_meters(connection, line=line) if row.line == line), None)
        published = models[-1] if stored is None else next(m for m in models if m.digest == stored.model_digest)
        plan = MeterPlan.build(
            resolve(published, registry),
            registry.platforms[registry.lines[line].platform],
            [stream for stream in registry.versions.values() if stream.line == line],
        )
        self._meters[line] = LineMeter(plan) if stored is None else LineMeter.restore(plan, stored.snapshot)
        return self._meters[line]

    async def _known(self, line: str) -> Registry | None:
        registry = await self._registry.current()
        if line not in registry.lines:
            registry = await self._registry.refresh(unless_younger=1.0)
        return registry if line in registry.lines else None

    async def _feed(self, line: str, meter: LineMeter, records: Sequence[Record], connection: Connection) -> None:
        for record in records:
            try:
                await self._take(meter, record)
            except Reject as reject:
                await dead_letter(connection, NAME, record, reject)
        await self._advance(line, meter, connection)

    async def _advance(self, line: str, meter: LineMeter, connection: Connection) -> None:
        segments = meter.advance()
        await tables.emit(connection, self._usage_topic, segments)
        await tables.save_meter(connection, line, self._partition_of[line], meter)
        self._emitted[line] += len(segments)

    async def _take(self, meter: LineMeter, record: Record) -> None:
        """Raises Reject for what cannot be read."""
        if record.kind != Kind.FRAME:
            meter.apply(decode_line_record(record.value))
            return
        readings = readings_of(decode_frame(record.value), record.partition, record.offset)
        stream = await self._stream(readings.stream, readings.registry_version)
        if readings.values.shape[1] != len(stream.channels):
            raise Reject("frame_shape", f"{readings.stream} has {len(stream.channels)} channels in that version")
        if meter.add_frame(readings) is Arrival.UNKNOWN_VERSION:
            meter.learn(stream)
            meter.add_frame(readings)

    async def _stream(self, stream: str, version: int) -> Stream:
        """Raises Reject(registry_version_unknown)."""
        registry = await self._registry.current()
        if (stream, version) not in registry.versions:
            registry = await self._registry.refresh(unless_younger=1.0)
        found = registry.versions.get((stream, version))
        if found is None:
            raise Reject("registry_version_unknown", f"{stream} has no registry version {version}")
        return found

    async def _rebuild(self, line: str, meter: LineMeter, connection: Connection) -> None:
        """Compute a line again from stored frames, once everything this meter was fed is stored; before that, a later batch or tick does it."""
        stale = meter.stale
        partition = self._partition_of[line]
        stored_up_to = (await tables.next_offsets(connection, tables.SINK, self._line_topic)).get(partition, 0)
        if stale is None or stored_up_to < self._fed[partition]:
            return
        frames = await tables.stored_readings(connection, stale)
        revisions = meter.rebuild(frames, await tables.emitted_since(connection, line, stale))
        await tables.emit(connection, self._usage_topic, revisions)
        await tables.save_meter(connection, line, partition, meter)
        self._emitted[line] += len(revisions)
        _log.info("line_metered_again", line=line, since=stale.since, frames=len(frames), revisions=len(revisions))
