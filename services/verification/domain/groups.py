"""Criteria that wait for the same streams, judged together: their signals' points, their lanes, their frontier (V-14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.kinds.lanes import CLOSED, FAR, STATE, Kind, Lane
from services.verification.domain.kinds.quality import KIND as QUALITY
from services.verification.domain.kinds.quality import PLAIN
from services.verification.domain.merging import MergedSignal
from services.verification.domain.plan import CriterionPlan
from services.verification.domain.rows import Chunk, StreamRows
from services.verification.domain.signals import SignalPlan
from shared.kernel.times import Micros

START, END, CLOSING = 1, 2, 3
"""Columns of the bounds that change while a run goes on."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a lane sits: which set of lanes, which row."""

    lanes: LaneSet
    row: int


class LaneSet:
    """The lanes of one kernel in one group: parameters and state as the arrays that the kernel works on."""

    def __init__(self, kind: Kind, members: Sequence[tuple[Lane, int, str, int]]) -> None:
        """`members` are (lane, index of its signal in the group, phase, width of a sample position)."""
        floats, ints = kind.params
        floats = max(floats, *(len(member[0].floats) for member in members))
        count, width = len(members), max(member[3] for member in members)
        self.kind = kind
        self.phases = [phase for _, _, phase, _ in members]
        self.bounds = np.zeros((count, 5), np.int64)
        self.pf = np.zeros((count, floats), np.float64)
        self.pn = np.zeros((count, 2 + ints), np.int64)
        self.sf = np.tile(np.array(kind.floats, np.float64), (count, 1))
        self.sn = np.tile(np.array((0,) * STATE + kind.ints, np.int64), (count, 1))
        self.sw = np.zeros((count, kind.remembered * width), np.int64)
        slots = 0
        for row, (lane, signal, _, _) in enumerate(members):
            self.bounds[row] = (signal, FAR, FAR, 0, int(lane.stops))
            self.pf[row, : len(lane.floats)] = lane.floats
            self.pn[row] = (slots, lane.slots, *lane.ints)
            slots += lane.slots
        self.rf = np.zeros((slots, max(kind.ring_floats, 1)), np.float64)
        columns = kind.ring_ints + kind.ring_positions * width
        self.rn = np.zeros((slots, columns) if kind.ring_positions else (slots * kind.ring_ints,), np.int64)

    def state(self) -> tuple[NDArray[np.generic], ...]:
        """Everything that changes while samples come; its bytes are the snapshot."""
        return (self.bounds, self.sf, self.sn, self.sw, self.rf, self.rn)

    def set_phase(self, phase: str, start: Micros, end: Micros) -> None:
        for row, name in enumerate(self.phases):
            if name == phase:
                self.bounds[row, START], self.bounds[row, END] = start, end


@dataclass(frozen=True, slots=True)
class Member:
    """A criterion of a group: its number in the plan and the seats of its lane and of the quality lane under it."""

    number: int
    lane: Seat
    quality: Seat


