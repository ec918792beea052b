"""The sink's SQL: every statement of its transaction. The sink is the only writer of these tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple
from struct import Struct
from typing import Any
from uuid import UUID

import numpy as np

from services.ingest.adapters.arrivals import Arrival, LedgerKey
from services.ingest.domain.arrival import BootGap, Counts, StreamBook
from services.ingest.domain.sequence import BootOrder, Gap
from shared.contracts.quarantine import QuarantineRecord
from shared.kernel.ids import stable_id
from shared.kernel.times import micros, utc
from shared.storage.arrays import PG_EPOCH, speak_numpy
from shared.storage.copy import copy_binary
from shared.storage.pool import Connection

_BLOCK_COLUMNS = (
    *("stream_no", "t0", "t1", "boot", "seq_from", "seq_to", "k", "registry_version", "received_at", "kafka_partition"),
    *("kafka_offset", "hash", "late", "units", "times", "vals", "quality"),
)
_ROW_START = Struct(">iiiqiqi")
_ROW_MIDDLE = Struct(">iqiqihiiiq")
_ROW_ORIGIN = Struct(">iiiqi")
_ROW_LATE = Struct(">i?i")


async def enter_ledger(connection: Connection, new: Mapping[LedgerKey, bytes]) -> dict[LedgerKey, bytes]:
    """Enter the identities with their content hash; returns those that were there before, with the hash in force."""
    keys = sorted(new)
    numbers, boots, seqs = _key_arrays(keys)
    async with connection.cursor() as cursor:
        speak_numpy(cursor)
        await cursor.execute(
            """insert into ingest.message (stream_no, boot, seq, hash)
               select * from unnest(%b::int8[], %b::text[], %b::int8[], %b::bytea[]) on conflict do nothing
               returning stream_no, boot, seq""",
            (numbers, boots, seqs, [new[key] for key in keys]),
        )
        if cursor.rowcount == len(keys):
            return {}
        entered = set(await cursor.fetchall())
    return await stored_hashes(connection, [key for key in keys if key not in entered])


async def stored_hashes(connection: Connection, keys: Sequence[LedgerKey]) -> dict[LedgerKey, bytes]:
    """The ledger's hash of each identity it has."""
    async with connection.cursor(binary=True) as cursor:
        speak_numpy(cursor)
        await cursor.execute(
            """select m.stream_no, m.boot, m.seq, m.hash
               from unnest(%b::int8[], %b::text[], %b::int8[]) as k(stream_no, boot, seq)
               join ingest.message m on m.stream_no = k.stream_no and m.boot = k.boot and m.seq = k.seq""",
            _key_arrays(keys),
        )
        return {(number, boot, seq): content for number, boot, seq, content in await cursor.fetchall()}


def _key_arrays(keys: Sequence[LedgerKey]) -> tuple[Any, list[str], Any]:
    return (
        np.array([key[0] for key in keys]),
        [key[1] for key in keys],
        np.array([key[2] for key in keys], dtype=np.int64),
    )


async def load_books(connection: Connection, boots: Mapping[int, Collection[str]]) -> dict[int, StreamBook]:
    """The state of these streams, with the boots named and the open one of each."""
    books = {number: StreamBook() for number in boots}
    numbers, names = list(boots), sorted({name for several in boots.values() for name in several})
    cursor = await connection.execute(
        "select stream_no, measured_at, widest_block from ingest.latest where stream_no = any(%s)", (numbers,)
    )
    for number, measured_at, widest in await cursor.fetchall():
        books[number].newest, books[number].widest = micros(measured_at), widest
    cursor = await connection.execute(
        """select b.stream_no, b.boot, b.first_seq, b.last_seq, b.last_time, b.closed_at is null,
                  g.from_seq, g.to_seq, g.after, g.before
           from ingest.boot b join ingest.stream s using (stream_no)
           left join ingest.gap g on g.stream_id = s.stream_id and g.boot = b.boot and g.closed_at is null
           where b.stream_no = any(%s) and (b.boot = any(%s) or b.closed_at is null)
           order by b.stream_no, b.boot, g.from_seq""",
        (numbers, names),
    )
    for number, boot, first, last, last_time, is_open, from_seq, to_seq, after, before in await cursor.fetchall():
        book = books[number]
        order = book.boots.setdefault(boot, BootOrder(first, last, micros(last_time)))
        if is_open:
            book.current = boot
        if from_seq is not None:
            order.gaps.append(Gap(from_seq, to_seq, micros(after), micros(before)))
    return books


async def append_blocks(connection: Connection, arrivals: Sequence[Arrival], late: Sequence[bool]) -> None:
    """One row per frame, sorted by stream and time so that the rows of a stream lie together."""
    order = sorted(range(len(arrivals)), key=lambda position: (arrivals[position].number, arrivals[position].first))
    rows = (_block_row(arrivals[position], late[position]) for position in order)
    await copy_binary(connection, "ingest.block", _BLOCK_COLUMNS, rows)


def _block_row(arrival: Arrival, late: bool) -> bytes:
    """The fields of `_BLOCK_COLUMNS`, packed together where they are of fixed length: a third of the time of one by one."""
    frame = arrival.frame
    boot, units = frame.boot.encode(), arrival.units()
    received_at = frame.received_at - PG_EPOCH
    return b"".join(
        (
            _ROW_START.pack(4, arrival.number, 8, arrival.first - PG_EPOCH, 8, arrival.last - PG_EPOCH, len(boot)),
            boot,
            _ROW_MIDDLE.pack(8, frame.seq, 8, frame.seq, 2, frame.channels, 4, frame.registry_version, 8, received_at),
            _ROW_ORIGIN.pack(4, arrival.partition, 8, arrival.offset, len(arrival.content)),
            arrival.content,
            _ROW_LATE.pack(1, late, len(units)),
            units,
            len(frame.times).to_bytes(4, "big"),
            frame.times,
            len(frame.values).to_bytes(4, "big"),
            frame.values,
            len(frame.quality).to_bytes(4, "big"),
            frame.quality,
        )
    )


