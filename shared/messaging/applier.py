"""What both drivers share: one transaction per batch, retried in place, with memory and database never apart.

An Applier holds the partitions a process owns and the position of each. `apply` takes what a driver delivers (copies, old records,
records of lost partitions included) and commits what is new. Whatever fails, the transaction is rolled back and the processor restored
from the database before anything else: an unknown outcome of COMMIT is settled by reading the position again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import structlog

from shared.kernel.errors import PilotlineError
from shared.messaging.connecting import backoff, pause
from shared.messaging.failures import transient
from shared.messaging.positions import Partition, Position, PositionGap, applicable, claim, lock, move
from shared.messaging.processor import Processor, Record
from shared.observability import metrics
from shared.storage.pool import Pool

log = structlog.get_logger()


class Stopping(PilotlineError):
    """The process is asked to stop while a batch could not be committed; it stays in the log."""


def record_of(
    topic: str,
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    timestamp_ms: int,
) -> Record:
    """A Record from the parts both client libraries have. A value of None (a tombstone) becomes b''."""
    named = dict(headers)
    kind = named.get("kind", b"").decode("utf-8", "replace")
    return Record(topic, partition, offset, key, kind, value or b"", timestamp_ms, named)


class Applier:
    """One processor and the partitions this process owns. Its methods may be called at once; they take turns."""

    def __init__(self, processor: Processor, pool: Pool, *, stop: asyncio.Event, patience: float = 60.0) -> None:
        """`patience`: seconds of back-off on one batch before the error is passed on and the process ends."""
        self._processor = processor
        self._pool = pool
        self._stop = stop
        self._patience = patience
        self._turn = asyncio.Lock()
        self._beginnings: dict[Partition, int] = {}
        self._held: dict[Partition, Position] = {}
        self._stale = False
        self._called_at = time.monotonic()

    @property
    def positions(self) -> Mapping[Partition, int]:
        """Next offset of every owned partition, as committed."""
        return {partition: position.next_offset for partition, position in self._held.items()}

    def seconds_to_tick(self) -> float | None:
        """Until `tick` is due; None when this processor has no ticks or owns nothing."""
        if self._processor.tick_seconds is None or not self._held:
            return None
        return max(0.0, self._called_at + self._processor.tick_seconds - time.monotonic())

    async def own(self, beginnings: Mapping[Partition, int]) -> Mapping[Partition, int]:
        """Claim exactly these partitions (with the log's first offset of each), load their state; returns the offsets to read from."""
        async with self._turn:
            self._held = {}
            self._beginnings = dict(beginnings)
            self._stale = True
            await self._until_done(_nothing)
            return self.positions

    async def release(self) -> None:
        """Own nothing. Waits for the transaction under way, so that a rebalance does not cut it off."""
        async with self._turn:
            for partition in self._held:
                _forget(self._processor.name, partition)
            self._held = {}
            self._beginnings = {}
            self._stale = True

    async def apply(self, records: Sequence[Record]) -> None:
        """Commit what is new of a delivery. Returns when it is committed or was already.

        Raises PositionGap (nothing changed; deliver again from `positions`), Stopping, or what ends the process.
        """
        async with self._turn:
            await self._until_done(lambda: self._commit_new(records))

    async def tick(self) -> None:
        """Let the processor act without records."""
        async with self._turn:
            if self._held:
                await self._until_done(lambda: self._commit(()))

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        """Restore if memory is stale, then take the step; again and again while failures are transient."""
        started = time.monotonic()
        attempt = 0
        while True:
            try:
                if self._stale:
                    await self._restore()
                await step()
            except PositionGap:
                raise
            except BaseException as error:
                # Whatever it was, memory may be ahead of the database now: the next step starts from what is stored.
                self._stale = True
                reason = transient(error)
                if reason is None or time.monotonic() - started > self._patience:
                    raise
                metrics.BATCH_RETRIES.add(metrics.OfFailure(self._processor.name, reason))
                log.warning("batch_retried", processor=self._processor.name, reason=reason, attempt=attempt + 1)
                await pause(self._stop, backoff(attempt))
                if self._stop.is_set():
                    raise Stopping(self._processor.name) from error
                attempt += 1
            else:
                return

    async def _restore(self) -> None:
        async with self._pool.connection() as connection, connection.transaction():
            held = await claim(connection, self._processor.name, self._beginnings)
            await self._processor.restore(sorted({partition.number for partition in held}), connection)
        self._held = held
        self._stale = False
        for partition, position in held.items():
            metrics.POSITION.set(_labels(self._processor.name, partition), position.next_offset)

    async def _commit_new(self, records: Sequence[Record]) -> None:
        fresh = applicable(records, self._held)  # after a retry the position may have moved: filter again
        if fresh:
            await self._commit(fresh)

    async def _commit(self, fresh: Sequence[Record]) -> None:
        kinds = self._processor.kinds
        wanted = [record for record in fresh if kinds is None or record.kind in kinds]
        offsets = {Partition(record.topic, record.partition): record.offset + 1 for record in fresh}
        started = time.monotonic()
        async with self._pool.connection() as connection, connection.transaction():
            # Before the effects: a process that lost a partition stops here, not after it has written.
            await lock(connection, self._processor.name, self._held)
            if wanted or not fresh:
                await self._processor.process(wanted, connection)
                self._called_at = time.monotonic()
            moved = await move(connection, self._processor.name, offsets)
        self._held |= moved
        self._report(fresh, moved, time.monotonic() - started)
        await self._processor.committed()

    def _report(self, fresh: Sequence[Record], moved: Mapping[Partition, Position], seconds: float) -> None:
        name = self._processor.name
        for record in fresh:
            metrics.RECORDS_APPLIED.add(_labels(name, Partition(record.topic, record.partition)))
        for partition, position in moved.items():
            metrics.POSITION.set(_labels(name, partition), position.next_offset)
        if fresh:
            metrics.BATCH_SECONDS.observe(metrics.OfProcessor(name), seconds)
            metrics.BATCH_RECORDS.observe(metrics.OfProcessor(name), len(fresh))


async def _nothing() -> None:
    """The step of `own`: restoring is all."""


def _labels(processor: str, partition: Partition) -> metrics.OfPartition:
    return metrics.OfPartition(processor, partition.topic, str(partition.number))


def _forget(processor: str, partition: Partition) -> None:
    metrics.POSITION.forget(_labels(processor, partition))
    metrics.LAG.forget(_labels(processor, partition))