class Group:
    """Criteria over the same set of streams. `released` is how far they have been judged (inclusive)."""

    def __init__(
        self, streams: tuple[str, ...], criteria: Sequence[tuple[int, CriterionPlan]], columns: Mapping[str, int]
    ) -> None:
        """`columns` maps a channel path to its row in a chunk of its stream."""
        self.streams = streams
        self.released: Micros = -FAR
        self.behind = False  # rows that this group waited with were dropped: only a rebuild can go on
        self.signals: list[SignalPlan] = []
        for _, criterion in criteria:
            if all(signal.key != criterion.signal.key for signal in self.signals):
                self.signals.append(criterion.signal)
        self.merged = {k: MergedSignal(signal) for k, signal in enumerate(self.signals) if signal.program}
        self._columns = columns
        self._ages = {item.stream: item.max_age for signal in self.signals for item in signal.inputs}
        first = [signal.inputs[0] for signal in self.signals]
        self._stream_of = np.array([streams.index(item.stream) for item in first], np.int64)
        self._column_of = np.array([columns[item.path] for item in first], np.int64)
        self.lane_sets: list[LaneSet] = []
        self.members = self._seat(criteria)

    def _seat(self, criteria: Sequence[tuple[int, CriterionPlan]]) -> list[Member]:
        index = {signal.key: k for k, signal in enumerate(self.signals)}
        wanted: dict[str, list[tuple[Lane, int, str, int]]] = {QUALITY.name: []}
        kinds = {QUALITY.name: QUALITY}
        under: dict[tuple[int, str], int] = {}
        seats: list[tuple[int, str, int, int]] = []
        for number, criterion in criteria:
            signal = index[criterion.signal.key]
            width = 2 * len(criterion.signal.inputs)
            if (signal, criterion.phase) not in under:
                under[signal, criterion.phase] = len(wanted[QUALITY.name])
                wanted[QUALITY.name].append((PLAIN, signal, criterion.phase, width))
            kinds[criterion.kernel.name] = criterion.kernel
            lanes = wanted.setdefault(criterion.kernel.name, [])
            seats.append((number, criterion.kernel.name, len(lanes), under[signal, criterion.phase]))
            lanes.append((criterion.lane, signal, criterion.phase, width))
        sets = {name: LaneSet(kinds[name], lanes) for name, lanes in wanted.items()}
        self.lane_sets = list(sets.values())
        return [
            Member(number, Seat(sets[name], row), Seat(sets[QUALITY.name], under_row))
            for number, name, row, under_row in seats
        ]

    def release(
        self, upto: Micros, rows: Mapping[str, StreamRows], held: NDArray[np.int64]
    ) -> tuple[bool, list[tuple[str, Chunk]]]:
        """Judges every row up to `upto`. Answers whether any outcome may have changed, and the rows by stream."""
        chunks = [(name, rows[name].between(self.released, upto)) for name in self.streams]
        given = [(name, chunk) for name, chunk in chunks if chunk is not None]
        self.released = upto
        closing = False
        for lanes in self.lane_sets:
            lanes.bounds[:, CLOSING] = lanes.bounds[:, END] <= upto
            closing = closing or bool((lanes.bounds[:, CLOSING] > lanes.sn[:, CLOSED]).any())
        if not given and not closing:
            return False, []
        changed = 0
        times, until, values, places, signals = self._points(chunks)
        for lanes in self.lane_sets:
            changed += lanes.kind.kernel(
                times,
                until,
                values,
                places,
                signals,
                lanes.bounds,
                lanes.pf,
                lanes.pn,
                lanes.sf,
                lanes.sn,
                lanes.sw,
                lanes.rf,
                lanes.rn,
                held,
            )
        return closing or changed > 0, given

    def _points(
        self, chunks: list[tuple[str, Chunk | None]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        times: list[NDArray[Any]] = []
        until: list[NDArray[Any]] = []
        values: list[NDArray[Any]] = []
        positions: list[NDArray[Any]] = []
        spans: list[tuple[int, int, int, int]] = []
        t_at = x_at = r_at = 0
        for name, chunk in chunks:
            n = 0 if chunk is None else chunk.times.shape[0]
            spans.append((t_at, n, x_at, r_at))
            if chunk is None:
                continue
            times.append(chunk.times)
            until.append(chunk.times + self._ages[name])
            values.append(chunk.values.ravel())
            positions.append(chunk.positions.ravel())
            t_at, x_at, r_at = t_at + n, x_at + chunk.values.size, r_at + 2 * n
        given = np.array(spans, np.int64)[self._stream_of]
        signals = np.empty((len(self.signals), 5), np.int64)
        signals[:, 0] = given[:, 2] + self._column_of * given[:, 1]
        signals[:, 1:3] = given[:, :2]
        signals[:, 3] = given[:, 3]
        signals[:, 4] = 2
        base = [_flat(part, kind) for part, kind in ((times, np.int64), (values, np.float64), (positions, np.int64))]
        for k, merged in self.merged.items():
            signal = self.signals[k]
            inputs = [spans[self.streams.index(item.stream)] for item in signal.inputs]
            inputs = [
                (t0, n, x0 + self._columns[item.path] * n, r0)
                for (t0, n, x0, r0), item in zip(inputs, signal.inputs, strict=True)
            ]
            mt, mu, mx, mr = merged.points(base[0], base[1], base[2], inputs)
            signals[k] = (x_at, t_at, mt.shape[0], r_at, mr.shape[1])
            times.append(mt)
            until.append(mu)
            values.append(mx)
            positions.append(mr.ravel())
            t_at, x_at, r_at = t_at + mt.shape[0], x_at + mx.shape[0], r_at + mr.size
        return (
            _flat(times, np.int64),
            _flat(until, np.int64),
            _flat(values, np.float64),
            _flat(positions, np.int64),
            signals,
        )


def _flat(parts: Sequence[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, kind)
