"""Frames and run records in the log become segments, usage events and ledger rows, through the real processes."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from shared.contracts.topics import Topics
from shared.kernel.times import utc
from shared.messaging.producer import producing
from tests.integration.billing.plant import (
    CUSTOMER,
    FRAME_SPAN,
    START,
    a_run,
    install,
    processes,
    query,
    send,
    settled,
    until,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

OPEN = "select document ->> 'provisional' from billing.segment_open where document ->> 'run' = 'r1'"


async def test_a_run_is_metered_to_the_ledger_without_a_hole(
    kafka: str, database: str, topics: Topics, tmp_path: Path
) -> None:
    await install(database)
    records = a_run(topics, "r1", 0, 48)
    with processes(kafka, database, topics, tmp_path, "sink", "meter", "recorder"):
        async with producing(kafka) as producer:
            await send(producer, records[:-1])
            until(lambda: bool(query(database, OPEN)), 150, "an open segment")
            # B-3: what is open is provisional and no usage yet
            assert query(database, OPEN)[0][0] == "true"
            latest = query(database, "select max(end_at) from billing.segment")[0][0]
            assert latest is None or latest < utc(START + 48 * FRAME_SPAN)
            await send(producer, records[-1:])
        until(lambda: settled(database, topics, sent=len(records)), 180, "settled")

    # B-3: the segments tile the run
    rows = query(
        database,
        "select start_at, end_at, measured_s + inferred_s + unknown_s, state from billing.ledger where run = 'r1' order by start_at",
    )
    assert rows[0][0] == utc(START)
    assert rows[-1][1] == utc(START + 48 * FRAME_SPAN)
    assert all(before[1] == after[0] for before, after in pairwise(rows))
    assert sum(row[2] for row in rows) == Decimal(48 * FRAME_SPAN) / 1_000_000
    assert {row[3] for row in rows} == {"productive", "unscheduled_down", "standby"}  # B-1
    # B-7: a number for each, without a gap
    numbers = [row[0] for row in query(database, "select ledger_seq from billing.ledger order by 1")]
    assert numbers == list(range(1, len(numbers) + 1))
    # the run's customer and tariff, as pinned
    assert query(database, "select distinct customer, tariff from billing.ledger where run = 'r1'") == [
        (CUSTOMER, "test-2026")
    ]
    # B-5: down to frames and offsets
    evidence = query(database, "select evidence from billing.ledger where run = 'r1' order by start_at limit 1")[0][0]
    assert evidence["ranges"][0]["stream"] == "p1/reactor"
    assert evidence["offsets"]["last"] >= evidence["offsets"]["first"] >= 0
    assert query(database, "select received, recorded from billing.usage_count") == [(len(numbers), len(numbers))]
