"""The sink: a batch of the log becomes blocks, ledger, newest values, boots, gaps, quarantine and counts, in the transaction that also
moves the position. It holds no state of its own between batches: after a crash the tables are all it needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy

import psycopg
import structlog

from services.ingest.adapters import sink_tables as tables
from services.ingest.adapters.arrivals import (
    Arrival,
    LedgerKey,
    as_waiting,
    read_records,
    refused,
    sort_out,
    unregistered,
)
from services.ingest.adapters.metrics import Tally, committed
from services.ingest.domain.arrival import BootGap, Counts, StreamBook
from shared.contracts.lifecycle import GapSeen, encode_line_record
from shared.contracts.quarantine import QuarantineRecord
from shared.contracts.registry import Stream
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.kernel.ids import stable_id
from shared.messaging.failures import refused_data
from shared.messaging.outbox import OutboxMessage, Schema, add
from shared.messaging.processor import Record
from shared.storage.pool import Connection
from shared.storage.registry import CachedRegistry

NAME = "ingest.sink"
SCHEMA: Schema = "ingest"
_log = structlog.get_logger(__name__)


class Sink:
    """A `Processor` (shared.messaging.processor) of `line.records`."""

    name = NAME
    kinds: frozenset[str] | None = frozenset({Kind.FRAME, Kind.QUARANTINE})
    tick_seconds: float | None = None

    def __init__(self, registry: CachedRegistry, topic: str) -> None:
        self._registry = registry
        self._topic = topic
        self._tally = Tally()

    async def restore(self, partitions: Sequence[int], connection: Connection) -> None:
        """Nothing to load: every batch reads the state it changes."""
        self._tally = Tally()

    async def process(self, records: Sequence[Record], connection: Connection) -> None:
        """Apply a batch. A record that PostgreSQL refuses (SQLSTATE class 22 or 23) is found by halving and waits in quarantine; the
        others are stored. Every other database error is the driver's: the transaction is rolled back and the batch comes again."""
        before = deepcopy(self._tally)
        try:
            async with connection.transaction():
                await self._apply(records, connection)
        except psycopg.Error as error:
            if not refused_data(error):
                raise
            self._tally = before
            if len(records) > 1:
                half = len(records) // 2
                await self.process(records[:half], connection)
                await self.process(records[half:], connection)
                return
            record = records[0]
            _log.warning("record_refused", partition=record.partition, offset=record.offset, sqlstate=error.sqlstate)
            reject = Reject(f"sqlstate_{error.sqlstate}", "the database refuses this record")
            await self._quarantine([refused(record, reject)], connection)

    async def committed(self) -> None:
        """Only now what was counted is true."""
        committed(self._tally)
        self._tally = Tally()

    async def _apply(self, records: Sequence[Record], connection: Connection) -> None:
        registry = await self._registry.current()
        read = read_records(records)
        if unregistered(read, registry):
            registry = await self._registry.refresh(unless_younger=1.0)
        arrivals, waiting = sort_out(read, registry)
        await self._quarantine(waiting, connection)
        if arrivals:
            await self._store(arrivals, connection)

    async def _quarantine(self, waiting: Sequence[QuarantineRecord], connection: Connection) -> None:
        if not waiting:
            return
        await tables.save_quarantine(connection, waiting)
        counts: dict[str, Counts] = defaultdict(Counts)
        for record in waiting:
            counts[record.stream].received += 1
            counts[record.stream].quarantined += 1
        await tables.save_counts(connection, counts)
        self._tally.count(counts, (await self._registry.current()).streams)

    async def _store(self, arrivals: Sequence[Arrival], connection: Connection) -> None:
        first: dict[LedgerKey, Arrival] = {}
        for arrival in arrivals:
            first.setdefault(arrival.key, arrival)
        before = await tables.enter_ledger(connection, {key: arrival.content for key, arrival in first.items()})
        new = [arrival for key, arrival in first.items() if key not in before]
        in_force = {key: arrival.content for key, arrival in first.items()} | before
        boots: dict[int, set[str]] = defaultdict(set)
        for arrival in arrivals:
            boots[arrival.number].add(arrival.frame.boot)
        books = await tables.load_books(connection, boots)
        streams = {arrival.number: arrival.stream for arrival in arrivals}

        late = [
            books[arrival.number].store(
                position,
                arrival.frame.boot,
                arrival.frame.seq,
                arrival.first,
                arrival.last,
                (arrival.frame.rows, arrival.frame.channels),
                arrival.frame.received_at,
            )
            for position, arrival in enumerate(new)
        ]
        if new:
            await tables.append_blocks(connection, new, late)
            await tables.save_latest(connection, books, new)
            await tables.save_boots(connection, books)
        if len(new) < len(arrivals):
            stored = {id(arrival) for arrival in new}
            again = [arrival for arrival in arrivals if id(arrival) not in stored]
            await self._settle_repeats(again, in_force, books, connection)
        for number, book in books.items():
            for gap in book.gaps:
                await self._save_gap(streams[number], gap, connection)
            book.counts.received = book.counts.stored + book.counts.duplicate + book.counts.conflict
        counts = {streams[number].id: book.counts for number, book in books.items()}
        await tables.save_counts(connection, counts)
        self._tally.count(counts, counts)
        self._tally.oldest(min(arrival.frame.received_at for arrival in arrivals))

    async def _settle_repeats(
        self,
        again: Sequence[Arrival],
        in_force: dict[LedgerKey, bytes],
        books: dict[int, StreamBook],
        connection: Connection,
    ) -> None:
        """Same content: a duplicate, counted. Other content: a conflict; the first stays in force and this one is kept for a person."""
        conflicts = []
        for arrival in again:
            book = books[arrival.number]
            if in_force[arrival.key] == arrival.content:
                book.counts.duplicate += 1
                continue
            book.counts.conflict += 1
            conflicts.append(as_waiting(arrival, _conflict(arrival, book)))
        if conflicts:
            await tables.save_quarantine(connection, conflicts)

    async def _save_gap(self, stream: Stream, seen: BootGap, connection: Connection) -> None:
        """The row, and the record that tells verification and billing, in this transaction."""
        await tables.save_gap(connection, stream.id, seen)
        gap = seen.change.gap
        event_id = stable_id("gap", stream.id, seen.boot, gap.from_seq, gap.to_seq, seen.change.closed)
        record = GapSeen(
            event_id=str(event_id),
            line=stream.line,
            stream=stream.id,
            boot=seen.boot,
            from_seq=gap.from_seq,
            to_seq=gap.to_seq,
            after=gap.after,
            before=gap.before,
            closed=seen.change.closed,
        )
        message = OutboxMessage(event_id, self._topic, stream.line, Kind.GAP, encode_line_record(record))
        await add(connection, SCHEMA, [message])


def _conflict(arrival: Arrival, book: StreamBook) -> Reject:
    """A number used twice for different content; when its samples are newer than all before, the sender has begun to count again."""
    seq = arrival.frame.seq
    if book.newest is not None and arrival.first > book.newest:
        return Reject(
            "conflict", f"record {seq} came before with other content: the sequence restarted without a new boot id"
        )
    return Reject("conflict", f"record {seq} came before with other content; the first stays in force")
