"""What-if jobs in PostgreSQL: queued by the API, worked on one at a time by the api process that holds the lock."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import structlog

from services.verification.adapters.what_if import Tables, judge_runs
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.what_if import draft_name
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import NotAllowed, Problem, TooMany, Unavailable, words
from shared.messaging.connecting import pause
from shared.messaging.failures import transient
from shared.messaging.sole import run_alone
from shared.storage.pool import Connection

log = structlog.get_logger()

MOST_WAITING = 8
"""Jobs that may wait; beyond it a new one is refused."""

KEPT_DAYS = 30
_TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """`tables` is there when the state is done, `problem` when it is failed or was cancelled. Instants are RFC 3339."""

    job: UUID
    asked_by: str
    runs: tuple[str, ...]
    drafts: tuple[str, ...]
    state: str
    progress: float
    tables: Sequence[Mapping[str, Any]] | None
    problem: Mapping[str, Any] | None
    asked_at: str
    finished_at: str | None


class WhatIfJobs:
    """Jobs on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, job: UUID, who: str, runs: Sequence[str], drafts: Sequence[CriteriaSet]) -> None:
        """Queue it. Raises TooMany(what_if_busy) when enough wait already."""
        await self._connection.execute("lock table verification.what_if in share row exclusive mode")
        cursor = await self._connection.execute("select count(*) from verification.what_if where state = 'queued'")
        row = await cursor.fetchone()
        if row is not None and row[0] >= MOST_WAITING:
            raise TooMany("what_if_busy", f"{MOST_WAITING} jobs wait already", retry_after=30, remedy="ask again later")
        documents = [draft.model_dump(mode="json") for draft in drafts]
        await self._connection.execute(
            "insert into verification.what_if (job_id, asked_by, runs, drafts) values (%s, %s, %s, %s::jsonb)",
            (job, who, list(runs), canonical_json(documents).decode()),
        )

    async def find(self, job: UUID) -> Job | None:
        cursor = await self._connection.execute(_select("tables", "where job_id = %s"), (job,))
        row = await cursor.fetchone()
        return None if row is None else _job(row)

    async def page(self, *, limit: int, after: UUID | None) -> Sequence[Job]:
        """Newest first, without their tables; `after` is the last job of the page before."""
        behind = """where %s::uuid is null or (asked_at, job_id) <
                        (select asked_at, job_id from verification.what_if where job_id = %s)
                    order by asked_at desc, job_id desc limit %s"""
        cursor = await self._connection.execute(_select("null", behind), (after, after, limit))
        return [_job(row) for row in await cursor.fetchall()]

    async def cancel(self, job: UUID, who: str) -> bool:
        """Whether it was queued or running; what works on it stops soon."""
        problem = NotAllowed("what_if_cancelled", f"cancelled by {who}", remedy="ask again if it is wanted after all")
        return await self._end(job, ("queued", "running"), "failed", problem=problem)

    async def done(self, job: UUID, tables: str) -> None:
        """`tables` as canonical JSON."""
        await self._end(job, ("running",), "done", tables=tables)

    async def fail(self, job: UUID, problem: Problem) -> None:
        await self._end(job, ("running",), "failed", problem=problem)

    async def _end(
        self,
        job: UUID,
        from_: Sequence[str],
        state: str,
        *,
        tables: str | None = None,
        problem: Problem | None = None,
    ) -> bool:
        cursor = await self._connection.execute(
            """update verification.what_if set state = %s, tables = %s::jsonb, problem = %s::jsonb, finished_at = clock_timestamp(),
                   progress = case when %s then 1 else progress end
               where job_id = %s and state = any(%s)""",
            (
                state,
                tables,
                None if problem is None else canonical_json(problem.document()).decode(),
                tables is not None,
                job,
                list(from_),
            ),
        )
        return cursor.rowcount > 0

    async def progressed(self, job: UUID, share: float) -> bool:
        """Whether it is still wanted."""
        cursor = await self._connection.execute(
            "update verification.what_if set progress = %s where job_id = %s and state = 'running'", (share, job)
        )
        return cursor.rowcount > 0

    async def take(self) -> tuple[UUID, Sequence[str], Sequence[Any]] | None:
        """The oldest that waits, with its runs and its drafts' documents; it is running now."""
        cursor = await self._connection.execute(
            """update verification.what_if set state = 'running' where job_id =
                   (select job_id from verification.what_if where state = 'queued' order by asked_at limit 1 for update skip locked)
               returning job_id, runs, drafts"""
        )
        row = await cursor.fetchone()
        return None if row is None else (row[0], row[1], row[2])

    async def clear(self) -> None:
        """Fails what a process that is gone was working on, and forgets what is old."""
        await self._connection.execute(
            """update verification.what_if set state = 'failed', finished_at = clock_timestamp(), problem = %s::jsonb
               where state = 'running'""",
            (canonical_json(_interrupted("the process that worked on it ended").document()).decode(),),
        )
        await self._connection.execute(
            "delete from verification.what_if where asked_at < clock_timestamp() - make_interval(days => %s)",
            (KEPT_DAYS,),
        )


