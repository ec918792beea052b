"""What-if over stored frames: sample·criteria per second and core, reading included, of one run judged by one draft and by three.

    python -m tests.perf.what_if [million samples]

A run of ten streams of ten channels and fifty criteria (band, rate, settle, excursion, statistics, quality, sliding) is stored in TimescaleDB as the
sink stores it, with the verdict of record. What is counted is `judge_run` in this process: one core, database included in the time. The drafts are
the criteria of record, so another digest than the one of record is a wrong result.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from services.ingest.adapters.arrivals import Arrival
from services.ingest.adapters.registry_store import apply_registry
from services.ingest.adapters.sink_tables import append_blocks
from services.verification.adapters.criteria_store import CriteriaStore
from services.verification.adapters.run_store import RunStore
from services.verification.adapters.what_if import judge_run
from services.verification.adapters.worker import evaluations
from services.verification.adapters.worker.warming import warm_up
from services.verification.criteria_handlers import save_criteria
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.outcomes import RunResult
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from services.verification.domain.run_state import RunState
from services.verification.handlers import Clock, Order, carry_out, create_run, line_record
from services.verification.ports import Run, Scene, VerificationKind
from shared.contracts.frame import Frame
from shared.contracts.topics import Topics
from shared.storage.pool import Connection, Pool, build_pool
from shared.storage.registry import read_registry
from tests.perf import report
from tests.perf.load import CHANNELS, LINE, SPACING, START, frames, registry
from tests.perf.servers import servers

STREAMS, ROWS = 10, 1000
TITLE = {"en": "bench", "zh": "测量"}


def kpa(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "kPa"}


def seconds(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "s"}


WIDE = {"low": kpa(-1e6), "high": kpa(1e6)}
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "band"} | WIDE,
    {"kind": "band", "high": kpa(1e5)},
    {"kind": "rate_of_change", "window": seconds(0.1), "high": {"value": 1e9, "unit": "kPa/s"}},
    {"kind": "settle", "target": kpa(100), "tolerance": kpa(1e6), "by": seconds(1)},
    {"kind": "longest_excursion", "at_most": seconds(1)} | WIDE,
    {"kind": "cumulative_time_out", "at_most": seconds(1)} | WIDE,
    {"kind": "window_statistics", "statistic": "sd", "high": kpa(1e6)},
    {"kind": "window_statistics", "statistic": "mean", "windows": "sliding", "window": seconds(1)} | WIDE,
    {"kind": "fraction_in_band", "at_least": 0.5} | WIDE,
    {"kind": "data_quality", "max_gap": seconds(60)},
)


def criteria() -> CriteriaSet:
    """Fifty: every kind on five streams."""
    return CriteriaSet.model_validate(
        {
            "id": "bench",
            "version": 1,
            "title": TITLE,
            "phases": [{"id": "p", "title": TITLE}],
            "criteria": [
                {"id": f"c{k}-{s}", "title": TITLE, "phase": "p", "signal": f"s{s}.{CHANNELS[k]}"} | kind
                for k, kind in enumerate(KINDS)
                for s in range(5)
            ],
        }
    )


async def main(million: float) -> None:
    count = max(STREAMS, int(million * 1e6) // (ROWS * len(CHANNELS)))
    warm_up()
    async with servers() as where, build_pool(where.database_url, name="bench") as pool:
        digest = await stored(pool, where.topics, count)
        figures = {}
        for drafts in (1, 3):
            figures[f"drafts_{drafts}"] = await speed(where.database_url, digest, drafts)
    bars = [report.Bar("one draft, sample·criteria/s and core", 20e6, figures["drafts_1"], "at least")]
    report.publish(report.line("what_if", unit="sample·criteria/s and core", figures=figures, bars=bars))


async def speed(url: str, digest: str, drafts: int) -> float:
    """The best of three. Raises WrongResult for another digest than the one of record."""
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        tables = await judge_run(url, "bench", [criteria()] * drafts, lambda _run, _share: None)
        spent = time.perf_counter() - began
        if {table.verdict.digest for table in tables.tables} != {digest}:
            raise report.WrongResult(f"of record {digest}, what-if {tables.tables[0].verdict.digest}")
        best = max(best, tables.sample_criteria / spent)
    return best


async def stored(pool: Pool, topics: Topics, count: int) -> str:
    """Frames, the run, and its verdict of record; answers the digest."""
    sent = list(frames(count, streams=STREAMS, rows=ROWS, boot="b"))
    end = START + (count // STREAMS) * ROWS * SPACING
    async with pool.connection() as connection:
        await apply_registry(connection, registry(STREAMS))
        await _append(connection, sent)
        known = await read_registry(connection)
        kept = CriteriaStore(connection)
        await save_criteria(criteria(), line=LINE, publish=True, who="bench", registry=known, store=kept)
        runs = RunStore(connection, topics)
        run, _ = await create_run(_run(), now=START, registry=known, criteria=kept, runs=runs)
        records: list[Lifecycle] = []
        for command, at, phase in (("start", START, None), ("phase", START, "p"), ("complete", end, None)):
            order = Order("bench", command, command, at, "bench", "", phase)
            await carry_out(order, clock=Clock(end), registry=known, criteria=kept, runs=runs)
            if command != "start":
                records.append(line_record(order, run))  # type: ignore[arg-type]
        plan = RunPlan.build(run="bench", criteria=criteria(), streams=known.streams_of_line(LINE), start=START)
        result = rebuild(plan, records, sorted(sent, key=lambda f: int(f.times_array()[0])), in_order=True).result()
        await _of_record(connection, plan, result, count)
    async with pool.connection() as connection:
        await connection.set_autocommit(True)
        await connection.execute("vacuum analyze ingest.block")
        await connection.set_autocommit(False)
    return result.digest


def _run() -> Run:
    return Run(
        run="bench", project="bench", customer="bench", platform="bench", line=LINE, scene=Scene.BENCH,
        verification_kind=VerificationKind.PROCESS, item="item", item_revision="1", iteration=1, previous_run=None,
        equipment=(), criteria_set="bench", criteria_version=1, criteria_digest="", streams=(), tariff="",
        service_code="", planned_end=None, created_by="bench", state=RunState.IDLE, phase=None, started_at=None,
        ended_at=None, end_reason=None,
    )  # fmt: skip


async def _append(connection: Connection, sent: list[Frame]) -> None:
    known = await read_registry(connection)
    arrivals = []
    for offset, frame in enumerate(sent):
        times = frame.times_array()
        number, stream = known.numbers[frame.stream], known.streams[frame.stream]
        place = (frame.content_hash(), 0, offset)
        arrivals.append(Arrival(number, stream, frame, int(times[0]), int(times[-1]), *place))
    await append_blocks(connection, arrivals, [False] * len(arrivals))
    await connection.execute(
        """insert into ingest.latest (stream_no, boot, seq, measured_at, received_at, vals, widest_block)
           select stream_no, 'b', 1, max(t1), now(), '{}', %s from ingest.block group by stream_no""",
        (ROWS * SPACING,),
    )


async def _of_record(connection: Connection, plan: RunPlan, result: RunResult, cut: int) -> None:
    await evaluations.open_evaluation(connection, plan, 1, cause="started")
    await evaluations.finish_live(connection, 1, result, cut)
    await evaluations.set_verdict(connection, plan.run, result.outcome.name.lower(), "final", 1)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 40.0))
