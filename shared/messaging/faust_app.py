"""The Faust driver, and every adjustment Faust needs, in this one module.

Why they are needed (measured on genuine Kafka): Faust acknowledges a message whose agent raises, and a whole batch with it; its tables and
`exactly_once` lose or double data; after a rebalance a batch may hold an offset twice; an idle topic stalls the busy one. So:

- The position is PostgreSQL's. `PositionConsumer.seek_to_committed` claims it and seeks to it after every rebalance.
- The agent only moves messages into a bounded inbox, so it has nothing to raise; one task beside it applies what has gathered there, as
  much as there is. What Faust acknowledges, and commits to Kafka, may therefore be ahead of what is applied: nobody starts from it. (With
  `take_events` a batch is what arrives within a fixed time between transactions; on a busy machine batches stay small and it falls behind.)
- The applier retries in place; what it cannot cure ends the process at once (`os._exit(70)`), the supervisor starts it again and the stored
  position decides. A gap ends it too: Faust cannot be sought back safely.
- Messages delivered under an assignment that is gone are ignored; what is doubled inside a batch is dropped by `positions.applicable`.
- One process, one agent, concurrency 1; at_least_once; no tables, no leader topic, no web server, no topic creation.
- Fetches wait 50 ms instead of 1500; a message whose queue has room is handed over directly instead of through four tasks ("fast drain").

It overrides methods that are not public, so the versions and the text of what it relies on are asserted at import.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

import faust
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError, KafkaError
from faust.app.base import App
from faust.streams import Stream
from faust.tables.recovery import Recovery
from faust.transport import conductor, consumer
from faust.transport.drivers import aiokafka as driver

from shared.messaging.applier import Applier, Stopping, record_of
from shared.messaging.connecting import backoff, pause, started
from shared.messaging.log_bounds import not_beyond, not_expired, report_lag
from shared.messaging.positions import Partition
from shared.messaging.processor import Processor, Record
from shared.storage.pool import Pool

log = structlog.get_logger()

_versions = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14."}
_relied_on: Mapping[str, tuple[Any, str]] = {
    "Consumer._drain_messages": (consumer.Consumer._drain_messages, "44a2500309e83c63"),
    "Consumer.getmany": (consumer.Consumer.getmany, "4b168d84882a70d6"),
    "Consumer.perform_seek": (consumer.Consumer.perform_seek, "0e8c130ff4b0afd8"),
    "AIOKafkaConsumerThread._create_worker_consumer": (
        driver.AIOKafkaConsumerThread._create_worker_consumer,
        "c2701bfc3e6f6cad",
    ),
    "AIOKafkaConsumerThread._seek_wait": (driver.AIOKafkaConsumerThread._seek_wait, "9d221e816d940467"),
    "ConductorCompiler.build": (conductor.ConductorCompiler.build, "837cf521368c1ee4"),
    "Recovery._resume_streams": (Recovery._resume_streams, "d986a6710c1aca98"),
    "App._on_partitions_revoked": (App._on_partitions_revoked, "d5c895bbe57dc73a"),
    "Stream.events": (Stream.events, "c62f4dd3a73fe7aa"),
}

FAILED = 70
_seek_deadline = 100.0
_request_timeout = 120.0
_stop_patience = 8.0


def changed_sources() -> list[str]:
    """What of Faust is not the text this module was written against: wrong versions and changed functions. Empty when all is well."""
    wrong = [f"{name} {version(name)}" for name, wanted in _versions.items() if not version(name).startswith(wanted)]
    return wrong + [name for name, (function, digest) in _relied_on.items() if source_digest(function) != digest]


def source_digest(function: object) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a function's text."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]  # type: ignore[arg-type]


if changed := changed_sources():
    raise ImportError(f"shared.messaging.faust_app does not fit the installed Faust: {', '.join(changed)}")


async def run_faust(
    processor: Processor,
    *,
    topics: Sequence[str],
    bootstrap: str,
    pool: Pool,
    group: str,
    stop: asyncio.Event,
    max_records: int = 1000,
    session_timeout: float = 10.0,
    instance: str | None = None,
    patience: float = 60.0,
    buffer_records: int = 4096,
) -> None:
    """Apply records until `stop` is set; then finish the batch and leave the group. Same contract as `loop.run_loop`.

    What no retry can cure ends the process with code 70 from inside. `buffer_records`: most messages Faust holds in memory.
    """
    if not await _reachable(bootstrap, stop):
        return
    applier = Applier(processor, pool, stop=stop, patience=patience)
    app = _build_app(applier, group, bootstrap, session_timeout, instance, buffer_records)
    inbox: asyncio.Queue[Any] = asyncio.Queue(2 * max_records)
    topic = app.topic(*topics, key_serializer="raw", value_serializer="raw")
    app.agent(topic, name=f"{group}.apply", concurrency=1)(_agent(inbox))
    side = [
        asyncio.create_task(_apply(app, applier, inbox, max_records)),
        asyncio.create_task(_tick(applier, stop)),
        asyncio.create_task(_report(app, applier, processor.name)),
    ]
    stopping = asyncio.create_task(stop.wait())
    await app.start()
    ended = asyncio.create_task(app.wait_until_stopped())
    try:
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await ended  # raises why it crashed
            raise RuntimeError("Faust stopped by itself")
    finally:
        await applier.release()  # waits for the transaction under way; then nothing is applied any more
        for task in (*side, stopping, ended):
            task.cancel()
        await _stop(app)


class _PositionThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # read as untyped
    def _create_worker_consumer(self, transport: Any) -> Any:
        created = super()._create_worker_consumer(transport)
        created._fetch_max_wait_ms = 50
        return created


class _PositionConsumer(driver.Consumer):  # type: ignore[misc]  # read as untyped
    """Reads from the positions in PostgreSQL, and hands messages over without four tasks each."""

    claimed_generation = -1

    def _new_consumer_thread(self) -> _PositionThread:
        return _PositionThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        await super().on_partitions_revoked(revoked)
        await self.app.applier.release()

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Claim the assigned partitions and seek to what PostgreSQL says. Raising would leave Faust reading from Kafka's offsets."""
        try:
            async with asyncio.timeout(_seek_deadline):
                return await self._claim_and_seek()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process has to end
            _leave("claim_failed", error)

    async def _claim_and_seek(self) -> Mapping[Any, int]:
        attempt = 0
        while True:
            try:
                offsets = dict(await super().seek_to_committed())
                generation = self.app.consumer_generation_id
                by_partition = {Partition(tp.topic, tp.partition): tp for tp in offsets}
                beginnings = _by_partition(await self._thread.earliest_offsets(*offsets) if offsets else {})
                positions = await self.app.applier.own(beginnings)
                not_expired(positions, beginnings)

                async def ends(tps: tuple[Any, ...] = tuple(offsets)) -> Mapping[Partition, int]:
                    return _by_partition(await self._thread.highwaters(*tps) if tps else {})

                await not_beyond(positions, ends)
                wanted = {by_partition[partition]: offset for partition, offset in positions.items()}
                if wanted:
                    await self.seek_wait(wanted)
            except (KafkaError, IllegalStateError) as error:
                log.warning("claim_retried", error=type(error).__name__)
                await asyncio.sleep(backoff(attempt))
                attempt += 1
            else:
                self.claimed_generation = generation
                log.info("partitions_claimed", positions={f"{t}/{n}": at for (t, n), at in positions.items()})
                return offsets | wanted

    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Only `_drain_messages` calls this with two coroutines: hand the message over, but stop when the flow is suspended."""
        if len(coros) == 2 and timeout is None and self._unhindered():
            message, suspended = coros
            suspended.close()
            return await message
        return await super().wait_first(*coros, timeout=timeout)

    def _unhindered(self) -> bool:
        """Handing over cannot block: a rebalance that starts meanwhile would wait for it for ever."""
        if self.suspend_flow.is_set() or not self.app.flow_control.is_active():
            return False
        return not any(channel.queue.full() for channel in self.app.topics)


class _PositionTransport(driver.Transport):  # type: ignore[misc]  # read as untyped
    Consumer = _PositionConsumer


class _App(faust.App):  # type: ignore[misc]  # read as untyped
    """An application bound to one applier; writes nothing to the disk."""

    applier: Applier

    def _new_transport(self) -> _PositionTransport:
        return _PositionTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Tables would need them; there are none."""