def _select(tables: str, rest: str) -> bytes:
    return f"""
        select job_id, asked_by, runs, jsonb_path_query_array(drafts, '$[*].id'), jsonb_path_query_array(drafts, '$[*].version'),
            state, progress, {tables}, problem,
            to_char(asked_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        from verification.what_if {rest}""".encode()


def _job(row: Sequence[Any]) -> Job:
    job, who, runs, ids, versions, *rest = row
    return Job(job, who, tuple(runs), tuple(map(draft_name, ids, versions)), *rest)


def _interrupted(detail: str) -> Problem:
    return Unavailable(
        "what_if_interrupted", detail, remedy="ask again, for fewer runs at a time when it happens once more"
    )


def problem_of(error: BaseException) -> Problem:
    """What a job that ended in an error says."""
    if isinstance(error, Problem):
        return error
    if transient(error) is not None:
        return _interrupted(words(error))
    if isinstance(error, BrokenExecutor):
        return Problem(
            "what_if_process_lost",
            "a process that judged a run was ended from outside, or ran out of memory",
            remedy="ask for fewer runs and drafts at a time, or give the api more memory",
        )
    return Problem(
        "what_if_failed",
        words(error),
        remedy="the same job fails again: change the draft or leave runs out; the api's log has the cause under the job's id",
    )


class WhatIfWorker:
    """Run one in every api process: all but one wait for the lock."""

    def __init__(self, database_url: str, *, poll_seconds: float = 1.0) -> None:
        self._database_url = database_url
        self._poll_seconds = poll_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a job that is being worked on then is failed with what to do."""
        await run_alone(
            "what_if",
            lambda session: self._work_until(stop, session),
            database_url=self._database_url,
            stop=stop,
            poll_seconds=self._poll_seconds,
        )

    async def _work_until(self, stop: asyncio.Event, connection: Connection) -> None:
        jobs = WhatIfJobs(connection)
        await jobs.clear()
        while not stop.is_set():
            taken = await jobs.take()
            if taken is None:
                await pause(stop, self._poll_seconds)
            else:
                await self._work(stop, jobs, *taken)

    async def _work(
        self, stop: asyncio.Event, jobs: WhatIfJobs, job: UUID, runs: Sequence[str], documents: Sequence[Any]
    ) -> None:
        shares = dict.fromkeys(runs, 0.0)
        working = asyncio.create_task(self._judged(runs, documents, shares))
        try:
            while not working.done():
                wanted = await jobs.progressed(job, sum(shares.values()) / len(shares))
                if stop.is_set() or not wanted:
                    return
                await asyncio.wait([working], timeout=_TELL_SECONDS)
        finally:
            working.cancel()
            await asyncio.wait([working])
        error = working.exception()
        if error is None:
            await jobs.done(job, working.result())
            return
        problem = problem_of(error)
        if problem is not error:
            where = "".join(traceback.format_exception(error))
            log.error("what_if_failed", job=str(job), code=problem.code, where=where)
        await jobs.fail(job, problem)

    async def _judged(self, runs: Sequence[str], documents: Sequence[Any], shares: dict[str, float]) -> str:
        """The tables as canonical JSON: what cannot be written fails the job too."""
        drafts = [CriteriaSet.model_validate(document) for document in documents]
        found: list[Tables] = [each async for each in judge_runs(self._database_url, runs, drafts, shares.__setitem__)]
        found.sort(key=lambda each: runs.index(each.run))
        return canonical_json([table_document(each) for each in found]).decode()


def table_document(tables: Tables) -> dict[str, Any]:
    """As the API answers it."""
    return {
        "run": tables.run,
        "drafts": [
            asdict(table.verdict) | {"criteria": [asdict(flip) | {"flipped": flip.flipped} for flip in table.flips]}
            for table in tables.tables
        ],
    }
