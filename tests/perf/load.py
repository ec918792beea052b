"""Frames for the ingest benchmarks: one line, many streams of ten channels, random values that do not compress."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from shared.contracts.frame import Frame, build_frame
from shared.contracts.registry_document import RegistryDocument, read_document
from shared.kernel.times import Micros

LINE = "bench"
CHANNELS = tuple(f"c{number}" for number in range(10))
START: Micros = 1_772_409_600_000_000
SPACING: Micros = 1000


def registry(streams: int) -> RegistryDocument:
    """`streams` recorded streams `bench/s0` … of ten channels without limits."""
    name = {"en": "benchmark", "zh": "基准"}
    channels = [{"name": channel, "quantity_kind": "pressure", "unit": "kPa"} for channel in CHANNELS]
    common = {"instrument": f"{LINE}/i", "period": "1 ms", "max_age": "1 s", "clock": "recorded", "channels": channels}
    return read_document(
        {
            "platforms": [{"id": "bench", "name": name, "time_zone": "UTC"}],
            "customers": [{"id": "bench", "name": name, "class": "sme"}],
            "lines": [{"id": LINE, "platform": "bench", "name": name}],
            "instruments": [{"id": f"{LINE}/i", "name": name}],
            "streams": [{"id": f"{LINE}/s{number}", **common} for number in range(streams)],
        }
    )


def frames(count: int, *, streams: int, rows: int, boot: str, received_at: Micros = 0) -> Iterator[Frame]:
    """`count` frames in order, the streams in turn, numbered from 1, without gaps in time."""
    values = np.random.default_rng(7).normal(100.0, 10.0, size=(16, rows, len(CHANNELS)))
    offsets = SPACING * np.arange(rows, dtype=np.int64)
    for index in range(count):
        turn, stream = divmod(index, streams)
        yield build_frame(
            stream=f"{LINE}/s{stream}",
            registry_version=1,
            boot=boot,
            seq=turn + 1,
            times=START + turn * rows * SPACING + offsets,
            values=values[index % 16],
            received_at=received_at,
        )
