"""Usage events over the wire: exact, canonical, and refused when anything is wrong."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from services.billing.domain.segment import Segment
from services.billing.domain.usage import micros_of, parse_usage, seconds_text, usage_event
from shared.contracts.events import CloudEvent, decode_event, encode_event
from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Reject
from tests.unit.billing.domain_builders import MeterBench, plan, run_records, steady


@pytest.fixture(scope="module")
def segment() -> Segment:
    bench = MeterBench(plan())
    bench.feed([*run_records(end=60), *steady(60)])
    return bench.emitted[0]


# B-5
def test_an_event_carries_decimal_strings_and_no_number_that_is_money_or_a_quantity(segment: Segment) -> None:
    data = usage_event(segment).data
    assert data["quantities"][0] == {
        "name": "feed",
        "unit": "kg",
        "kind": "integral",
        "value": "4000",
        "covered": "3600",
    }
    assert data["time"]["measured"] == "3600"
    assert b"." not in encode_event(usage_event(segment)).split(b'"evidence"')[1].split(b"}")[0]


# B-5, B-6
def test_the_same_segment_gives_the_same_bytes_and_reads_back_equal(segment: Segment) -> None:
    data = encode_event(usage_event(segment))
    assert data == encode_event(usage_event(segment))
    assert parse_usage(decode_event(data)).segment == segment


# B-6: a bad value is refused, never 0
@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("quantities", 0, "value"), "", "usage_malformed"),
        (("quantities", 0, "value"), "NaN", "usage_malformed"),
        (("quantities", 0, "value"), "1e3", "usage_malformed"),
        (("quantities", 0, "value"), "1.0000000001", "usage_malformed"),
        (("quantities", 0, "value"), "9" * 21, "usage_malformed"),
        (("quantities", 0, "value"), 4000, "usage_malformed"),
        (("quantities", 0, "value"), 4000.0, "usage_malformed"),
        (("quantities", 0, "value"), None, "usage_malformed"),
        (("quantities", 0, "value"), "3999", "usage_digest"),
        (("time", "measured"), "-3600", "usage_malformed"),
        (("time", "measured"), "3599", "usage_interval"),
        (("end",), "2026-03-01T15:00:00Z", "usage_interval"),
        (("end",), "yesterday", "usage_malformed"),
        (("end",), "2026-03-01T17:00:00", "usage_malformed"),
        (("state",), "busy", "usage_malformed"),
        (("responsible",), "nobody", "usage_malformed"),
        (("customer",), "other", "usage_digest"),
        (("revision",), 1, "usage_identity"),
        (("provisional",), True, "usage_malformed"),
        (("surplus",), "x", "usage_malformed"),
        (("evidence", "digest"), "0" * 64, "usage_digest"),
    ],
)
def test_a_bad_value_is_refused_and_never_read_as_nothing(
    segment: Segment, path: tuple[str | int, ...], value: object, code: str
) -> None:
    event = usage_event(segment)
    data: Any = copy.deepcopy(event.data)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(Reject) as refusal:
        parse_usage(msgspec.structs.replace(event, data=data))
    assert refusal.value.code == code


# B-6
def test_another_type_of_event_is_refused(segment: Segment) -> None:
    event = usage_event(segment)
    with pytest.raises(Reject) as refusal:
        parse_usage(CloudEvent(event.id, event.source, "verdict.v1", event.subject, event.time, event.data))
    assert refusal.value.code == "usage_type"


@pytest.mark.parametrize("duration", [0, 1, 999_999, 1_000_000, 3_600_000_001, 10**17])
def test_seconds_are_exact(duration: int) -> None:
    assert micros_of(seconds_text(duration)) == duration


# G10: the digest's bytes are canonical JSON
def test_flat_facts_are_written_as_canonical_json() -> None:
    facts = ["Prüfung 反应", True, 2**63 - 1, [-1, '\u0007"\\', []]]
    assert msgspec.json.encode(facts) == canonical_json(facts)
