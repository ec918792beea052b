"""Issues and their history in PostgreSQL: append-only; and the runs of an item under test with their final verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.verification.domain.issues import Action, Happening, Iteration
from services.verification.ports import Issue
from shared.kernel.times import micros, utc
from shared.storage.pool import Connection

_ISSUE = """select i.issue_id, i.run_id, r.line_id, r.project, r.item, i.criterion, i.title, i.key, i.opened_by, i.opened_at
            from verification.issue i join verification.run r using (run_id)"""

_SAME_ITEM = (
    "(r.project, r.item, r.customer_id) = (select project, item, customer_id from verification.run where run_id = %s)"
)


class IssueStore:
    """`KeepsIssues` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, issue: UUID) -> Issue | None:
        cursor = await self._connection.execute(
            f"{_ISSUE} where i.issue_id = %s for no key update of i".encode(), (issue,)
        )
        found = await self._with_history(await cursor.fetchall())
        return found[0] if found else None

    async def of_item(self, run: str) -> Sequence[Issue]:
        cursor = await self._connection.execute(
            f"{_ISSUE} where {_SAME_ITEM} order by i.opened_at, i.issue_id".encode(), (run,)
        )
        return await self._with_history(await cursor.fetchall())

    async def insert(self, issue: Issue) -> None:
        await self._connection.execute(
            """insert into verification.issue (issue_id, run_id, criterion, title, key, opened_by, opened_at)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            (
                issue.issue,
                issue.run,
                issue.criterion,
                issue.title,
                issue.key,
                issue.opened_by,
                utc(issue.opened_at),
            ),
        )

    async def append(self, issue: UUID, happening: Happening) -> None:
        await self._connection.execute(
            """insert into verification.issue_event (issue_id, action, run_id, text, key, who, at)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            (
                issue,
                happening.action,
                happening.run,
                happening.text,
                happening.key,
                happening.who,
                utc(happening.at),
            ),
        )

    async def iterations(self, run: str) -> Mapping[str, Iteration]:
        cursor = await self._connection.execute(
            f"""select r.run_id, r.iteration, r.started_at,
                      coalesce((select jsonb_object_agg(c ->> 'criterion', lower(c ->> 'outcome'))
                                from verification.evaluation e cross join jsonb_array_elements(e.result -> 'criteria') c
                                where e.run_id = r.run_id and e.number = r.evaluation and r.verdict_state = 'final'), '{{}}')
               from verification.run r where {_SAME_ITEM} order by r.iteration, r.created_at, r.run_id""".encode(),
            (run,),
        )
        return {
            name: Iteration(name, number, None if started_at is None else micros(started_at), verdicts)
            for name, number, started_at, verdicts in await cursor.fetchall()
        }

    async def _with_history(self, rows: Sequence[Sequence[Any]]) -> list[Issue]:
        cursor = await self._connection.execute(
            """select issue_id, action, at, who, text, run_id, key from verification.issue_event
               where issue_id = any(%s) order by number""",
            ([row[0] for row in rows],),
        )
        histories: dict[UUID, list[Happening]] = {}
        for issue, action, at, who, text, run, key in await cursor.fetchall():
            histories.setdefault(issue, []).append(Happening(Action(action), micros(at), who, text, run, key))
        return [_issue(row, tuple(histories.get(row[0], ()))) for row in rows]


def _issue(row: Sequence[Any], history: tuple[Happening, ...]) -> Issue:
    issue, run, line, project, item, criterion, title, key, opened_by, opened_at = row
    return Issue(issue, run, line, project, item, criterion, title, key, opened_by, micros(opened_at), history)
