"""One transaction per batch: fencing, unknown outcomes, retries, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import psycopg
import pytest

from shared.kernel.errors import Reject
from shared.messaging.applier import Applier, Stopping
from shared.messaging.dead_letters import dead_letter
from shared.messaging.failures import bisect
from shared.messaging.positions import Partition, PositionGap
from shared.messaging.processor import Record
from shared.storage.pool import Pool, build_pool
from tests.integration.messaging.crash_rig import prepare
from tests.integration.messaging.crash_worker import CountingProcessor

pytestmark = pytest.mark.stack
P0, P1 = Partition("t", 0), Partition("t", 1)


def records(*offsets: int, partition: int = 0, kind: str = "frame", value: bytes | None = None) -> list[Record]:
    return [
        Record("t", partition, n, b"k", kind, f"id-{n}".encode() if value is None else value, 0, {}) for n in offsets
    ]


@pytest.fixture
async def pool(module_database: str) -> AsyncIterator[Pool]:
    prepare(module_database)
    async with build_pool(module_database, name="test", max_size=4) as opened:
        yield opened


def applier_of(
    pool: Pool, processor: Any = None, *, patience: float = 20.0, stop: asyncio.Event | None = None
) -> Applier:
    return Applier(processor or CountingProcessor(), pool, stop=stop or asyncio.Event(), patience=patience)


async def rows(pool: Pool, statement: str) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        return await (await connection.execute(statement.encode())).fetchall()


async def places(pool: Pool) -> list[tuple[int, int]]:
    return await rows(pool, 'select "offset", place from crash_row order by partition, "offset", place')


async def test_a_new_partition_starts_at_the_beginning_of_its_log(pool: Pool) -> None:
    applier = applier_of(pool)
    assert await applier.own({P0: 17, P1: 0}) == {P0: 17, P1: 0}
    await applier.apply(records(17, 18))
    assert applier.positions == {P0: 19, P1: 0}


# G3
async def test_effects_and_position_are_committed_together(pool: Pool) -> None:
    applier = applier_of(pool)
    await applier.own({P0: 0})
    await applier.apply(records(0, 1, 2))
    assert await places(pool) == [(0, 1), (1, 2), (2, 3)]
    assert await rows(pool, "select next_offset from messaging.position") == [(3,)]


# G3
async def test_two_processes_that_both_believe_to_own_a_partition_apply_every_record_once(pool: Pool) -> None:
    first, second = applier_of(pool), applier_of(pool)
    await first.own({P0: 0})
    await second.own({P0: 0})

    async def deliver(applier: Applier) -> None:
        for start in range(0, 40, 4):
            await applier.apply(records(*range(40)) if start == 36 else records(*range(start + 4)))

    await asyncio.gather(deliver(first), deliver(second))
    assert await places(pool) == [(n, n + 1) for n in range(40)]


# G3
async def test_a_process_that_lost_its_partition_does_not_tick_from_stale_memory(pool: Pool) -> None:
    lost, owner = applier_of(pool), applier_of(pool)
    await lost.own({P0: 0})
    await lost.apply(records(0, 1))
    await owner.own({P0: 0})
    await owner.tick()
    await lost.tick()
    assert await rows(pool, "select partition, first, last from crash_window") == [(0, 1, 2)]


async def test_records_of_partitions_that_are_not_owned_are_left_alone(pool: Pool) -> None:
    applier = applier_of(pool)
    await applier.own({P0: 0})
    await applier.release()
    await applier.apply(records(0, 1))
    assert await places(pool) == []


async def test_a_gap_changes_nothing_and_says_where_to_go_on(pool: Pool) -> None:
    applier = applier_of(pool)
    await applier.own({P0: 0})
    await applier.apply(records(0))
    with pytest.raises(PositionGap):
        await applier.apply(records(2, 3))
    assert applier.positions == {P0: 1}
    await applier.apply(records(1, 2, 3))
    assert [offset for offset, _ in await places(pool)] == [0, 1, 2, 3]


async def test_other_kinds_are_passed_over_and_advance_the_position(pool: Pool) -> None:
    applier = applier_of(pool)
    await applier.own({P0: 0})
    await applier.apply([*records(0), *records(1, kind="annotation"), *records(2)])
    await applier.apply(records(3, kind="annotation"))
    assert await places(pool) == [(0, 1), (2, 2)]
    assert applier.positions == {P0: 4}


async def test_a_record_no_retry_can_process_is_kept_and_does_not_stop_the_others(pool: Pool) -> None:
    applier = applier_of(pool)
    await applier.own({P0: 0})
    await applier.apply([*records(0), *records(1, value=b"poison"), *records(2)])
    assert await places(pool) == [(0, 1), (2, 2)]
    assert await rows(pool, 'select processor, "offset", value, code from messaging.dead_letter') == [
        ("crash", 1, b"poison", "poison")
    ]


class CutOff(CountingProcessor):
    """Its database session is ended in the middle of some transactions: before the effects, or while it commits."""

    def __init__(self, pool: Pool, times: int) -> None:
        super().__init__()
        self._pool = pool
        self._times = times

    async def process(self, records: Sequence[Record], connection: psycopg.AsyncConnection[Any]) -> None:
        await super().process(records, connection)
        if self._times:
            self._times -= 1
            async with self._pool.connection() as other:
                await other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))


# G3
async def test_a_session_ended_by_the_server_is_tried_again_from_what_is_stored(pool: Pool) -> None:
    applier = applier_of(pool, CutOff(pool, times=2))
    await applier.own({P0: 0})
    await applier.apply(records(0, 1, 2))
    assert await places(pool) == [(0, 1), (1, 2), (2, 3)]


class UnknownCommit(CountingProcessor):
    """The first COMMIT succeeds, but the process learns only that something went wrong."""

    failed = False

    async def committed(self) -> None:
        if not self.failed:
            self.failed = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")


# G3
async def test_a_commit_of_unknown_outcome_is_settled_by_reading_the_position(pool: Pool) -> None:
    applier = applier_of(pool, UnknownCommit())
    await applier.own({P0: 0})
    await applier.apply(records(0, 1, 2))
    await applier.apply(records(3))
    assert await places(pool) == [(0, 1), (1, 2), (2, 3), (3, 4)]


class Mistaken(CountingProcessor):
    async def process(self, records: Sequence[Record], connection: psycopg.AsyncConnection[Any]) -> None:
        await super().process(records, connection)
        await connection.execute("select * from no_such_table")


async def test_our_own_mistake_is_passed_on_and_leaves_nothing(pool: Pool) -> None:
    applier = applier_of(pool, Mistaken())
    await applier.own({P0: 0})
    with pytest.raises(psycopg.errors.UndefinedTable):
        await applier.apply(records(0))
    assert await places(pool) == []
    assert await rows(pool, "select next_offset from messaging.position") == [(0,)]


async def test_patience_ends(pool: Pool) -> None:
    applier = applier_of(pool, CutOff(pool, times=1000), patience=0.5)
    await applier.own({P0: 0})
    with pytest.raises(psycopg.OperationalError):
        await applier.apply(records(0))


async def test_a_stop_during_an_outage_leaves_the_batch_in_the_log(pool: Pool) -> None:
    stop = asyncio.Event()
    applier = applier_of(pool, CutOff(pool, times=1000), stop=stop)
    await applier.own({P0: 0})
    asyncio.get_running_loop().call_later(0.3, stop.set)
    with pytest.raises(Stopping):
        await applier.apply(records(0))


# G2
async def test_bisecting_stores_what_the_database_takes_and_keeps_what_it_refuses(pool: Pool) -> None:
    batch = records(*range(20))
    async with pool.connection() as connection, connection.transaction():

        async def write(some: Sequence[Record]) -> None:
            for record in some:
                place = 10**30 if record.offset in (3, 11) else record.offset
                await connection.execute(
                    "insert into crash_row values ('t', 0, %s, 'x', %s::numeric::bigint)", (record.offset, place)
                )

        await bisect(connection, "crash", batch, write)
    assert [offset for offset, _ in await places(pool)] == [n for n in range(20) if n not in (3, 11)]
    assert await rows(pool, 'select "offset", code from messaging.dead_letter order by 1') == [
        (3, "sqlstate_22003"),
        (11, "sqlstate_22003"),
    ]


async def test_a_dead_letter_is_kept_once(pool: Pool) -> None:
    (record,) = records(0)
    async with pool.connection() as connection:
        for _ in range(2):
            await dead_letter(connection, "crash", record, Reject("code", "detail"))
    assert await rows(pool, "select count(*) from messaging.dead_letter") == [(1,)]
