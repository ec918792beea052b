"""What the worker looks up of a run: its facts, its criteria, the pinned streams; and which closed runs a late frame can touch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.verification.adapters.run_store import RUN_COLUMNS, run_of
from services.verification.adapters.worker import run_records
from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.adapters.worker.session import Logged
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.plan import RunPlan
from services.verification.ports import Run
from shared.contracts.frame import Frame
from shared.contracts.lifecycle import Baseline, PinnedStream
from shared.contracts.registry import Stream
from shared.kernel.errors import Problem, Reject
from shared.kernel.times import Micros, micros
from shared.storage.pool import Connection
from shared.storage.registry import CachedRegistry


@dataclass(frozen=True, slots=True)
class Closed:
    """A run that has ended: the stretch of event time whose frames matter to it."""

    run: str
    from_: Micros
    to: Micros
    streams: frozenset[str]


@dataclass(slots=True)
class Book:
    """Remembers registry versions, which never change, and per line the closed runs."""

    registry: CachedRegistry
    versions: dict[tuple[str, int], Stream] = field(default_factory=dict)
    _closed: dict[str, list[Closed]] = field(default_factory=dict)
    _latest_end: dict[str, Micros] = field(default_factory=dict)

    async def know(self, versions: Collection[tuple[str, int]]) -> None:
        """Reads the registry when it may hold a version that is not known here yet. A copy that is not read now may be older than the
        frame that names the version, and a frame the sink takes would be refused here."""
        if any(key not in self.versions for key in versions):
            self.versions.update((await self.registry.refresh()).versions)

    def forget(self) -> None:
        self._closed.clear()
        self._latest_end.clear()

    async def run(self, connection: Connection, run: str) -> Run | None:
        cursor = await connection.execute(
            f"select {RUN_COLUMNS} from verification.run where run_id = %s".encode(), (run,)
        )
        row = await cursor.fetchone()
        return None if row is None else run_of(row)

    async def plan(
        self,
        connection: Connection,
        run: str,
        *,
        start: Micros,
        criteria: tuple[str, int, str],
        pinned: Collection[PinnedStream],
        baselines: Sequence[Baseline],
    ) -> tuple[RunPlan, ChannelOrder]:
        """The compiled run. Raises Reject(run_not_planned) when what it pins is not there or not what it was."""
        cursor = await connection.execute(
            "select digest, document from verification.criteria_set where set_id = %s and version = %s", criteria[:2]
        )
        row = await cursor.fetchone()
        if row is None or row[0] != criteria[2]:
            raise Reject("run_not_planned", f"run {run} pins criteria that are not published: {criteria}")
        await self.know([(item.stream, item.version) for item in pinned])
        streams = []
        for item in pinned:
            stream = self.versions.get((item.stream, item.version))
            if stream is None or stream.digest() != item.digest:
                raise Reject("run_not_planned", f"run {run} pins {item.stream} version {item.version}, which differs")
            streams.append(stream)
        try:
            plan = RunPlan.build(
                run=run,
                criteria=CriteriaSet.model_validate(row[1]),
                streams=streams,
                start=start,
                baselines=baselines,
            )
        except Problem as problem:
            raise Reject("run_not_planned", str(problem)) from problem
        return plan, ChannelOrder(plan.streams, self.versions)

    async def lifecycle(self, connection: Connection, run: Run) -> list[Logged]:
        """The records of a run behind its start, in order of the log."""
        return await run_records.read(connection, run)

    def closed(self, line: str, closed: Closed) -> None:
        """One more run has been closed on a line that is known here."""
        if line in self._closed:
            self._closed[line].append(closed)
            self._latest_end[line] = max(self._latest_end[line], closed.to)

    def opened(self, line: str, run: str) -> None:
        """The run is in memory again: its frames go there."""
        self._closed[line] = [closed for closed in self._closed.get(line, []) if closed.run != run]

    async def touched(self, connection: Connection, line: str, frame: Frame) -> list[str]:
        """The closed runs of a line to which a frame brings something; almost always none, and then without a look at the database."""
        if line not in self._closed:
            self._closed[line] = await self._closed_runs(connection, line)
            self._latest_end[line] = max((run.to for run in self._closed[line]), default=0)
        times = frame.times_array()
        if int(times[0]) >= self._latest_end[line]:
            return []
        return [
            run.run
            for run in self._closed[line]
            if frame.stream in run.streams and int(times[0]) < run.to and int(times[-1]) >= run.from_
        ]

    async def _closed_runs(self, connection: Connection, line: str) -> list[Closed]:
        cursor = await connection.execute(
            """select r.run_id, r.started_at, r.ended_at, r.streams from verification.run r
               where r.line_id = %s and r.started_at is not null and r.ended_at is not null and r.evaluation > 0
                 and not exists (select from verification.worker_snapshot w where w.run_id = r.run_id)""",
            (line,),
        )
        rows = await cursor.fetchall()
        await self.know([(item["stream"], item["version"]) for row in rows for item in row[3]])
        closed = []
        for run, started_at, ended_at, streams in rows:
            ages = [self.versions[item["stream"], item["version"]].max_age for item in streams]
            names = frozenset(item["stream"] for item in streams)
            closed.append(Closed(run, micros(started_at) - max(ages, default=0), micros(ended_at), names))
        return closed
