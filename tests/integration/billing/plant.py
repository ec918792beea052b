"""A small line for billing's tests: registry, state model, tariff, records in the log, and the real processes around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from services.billing.adapters.state_models import publish_state_model
from services.ingest.adapters.registry_store import apply_registry
from shared.contracts.frame import build_frame, encode_frame
from shared.contracts.lifecycle import LineRecord, PhaseStarted, RunEnded, RunStarted, encode_line_record
from shared.contracts.registry_document import read_yaml
from shared.contracts.topics import Kind, Topics
from shared.kernel.times import HOUR, MINUTE, Micros, from_rfc3339
from shared.messaging.producer import Outgoing, Producer
from shared.storage.pool import connect
from shared.storage.registry import read_registry

REPOSITORY = Path(__file__).parents[3]
LINE = "p1"
PLATFORM = "hz-test"
CUSTOMER = "acme"
OTHER = "beta"
STREAM = "p1/reactor"
START: Micros = from_rfc3339("2026-03-02T00:00:00+08:00")
PERIOD = 5 * MINUTE
ROWS_PER_FRAME = 6
FRAME_SPAN = ROWS_PER_FRAME * PERIOD

REGISTRY = """
platforms:
  - {id: hz-test, name: {en: Test platform, zh: 测试平台}, time_zone: Asia/Shanghai}
lines:
  - {id: p1, platform: hz-test, name: {en: Pilot line, zh: 中试线}, sector: chemicals}
instruments:
  - {id: p1/reactor, name: {en: Reactor, zh: 反应器}}
customers:
  - {id: acme, name: {en: Acme, zh: 甲公司}, class: sme}
  - {id: beta, name: {en: Beta, zh: 乙公司}, class: industry}
streams:
  - id: p1/reactor
    instrument: p1/reactor
    period: 5 min
    max_age: 12 min
    clock: recorded
    channels:
      - {name: power, quantity_kind: power, unit: kW, range: [0, 500]}
      - {name: feed, quantity_kind: mass_flow, unit: kg/h, range: [0, 5000]}
"""

STATE_MODEL = """
pilotline: state-model
id: p1-states
version: 1
line: p1
patience: 4 h
instruments:
  - instrument: p1/reactor
    conditions:
      working: {enter: reactor.power > 100 kW, leave: reactor.power < 50 kW}
      feeding: {enter: reactor.feed > 10 kg/h}
    rules:
      - {when: {all: [{run: [active]}, working, feeding]}, state: productive, sub_state: run}
      - {when: {all: [{run: [active]}, working]}, state: unscheduled_down, reason: no_feed, responsible: platform}
      - {when: {run: [active, held]}, state: standby}
    default: {state: non_scheduled}
    gap: {hold: 15 min, state: non_scheduled, reason: no_data, responsible: platform}
    quantities:
      - {name: energy, kind: integral, channel: reactor.power, unit: kW.h}
      - {name: feed, kind: integral, channel: reactor.feed, unit: kg}
"""

TARIFF = """
pilotline: tariff
id: test-2026
version: 1
name: {en: Test tariff, zh: 测试收费标准}
currency: CNY
time_zone: Asia/Shanghai
effective_from: 2026-01-01
bands:
  - {name: day, hours: [8, 22]}
  - {name: night, hours: [22, 8]}
taxes:
  - {code: services, name: {en: VAT 6 %, zh: 增值税 6%}, rate: "0.06"}
charges:
  - kind: time
    code: reactor-hours
    name: {en: Reactor, zh: 反应器机时}
    tax: services
    rates:
      - {states: [productive], bands: [day], price: "100"}
      - {states: [productive], bands: [night], price: "60"}
      - {price: "30"}
    waivers:
      - {states: [unscheduled_down], responsible: [platform], reason: {en: the platform is to blame, zh: 由平台承担}}
  - kind: quantity
    code: energy
    name: {en: Electricity, zh: 电能}
    tax: services
    quantity: energy
    unit: kW.h
    model: graduated
    tiers: [{up_to: "500", price: "0.85"}, {price: "0.7"}]
