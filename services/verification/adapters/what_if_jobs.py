"""What-if jobs in PostgreSQL: queued by the API, worked on one at a time by the api process that holds the lock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import structlog

from services.verification.adapters.what_if import Tables, judge_runs
from services.verification.domain.criteria_model import CriteriaSet
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Problem, TooMany
from shared.messaging.connecting import pause
from shared.messaging.sole import run_alone
from shared.storage.pool import Connection

log = structlog.get_logger()

MOST_WAITING = 8
"""Jobs that may wait; beyond it a new one is refused."""

KEPT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Job:
    """`tables` is there when the state is done, `problem` when it is failed. Instants are RFC 3339."""

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
        cursor = await self._connection.execute(
            """select job_id, asked_by, runs, drafts, state, progress, tables, problem,
                      to_char(asked_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), to_char(finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
               from verification.what_if where job_id = %s""",
            (job,),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        number, who, runs, drafts, *rest = row
        return Job(number, who, tuple(runs), tuple(f"{d['id']}@{d['version']}" for d in drafts), *rest)


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
        await connection.execute(
            """update verification.what_if set state = 'failed', finished_at = clock_timestamp(),
                   problem = '{"code": "what_if_interrupted", "detail": "the process that worked on it ended", "remedy": "ask again"}'
               where state = 'running'"""
        )
        await connection.execute(
            "delete from verification.what_if where asked_at < clock_timestamp() - make_interval(days => %s)",
            (KEPT_DAYS,),
        )
        while not stop.is_set():
            cursor = await connection.execute(
                """update verification.what_if set state = 'running' where job_id =
                       (select job_id from verification.what_if where state = 'queued' order by asked_at limit 1)
                   returning job_id, runs, drafts"""
            )
            row = await cursor.fetchone()
            if row is None:
                await pause(stop, self._poll_seconds)
            else:
                await self._work(stop, connection, *row)

    async def _work(
        self, stop: asyncio.Event, connection: Connection, job: UUID, runs: Sequence[str], documents: Sequence[Any]
    ) -> None:
        shares = dict.fromkeys(runs, 0.0)
        tables: list[dict[str, Any]] = []
        working = asyncio.create_task(self._judged(runs, documents, shares))
        while not working.done() and not stop.is_set():
            await asyncio.wait([working], timeout=0.5)
            await connection.execute(
                "update verification.what_if set progress = %s where job_id = %s",
                (sum(shares.values()) / len(shares), job),
            )
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return
        problem: dict[str, object] | None = None
        try:
            tables = working.result()
        except Problem as refused:
            problem = refused.document()
        await connection.execute(
            """update verification.what_if set state = %s, progress = %s, tables = %s::jsonb, problem = %s::jsonb,
                   finished_at = clock_timestamp() where job_id = %s""",
            (
                "failed" if problem else "done",
                sum(shares.values()) / len(shares),
                None if problem else canonical_json(tables).decode(),
                canonical_json(problem).decode() if problem else None,
                job,
            ),
        )

    async def _judged(
        self, runs: Sequence[str], documents: Sequence[Any], shares: dict[str, float]
    ) -> list[dict[str, Any]]:
        drafts = [CriteriaSet.model_validate(document) for document in documents]
        found: list[Tables] = [each async for each in judge_runs(self._database_url, runs, drafts, shares.__setitem__)]
        found.sort(key=lambda each: runs.index(each.run))
        return [table_document(each) for each in found]


def table_document(tables: Tables) -> dict[str, Any]:
    """As the API answers it."""
    return {
        "run": tables.run,
        "drafts": [
            asdict(table.verdict) | {"criteria": [asdict(flip) | {"flipped": flip.flipped} for flip in table.flips]}
            for table in tables.tables
        ],
    }
