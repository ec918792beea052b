"""The gateway's use case, with the ports in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from services.ingest.adapters.json_frames import read_json
from services.ingest.domain.clock import ClockRule
from services.ingest.domain.recent import Key
from services.ingest.handlers import Gate, Result
from shared.contracts.frame import decode_frame
from shared.contracts.quarantine import decode_quarantine
from shared.contracts.registry import Stream
from shared.kernel.errors import Forbidden, Unavailable
from shared.messaging.producer import Outgoing
from shared.storage.registry import Registry
from tests.unit.ingest.streams import stream

NOW = 1_772_409_600_000_000
FRAME: dict[str, Any] = {"stream": "te1/reactor", "boot": "b", "seq": 7, "t": [1, 2], "values": {"pressure": [1.5, 2]}}


class Log:
    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.away = False

    async def put_all(self, records: Sequence[Outgoing]) -> None:
        if self.away:
            raise Unavailable("kafka_busy", "away", retry_after=1.0)
        self.records += records


class Streams:
    def __init__(self, *known: Stream) -> None:
        self.known = list(known)
        self.fresh = False

    async def current(self) -> Registry:
        return self._registry(self.known[:1] if not self.fresh else self.known)

    async def refresh(self, *, unless_younger: float = 0.0) -> Registry:
        self.fresh = True
        return self._registry(self.known)

    def _registry(self, known: list[Stream]) -> Registry:
        streams = {each.id: each for each in known}
        versions = {(each.id, each.version): each for each in known}
        return Registry({}, {}, {}, {}, streams, versions, {each.id: n for n, each in enumerate(known)})


class Stored:
    def __init__(self) -> None:
        self.ledger: dict[Key, bytes] = {}
        self.asked = 0

    async def last_seqs(self, boots: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
        self.asked += 1
        return {boot: max((key[2] for key in self.ledger if key[:2] == boot), default=-1) for boot in boots}

    async def hashes(self, keys: Collection[Key]) -> Mapping[Key, bytes]:
        self.asked += 1
        return {key: self.ledger[key] for key in keys if key in self.ledger}


class World:
    def __init__(self) -> None:
        self.log, self.stored, self.streams = Log(), Stored(), Streams(stream(), stream(id="te1/new"))
        self.gate = self.new_gate()

    def new_gate(self) -> Gate:
        return Gate(
            streams=self.streams,
            stored=self.stored,
            publisher=self.log,
            now=lambda: NOW,
            topic="line.records",
            clock_rule=ClockRule(),
            remembered=100,
        )

    async def send(self, *frames: object) -> list[Result]:
        return await self.gate.accept(read_json(msgspec.json.encode(frames), 100), "key1", lambda *_: None)


@pytest.fixture
def world() -> World:
    return World()


def said(results: Sequence[Result]) -> list[str]:
    return [result.code or result.outcome for result in results]


async def test_every_record_gets_its_own_answer_in_order(world: World) -> None:  # I-11
    unit = {**FRAME, "seq": 8, "unit": {"pressure": "m"}}
    unknown = {**FRAME, "stream": "te1/nowhere"}
    other = {**FRAME, "values": {"pressure": [1.5, 3]}}
    results = await world.send(FRAME, unit, FRAME, unknown, other, 5)
    assert said(results) == [
        "accepted",
        "unit_incommensurable",
        "duplicate",
        "stream_unknown",
        "conflict",
        "record_malformed",
    ]
    assert [result.index for result in results] == [0, 1, 2, 3, 4, 5]


async def test_duplicates_and_conflicts_are_published_for_the_sink_to_count(world: World) -> None:  # I-14 G2
    await world.send(FRAME, FRAME, {**FRAME, "values": {"pressure": [0, 0]}})
    assert [record.kind for record in world.log.records] == ["frame"] * 3


async def test_a_quarantined_record_is_published_with_its_bytes_before_the_answer(world: World) -> None:  # I-19
    await world.send({**FRAME, "unit": {"pressure": "m"}})
    (record,) = world.log.records
    assert (record.kind, record.key) == ("quarantine", b"te1")
    waiting = decode_quarantine(record.value)
    assert (waiting.stream, waiting.boot, waiting.seq, waiting.source) == ("te1/reactor", "b", 7, "key1")
    assert (waiting.registry_version, waiting.code) == (3, "unit_incommensurable")
    assert msgspec.json.decode(waiting.raw)["unit"] == {"pressure": "m"}


async def test_the_record_of_no_line_has_the_key_unknown(world: World) -> None:  # I-18
    await world.send({**FRAME, "stream": "te1/nowhere"})
    assert [(record.kind, record.key) for record in world.log.records] == [("quarantine", b"unknown")]


async def test_a_frame_says_when_it_was_received_and_by_which_version_it_was_judged(world: World) -> None:
    await world.send({**FRAME, "sent_at": 5})
    frame = decode_frame(world.log.records[0].value)
    assert (frame.received_at, frame.sent_at, frame.registry_version) == (NOW, 5, 3)


async def test_a_stream_registered_a_moment_ago_is_found(world: World) -> None:
    assert said(await world.send({**FRAME, "stream": "te1/new"})) == ["accepted"]


async def test_what_another_gateway_published_is_found_in_the_ledger(world: World) -> None:  # I-14
    await world.send(FRAME)
    frame = decode_frame(world.log.records[0].value)
    world.stored.ledger[frame.stream, frame.boot, frame.seq] = frame.content_hash()
    world.gate = world.new_gate()
    assert said(await world.send(FRAME, {**FRAME, "seq": 8})) == ["duplicate", "accepted"]


async def test_a_sender_in_order_costs_one_query_per_boot(world: World) -> None:
    for seq in range(1, 20):
        await world.send({**FRAME, "seq": seq})
    assert world.stored.asked == 1


async def test_what_kafka_did_not_take_is_no_duplicate_afterwards(world: World) -> None:  # G1
    world.log.away = True
    with pytest.raises(Unavailable):
        await world.send(FRAME)
    world.log.away = False
    assert said(await world.send(FRAME)) == ["accepted"]


async def test_a_request_that_reaches_beyond_its_key_publishes_nothing(world: World) -> None:  # I-4
    def permit(_stream: Stream, index: int) -> None:
        if index == 1:
            raise Forbidden("key_scope", "no")

    records = read_json(msgspec.json.encode([FRAME, FRAME]), 10)
    with pytest.raises(Forbidden):
        await world.gate.accept(records, "key1", permit)
    assert world.log.records == []