def _build_app(
    applier: Applier, group: str, bootstrap: str, session_timeout: float, instance: str | None, buffer_records: int
) -> _App:
    app = _App(
        group,
        broker=[f"kafka://{server}" for server in bootstrap.split(",")],
        processing_guarantee="at_least_once",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        table_standby_replicas=0,
        store="memory://",
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=8 * 1024 * 1024,
        stream_buffer_maxsize=buffer_records,
        stream_wait_empty=False,  # the applier's release waits for what counts
        consumer_group_instance_id=instance,
        broker_session_timeout=session_timeout,
        broker_heartbeat_interval=session_timeout * 0.3,
        broker_request_timeout=_request_timeout,
        broker_rebalance_timeout=60.0,
        broker_max_poll_interval=300.0,
        broker_commit_interval=3.0,  # for lag displays only
    )
    app.applier = applier
    return app


def _agent(inbox: asyncio.Queue[Any]) -> Any:
    async def gather(stream: Any) -> None:
        async for event in stream.events():
            await inbox.put(event.message)

    return gather


async def _apply(app: _App, applier: Applier, inbox: asyncio.Queue[Any], max_records: int) -> None:
    while True:
        messages = [await inbox.get()]
        while len(messages) < max_records and not inbox.empty():
            messages.append(inbox.get_nowait())
        current = app.consumer.claimed_generation
        records = [_record(message) for message in messages if message.generation_id == current]
        try:
            await applier.apply(records)
        except Stopping:
            log.warning("batch_left_in_log")
            return
        except Exception as error:  # noqa: BLE001 - going on would skip the batch
            _leave("apply_failed", error)