"""


async def install(database: str, *, state_model: bool = True) -> None:
    """Register the line and publish its state model."""
    async with connect(database, name="test-install") as connection:
        await apply_registry(connection, read_yaml(REGISTRY))
    if state_model:
        async with connect(database, name="test-install") as connection:
            await publish_state_model(connection, STATE_MODEL, await read_registry(connection), by="test")


def frame(topics: Topics, seq: int, *, boot: str = "b1", at: Micros | None = None, version: int = 1) -> Outgoing:
    """Frame number `seq`: half an hour from `START + seq * FRAME_SPAN`, with readings that depend on the number alone."""
    first = START + seq * FRAME_SPAN if at is None else at
    times = np.array([first + row * PERIOD for row in range(ROWS_PER_FRAME)], dtype=np.int64)
    power = 200.0 + (seq * 7919 % 101) / 7 + np.arange(ROWS_PER_FRAME) * 0.37 if seq % 11 != 10 else np.full(6, 20.0)
    feed = np.full(ROWS_PER_FRAME, 0.0 if seq % 7 == 6 else 812.5 + (seq * 31 % 17))
    values = np.column_stack([power, feed])
    built = build_frame(
        stream=STREAM, registry_version=version, boot=boot, seq=seq, times=times, values=values, received_at=first
    )
    return Outgoing(topics.line_records, LINE.encode(), encode_frame(built), Kind.FRAME, {})


def lifecycle(topics: Topics, record: LineRecord) -> Outgoing:
    return Outgoing(topics.line_records, LINE.encode(), encode_line_record(record), Kind.LIFECYCLE, {})


def run_started(run: str, at: Micros, *, customer: str = CUSTOMER, tariff: str = "test-2026") -> RunStarted:
    return RunStarted(
        event_id=f"{run}-start",
        run=run,
        line=LINE,
        at=at,
        project="project-1",
        customer=customer,
        criteria_set="c",
        criteria_version=1,
        criteria_digest="0" * 64,
        streams=(),
        tariff=tariff,
        service_code="process-verification",
    )


def a_run(topics: Topics, run: str, first: int, frames: int, *, customer: str = CUSTOMER) -> list[Outgoing]:
    """A run that covers `frames` frames from number `first`, in the order of a live line, and one frame after it."""
    begin, end = START + first * FRAME_SPAN, START + (first + frames) * FRAME_SPAN
    phase = PhaseStarted(event_id=f"{run}-phase", run=run, line=LINE, at=begin + HOUR, phase="challenge")
    ended = RunEnded(event_id=f"{run}-end", run=run, line=LINE, at=end, how="completed")
    records = [lifecycle(topics, run_started(run, begin, customer=customer))]
    records += [frame(topics, first), lifecycle(topics, phase)]
    records += [frame(topics, seq) for seq in range(first + 1, first + frames)]
    return [*records, lifecycle(topics, ended)]


async def send(producer: Producer, records: Sequence[Outgoing]) -> None:
    """In order, each batch acknowledged."""
    for place in range(0, len(records), 200):
        await producer.put_all(records[place : place + 200])


# Processes --------------------------------------------------------------------------------------------------------------------


class Processes:
    """Billing's processes and the sink, as a supervisor runs them."""

    MODULES: Mapping[str, str] = {
        "sink": "services.ingest.entrypoints.sink",
        "meter": "services.billing.entrypoints.meter",
        "recorder": "services.billing.entrypoints.recorder",
        "api": "services.billing.entrypoints.api",
    }

    def __init__(self, kafka: str, database: str, topics: Topics, logs: Path) -> None:
        self._logs = logs
        self._environment = os.environ | {
            "PILOTLINE_KAFKA": kafka,
            "PILOTLINE_DATABASE_URL": database,
            "PILOTLINE_TOPIC_PREFIX": topics.prefix,
            "PILOTLINE_LOG_FORMAT": "json",
            "PILOTLINE_BIND": "127.0.0.1:0",
            "PILOTLINE_METER_INSTANCE": "meter",
            "PILOTLINE_METER_SESSION_SECONDS": "6",
            "PILOTLINE_RECORDER_INSTANCE": "recorder",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        for name in names:
            with (self._logs / f"{name}.log").open("ab") as log:
                self.running[name] = subprocess.Popen(
                    [sys.executable, "-m", self.MODULES[name]],
                    env=self._environment,
                    cwd=REPOSITORY,
                    stdout=log,
                    stderr=log,
                )

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def revive(self) -> None:
        """Start again what ended by itself."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self.start(name)

    def end(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def log_text(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-4000:]}" for log in sorted(self._logs.glob("*.log")))


@contextmanager
def processes(kafka: str, database: str, topics: Topics, logs: Path, *names: str) -> Iterator[Processes]:
    running = Processes(kafka, database, topics, logs)
    running.start(*names)
    try:
        yield running
    except BaseException:
        sys.stderr.write(running.log_text())
        raise
    finally:
        running.end()


def query(database: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, autocommit=True, options="-c timezone=UTC") as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


def until(
    condition: Callable[[], bool], seconds: float, what: str, *, between: Callable[[], None] | None = None
) -> None:
    """Ask again and again; fails after `seconds`."""
    give_up = time.monotonic() + seconds
    while not condition():
        if between is not None:
            between()
        assert time.monotonic() < give_up, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def settled(database: str, topics: Topics, *, sent: int) -> bool:
    """The meter has applied everything sent and every gap record of the sink; nothing is stale, unpublished or on its way to the ledger."""
    rows = query(
        database,
        """select (select coalesce(sum(next_offset), 0) from messaging.position where processor = 'billing.meter' and topic = %s)
                    - (select count(*) from ingest.outbox where published_seq is not null),
                  (select coalesce(sum(next_offset), 0) from messaging.position where processor = 'ingest.sink' and topic = %s)
                    - (select count(*) from ingest.outbox),
                  (select count(*) from billing.meter_state where stale_since is not null),
                  (select count(*) from billing.outbox o left join billing.usage_event e on e.id = o.event_id::text
                   where o.topic = %s and (e.id is null or o.published_seq is null))""",
        topics.line_records,
        topics.line_records,
        topics.usage_events,
    )
    return rows[0] == (sent, sent, 0, 0)
