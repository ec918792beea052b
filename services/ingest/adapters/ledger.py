"""The sink's tables as the gateway reads them, to answer `duplicate` and `conflict`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.ingest.domain.recent import Key
from shared.storage.pool import Pool


class Ledger:
    """`KnowsStored` on PostgreSQL."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def last_seqs(self, boots: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        streams, names = [stream for stream, _ in boots], [boot for _, boot in boots]
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """select s.stream_id, b.boot, b.last_seq
                   from unnest(%s::text[], %s::text[]) as k(stream_id, boot)
                   join ingest.stream s using (stream_id) join ingest.boot b on b.stream_no = s.stream_no and b.boot = k.boot""",
                (streams, names),
            )
            return {(stream, boot): last for stream, boot, last in await cursor.fetchall()}

    async def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        columns = [list(column) for column in zip(*keys, strict=True)]
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                """select s.stream_id, m.boot, m.seq, m.hash
                   from unnest(%s::text[], %s::text[], %s::int8[]) as k(stream_id, boot, seq)
                   join ingest.stream s using (stream_id)
                   join ingest.message m on m.stream_no = s.stream_no and m.boot = k.boot and m.seq = k.seq""",
                columns,
            )
            return {(stream, boot, seq): content for stream, boot, seq, content in await cursor.fetchall()}