async def _tick(applier: Applier, stop: asyncio.Event) -> None:
    while not stop.is_set():
        wait = applier.seconds_to_tick()
        if wait == 0.0:
            try:
                await applier.tick()
            except Stopping:
                return
            except Exception as error:  # noqa: BLE001 - same end as for a batch
                _leave("tick_failed", error)
        else:
            await pause(stop, 0.25 if wait is None else min(wait, 0.25))


async def _report(app: _App, applier: Applier, processor: str) -> None:
    while True:
        await asyncio.sleep(1.0)
        assigned = {Partition(tp.topic, tp.partition): tp for tp in app.consumer.assignment()}
        for partition, position in applier.positions.items():
            end = app.consumer.highwater(assigned[partition]) if partition in assigned else None
            if end is not None:
                report_lag(processor, partition, end=end, position=position)


async def _reachable(bootstrap: str, stop: asyncio.Event) -> bool:
    """Wait for the broker: Faust would leave, and a supervisor would make a busy restart loop of it. False when `stop` comes first."""
    starting = asyncio.create_task(started(lambda: AIOKafkaAdminClient(bootstrap_servers=bootstrap)))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        await starting.result().close()
        return True
    starting.cancel()
    await asyncio.wait((starting,))
    return False


async def _stop(app: _App) -> None:
    """Leave the group in order. Without a broker Faust may hang here; what counts is committed, so it is left behind."""
    stopping = asyncio.ensure_future(app.stop())
    done, _ = await asyncio.wait((stopping,), timeout=_stop_patience)
    if not done:
        log.warning("faust_left_behind", seconds=_stop_patience)
        stopping.cancel()


def _leave(event: str, error: Exception) -> NoReturn:
    log.critical(event, error=type(error).__name__, detail=str(error)[:500])
    sys.stderr.flush()
    os._exit(FAILED)


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs: Iterable[tuple[str, bytes]] = headers.items() if isinstance(headers, Mapping) else headers
    return record_of(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        pairs,
        round(message.timestamp * 1000),
    )


def _by_partition(offsets: Mapping[Any, int]) -> dict[Partition, int]:
    return {Partition(each.topic, each.partition): offset for each, offset in offsets.items()}
