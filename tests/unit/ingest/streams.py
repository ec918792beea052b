"""A small stream for the ingest tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.contracts.registry import Channel, ChannelKind, ClockPolicy, Rule, Stream
from shared.kernel.times import SECOND

PRESSURE = Channel(name="pressure", quantity_kind="pressure", unit="kPa", low=0.0, high=3000.0)
TEMPERATURE = Channel(name="temperature", quantity_kind="temperature", unit="K")
RISE = Channel(name="rise", quantity_kind="temperature_difference", unit="K")
VALVE = Channel(name="valve", quantity_kind="position", unit="1", kind=ChannelKind.BOOLEAN)
STRICT = Channel(
    name="strict",
    quantity_kind="fraction",
    unit="%",
    low=0.0,
    high=100.0,
    nan_rule=Rule.QUARANTINE,
    range_rule=Rule.QUARANTINE,
)


def stream(*channels: Channel, **changes: Any) -> Stream:
    """Version 3 of `te1/reactor`, recorded, with these channels (pressure and temperature by default)."""
    base = Stream(
        id="te1/reactor",
        version=3,
        platform="hz-chem",
        line="te1",
        instrument="te1/reactor",
        channels=channels or (PRESSURE, TEMPERATURE),
        period=SECOND,
        max_age=3 * SECOND,
        clock=ClockPolicy.RECORDED,
    )
    return replace(base, **changes)
