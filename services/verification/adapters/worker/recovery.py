"""When the worker's memory is written, and how it is read again: snapshots of the runs, and the batches between them.

A batch's records are kept in its own transaction. Snapshots follow beside it, one at a time on a connection of their own, taken right behind
a commit: a snapshot says up to which offset it reaches, so it may come later than the batch, or never. Only what the batches would not lead
to again (a rebuild, an end) is written with the transaction that did it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.verification.adapters.worker import memory
from services.verification.adapters.worker.book import Book
from services.verification.adapters.worker.delivery import give_again
from services.verification.adapters.worker.session import Session, freeze_session, thaw_session
from shared.messaging.failures import transient
from shared.messaging.processor import Record
from shared.storage.pool import Connection, Pool

_log = structlog.get_logger(__name__)

_SMALL = 256 * 1024
_JOURNAL_BYTES = 32 * 1024 * 1024
"""Most bytes of batches that a partition keeps for the sake of one run."""


@dataclass(slots=True)
class _Last:
    """A run's last snapshot: when it was taken, its size, and how much the run and its partition had been given by then."""

    at: float
    size: int
    fed: int
    kept: int


class Recovery:
    """Decides which snapshots are due: small ones every `seconds`, a large one when a quarter of its size has come since."""

    def __init__(self, pool: Pool, topic: str, seconds: float, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._topic = topic
        self._seconds = seconds
        self._monotonic = monotonic
        self._last: dict[str, _Last] = {}
        self._marked: set[str] = set()
        self._kept: dict[int, int] = {}
        self._pruned_at = 0.0
        self._durable: dict[str, int] = {}
        """Per run how many records the snapshot in the database holds; only one that holds all may stand for later offsets."""
        self._writing: asyncio.Task[tuple[str, int] | None] | None = None

    def mark(self, session: Session) -> None:
        """The run has changed otherwise than by the records of a batch: its snapshot goes with this transaction."""
        self._marked.add(session.run)

    async def load(self, connection: Connection, book: Book, partitions: Sequence[int]) -> list[Session]:
        """The sessions as of the last commit."""
        await self._stop_writing()
        self._last.clear()
        self._marked.clear()
        self._kept.clear()
        self._durable.clear()
        sessions: list[Session] = []
        reached: dict[str, int] = {}
        for saved in await memory.load(connection, partitions):
            sessions.append(await _thawed(connection, book, saved))
            reached[saved.run] = saved.next_offset
            self._last[saved.run] = _Last(self._monotonic(), len(saved.snapshot), 0, 0)
        by_line: dict[str, list[Session]] = {}
        for session in sessions:
            by_line.setdefault(session.line, []).append(session)
        for batch in await memory.load_batches(connection, self._topic, partitions):
            _replay(batch, by_line, reached)
        return sessions

    async def keep(
        self, connection: Connection, partition: int, batch: Sequence[Record], kept: Sequence[Record]
    ) -> None:
        """Keep what a batch has given to sessions."""
        written = memory.Batch(partition, batch[0].offset, batch[-1].offset + 1, tuple(kept))
        self._kept[partition] = self._kept.get(partition, 0) + await memory.keep_batch(connection, written)

    async def save_marked(
        self, connection: Connection, sessions: Mapping[str, Session], upto: Mapping[int, int]
    ) -> None:
        """With the transaction: snapshots of marked runs, and what no run needs any more is forgotten. `upto`: offset behind the last
        batch, by partition."""
        marked = [sessions[run] for run in sorted(self._marked) if run in sessions]
        self._marked.clear()
        await memory.save(connection, [self._taken(session, upto[session.partition]) for session in marked])
        self._durable.update((session.run, session.changes) for session in marked)
        now = self._monotonic()
        if now - self._pruned_at >= self._seconds:
            self._pruned_at = now
            for partition, offset in upto.items():
                here = [session for session in sessions.values() if session.partition == partition]
                quiet = [session.run for session in here if self._durable.get(session.run) == session.changes]
                await memory.touch(connection, quiet, offset)
                await memory.prune(connection, partition)

    def save_beside(self, sessions: Iterable[Session], upto: Mapping[int, int]) -> None:
        """Right behind a commit, when memory is what is committed: take the snapshot that is due most, and write it meanwhile."""
        if self._writing is not None:
            if not self._writing.done():
                return
            if written := self._writing.result():
                self._durable[written[0]] = written[1]
            self._writing = None
        due = [session for session in sessions if self._due(session)]
        if due:
            session = min(due, key=lambda session: self._last[session.run].at if session.run in self._last else 0.0)
            saved = self._taken(session, upto[session.partition])
            self._writing = asyncio.create_task(_write(self._pool, saved, session.changes))

    async def leave(self, connection: Connection, session: Session) -> None:
        """The run needs no memory any more."""
        await memory.drop(connection, session.run)
        self._last.pop(session.run, None)
        self._durable.pop(session.run, None)
        self._marked.discard(session.run)

    def _taken(self, session: Session, next_offset: int) -> memory.Saved:
        saved = memory.Saved(
            run=session.run,
            line=session.line,
            partition=session.partition,
            next_offset=next_offset,
            plan_digest=session.plan.digest(),
            snapshot=freeze_session(session),
        )
        kept = self._kept.get(session.partition, 0)
        self._last[session.run] = _Last(self._monotonic(), len(saved.snapshot), session.fed, kept)
        return saved

    def _due(self, session: Session) -> bool:
        last = self._last.get(session.run)
        if self._durable.get(session.run) == session.changes:
            return False
        if last is None:
            return True
        if self._kept.get(session.partition, 0) - last.kept >= _JOURNAL_BYTES:
            return True
        old = self._monotonic() - last.at >= self._seconds
        return old and (last.size <= _SMALL or 4 * (session.fed - last.fed) >= last.size)

    async def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            self._writing = None


async def _write(pool: Pool, saved: memory.Saved, changes: int) -> tuple[str, int] | None:
    """The run, and the number of its records, once they are durable."""
    try:
        async with pool.connection() as connection:
            return (saved.run, changes) if await memory.replace_older(connection, saved) else None
    except Exception as error:
        if transient(error) is None:
            raise
        _log.warning("snapshot_not_written", run=saved.run, error=type(error).__name__)
        return None


async def _thawed(connection: Connection, book: Book, saved: memory.Saved) -> Session:
    facts = await book.run(connection, saved.run)
    assert facts is not None  # worker_snapshot refers to it by a foreign key
    assert facts.started_at is not None
    criteria = (facts.criteria_set, facts.criteria_version, facts.criteria_digest)
    plan, order = await book.plan(
        connection,
        saved.run,
        start=facts.started_at,
        criteria=criteria,
        pinned=facts.streams,
        baselines=facts.baselines,
    )
    return thaw_session(saved.snapshot, plan, order, saved.partition)


def _replay(batch: memory.Batch, by_line: Mapping[str, list[Session]], reached: Mapping[str, int]) -> None:
    """A committed batch once more, for the sessions whose snapshots lie before it; its effects are in the tables."""
    touched: dict[str, Session] = {}
    for record in batch.records:
        line = (record.key or b"").decode("utf-8", "replace")
        behind = [session for session in by_line.get(line, ()) if reached[session.run] <= batch.first_offset]
        touched.update((session.run, session) for session in give_again(record, behind))
    for session in touched.values():
        session.advance()