async def save_latest(connection: Connection, books: Mapping[int, StreamBook], arrivals: Sequence[Arrival]) -> None:
    """The newest values of each stream, and how wide its blocks get."""
    rows = []
    for number, book in sorted(books.items()):
        if book.latest is not None:
            arrival = arrivals[book.latest]
            frame = arrival.frame
            last = frame.values_array()[-1]
            quality = frame.quality_array()[-1].tobytes() if frame.quality else b""
            moments = (utc(arrival.last), utc(frame.received_at))
            rows.append((number, frame.boot, frame.seq, *moments, last, quality, book.widest))
    async with connection.cursor() as cursor:
        speak_numpy(cursor)
        await cursor.executemany(
            """insert into ingest.latest (stream_no, boot, seq, measured_at, received_at, vals, quality, widest_block)
               values (%s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (stream_no) do update set boot = excluded.boot, seq = excluded.seq, measured_at = excluded.measured_at,
                   received_at = excluded.received_at, vals = excluded.vals, quality = excluded.quality,
                   widest_block = excluded.widest_block""",
            rows,
        )
        wider = [(book.widest, number) for number, book in books.items() if book.latest is None and book.counts.stored]
        if wider:
            await cursor.executemany("update ingest.latest set widest_block = %s where stream_no = %s", wider)


async def save_boots(connection: Connection, books: Mapping[int, StreamBook]) -> None:
    rows = [
        (number, boot, order.first_seq, order.last_seq, utc(order.last_time), utc(opened))
        for number, book in sorted(books.items())
        for boot, opened in sorted(book.touched.items())
        for order in (book.boots[boot],)
    ]
    closed = [(utc(at), number, boot) for number, book in sorted(books.items()) for boot, at in book.closed.items()]
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into ingest.boot (stream_no, boot, first_seq, last_seq, last_time, opened_at) values (%s, %s, %s, %s, %s, %s)
               on conflict (stream_no, boot) do update
               set first_seq = excluded.first_seq, last_seq = excluded.last_seq, last_time = excluded.last_time""",
            rows,
        )
        if closed:
            await cursor.executemany(
                "update ingest.boot set closed_at = %s where stream_no = %s and boot = %s and closed_at is null", closed
            )


def gap_id(stream: str, boot: str, gap: Gap) -> UUID:
    """The same gap has the same id, however often its log is read."""
    return stable_id("gap", stream, boot, gap.from_seq, gap.to_seq)


async def save_gap(connection: Connection, stream: str, seen: BootGap) -> None:
    """Open or close one gap. One whose records wait in quarantine says so."""
    gap = seen.change.gap
    identity = gap_id(stream, seen.boot, gap)
    if seen.change.closed:
        await connection.execute("update ingest.gap set closed_at = %s where gap_id = %s", (utc(seen.at), identity))
        return
    await connection.execute(
        """insert into ingest.gap (gap_id, stream_id, boot, from_seq, to_seq, after, before, opened_at, cause)
           select %(id)s, %(stream)s, %(boot)s, %(from)s, %(to)s, %(after)s, %(before)s, %(at)s,
                  case when exists (select from ingest.quarantine
                                    where stream_id = %(stream)s and boot = %(boot)s and seq between %(from)s and %(to)s)
                       then 'quarantined' else 'missing' end
           on conflict (gap_id) do nothing""",
        {
            "id": identity,
            "stream": stream,
            "boot": seen.boot,
            "from": gap.from_seq,
            "to": gap.to_seq,
            "after": utc(gap.after),
            "before": utc(gap.before),
            "at": utc(seen.at),
        },
    )


async def save_counts(connection: Connection, counts: Mapping[str, Counts]) -> None:
    """Add to the books of each stream (by id, also of streams nobody registered). The table refuses books that do not balance."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into ingest.stream_count as c (stream_id, received, stored, duplicate, conflict, quarantined, rows_stored, late)
               values (%s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (stream_id) do update set received = c.received + excluded.received, stored = c.stored + excluded.stored,
                   duplicate = c.duplicate + excluded.duplicate, conflict = c.conflict + excluded.conflict,
                   quarantined = c.quarantined + excluded.quarantined, rows_stored = c.rows_stored + excluded.rows_stored,
                   late = c.late + excluded.late""",
            [(stream, *astuple(several)[:7]) for stream, several in sorted(counts.items())],
        )


async def save_quarantine(connection: Connection, records: Iterable[QuarantineRecord]) -> None:
    """Keep each record once, and count how often it came."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into ingest.quarantine as q (stream_id, code, detail, hash, raw, encoding, complete, content_type, source, boot, seq,
                   registry_version, first_seen, last_seen)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (stream_id, code, hash) do update
               set count = q.count + 1, last_seen = greatest(q.last_seen, excluded.last_seen)""",
            [
                (
                    *(
                        record.stream,
                        record.code,
                        record.detail,
                        record.hash,
                        record.raw,
                        record.encoding,
                        record.complete,
                    ),
                    *(record.content_type, record.source, record.boot, record.seq, record.registry_version),
                    *(utc(record.received_at), utc(record.received_at)),
                )
                for record in records
            ],
        )
