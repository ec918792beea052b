"""When the worker's memory is written, and how it is read again: snapshots of the runs, and the batches between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from services.verification.adapters.worker import memory
from services.verification.adapters.worker.book import Book
from services.verification.adapters.worker.delivery import give_again
from services.verification.adapters.worker.session import Session, freeze_session, thaw_session
from shared.messaging.processor import Record
from shared.storage.pool import Connection

_JOURNAL_BYTES = 8 * 1024 * 1024


class Recovery:
    """Decides which snapshots are due. `mark` a run that has changed otherwise than by the records of a batch: its snapshot goes with this
    transaction, because the batches alone would not lead there again."""

    def __init__(self, topic: str, seconds: float, monotonic: Callable[[], float]) -> None:
        self._topic = topic
        self._seconds = seconds
        self._monotonic = monotonic
        self._saved_at: dict[str, float] = {}
        self._marked: set[str] = set()
        self._journal: dict[int, int] = {}

    def mark(self, session: Session) -> None:
        self._marked.add(session.run)

    async def load(self, connection: Connection, book: Book, partitions: Sequence[int]) -> list[Session]:
        """The sessions as of the last commit."""
        self._saved_at.clear()
        self._marked.clear()
        self._journal.clear()
        sessions: list[Session] = []
        reached: dict[str, int] = {}
        for saved in await memory.load(connection, partitions):
            sessions.append(await _thawed(connection, book, saved))
            reached[saved.run] = saved.next_offset
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
        self._journal[partition] = self._journal.get(partition, 0) + await memory.keep_batch(connection, written)

    async def save_due(self, connection: Connection, sessions: Iterable[Session], upto: Mapping[int, int]) -> None:
        """Snapshots of marked runs, and of those whose last one is old. `upto`: offset behind the last batch, by partition."""
        now = self._monotonic()
        full = {partition for partition, size in self._journal.items() if size > _JOURNAL_BYTES}
        due = [session for session in sessions if self._due(session, now, full)]
        changed = [session for session in due if session.touched or session.run in self._marked]
        await memory.save(connection, [_saved(session, upto[session.partition]) for session in changed])
        for partition in sorted({session.partition for session in due}):
            quiet = [session.run for session in due if session.partition == partition and session not in changed]
            await memory.touch(connection, quiet, upto[partition])
            await memory.prune(connection, partition)
        for partition in full:
            self._journal[partition] = 0
        for session in due:
            session.touched = False
            self._saved_at[session.run] = now
            self._marked.discard(session.run)

    async def leave(self, connection: Connection, session: Session) -> None:
        """The run needs no memory any more."""
        await memory.drop(connection, session.run)
        self._saved_at.pop(session.run, None)
        self._marked.discard(session.run)

    def _due(self, session: Session, now: float, full: set[int]) -> bool:
        old = now - self._saved_at.get(session.run, 0.0) >= self._seconds
        return old or session.run in self._marked or session.partition in full


async def _thawed(connection: Connection, book: Book, saved: memory.Saved) -> Session:
    facts = await book.run(connection, saved.run)
    assert facts is not None  # worker_snapshot refers to it by a foreign key
    assert facts.started_at is not None
    criteria = (facts.criteria_set, facts.criteria_version, facts.criteria_digest)
    plan, order = await book.plan(
        connection, saved.run, start=facts.started_at, criteria=criteria, pinned=facts.streams
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


def _saved(session: Session, next_offset: int) -> memory.Saved:
    return memory.Saved(
        run=session.run,
        line=session.line,
        partition=session.partition,
        next_offset=next_offset,
        plan_digest=session.plan.digest(),
        snapshot=freeze_session(session),
    )
