"""Late, doubled and reordered frames, and processes killed at random: the books converge to those of an undisturbed line."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.topics import Topics
from shared.messaging.producer import Outgoing, Producer, producing
from tests.integration.billing.plant import (
    OTHER,
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

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
PARTS = ("sink", "meter", "recorder")

IN_FORCE = """
    select l.instrument, l.start_at, l.end_at, l.run, l.phase, l.customer, l.state, l.reason, l.responsible, l.measured_s, l.inferred_s,
           l.unknown_s, (select array_agg((q.name, q.value, q.covered_s)::text order by q.position) from billing.ledger_quantity q
                         where q.ledger_seq = l.ledger_seq)
    from billing.ledger l
    where not l.void and not exists (select from billing.ledger n where n.tenant = l.tenant and n.source = l.source
                                     and n.segment_key = l.segment_key and n.revision > l.revision)
    order by l.instrument, l.start_at
"""


def story(topics: Topics) -> list[Outgoing]:
    """Two runs of two customers, every frame once and in order."""
    return a_run(topics, "r1", 0, 40) + a_run(topics, "r2", 42, 20, customer=OTHER)


def disturbed(records: list[Outgoing], seed: int) -> list[Outgoing]:
    """The same records: some frames twice, some far too late, neighbours swapped. What a run's records say about order in the log stays."""
    chance = random.Random(seed)
    order: list[tuple[float, Outgoing]] = []
    for place, record in enumerate(records):
        late = chance.choice((0.0, 0.0, 0.0, 0.0, 1.5, 9.5)) if record.kind == "frame" else 0.0
        order.append((place + late, record))
        if record.kind == "frame" and chance.random() < 0.2:
            order.append((place + chance.randrange(1, 12), record))
    return [record for _, record in sorted(order, key=lambda item: item[0])]


async def undisturbed(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, logs: Path
) -> list[tuple[Any, ...]]:
    with new_database() as database, new_topics() as topics:
        await install(database)
        records = story(topics)
        with processes(kafka, database, topics, logs, *PARTS):
            async with producing(kafka) as producer:
                await send(producer, records)
            await asyncio.to_thread(until, lambda: settled(database, topics, sent=len(records)), 180, "undisturbed")
        assert query(database, "select count(*) from billing.segment where revision > 0") == [(0,)]
        return query(database, IN_FORCE)


async def drip(
    producer: Producer, records: list[Outgoing], running: Processes, chance: random.Random, kills: int
) -> None:
    """Send in small pieces; now and then kill a process and start it again."""
    pieces = [records[place : place + 3] for place in range(0, len(records), 3)]
    moments = set(chance.sample(range(1, len(pieces)), kills))
    for place, piece in enumerate(pieces):
        await producer.put_all(piece)
        if place in moments:
            await asyncio.sleep(chance.uniform(0.2, 2.0))  # the moment of the kill is meant to be nobody's choice
            running.revive()
            victim = chance.choice(PARTS)
            running.kill(victim)
            running.start(victim)


@pytest.mark.timeout(400)
async def test_late_and_doubled_frames_end_in_the_same_books(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-3: a late sample revises by a superseding event; B-21: permutation and duplication; B-7: nothing is edited."""
    wanted = await undisturbed(kafka, new_database, new_topics, tmp_path)
    with new_database() as database, new_topics() as topics:
        await install(database)
        records = disturbed(story(topics), seed=7)
        with processes(kafka, database, topics, tmp_path, *PARTS):
            async with producing(kafka) as producer:
                for place in range(0, len(records), 4):
                    await producer.put_all(records[place : place + 4])
                    await asyncio.to_thread(
                        until, partial(_metered_beyond, database, topics, place), 150, "metered as it came"
                    )
            await asyncio.to_thread(until, lambda: settled(database, topics, sent=len(records)), 180, "late frames")
        superseding = query(database, "select count(*) from billing.ledger where supersedes is not null")[0][0]
        assert superseding > 0
        orphans = """select count(*) from billing.ledger l where supersedes is not null
                     and not exists (select from billing.ledger p where p.event_id = l.supersedes and p.revision = l.revision - 1)"""
        assert query(database, orphans) == [(0,)]
        assert query(database, IN_FORCE) == wanted


@pytest.mark.timeout(500)
async def test_kills_at_random_moments_change_no_sum(
    kafka: str, new_database: NewDatabase, new_topics: NewTopics, tmp_path: Path
) -> None:
    """B-22: SIGKILL of sink, meter and recorder during a disturbed replay."""
    wanted = await undisturbed(kafka, new_database, new_topics, tmp_path)
    chance = random.Random(20260302)
    with new_database() as database, new_topics() as topics:
        await install(database)
        records = disturbed(story(topics), seed=11)
        with processes(kafka, database, topics, tmp_path, *PARTS) as running:
            async with producing(kafka) as producer:
                await drip(producer, records, running, chance, kills=8)
            await asyncio.to_thread(
                until,
                lambda: settled(database, topics, sent=len(records)),
                180,
                "after the kills",
                between=running.revive,
            )
        assert query(database, IN_FORCE) == wanted
        numbers = [row[0] for row in query(database, "select ledger_seq from billing.ledger order by 1")]
        assert numbers == list(range(1, len(numbers) + 1))  # B-7: gap-free through every crash
        events = query(database, "select count(*), count(distinct event_id) from billing.outbox")[0]
        assert events == (len(numbers), len(numbers))


def _metered_beyond(database: str, topics: Topics, sent: int) -> bool:
    rows = query(
        database,
        "select coalesce(sum(next_offset), 0) from messaging.position where processor = 'billing.meter' and topic = %s",
        topics.line_records,
    )
    return bool(rows[0][0] > sent)
