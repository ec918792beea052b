"""The recorder as a processor of `usage.events`: each event becomes a ledger row once, or is counted as a duplicate, kept as a conflict or
kept in quarantine with its reason (B-6, B-7, B-8). It holds no memory between batches: after a crash the tables are all it needs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import psycopg
import structlog

from services.billing.adapters import ledger_tables as tables
from services.billing.domain.usage import read_usage
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.messaging.failures import refused_data
from shared.messaging.processor import Record
from shared.observability import metrics
from shared.storage.pool import Connection

NAME = "billing.recorder"
_log = structlog.get_logger(__name__)


class Recorder:
    """A `Processor` (shared.messaging.processor) of `usage.events`."""

    name = NAME
    kinds: frozenset[str] | None = frozenset({Kind.EVENT})
    tick_seconds: float | None = None

    def __init__(self) -> None:
        self._recorded: list[str] = []

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        self._recorded = []

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        """Apply a batch. An event that PostgreSQL refuses (SQLSTATE class 22 or 23) is found by halving and waits in quarantine; the others
        are recorded."""
        before = copy(self._recorded)
        try:
            async with connection.transaction():
                await self._apply(records, connection)
        except psycopg.Error as error:
            if not refused_data(error):
                raise
            self._recorded = before
            if len(records) > 1:
                half = len(records) // 2
                await self.process(records[:half], connection)
                await self.process(records[half:], connection)
                return
            record = records[0]
            _log.warning("event_refused", partition=record.partition, offset=record.offset, sqlstate=error.sqlstate)
            reject = Reject(f"sqlstate_{error.sqlstate}", "the database refuses this event")
            await tables.enter(connection, [], [tables.Unreadable(record, reject)])

    async def committed(self) -> None:
        for line in self._recorded:
            metrics.LEDGER_ENTRIES.add(metrics.OfLine(line))
        self._recorded = []

    async def _apply(self, records: Sequence[Record], connection: Connection) -> None:
        readable: list[tables.Received] = []
        unreadable: list[tables.Unreadable] = []
        for record in records:
            try:
                readable.append(tables.Received(record, read_usage(record.value)))
            except Reject as reject:
                unreadable.append(tables.Unreadable(record, reject))
        self._recorded += await tables.enter(connection, readable, unreadable)
