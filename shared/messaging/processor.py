"""What a stream processor is: records and a transaction in, effects in that transaction out. It knows no Kafka.

Two drivers run the same processor: `loop.run_loop` (plain aiokafka) and `faust_app.run_faust`. Both keep these promises:

- The records of a call are sorted by (topic, partition, offset), each offset once, contiguous with what was applied before.
- The position moves in the transaction of the effects. When the transaction is rolled back, for whatever reason, `restore` is called
  before the next `process`: memory and database never differ.
- At any moment at most one process can commit for a partition (the position row carries a fencing token).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record. `kind` is the header of that name, '' without one. `timestamp_ms` is the producer's clock."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    kind: str
    value: bytes
    timestamp_ms: int
    headers: Mapping[str, bytes]


class Processor(Protocol):
    """Applies records to the database. One call, one transaction; nobody calls two methods at once."""

    @property
    def name(self) -> str:
        """Owner of the positions: (name, topic, partition). Stable for ever: under another name everything is read again."""

    @property
    def kinds(self) -> frozenset[str] | None:
        """Records of other kinds are not handed over, but advance the position. None: every kind."""

    @property
    def tick_seconds(self) -> float | None:
        """`process` is called with () at least this often; None: only with records."""

    async def restore(self, partitions: Sequence[int], connection: psycopg.AsyncConnection[Any]) -> None:
        """Forget all memory, then load the state of exactly these partitions."""

    async def process(self, records: Sequence[Record], connection: psycopg.AsyncConnection[Any]) -> None:
        """Apply, with effects only through the open transaction of `connection`.

        A record that no retry can process belongs in `dead_letters.dead_letter`, inside the same transaction. Raising ends the batch:
        what the SQLSTATE class calls temporary is tried again from `restore`, anything else stops the process.
        """

    async def committed(self) -> None:
        """After COMMIT: metrics, notifications. Nothing that must not be lost: a crash may come first."""
