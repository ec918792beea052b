"""CloudEvents 1.0 in JSON structured mode: the form of `verification.events` and `usage.events`.

Quantities and money are decimal strings; a JSON number never carries either.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from shared.kernel.canonical import canonical_json
from shared.kernel.errors import Reject

CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=False):
    """The required attributes (CloudEvents 1.0, section 3.1) and those used here. Identity is (`source`, `id`); `time` is RFC 3339, the
    event time of the fact and not of its publication."""

    id: Text
    source: Text
    type: Text
    subject: str
    time: str
    data: dict[str, Any]
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


_decoder = msgspec.json.Decoder(CloudEvent)


def encode_event(event: CloudEvent) -> bytes:
    """Canonical JSON, so that the same event has the same bytes."""
    return canonical_json(msgspec.structs.asdict(event))


def decode_event(data: bytes | memoryview) -> CloudEvent:
    """Raises Reject(event_malformed | event_version)."""
    try:
        event = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Reject("event_malformed", str(error)) from error
    if event.specversion != "1.0":
        raise Reject("event_version", f"CloudEvents {event.specversion} is not 1.0")
    return event
