"""The sink's transaction on a real TimescaleDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
import pytest

from services.ingest.adapters.registry_store import apply_registry
from services.ingest.adapters.sink import Sink
from shared.contracts.frame import Quality, build_frame, encode_frame
from shared.contracts.lifecycle import GapSeen, decode_line_record
from shared.contracts.quarantine import VERSION, QuarantineRecord, encode_quarantine
from shared.contracts.registry_document import read_document
from shared.messaging.processor import Record
from shared.storage.blocks import last_frames_before, read_frames, stream_frames
from shared.storage.pool import Connection, Pool
from tests.integration.ingest.conftest import CHANNELS, registry, rows

pytestmark = pytest.mark.stack
T = 1_772_409_600_000_000


class Log:
    """Numbers records as a partition does."""

    def __init__(self) -> None:
        self.offset = 0

    def record(self, kind: str, value: bytes) -> Record:
        self.offset += 1
        return Record("line.records", 0, self.offset, b"l1", kind, value, T // 1000, {})

    def frame(self, seq: int, *, at: int | None = None, value: float = 1.0, n: int = 3, **facts: Any) -> Record:
        start = T + (seq * 10 if at is None else at) * 1_000_000
        said = {"stream": "l1/s", "registry_version": 1, "boot": "b", "received_at": T + seq}
        values = facts.pop("values", np.full((n, 2), value))
        times = facts.pop("times", start + 1_000_000 * np.arange(n, dtype=np.int64))
        return self.record("frame", encode_frame(build_frame(seq=seq, times=times, values=values, **{**said, **facts})))


@pytest.fixture
def log() -> Log:
    return Log()


async def apply(sink: Sink, connection: Connection, *records: Record) -> None:
    async with connection.transaction():
        await sink.process(records, connection)
    await sink.committed()


async def counts(pool: Pool, stream: str = "l1/s") -> tuple[Any, ...]:
    query = (
        "select received, stored, duplicate, conflict, quarantined, late from ingest.stream_count where stream_id = %s"
    )
    return (await rows(pool, query, stream))[0]


async def gaps(pool: Pool) -> list[tuple[Any, ...]]:
    return await rows(
        pool, "select from_seq, to_seq, closed_at is null, cause from ingest.gap order by from_seq, to_seq"
    )


async def test_a_frame_is_stored_as_it_was_sent(sink: Sink, connection: Connection, log: Log) -> None:  # I-20
    values = np.array([[1.0, np.nan], [2.0, 5e-324]])
    quality = np.array([[0, Quality.NOT_A_NUMBER], [0, 0]], dtype=np.uint8)
    units = {"pressure": "bar"}
    record = log.frame(1, times=np.array([T, T + 7]), values=values, quality=quality, units=units, sent_at=5)
    await apply(sink, connection, record)
    (stored,) = await read_frames(connection, ["l1/s"], T, T + 1000)
    assert (stored.stream, stored.boot, stored.seq, stored.registry_version) == ("l1/s", "b", 1, 1)
    assert (stored.kafka_partition, stored.kafka_offset, stored.received_at, stored.late) == (0, 1, T + 1, False)
    assert stored.times.tolist() == [T, T + 7]
    np.testing.assert_array_equal(stored.values, values)
    assert stored.quality.tolist() == quality.tolist()
    assert stored.content_hash() == stored.hash
    assert await (await connection.execute("select units from ingest.block")).fetchone() == (
        '{"pressure":"bar"}',
    )  # I-3


async def test_sql_users_see_samples(sink: Sink, connection: Connection, log: Log) -> None:
    values = np.array([[0.1, -0.0], [5e-324, np.inf], [np.nan, -1.7976931348623157e308]])
    await apply(sink, connection, log.frame(1, values=values))
    cursor = await connection.execute(
        "select channel, value, measured_at from ingest.sample order by measured_at, channel"
    )
    found = await cursor.fetchall()
    np.testing.assert_array_equal([value for _, value, _ in found], values.ravel())
    assert [channel for channel, _, _ in found] == ["pressure", "temperature"] * 3


async def test_the_same_again_is_a_duplicate_and_stored_once(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-14
    await apply(sink, connection, log.frame(1), log.frame(1))
    await apply(sink, connection, log.frame(1))
    assert await counts(pool) == (3, 1, 2, 0, 0, 0)
    assert len(await read_frames(connection, ["l1/s"], T, T + 10**12)) == 1


async def test_the_same_number_with_other_content_is_a_conflict_and_both_are_kept(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-14
    await apply(sink, connection, log.frame(1, value=1.0), log.frame(1, value=2.0))
    await apply(sink, connection, log.frame(1, value=3.0), log.frame(1, value=2.0))
    assert await counts(pool) == (4, 1, 0, 3, 0, 0)
    (stored,) = await read_frames(connection, ["l1/s"], T, T + 10**12)
    assert stored.values[0, 0] == 1.0
    kept = await rows(pool, "select code, boot, seq, count from ingest.quarantine order by count")
    assert kept == [("conflict", "b", 1, 1), ("conflict", "b", 1, 2)]


async def test_a_sequence_that_restarts_without_a_new_boot_is_a_conflict_that_says_so(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-16
    await apply(sink, connection, log.frame(1), log.frame(2))
    await apply(sink, connection, log.frame(1, at=500))
    ((detail,),) = await rows(pool, "select detail from ingest.quarantine")
    assert "restarted without a new boot" in detail


async def test_a_number_left_out_is_a_gap_that_is_published_and_closed_by_late_data(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-15
    await apply(sink, connection, log.frame(1), log.frame(4))
    assert await gaps(pool) == [(2, 3, True, "missing")]
    await apply(sink, connection, log.frame(2))
    await apply(sink, connection, log.frame(3))
    assert await gaps(pool) == [(2, 3, False, "missing"), (3, 3, False, "missing")]
    told = await rows(pool, "select key, kind, value from ingest.outbox order by id")
    assert {(key, kind) for key, kind, _ in told} == {("l1", "gap")}
    seen = [decode_line_record(value) for _, _, value in told]
    assert all(isinstance(record, GapSeen) and record.stream == "l1/s" for record in seen)
    assert [(r.from_seq, r.to_seq, r.closed) for r in seen if isinstance(r, GapSeen)] == [
        (2, 3, False),
        (3, 3, False),
        (2, 3, True),
        (3, 3, True),
    ]
    first = seen[0]
    assert isinstance(first, GapSeen)
    assert (first.after, first.before) == (T + 12_000_000, T + 40_000_000)


async def test_a_gap_made_by_quarantine_says_so(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-15
    await apply(
        sink, connection, log.frame(1), log.record("quarantine", encode_quarantine(waiting(seq=2))), log.frame(3)
    )
    assert await gaps(pool) == [(2, 2, True, "quarantined")]


async def test_a_new_boot_closes_the_old_one(sink: Sink, connection: Connection, pool: Pool, log: Log) -> None:  # I-16
    await apply(sink, connection, log.frame(1, boot="one"))
    await apply(sink, connection, log.frame(1, at=100, boot="two"), log.frame(2, at=20, boot="one"))
    found = await rows(pool, "select boot, first_seq, last_seq, closed_at is null from ingest.boot order by boot")
    assert found == [("one", 1, 2, False), ("two", 1, 1, True)]


async def test_late_frames_are_stored_marked_and_counted(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-17
    await apply(sink, connection, log.frame(1), log.frame(3))
    await apply(sink, connection, log.frame(2))
    assert [(f.seq, f.late) for f in await read_frames(connection, ["l1/s"], T, T + 10**12)] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert (await counts(pool))[5] == 1


async def test_latest_holds_the_newest_values_whatever_the_order(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-20
    await apply(sink, connection, log.frame(1), log.frame(3, value=3.0))
    await apply(sink, connection, log.frame(2, value=2.0))
    assert await rows(pool, "select seq, vals from ingest.latest") == [(3, [3.0, 3.0])]


def waiting(**facts: Any) -> QuarantineRecord:
    said = {"stream": "l1/s", "code": "unit_unknown", "detail": "no", "hash": b"h", "raw": b"raw", "encoding": ""}
    rest = {
        "complete": True,
        "content_type": "application/json",
        "source": "k",
        "received_at": T,
        "boot": "b",
        "seq": 1,
    }
    return QuarantineRecord(**{"version": VERSION, **said, **rest, **facts})


async def test_a_quarantined_record_is_kept_once_and_counted_every_time(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-19
    record = encode_quarantine(waiting())
    await apply(sink, connection, log.record("quarantine", record), log.record("quarantine", record))
    await apply(sink, connection, log.record("quarantine", encode_quarantine(waiting(received_at=T + 5))))
    assert await rows(pool, "select raw, code, count, state from ingest.quarantine") == [
        (b"raw", "unit_unknown", 3, "waiting")
    ]
    assert await counts(pool) == (3, 0, 0, 0, 3, 0)


@pytest.mark.parametrize(
    ("change", "code", "books"),
    [
        ({"stream": "l1/none"}, "stream_unknown", "l1/none"),
        ({"registry_version": 9}, "version_unknown", "l1/s"),
        ({"values": np.ones((3, 5))}, "shape_mismatch", "l1/s"),
        ({"times": np.array([T, T - 1, T + 1])}, "times_unordered", "l1/s"),
        ({"times": np.array([-5, 0, 1])}, "time_range", "l1/s"),
        ({"boot": "a\x00b"}, "text_invalid", "l1/s"),
        ({"received_at": 2**62}, "time_range", "l1/s"),
    ],
)
async def test_a_frame_that_no_gateway_of_ours_wrote_waits_and_its_neighbours_are_stored(
    sink: Sink, connection: Connection, pool: Pool, log: Log, change: dict[str, Any], code: str, books: str
) -> None:  # I-18 I-20
    await apply(sink, connection, log.frame(1), log.frame(7, **change), log.record("frame", b"junk"), log.frame(2))
    assert len(await read_frames(connection, ["l1/s"], T, T + 10**12)) == 2
    found = await rows(pool, "select stream_id, code from ingest.quarantine where code <> 'frame_malformed'")
    assert found == [(books, code)]
    assert await counts(pool, "unknown") == (1, 0, 0, 0, 1, 0)


async def test_what_only_the_database_refuses_is_found_by_halving(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-20
    async with pool.connection() as other:
        await other.execute("alter table ingest.message add constraint poison check (seq <> 5)")
    await apply(sink, connection, *(log.frame(seq) for seq in range(1, 9)))
    assert [frame.seq for frame in await read_frames(connection, ["l1/s"], T, T + 10**12)] == [1, 2, 3, 4, 6, 7, 8]
    assert await rows(pool, "select code, seq from ingest.quarantine") == [("sqlstate_23514", 5)]
    assert await counts(pool) == (8, 7, 0, 0, 1, 0)


async def test_an_error_that_may_pass_is_not_the_records_fault(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # I-20
    async with pool.connection() as other, other.transaction():
        await other.execute("lock table ingest.block in access exclusive mode")
        await connection.execute("set local lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await sink.process([log.frame(1)], connection)
        await connection.rollback()
    await sink.restore([0], connection)
    await apply(sink, connection, log.frame(1))
    assert await counts(pool) == (1, 1, 0, 0, 0, 0)


async def test_reading_the_log_again_changes_nothing(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # G3
    batch = [log.frame(1), log.frame(4), log.frame(4, value=9.0), log.frame(2)]
    await apply(sink, connection, *batch)
    before = (
        await gaps(pool),
        await rows(pool, "select * from ingest.block"),
        await rows(pool, "select event_id from ingest.outbox"),
    )
    await apply(sink, connection, *batch)
    after = (
        await gaps(pool),
        await rows(pool, "select * from ingest.block"),
        await rows(pool, "select event_id from ingest.outbox"),
    )
    assert after == before


async def test_any_cut_of_the_log_into_batches_gives_the_same_tables(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:  # G3
    order = [1, 4, 2, 2, 9, 3, 7, 1, 5]
    for record in [log.frame(seq) for seq in order]:
        await apply(sink, connection, record)
    one_by_one = await _books(pool)
    async with pool.connection() as other:
        await other.execute(
            "truncate ingest.block, ingest.message, ingest.latest, ingest.boot, ingest.gap, ingest.stream_count"
        )
    fresh = Log()
    await apply(sink, connection, *(fresh.frame(seq) for seq in order))
    assert await _books(pool) == one_by_one


async def _books(pool: Pool) -> list[Any]:
    return [
        await gaps(pool),
        await counts(pool),
        await rows(pool, "select boot, first_seq, last_seq, last_time, closed_at from ingest.boot"),
        await rows(pool, "select seq, measured_at, vals, widest_block from ingest.latest"),
        await rows(pool, "select seq_from, kafka_offset, late from ingest.block order by kafka_offset"),
    ]


async def test_books_that_do_not_balance_are_refused_by_the_table(connection: Connection) -> None:  # G2
    with pytest.raises(psycopg.errors.CheckViolation):
        await connection.execute("insert into ingest.stream_count (stream_id, received, stored) values ('x', 2, 1)")


async def test_a_version_registered_a_moment_ago_is_found(
    sink: Sink, connection: Connection, pool: Pool, log: Log
) -> None:
    await apply(sink, connection, log.frame(1))
    changed = registry("l1", "l2")
    changed["streams"][0]["channels"] = [*CHANNELS, {"name": "flow", "quantity_kind": "volume_flow", "unit": "m3/h"}]
    async with pool.connection() as other:
        await apply_registry(other, read_document(changed))
    sink._registry._read_at -= 2.0
    await apply(sink, connection, log.frame(2, registry_version=2, values=np.ones((3, 3))))
    stored = await read_frames(connection, ["l1/s"], T, T + 10**12)
    assert [(frame.registry_version, frame.values.shape) for frame in stored] == [(1, (3, 2)), (2, (3, 3))]


# Reading ----------------------------------------------------------------------------------------------------------------------


async def seqs(connection: Connection, from_: float, to: float, streams: Sequence[str] = ("l1/s",)) -> list[int]:
    found = await read_frames(connection, streams, T + int(from_ * 1e6), T + int(to * 1e6))
    return [frame.seq for frame in found]


async def test_a_range_is_half_open_and_gives_every_block_that_has_a_sample_in_it(
    sink: Sink, connection: Connection, log: Log
) -> None:  # I-22
    wide = np.array([T + 25_000_000, T + 95_000_000])
    await apply(sink, connection, log.frame(1), log.frame(2), log.frame(3, times=wide, n=2), log.frame(4), log.frame(5))
    assert await seqs(connection, 10, 20) == [1]
    assert await seqs(connection, 12, 20.000001) == [1, 2]
    assert await seqs(connection, 12.000001, 20) == []
    assert await seqs(connection, 22, 41) == [2, 3, 4]
    assert await seqs(connection, 60, 90) == []
    assert await seqs(connection, 90, 95.000001) == [3]
    assert await seqs(connection, 50, 50) == []
    assert await seqs(connection, 0, 1000, ["l1/none"]) == []


async def test_streams_come_together_in_order_of_time(sink: Sink, connection: Connection, log: Log) -> None:
    await apply(
        sink,
        connection,
        log.frame(1),
        log.frame(1, at=5, stream="l2/s"),
        log.frame(2),
        log.frame(2, at=15, stream="l2/s"),
    )
    found = await read_frames(connection, ["l1/s", "l2/s"], T, T + 10**12)
    assert [(frame.stream, frame.seq) for frame in found] == [("l2/s", 1), ("l1/s", 1), ("l2/s", 2), ("l1/s", 2)]


async def test_streaming_gives_the_same_frames_in_pieces(sink: Sink, connection: Connection, log: Log) -> None:
    await apply(sink, connection, *(log.frame(seq) for seq in range(1, 12)))
    whole = await seqs(connection, 0, 1000)
    pieces = [frames async for frames in stream_frames(connection, ["l1/s"], T, T + 10**9, chunk=4)]
    assert [len(frames) for frames in pieces] == [4, 4, 3]
    assert [frame.seq for frames in pieces for frame in frames] == whole


async def test_what_may_still_hold_at_an_instant(sink: Sink, connection: Connection, log: Log) -> None:
    await apply(sink, connection, log.frame(1), log.frame(2), log.frame(3))
    found = await last_frames_before(connection, "l1/s", T + 30_000_000, 9_000_000)
    assert [frame.seq for frame in found] == [2]
    assert await last_frames_before(connection, "l1/s", T + 10_000_000, 9_000_000) == []
