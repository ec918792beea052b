"""Curves for people: a channel, or a criterion's signal, from stored frames, as minimum and maximum per bucket.

Buckets begin at multiples of their width, so that they do not shimmer while time goes on, and keep extremes: a spike of one sample shows at
every zoom. A gap is a stretch in which no value holds; it is a None in the curve and an entry in the list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.verification.adapters.views import CriterionRow, CurveData, PhaseView, Stretch
from services.verification.domain import computed
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.entries import ENTERED
from services.verification.domain.merging import values_of
from services.verification.domain.signals import Channels, Input, SignalPlan, compile_signal
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.times import MINUTE, SECOND, Micros
from shared.storage.blocks import StoredFrame, stream_frames
from shared.storage.pool import Connection

MAX_POINTS = 4_000
_WIDTHS = [
    *(factor * scale for scale in (1_000, 10_000, 100_000) for factor in (1, 2, 5)),
    *(factor * SECOND for factor in (1, 2, 5, 10, 15, 30)),
    *(factor * MINUTE for factor in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)),
]

_Samples = tuple[NDArray[np.int64], NDArray[np.float64]]


async def read_curve(
    connection: Connection,
    *,
    signal: SignalPlan,
    title: str,
    criterion: CriterionRow | None,
    phases: Sequence[PhaseView],
    span: tuple[Micros, Micros],
    points: int,
) -> CurveData:
    """The signal over [from, to). Needs a transaction of the caller."""
    from_, to = span
    inputs: list[_Samples] = []
    late: set[Micros] = set()
    for item in signal.inputs:
        samples, marks = await _read(connection, item, from_ - item.max_age, to)
        inputs.append(samples)
        late.update(mark for mark in marks if from_ <= mark < to)
    times, values = combine(signal, inputs)
    inside = (times >= from_) & (times < to)
    times, values = times[inside], values[inside]
    valid = ~np.isnan(values)
    gaps = _gaps(times[valid], from_, signal.max_age)
    at, lo, hi, raw = _buckets(times[valid], values[valid], gaps, from_, to, points)
    worst = None
    if criterion is not None and criterion.worst_unit == signal.unit:
        at_worst, value = criterion.worst_at, criterion.worst_value
        worst = None if at_worst is None or value is None else (at_worst, value)
    return CurveData(
        channel=title,
        unit=signal.unit,
        at=at,
        lo=lo,
        hi=hi,
        raw=raw,
        gaps=gaps,
        phases=_shown(phases, from_, to),
        late=tuple(sorted(late)),
        limits=None if criterion is None else criterion.limits,
        worst=worst,
    )


def signal_of(criteria: CriteriaSet, criterion: str | None, channel: str | None, channels: Channels) -> SignalPlan:
    """The signal of a criterion, or of a plain channel. Raises NotFound(criterion_unknown | channel_unknown)."""
    if criterion is not None:
        found = next((item for item in criteria.criteria if item.id == criterion), None)
        if found is None:
            raise NotFound("criterion_unknown", f"the set has no criterion {criterion}", field="criterion")
        if found.kind in ENTERED:
            raise NotFound("curve_subject", f"people answer {criterion}: it has no curve", field="criterion")
        return computed.signal_of(found, channels, "criterion")
    try:
        return compile_signal(channel or "", channels, "channel")
    except Invalid as problem:
        raise NotFound(
            "channel_unknown", problem.detail, field="channel", remedy="name it as <stream>.<channel>"
        ) from problem


def combine(signal: SignalPlan, inputs: Sequence[_Samples]) -> _Samples:
    """The signal at every instant of any of its channels, each by its held value; NaN where one holds none."""
    if not signal.program:
        return inputs[0]
    times = np.unique(np.concatenate([own for own, _ in inputs]))
    held = [_held(times, own, values, item.max_age) for (own, values), item in zip(inputs, signal.inputs, strict=True)]
    return times, values_of(signal, np.vstack(held))


def _held(
    times: NDArray[np.int64], own: NDArray[np.int64], values: NDArray[np.float64], age: Micros
) -> NDArray[np.float64]:
    held = np.full(times.shape, np.nan)
    if own.size:
        last = np.searchsorted(own, times, "right") - 1
        known = (last >= 0) & (times - own[last] < age)
        held[known] = values[last[known]]
    return held


async def _read(connection: Connection, item: Input, from_: Micros, to: Micros) -> tuple[_Samples, list[Micros]]:
    """The valid samples of one channel in order of time, and the first instants of late frames."""
    times: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    late: list[Micros] = []
    async for frames in stream_frames(connection, [item.stream], from_, to):
        for frame in frames:
            own, column = _column(frame, item.column)
            times.append(own)
            values.append(column)
            if frame.late:
                late.append(int(frame.times[0]))
    if not times:
        return (np.empty(0, np.int64), np.empty(0)), late
    joined, column = np.concatenate(times), np.concatenate(values)
    order = np.argsort(joined, kind="stable")
    return (joined[order], column[order]), late


def _column(frame: StoredFrame, column: int) -> _Samples:
    values = frame.values[:, column]
    valid = ~np.isnan(values)
    return frame.times[valid], values[valid]


def _gaps(times: NDArray[np.int64], from_: Micros, age: Micros) -> tuple[Stretch, ...]:
    if times.size == 0:
        return ()
    before = np.concatenate([[from_ - age], times[:-1]])
    holes = np.flatnonzero(times - before > age)
    return tuple(Stretch(int(before[k]) + age, int(times[k]), "no_data") for k in holes)


def _buckets(
    times: NDArray[np.int64],
    values: NDArray[np.float64],
    gaps: Sequence[Stretch],
    from_: Micros,
    to: Micros,
    points: int,
) -> tuple[tuple[Micros, ...], tuple[float | None, ...], tuple[float | None, ...], bool]:
    raw = times.size <= 2 * points
    if raw:
        at, lo, hi = times, values, values
    else:
        width = bucket_width((to - from_) / points)
        number = times // width
        starts = np.flatnonzero(np.concatenate([[True], number[1:] != number[:-1]]))
        at = number[starts] * width + width // 2
        lo, hi = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    marks: list[tuple[Micros, float | None, float | None]] = [
        (int(t), float(low), float(high)) for t, low, high in zip(at, lo, hi, strict=True)
    ]
    marks += [((gap.from_ + gap.to) // 2, None, None) for gap in gaps]
    marks.sort(key=lambda mark: mark[0])
    return (
        tuple(t for t, _, _ in marks),
        tuple(low for _, low, _ in marks),
        tuple(high for _, _, high in marks),
        raw,
    )


def bucket_width(least: float) -> Micros:
    """The smallest even width that is not below `least` µs."""
    return next((width for width in _WIDTHS if width >= least), -(-int(least) // _WIDTHS[-1]) * _WIDTHS[-1])


def _shown(phases: Sequence[PhaseView], from_: Micros, to: Micros) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(max(phase.started_at, from_), min(phase.ended_at or to, to), phase.id)
        for phase in phases
        if phase.started_at is not None and phase.started_at < to and (phase.ended_at or to) > from_
    )
