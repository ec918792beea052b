"""Notes of people over HTTP and on the command line, through the line's log and the real meter, into the books."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from click.testing import CliRunner

from services.billing.bootstrap import build_api
from services.billing.config import ApiSettings
from services.billing.entrypoints.api import add_routes
from services.billing.entrypoints.cli import group
from shared.contracts.topics import Topics
from shared.kernel.times import HOUR, MINUTE, Micros, to_rfc3339
from shared.messaging.producer import Outgoing, producing
from shared.storage.api_keys import Role, Scope, create_key
from shared.storage.pool import connect
from tests.integration.billing.plant import (
    LINE,
    PLATFORM,
    START,
    STREAM,
    Processes,
    a_run,
    install,
    processes,
    query,
    send,
    settled,
    until,
)
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
PARTS = ("sink", "meter", "recorder")
NOTE = UUID("00000000-0000-4000-8000-000000000001")

IN_FORCE = """
    select l.instrument, l.start_at, l.end_at, l.run, l.state, l.reason, l.responsible, l.measured_s, l.inferred_s, l.unknown_s,
           l.annotation ->> 'id', l.annotation ->> 'model_reason', l.annotation ->> 'model_responsible',
           (select array_agg((q.name, q.value, q.covered_s)::text order by q.position) from billing.ledger_quantity q
            where q.ledger_seq = l.ledger_seq)
    from billing.ledger l
    where not l.void and not exists (select from billing.ledger n where n.tenant = l.tenant and n.source = l.source
                                     and n.segment_key = l.segment_key and n.revision > l.revision)
    order by l.instrument, l.start_at
"""
SUMS = """
    select sum(f.measured_s), sum(f.inferred_s), sum(f.unknown_s), sum(q.value) filter (where q.name = 'energy')
    from (select l.* from billing.ledger l where not l.void and not exists (
              select from billing.ledger n where n.segment_key = l.segment_key and n.revision > l.revision)) f
    join billing.ledger_quantity q using (ledger_seq)
"""


def body(name: int, start: Micros, end: Micros, **more: Any) -> dict[str, Any]:
    return {
        "id": str(UUID(int=NOTE.int + name)),
        "line": LINE,
        "instrument": STREAM,
        "from": to_rfc3339(start),
        "to": to_rfc3339(end),
        "reason": f"note {name}",
    } | more


@asynccontextmanager
async def api(kafka: str, database: str, topics: Topics) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, with its own relay, called by an operator."""
    async with connect(database, name="test-keys") as connection:
        key = await create_key(connection, label="li", person="li", role=Role.OPERATOR, scope=Scope(platform=PLATFORM))
    settings = ApiSettings.read(kafka=kafka, database_url=database, topic_prefix=topics.prefix)
    async with build_api(settings) as (app, _relay):
        transport = httpx.ASGITransport(app=add_routes(app))
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://billing", headers=headers) as client:
            yield client


