"""Usage over HTTP: what is answered to each event, and that nothing is published that the caller may not send."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from services.billing.domain.e10 import EquipmentState, StateOutcome
from services.billing.domain.segment import Evidence, MeteredQuantity, QuantityKind, RunContext, Segment
from services.billing.domain.usage import Usage, parse_usage, read_usage, usage_event
from services.billing.handlers import UNREADABLE_KEY, Submission
from services.billing.ports import Identity
from shared.contracts.events import decode_event, encode_event
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Forbidden, Reject
from shared.kernel.times import HOUR
from shared.messaging.producer import Outgoing

SEGMENT = Segment(
    model="a" * 64,
    platform="hz",
    line="l1",
    instrument="l1/reactor",
    start=500_000 * HOUR,
    end=500_001 * HOUR,
    outcome=StateOutcome(EquipmentState.PRODUCTIVE),
    context=RunContext("r1", "challenge", False, "acme", "p", "s", "t"),
    measured=HOUR,
    inferred=0,
    unknown=0,
    quantities=(MeteredQuantity("energy", "kW.h", QuantityKind.INTEGRAL, Decimal("0.1"), HOUR),),
    evidence=Evidence(),
)
OTHER = replace(SEGMENT, context=replace(SEGMENT.context, customer="beta"))


class Books:
    """The port `KnowsUsage` over a dictionary."""

    def __init__(self, known: Mapping[Identity, str]) -> None:
        self._known = known

    async def hashes(self, identities: Collection[Identity]) -> Mapping[Identity, str]:
        return {identity: self._known[identity] for identity in identities if identity in self._known}


class Log:
    """The port `PublishesRecords` over a list."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    async def put_all(self, records: Sequence[Outgoing]) -> object:
        self.records += records
        return None


def event(segment: Segment) -> bytes:
    return encode_event(usage_event(segment))


def known(segment: Segment) -> dict[Identity, str]:
    usage = parse_usage(usage_event(segment))
    return {(usage.tenant, usage.source, usage.id): usage.content_hash}


def allow(_usage: Usage) -> None:
    """Every caller may send everything."""


async def test_each_event_is_answered_for_itself_and_every_one_is_published() -> None:
    """B-5"""
    log = Log()
    submission = Submission(Books(known(SEGMENT)), log, "usage.events")
    fresh = replace(SEGMENT, start=SEGMENT.start - HOUR, end=SEGMENT.start)
    results = await submission.submit([event(SEGMENT), event(OTHER), event(fresh), event(fresh), b"{}"], allow)
    statuses = [result.status for result in results]
    assert statuses == ["duplicate", "conflict", "accepted", "duplicate", "quarantined"]
    assert results[-1].code == "event_malformed"
    assert [record.key for record in log.records] == [b"l1", b"l1", b"l1", b"l1", UNREADABLE_KEY]
    assert all(record.kind == "event" for record in log.records)


async def test_two_contents_of_one_id_in_a_request_are_a_conflict() -> None:
    """B-6"""
    results = await Submission(Books({}), Log(), "usage.events").submit([event(SEGMENT), event(OTHER)], allow)
    assert [result.status for result in results] == ["accepted", "conflict"]


async def test_nothing_is_published_when_one_event_is_out_of_reach() -> None:
    log = Log()

    def refuse(usage: Usage) -> None:
        raise Forbidden("key_scope", f"{usage.segment.line} is not yours")

    with pytest.raises(Forbidden):
        await Submission(Books({}), log, "usage.events").submit([event(SEGMENT)], refuse)
    assert log.records == []


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"revision": 1},
        {"data": {"customer": "x"}},
        {"data": {"tenant": ""}},
        {"data": {"start": "2026-01-01"}},
        {"data": {"start": "9999999-01-01T00:00:00Z"}},
        {
            "data": {
                "quantities": [{"name": "energy", "unit": "kW.h", "kind": "integral", "value": "1e3", "covered": "1"}]
            }
        },
        {"data": {"surprise": 1}},
        {"specversion": "0.3"},
        {"type": "other"},
        {"id": "x" * 300},
        {"id": ""},
        {"source": None},
    ],
)
def test_the_short_way_and_the_long_way_of_reading_agree(change: dict[str, object]) -> None:
    """B-6: a bad value is refused with the same reason, whichever way it is read."""
    whole = {
        name: getattr(usage_event(SEGMENT), name)
        for name in ("id", "source", "type", "subject", "time", "data", "specversion", "datacontenttype")
    }
    data = {**whole["data"], **change.get("data", {})}  # type: ignore[dict-item]  # the parameters are JSON
    value = canonical_json({**whole, **change, "data": data})
    assert _outcome(read_usage, value) == _outcome(lambda raw: parse_usage(decode_event(raw)), value)


def _outcome(read: Callable[[bytes], Usage], value: bytes) -> Usage | tuple[str, str]:
    try:
        return read(value)
    except Reject as reject:
        return reject.code, reject.detail
