"""Stored runs judged by drafts: the frames of a run are read once for all drafts, runs go to as many processes as there are cores (V-20).

What is read is what the verdict of record has read: the lifecycle of the run, and its frames below the offset of the evaluation in force.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

from services.verification.adapters.worker.book import Book
from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.domain.arrivals import LONG_TAIL
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import REBUILD_ROWS
from services.verification.domain.what_if import FlipTable, Judged, compare, draft_name
from services.verification.ports import Run
from shared.contracts.registry import Stream
from shared.kernel.errors import NotAllowed, NotFound
from shared.kernel.times import Micros, utc
from shared.storage.blocks import stream_frames
from shared.storage.pool import Connection, build_pool
from shared.storage.registry import CachedRegistry, Registry

_CHUNK = 64
Progress = Callable[[str, float], None]
"""Told a run and the share of the work on it that is done."""

# Shares of the work on a run: its process is there, its plans are compiled, its frames are read.
_BEGUN, _PREPARED, _READ = 0.02, 0.1, 0.95
_STEP = 0.01


@dataclass(frozen=True, slots=True)
class Tables:
    """What became of one run: its flip table per draft, and how much was judged (for measurements)."""

    run: str
    tables: tuple[FlipTable, ...]
    sample_criteria: int


@dataclass(frozen=True, slots=True)
class _Record:
    """The evaluation in force."""

    verdict: str
    judged: Mapping[str, Judged]
    upto: int
    partition: int


async def judge_run(database_url: str, run: str, drafts: Sequence[CriteriaSet], progress: Progress) -> Tables:
    """The run's frames against every draft.

    Raises NotFound(run_unknown), NotAllowed(run_not_final) for a run without a final verdict, Invalid when a draft does not fit the run's
    line.
    """
    progress(run, _BEGUN)
    async with build_pool(database_url, name="what-if", max_size=2) as pool:
        registry = CachedRegistry(pool)
        book = Book(registry)
        known = await registry.refresh()
        book.versions.update(known.versions)
        async with pool.connection() as connection, connection.transaction():
            await connection.execute("set transaction isolation level repeatable read, read only")
            found = await book.run(connection, run)
            if found is None:
                raise NotFound("run_unknown", f"there is no run {run}", field="runs")
            record = await _record(connection, found)
            streams = _streams(found, known, book)
            start = found.started_at or 0
            plans = [
                RunPlan.build(run=run, criteria=draft, streams=streams, start=start, baselines=found.baselines)
                for draft in drafts
            ]
            evaluators = [RunEvaluator(plan, LONG_TAIL) for plan in plans]
            for logged in await book.lifecycle(connection, found):
                for evaluator in evaluators:
                    evaluator.apply(logged.record)
            orders = [ChannelOrder(plan.streams, book.versions) for plan in plans]
            progress(run, _PREPARED)
            rows = await _read(connection, found, record, evaluators, orders, progress)
    results = [evaluator.result() for evaluator in evaluators]
    work = sum(rows.get(s, 0) for plan in plans for c in plan.criteria for s in c.signal.streams)
    tables = [
        compare(draft_name(draft.id, draft.version), record.judged, record.verdict, result)
        for draft, result in zip(drafts, results, strict=True)
    ]
    progress(run, 1.0)
    return Tables(run, tuple(tables), work)


async def _read(
    connection: Connection,
    run: Run,
    record: _Record,
    evaluators: Sequence[RunEvaluator],
    orders: Sequence[ChannelOrder],
    progress: Progress,
) -> dict[str, int]:
    """Feeds the frames in order of time; answers the rows read per stream."""
    streams = sorted({stream.id for evaluator in evaluators for stream in evaluator.plan.streams})
    from_ = min(evaluator.plan.first_needed for evaluator in evaluators)
    start, end = run.started_at or 0, run.ended_at or 0
    rows = dict.fromkeys(streams, 0)
    waiting = 0
    told = _PREPARED
    async for frames in stream_frames(connection, streams, from_, end, chunk=_CHUNK):
        for frame in frames:
            if frame.kafka_partition != record.partition or frame.kafka_offset >= record.upto:
                continue
            if waiting >= REBUILD_ROWS:
                for evaluator in evaluators:
                    evaluator.advance(upto=int(frame.times[0]) - 1)
                waiting = 0
            for evaluator, order in zip(evaluators, orders, strict=True):
                if frame.stream in order:
                    order.add_stored(evaluator, frame)
            rows[frame.stream] += frame.times.shape[0]
            waiting += frame.times.shape[0]
            share = _PREPARED + (_READ - _PREPARED) * _share(int(frame.times[0]), start, end)
            if share >= told + _STEP:
                told = share
                progress(run.run, share)
    return rows


def _share(at: Micros, start: Micros, end: Micros) -> float:
    return min(1.0, max(0.0, (at - start) / (end - start))) if end > start else 0.0


def _streams(run: Run, registry: Registry, book: Book) -> tuple[Stream, ...]:
    """The versions that the run pins; where a draft reads a stream that it did not, the current one."""
    pinned = {item.stream: book.versions[item.stream, item.version] for item in run.streams}
    current = {stream.id: stream for stream in registry.streams_of_line(run.line)}
    return tuple((current | pinned)[stream] for stream in sorted(current | pinned))


async def check_final(connection: Connection, runs: Sequence[str]) -> None:
    """Raises NotAllowed(run_not_final) when one of the runs has no verdict that a draft could be compared with; names all of those."""
    cursor = await connection.execute(
        """select r.run_id from verification.run r
           left join verification.evaluation e on e.run_id = r.run_id and e.number = r.evaluation
           where r.run_id = any(%s) and (r.verdict_state = 'provisional' or r.ended_at is null or e.result is null)
           order by array_position(%s::text[], r.run_id)""",
        (list(runs), list(runs)),
    )
    open_ = [run for (run,) in await cursor.fetchall()]
    if open_:
        raise NotAllowed(
            "run_not_final",
            f"no final verdict to compare with: {', '.join(open_)}",
            field="runs",
            remedy="wait until they are closed, or leave them out",
            extra={"runs": open_},
        )


async def _record(connection: Connection, run: Run) -> _Record:
    await check_final(connection, [run.run])
    cursor = await connection.execute(
        """select e.verdict, e.result, e.upto_offset
           from verification.run r join verification.evaluation e on e.run_id = r.run_id and e.number = r.evaluation
           where r.run_id = %s""",
        (run.run,),
    )
    ((verdict, result, upto),) = await cursor.fetchall()
    listed = {
        item["criterion"]: Judged(item["outcome"].lower(), _number(item["margin"]), item["unit"], item["reason"])
        for item in result["criteria"]
    }
    return _Record(verdict, listed, int(upto), await _partition(connection, run))


def _number(written: float | str | None) -> float | None:
    """Infinities are text in canonical JSON."""
    return None if written is None else float(written)


async def _partition(connection: Connection, run: Run) -> int:
    """Where the line's records lie, which is where its newest frame before the run's end does."""
    cursor = await connection.execute(
        """select b.kafka_partition from ingest.block b join ingest.stream s using (stream_no)
           where s.stream_id = any(%s) and b.t0 < %s order by b.t0 desc limit 1""",
        ([item.stream for item in run.streams], utc(run.ended_at or 0)),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def judge_runs(
    database_url: str,
    runs: Sequence[str],
    drafts: Sequence[CriteriaSet],
    progress: Progress,
    *,
    most: int | None = None,
) -> AsyncIterator[Tables]:
    """Every run in a process of its own, at most `most` (default: the cores) at a time; the tables as they are ready.

    Raises what `judge_run` raises, for the first run that fails; what has been yielded stays good. When it is closed or cancelled, what is
    being worked on stops at its next sign of progress.
    """
    context = get_context("spawn")
    told: Queue[tuple[str, float]] = context.Queue()
    stopped = context.Event()
    workers = max(1, min(most or os.cpu_count() or 1, len(runs)))
    documents = [draft.model_dump(mode="json") for draft in drafts]
    loop = asyncio.get_running_loop()
    processes = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(told, stopped))
    pending = {loop.run_in_executor(processes, _judge, database_url, run, documents) for run in runs}
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            _pass_on(told, progress)
            for future in done:
                yield future.result()
    finally:
        stopped.set()
        for future in pending:
            future.cancel()
        await asyncio.to_thread(processes.shutdown, cancel_futures=True)


def _pass_on(told: Queue[tuple[str, float]], progress: Progress) -> None:
    while not told.empty():
        progress(*told.get())


class _Stopped(Exception):
    """Nobody waits for the tables any more."""


class _Report:
    """In a process of the pool: tells the one that asked."""

    def __init__(self, told: Queue[tuple[str, float]], stopped: Event) -> None:
        self._told = told
        self._stopped = stopped

    def __call__(self, run: str, share: float) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._told.put((run, share))


_report: _Report | None = None


def _begin(told: Queue[tuple[str, float]], stopped: Event) -> None:
    global _report
    _report = _Report(told, stopped)


def _judge(database_url: str, run: str, documents: Sequence[Mapping[str, object]]) -> Tables:
    """In a process of the pool."""
    report = _report
    assert report is not None
    drafts = [CriteriaSet.model_validate(document) for document in documents]
    return asyncio.run(judge_run(database_url, run, drafts, report))