async def said(client: httpx.AsyncClient, document: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/annotations", json=document)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@contextmanager
def line(new_database: NewDatabase, new_topics: NewTopics) -> Iterator[tuple[str, Topics]]:
    with new_database() as database, new_topics() as topics:
        yield database, topics


async def test_a_note_is_taken_once_revises_the_books_and_is_withdrawn(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-1: annotated by a person with a reason, moves responsibility, overwrites nothing; B-7: by superseding rows."""
    with line(new_database, new_topics) as (database, topics):
        await install(database)
        records = a_run(topics, "r1", 0, 12)
        with processes(kafka, database, topics, tmp_path, *PARTS):
            async with producing(kafka) as producer:
                await send(producer, records)
            await asyncio.to_thread(until, lambda: settled(database, topics, sent=len(records)), 120, "metered")
            before, sums = query(database, IN_FORCE), query(database, SUMS)
            async with api(kafka, database, topics) as client:
                await _note_and_refuse(client)
                await asyncio.to_thread(
                    until, lambda: settled(database, topics, sent=len(records) + 1), 120, "the note in the books"
                )
                noted = query(database, IN_FORCE)
                assert query(database, SUMS) == sums
                inside = [row for row in noted if row[10] is not None]
                assert {(row[5], row[6], row[10]) for row in inside} == {("note 0", "utility", str(NOTE))}
                assert (inside[0][1].hour, inside[-1][2] - inside[0][1]) == ((START // HOUR + 1) % 24, _of(90 * MINUTE))
                segments = (await client.get("/v1/annotations", params={"line": LINE})).json()["items"]
                assert [(each["id"], each["who"], each["withdrawal"]) for each in segments] == [(str(NOTE), "li", None)]
                answer = await client.post(f"/v1/annotations/{NOTE}/withdraw", json={"reason": "another day"})
                assert answer.json()["withdrawal"]["reason"] == "another day"
                again = await client.post(f"/v1/annotations/{NOTE}/withdraw", json={"reason": "once more"})
                assert (again.json()["withdrawn"], again.json()["withdrawal"]["reason"]) == (False, "another day")
            await asyncio.to_thread(
                until, lambda: settled(database, topics, sent=len(records) + 2), 120, "the withdrawal in the books"
            )
        assert query(database, IN_FORCE) == before


async def _note_and_refuse(client: httpx.AsyncClient) -> None:
    first = body(0, START + HOUR, START + HOUR + 90 * MINUTE, responsible="utility")
    assert (await said(client, first))["added"] is True
    assert (await said(client, first))["added"] is False
    other = await client.post("/v1/annotations", json=first | {"reason": "something else"})
    assert (other.status_code, other.json()["code"]) == (409, "annotation_exists")
    empty = await client.post("/v1/annotations", json=body(1, START + HOUR, START + HOUR))
    assert (empty.status_code, empty.json()["code"]) == (422, "annotation_range")
    stranger = await client.post("/v1/annotations", json=body(1, START, START + HOUR, instrument="p1/other"))
    assert (stranger.status_code, stranger.json()["code"]) == (404, "instrument_unknown")
    elsewhere = await client.post("/v1/annotations", json=body(1, START, START + HOUR, line="q7"))
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "key_scope")
    unknown = await client.post(f"/v1/annotations/{UUID(int=7)}/withdraw", json={"reason": "?"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "annotation_unknown")


def _of(duration: Micros) -> Any:
    return timedelta(microseconds=duration)


async def test_notes_among_late_and_doubled_records_and_kills_end_in_the_same_books(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-1 with B-21, B-22: the order of notes and frames in the log, repetition and SIGKILL change nothing."""
    with line(new_database, new_topics) as (database, topics):
        wanted = await _books(kafka, database, topics, tmp_path, seed=None)
    with line(new_database, new_topics) as (database, topics):
        assert await _books(kafka, database, topics, tmp_path, seed=5) == wanted
    assert sum(row[10] is not None for row in wanted) >= 4


async def _books(kafka: str, database: str, topics: Topics, logs: Path, *, seed: int | None) -> list[tuple[Any, ...]]:
    """What is in force at the end. With a seed: frames late and twice, notes and a withdrawal anywhere among them, twice, and kills."""
    await install(database)
    frames = a_run(topics, "r1", 0, 24)
    async with api(kafka, database, topics) as client:
        for number, (start, end) in enumerate(((1.2, 4.7), (3.1, 6.0), (9.5, 30.0))):
            await said(client, body(number, START + round(start * HOUR), START + round(end * HOUR)))
        await client.post(f"/v1/annotations/{UUID(int=NOTE.int + 1)}/withdraw", json={"reason": "a mistake"})
    notes = _taken_from_the_outbox(database, topics)
    assert len(notes) == 4
    chance = random.Random(seed)
    records = notes + frames
    if seed is not None:
        places = [(place + chance.choice((0.0, 0.0, 7.5)), record) for place, record in enumerate(frames)]
        places += [(chance.uniform(0, len(frames)), record) for record in (*notes, *notes, *frames[3:9])]
        records = [record for _, record in sorted(places, key=lambda item: item[0])]
    with processes(kafka, database, topics, logs, *PARTS) as running:
        async with producing(kafka) as producer:
            for place in range(0, len(records), 4):
                await producer.put_all(records[place : place + 4])
                if seed is not None and place % 12 == 0:
                    await _kill_one(running, chance)
        await asyncio.to_thread(
            until,
            lambda: settled(database, topics, sent=len(records)),
            180,
            "everything in the books",
            between=running.revive,
        )
    return query(database, IN_FORCE)


def _taken_from_the_outbox(database: str, topics: Topics) -> list[Outgoing]:
    """The records of the notes, so that the test decides their order in the log. The relay finds them published."""
    rows = query(database, "select value, kind from billing.outbox where topic = %s order by id", topics.line_records)
    query(
        database,
        "update billing.outbox set published_seq = -id, published_at = now() where topic = %s returning id",
        topics.line_records,
    )
    return [Outgoing(topics.line_records, LINE.encode(), bytes(value), kind, {}) for value, kind in rows]


async def _kill_one(running: Processes, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0.2, 1.5))  # the moment of the kill is meant to be nobody's choice
    running.revive()
    victim = chance.choice(PARTS)
    running.kill(victim)
    running.start(victim)


async def test_the_command_line_says_lists_and_withdraws(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics
) -> None:
    """B-1"""
    with line(new_database, new_topics) as (database, topics):
        await install(database)
        environment = {"PILOTLINE_DATABASE_URL": database, "PILOTLINE_TOPIC_PREFIX": topics.prefix}
        runner = CliRunner(env=environment)

        async def run(*arguments: str) -> Any:
            return await asyncio.to_thread(runner.invoke, group, ["annotation", *arguments])

        span = ["--line", LINE, "--instrument", STREAM, "--from", to_rfc3339(START), "--to", to_rfc3339(START + HOUR)]
        added = await run("add", *span, "--reason", "no steam", "--responsible", "utility", "--by", "wang")
        assert added.exit_code == 0, added.output
        note = json.loads(added.output)
        assert (note["who"], note["responsible"], note["added"]) == ("wang", "utility", True)
        withdrawn = await run("withdraw", note["id"], "--reason", "wrong day")
        assert json.loads(withdrawn.output)["withdrawn"] is True
        listed = await run("list", "--line", LINE)
        assert note["id"] in listed.output
        assert "no steam (withdrawn)" in listed.output
        refused = await run("add", *span[:-1], to_rfc3339(START), "--reason", "nothing")
        assert refused.exit_code == 1
        assert "annotation_range" in refused.output
        kinds = query(database, "select kind, topic from billing.outbox order by id")
        assert kinds == [("annotation", topics.line_records)] * 2
