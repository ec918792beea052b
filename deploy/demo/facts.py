"""What a settled platform says about a replay: read with SQL, as plain values. The summary prints it, the checks judge it, and two replays
are the same when `comparable` of both is equal."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """The platform's books of one stream, and a digest over the content of every stored record."""

    received: int
    stored: int
    duplicate: int
    conflict: int
    quarantined: int
    rows: int
    late: int
    digest: str


@dataclass(frozen=True, slots=True)
class GapFacts:
    stream: str
    boot: str
    from_seq: int
    to_seq: int
    closed: bool


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """One evaluation of a run. `outcomes` and `reasons` are by criterion, of its final result."""

    number: int
    kind: str
    cause: str
    state: str
    verdict: str
    digest: str
    outcomes: Mapping[str, str]
    margins: Mapping[str, float | None]
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunFacts:
    run: str
    customer: str
    state: str
    verdict: str
    verdict_state: str
    gaps: int
    late: int
    evaluations: tuple[EvaluationFacts, ...]
    mismatches: int

    def last(self, kind: str) -> EvaluationFacts | None:
        """The newest final evaluation of a kind: `live`, or `stored` for the one from stored frames."""
        final = [
            evaluation for evaluation in self.evaluations if (evaluation.kind, evaluation.state) == (kind, "final")
        ]
        return final[-1] if final else None


@dataclass(frozen=True, slots=True)
class Facts:
    streams: Mapping[str, StreamFacts]
    quarantine: Sequence[Row]
    gaps: Sequence[GapFacts]
    nan_cells: Mapping[str, int]
    runs: Mapping[str, RunFacts]
    dead_letters: int


class Reader:
    """Queries over one connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, query: LiteralString, *arguments: object) -> list[Row]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, arguments).fetchall()


def read_facts(database_url: str) -> Facts:
    """Everything at one moment, in one read-only snapshot."""
    with psycopg.connect(database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        reader = Reader(connection)
        return Facts(
            streams=_streams(reader),
            quarantine=reader.rows(
                "select stream_id, boot, seq, code, detail, count from ingest.quarantine order by stream_id, boot, seq, code"
            ),
            gaps=_gaps(reader),
            nan_cells=_nan_cells(reader),
            runs=_runs(reader),
            dead_letters=reader.rows("select count(*) as n from messaging.dead_letter")[0]["n"],
        )


def _streams(reader: Reader) -> dict[str, StreamFacts]:
    contents: dict[str, Any] = defaultdict(hashlib.sha256)
    blocks = reader.rows(
        """select s.stream_id, b.boot, b.seq_from, b.seq_to, b.hash from ingest.block b join ingest.stream s using (stream_no)
           order by s.stream_id, b.boot, b.seq_from, b.hash"""
    )
    for block in blocks:
        identity = f"{block['boot']}\x00{block['seq_from']}\x00{block['seq_to']}\x00".encode()
        contents[block["stream_id"]].update(identity + bytes(block["hash"]))
    return {
        row["stream_id"]: StreamFacts(
            received=row["received"],
            stored=row["stored"],
            duplicate=row["duplicate"],
            conflict=row["conflict"],
            quarantined=row["quarantined"],
            rows=row["rows_stored"],
            late=row["late"],
            digest=contents[row["stream_id"]].hexdigest(),
        )
        for row in reader.rows("select * from ingest.stream_count order by stream_id")
    }


def _gaps(reader: Reader) -> list[GapFacts]:
    return [
        GapFacts(row["stream_id"], row["boot"], row["from_seq"], row["to_seq"], row["closed_at"] is not None)
        for row in reader.rows("select * from ingest.gap order by stream_id, boot, from_seq")
    ]


def _nan_cells(reader: Reader) -> dict[str, int]:
    """Stored values marked `not a number` (quality bit 2), by boot."""
    rows = reader.rows("select boot, quality from ingest.block where quality <> ''")
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["boot"]] += sum(mark & 2 != 0 for mark in bytes(row["quality"]))
    return {boot: count for boot, count in counts.items() if count}


def _runs(reader: Reader) -> dict[str, RunFacts]:
    evaluations: dict[str, list[EvaluationFacts]] = defaultdict(list)
    for row in reader.rows("select * from verification.evaluation order by run_id, number"):
        criteria = [] if row["result"] is None else _criteria(row["result"])
        evaluations[row["run_id"]].append(
            EvaluationFacts(
                number=row["number"],
                kind=row["kind"],
                cause=row["cause"],
                state=row["state"],
                verdict=row["verdict"].upper(),
                digest=row["digest"] or "",
                outcomes={item["criterion"]: item["outcome"] for item in criteria},
                margins={item["criterion"]: item["margin"] for item in criteria},
                reasons={item["criterion"]: item["reason"] or "" for item in criteria},
            )
        )
    mismatches = reader.rows("select run_id, count(*) as n from verification.evaluation_mismatch group by run_id")
    wrong = {row["run_id"]: row["n"] for row in mismatches}
    return {
        row["run_id"]: RunFacts(
            run=row["run_id"],
            customer=row["customer_id"],
            state=row["state"],
            verdict=row["verdict"].upper(),
            verdict_state=row["verdict_state"],
            gaps=row["gaps"],
            late=row["late"],
            evaluations=tuple(evaluations[row["run_id"]]),
            mismatches=wrong.get(row["run_id"], 0),
        )
        for row in reader.rows("select * from verification.run order by started_at, run_id")
    }


def _criteria(result: Any) -> list[Row]:
    """The criteria of a final result, as digested."""
    criteria: list[Row] = result["criteria"] if isinstance(result, dict) else result
    return criteria
