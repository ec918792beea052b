"""Where the samples behind a verdict lie: stream, boot, sequence number, and the place of their frame in the log.

Kafka positions are read from what is stored and stay outside every digest: they differ when a record is delivered twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.verification.adapters.views import Position
from services.verification.domain.outcomes import Evidence
from shared.kernel.times import DAY, utc
from shared.storage.pool import Connection


async def positions_of(connection: Connection, evidence: Mapping[str, Any] | None) -> tuple[Position, ...]:
    """The positions of an evidence as JSON (`start`, `end`, `samples`); one query, whatever the number of samples."""
    if not evidence or not evidence["samples"]:
        return ()
    samples: Sequence[Mapping[str, Any]] = evidence["samples"]
    wanted = sorted({(item["stream"], item["boot"], item["seq"]) for item in samples})
    cursor = await connection.execute(
        """select s.stream_id, b.boot, b.seq_from, b.kafka_partition, b.kafka_offset
           from unnest(%s::text[], %s::text[], %s::bigint[]) w(stream_id, boot, seq)
           join ingest.stream s using (stream_id)
           join ingest.block b on b.stream_no = s.stream_no and b.boot = w.boot and b.seq_from = w.seq
           where b.t0 between %s and %s""",
        (
            [stream for stream, _, _ in wanted],
            [boot for _, boot, _ in wanted],
            [seq for _, _, seq in wanted],
            # A frame begins before its sample, and a value may have been held from before the evidence.
            utc(evidence["start"] - DAY),
            utc(evidence["end"]),
        ),
    )
    places = {(row[0], row[1], row[2]): (row[3], row[4]) for row in await cursor.fetchall()}
    return tuple(
        Position(
            role=item["role"],
            channel=item["channel"],
            stream=item["stream"],
            boot=item["boot"],
            seq=item["seq"],
            row=item["row"],
            partition=places.get((item["stream"], item["boot"], item["seq"]), (None, None))[0],
            offset=places.get((item["stream"], item["boot"], item["seq"]), (None, None))[1],
        )
        for item in samples
    )


async def offsets_of(connection: Connection, evidences: Sequence[Evidence | None]) -> dict[tuple[str, str, int], int]:
    """Kafka offset by (stream, boot, seq) of every frame in the evidence of a result."""
    known = [evidence for evidence in evidences if evidence is not None and evidence.samples]
    if not known:
        return {}
    whole = {
        "start": min(evidence.start for evidence in known),
        "end": max(evidence.end for evidence in known),
        "samples": [asdict(sample) for evidence in known for sample in evidence.samples],
    }
    positions = await positions_of(connection, whole)
    return {(item.stream, item.boot, item.seq): item.offset for item in positions if item.offset is not None}
