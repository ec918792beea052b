"""Readings of stored frames in the background: started when the sink has passed what they need, bounded in number and memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import structlog

from services.verification.adapters.worker.closing import Recomputed, recompute
from services.verification.adapters.worker.rebuilds import Reading, Rebuilt, rebuild, stored_upto
from services.verification.adapters.worker.session import Need, Session, Stage
from services.verification.domain.rebuilding import read_again, read_whole
from shared.messaging.failures import transient
from shared.storage.pool import Connection, Pool

_log = structlog.get_logger(__name__)

AT_ONCE = 2
QUIET_SECONDS = 0.5
"""Late frames of a closed run come in swarms: it is evaluated again once none has come for so long."""
_LONGEST_PAUSE = 30.0


@dataclass(slots=True)
class _Running:
    task: asyncio.Task[Rebuilt | Recomputed]
    need: Need
    cut: int


class Readings:
    """The readings under way."""

    def __init__(self, pool: Pool, topic: str, memory: int) -> None:
        """`memory`: most bytes of frames held for one run while it is read."""
        self._pool = pool
        self._topic = topic
        self._memory = memory
        self._running: dict[str, _Running] = {}
        self._quiet: dict[str, tuple[int, float]] = {}
        self._pause: dict[str, tuple[float, float]] = {}

    def cancel(self) -> None:
        for running in self._running.values():
            running.task.cancel()
        self._running.clear()
        self._quiet.clear()
        self._pause.clear()

    def leave(self, run: str) -> None:
        self._quiet.pop(run, None)
        self._pause.pop(run, None)

    def bound(self, sessions: Iterable[Session], upto: Mapping[int, int]) -> None:
        """Runs that hold too much read all of it from storage instead, once the sink is that far."""
        for session in sessions:
            if session.need is not None and session.need.size > self._memory:
                session.need.forget(upto[session.partition])
                if running := self._running.pop(session.run, None):
                    running.task.cancel()

    async def start_ready(self, connection: Connection, sessions: Iterable[Session]) -> None:
        stored: dict[int, int] = {}
        for session in sessions:
            need = session.need
            if need is None or session.run in self._running or len(self._running) >= AT_ONCE:
                continue
            if session.stage is Stage.SUPERSEDING:
                need.cut = max(need.cut, session.late_after_cut or 0)
            if session.partition not in stored:
                stored[session.partition] = await stored_upto(connection, self._topic, session.partition)
            if stored[session.partition] >= need.cut and self._may_start(session, need):
                self._start(session, need)

    def done(self, sessions: Mapping[str, Session]) -> Iterator[tuple[Session, Rebuilt | Recomputed]]:
        """What has been read since the last look. Raises what is not transient."""
        for run in [run for run, running in self._running.items() if running.task.done()]:
            running = self._running.pop(run)
            session = sessions.get(run)
            if error := running.task.exception():
                if transient(error) is None:
                    raise error
                _log.warning("reading_retried", run=run, error=type(error).__name__)
            elif session is not None and session.need is running.need and running.need.cut == running.cut:
                yield session, running.task.result()

    def _may_start(self, session: Session, need: Need) -> bool:
        now = time.monotonic()
        if session.stage is Stage.SUPERSEDING:
            cut, since = self._quiet.setdefault(session.run, (need.cut, now))
            if cut != need.cut:
                self._quiet[session.run] = (need.cut, now)
                return False
            if now - since < QUIET_SECONDS:
                return False
        return now >= self._pause.get(session.run, (0.0, 0.0))[0]

    def _start(self, session: Session, need: Need) -> None:
        final = session.stage in {Stage.CLOSING, Stage.SUPERSEDING}
        reading = Reading(
            read_again(session.evaluator) if need.partly and not final else read_whole(session.plan),
            session.order,
            tuple(session.lifecycle),
            session.partition,
            need.cut,
        )
        work = recompute(self._pool, reading) if final else rebuild(self._pool, reading)
        task: asyncio.Task[Rebuilt | Recomputed] = asyncio.create_task(work)
        self._running[session.run] = _Running(task, need, need.cut)
        # A run whose late frames never end is read less and less often, not without pause.
        _, pause = self._pause.get(session.run, (0.0, 0.0))
        self._pause[session.run] = (time.monotonic() + pause, min(max(2 * pause, 0.25), _LONGEST_PAUSE))
