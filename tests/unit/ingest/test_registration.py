"""Registry documents and what applying them changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from services.ingest.domain.registration import Plan, plan
from shared.contracts.registry import ChannelKind, RegistryDraft, Stream
from shared.contracts.registry_document import draft, read_document, read_yaml
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.times import MINUTE, SECOND
from shared.storage.registry import stream_description, stream_from_description

NAME = {"en": "a", "zh": "甲"}
DOCUMENT: dict[str, Any] = {
    "platforms": [{"id": "p", "name": NAME, "time_zone": "Asia/Shanghai"}],
    "lines": [{"id": "l", "platform": "p", "name": NAME}],
    "instruments": [{"id": "l/i", "name": NAME}],
    "customers": [{"id": "c", "name": NAME, "class": "sme"}],
    "streams": [
        {
            "id": "l/s",
            "instrument": "l/i",
            "period": "3 min",
            "max_age": 450,
            "channels": [
                {
                    "name": "p1",
                    "quantity_kind": "pressure",
                    "unit": "kPa",
                    "range": [0, 3000],
                    "uncertainty": {"expanded": 7.5, "source": "data sheet", "calibration_due": "2027-03-31"},
                },
                {
                    "name": "mode",
                    "quantity_kind": "state",
                    "unit": "1",
                    "kind": "enumeration",
                    "codes": {0: "off", 1: "on"},
                },
            ],
        }
    ],
}
EMPTY = RegistryDraft({}, {}, {}, {}, {})


def changed(**streams: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    document["streams"][0].update(streams)
    return document


def planned(document: dict[str, Any], present: RegistryDraft = EMPTY, *versions: Stream) -> Plan:
    wanted = draft(read_document(document), lambda line: "p" if line in present.lines else None)
    return plan(wanted, present, {(stream.id, stream.version): stream for stream in versions})


def applied(found: Plan) -> RegistryDraft:
    return found.draft


def test_a_document_becomes_contract_values() -> None:  # I-1
    stream = planned(DOCUMENT).draft.streams["l/s"]
    assert (stream.platform, stream.line, stream.instrument, stream.version) == ("p", "l", "l/i", 1)
    assert (stream.period, stream.max_age, stream.future_bound) == (3 * MINUTE, 450 * SECOND, 5 * SECOND)
    pressure, mode = stream.channels
    assert (pressure.low, pressure.high, pressure.unit) == (0.0, 3000.0, "kPa")
    assert pressure.uncertainty is not None
    assert (pressure.uncertainty.expanded, pressure.uncertainty.coverage_factor) == (7.5, 2.0)
    assert (mode.kind, mode.codes) == (ChannelKind.ENUMERATION, ((0, "off"), (1, "on")))


def test_the_same_document_again_changes_nothing() -> None:  # I-2
    first = planned(DOCUMENT)
    assert [difference.what for difference in first.differences] == ["added"] * 5
    again = planned(DOCUMENT, applied(first), *first.draft.streams.values())
    assert (again.differences, again.new_versions) == ((), frozenset())


def test_a_new_channel_list_is_a_new_version_and_the_difference_names_the_channels() -> None:  # I-1 I-2
    first = planned(DOCUMENT)
    channels = [
        {**DOCUMENT["streams"][0]["channels"][0], "unit": "bar"},
        {"name": "t", "quantity_kind": "x", "unit": "K"},
    ]
    second = planned(changed(channels=channels), applied(first), *first.draft.streams.values())
    assert second.draft.streams["l/s"].version == 2
    assert [difference.line() for difference in second.differences] == ["~ stream l/s: version 2; + t; - mode; ~ p1"]


def test_going_back_to_an_older_channel_list_makes_that_version_current_again() -> None:  # I-1
    first = planned(DOCUMENT).draft
    second = planned(changed(period="1 min"), first, first.streams["l/s"]).draft
    back = planned(DOCUMENT, second, first.streams["l/s"], second.streams["l/s"])
    assert (back.draft.streams["l/s"].version, back.new_versions) == (1, frozenset())
    assert back.differences[-1].what == "activated"


def test_the_stored_description_gives_the_stream_back_with_its_digest() -> None:  # I-1
    stream = planned(DOCUMENT).draft.streams["l/s"]
    again = stream_from_description(stream.id, stream.version, stream_description(stream))
    assert again == stream
    assert again.digest() == stream.digest()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"period": "3 fortnights"}, "period"),
        ({"period": 0}, "period"),
        ({"period": "0.0000001 s"}, "period"),
        ({"max_age": True}, "max_age"),
        ({"channels": []}, "channels"),
        ({"colour": "red"}, "colour"),
        ({"id": "l"}, "id"),
        ({"id": "L/S"}, "id"),
        ({"clock": "sundial"}, "clock"),
        ({"channels": [{"name": "p1", "quantity_kind": "x", "unit": "K", "range": [5, 1]}]}, "channels"),
        ({"channels": [{"name": "p1", "quantity_kind": "x", "unit": "K", "range": [float("nan"), 1]}]}, "channels"),
        ({"channels": [{"name": "p1", "quantity_kind": "x", "unit": "1", "kind": "enumeration"}]}, "channels"),
    ],
)
def test_a_document_that_breaks_the_form_is_refused_with_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_document(changed(**change))
    assert refused.value.code == "registry_invalid"
    assert field in (refused.value.field or "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "other/s"}, "registry_invalid"),
        ({"instrument": "l/none"}, "registry_invalid"),
        ({"channels": [{"name": "a", "quantity_kind": "x", "unit": "furlong/fortnight"}]}, "unit_unknown"),
        ({"channels": [{"name": "a", "quantity_kind": "x", "unit": "K"}] * 2}, "registry_invalid"),
    ],
)
def test_a_document_that_does_not_hang_together_is_refused(change: dict[str, Any], code: str) -> None:  # I-3
    with pytest.raises(Invalid) as refused:
        planned(changed(**change))
    assert refused.value.code == code


def test_the_same_thing_twice_is_refused() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["platforms"] *= 2
    with pytest.raises(Invalid, match="twice"):
        planned(document)


def test_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(Malformed, match="yaml_malformed"):
        read_yaml("a: [1")


def test_the_demonstrations_registry_is_valid() -> None:
    text = (Path(__file__).parents[3] / "deploy" / "demo" / "registry.yaml").read_text(encoding="utf-8")
    found = plan(draft(read_yaml(text), lambda _: None), EMPTY, {})
    assert sum(len(stream.channels) for stream in found.draft.streams.values()) >= 52
