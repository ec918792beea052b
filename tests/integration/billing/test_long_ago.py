"""A run that started thirty years ago is metered in turns: the process stays small, commits as it goes, and serves other lines meanwhile."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.billing.adapters.state_models import publish_state_model
from services.ingest.adapters.registry_store import apply_registry
from shared.contracts.lifecycle import RunEnded, encode_line_record
from shared.contracts.registry_document import read_yaml
from shared.contracts.topics import Kind, Topics
from shared.kernel.times import DAY, HOUR, utc
from shared.messaging.producer import Outgoing, producing
from shared.storage.pool import connect
from shared.storage.registry import read_registry
from tests.integration.billing.plant import (
    LINE,
    REGISTRY,
    START,
    STATE_MODEL,
    frame,
    install,
    lifecycle,
    processes,
    query,
    run_started,
    send,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
LONG_AGO = START - 30 * 366 * DAY


async def _second_line(database: str) -> None:
    async with connect(database, name="test-install") as connection:
        await apply_registry(connection, read_yaml(REGISTRY.replace("p1", "p2")))
    async with connect(database, name="test-install") as connection:
        model = STATE_MODEL.replace("p1", "p2")
        await publish_state_model(connection, model, await read_registry(connection), by="test")


def _memory(process: int) -> int:
    """MiB that it holds at the most."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


async def test_a_start_of_thirty_years_ago_neither_fills_the_memory_nor_holds_up_other_lines(
    kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    # B-3, B-21
    await install(database)
    await _second_line(database)
    end = RunEnded(event_id="r1-end", run="r1", line=LINE, at=START + HOUR, how="aborted")
    other = RunEnded(event_id="r2-end", run="r2", line="p2", at=START + HOUR, how="completed")
    with processes(kafka, database, topics, tmp_path, "sink", "meter") as running:
        async with producing(kafka) as producer:
            await send(producer, [frame(topics, 0), frame(topics, 1)])
            await send(producer, [lifecycle(topics, run_started("r1", LONG_AGO)), lifecycle(topics, end)])

            def closed(line: str, instant: int) -> bool:
                statement = "select exists (select from billing.segment where line = %s and end_at >= %s)"
                return bool(query(database, statement, line, utc(instant))[0][0])

            def begun() -> bool:
                statement = "select count(*) from billing.segment where line = %s and start_at < %s"
                return bool(query(database, statement, LINE, utc(START - DAY))[0][0] > 2_000)

            until(begun, 150, "segments of long ago")
            running.kill("meter")
            running.start("meter")
            before = query(database, "select count(*) from billing.segment where line = %s", LINE)[0][0]
            started = run_started("r2", START)
            records = [
                Outgoing(topics.line_records, b"p2", encode_line_record(record), Kind.LIFECYCLE, {})
                for record in (msgspec.structs.replace(started, line="p2"), other)
            ]
            await send(producer, records)
            until(lambda: closed("p2", START + HOUR), 60, "the other line")
            until(
                lambda: (
                    query(database, "select count(*) from billing.segment where line = %s", LINE)[0][0] > before + 2_000
                ),
                60,
                "more segments of long ago",
            )
        waiting = query(database, "select stale_since from billing.meter_state where line = %s", LINE)[0][0]
        assert waiting is not None
        assert utc(LONG_AGO) < waiting < utc(START)
        assert _memory(running.running["meter"].pid) < 600
