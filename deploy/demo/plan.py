"""What the demonstration's gateway sends, and when: eleven runs in sequence, an hour of every stream per request, and trouble on purpose.

Everything here is fixed: two replays send the same records in the same order. The trouble is a list of values (`TROUBLES`), each of them at
one place of one run, so that its effect can be told from the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deploy.demo.tennessee import LAYOUT, ROW_PERIOD, ROWS, RUNS, stream_samples
from shared.kernel.times import HOUR, Micros, from_rfc3339

LINE = "te1"
PLATFORM = "hz-chem"
TARIFF_ID = "hz-chem-2026"
START: Micros = from_rfc3339("2026-03-02T00:00:00+08:00")
SPACING: Micros = 50 * HOUR
LENGTH: Micros = ROWS * ROW_PERIOD
HOURS = LENGTH // HOUR
PHASES = (("lined_out", 0), ("challenge", 8 * HOUR))
CUSTOMERS = ("qiantang-materials", "linjiang-petrochemical")
STREAMS = tuple(LAYOUT)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that goes wrong with the batch of `stream` that covers hour `hour` (from 0) of `run`."""

    run: str
    stream: str
    hour: int


@dataclass(frozen=True, slots=True)
class Duplicate(Trouble):
    """The batch is sent twice, as after an answer that got lost."""


@dataclass(frozen=True, slots=True)
class Late(Trouble):
    """The batch is sent `by` hours of event time too late, behind its successors and what became of them."""

    by: int


@dataclass(frozen=True, slots=True)
class Missing(Trouble):
    """The batch is never sent; its number is used up."""


@dataclass(frozen=True, slots=True)
class WrongUnit(Trouble):
    """The batch says that `channel` is in `unit`, which does not measure the same thing."""

    channel: str
    unit: str


@dataclass(frozen=True, slots=True)
class NotANumber(Trouble):
    """`channel` is NaN in the batch's rows from `row` on, `rows` of them."""

    channel: str
    row: int
    rows: int


@dataclass(frozen=True, slots=True)
class Conflict(Trouble):
    """An hour after the batch, another one comes under the same identity, with `channel` higher by `by`."""

    channel: str
    by: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The process is ended with SIGKILL before hour `hour` of `run` is sent."""

    run: str
    hour: int
    process: str


TROUBLES: tuple[Trouble, ...] = (
    Duplicate("d01", "stripper", 12),
    Late("d02", "reactor", 30, by=1),
    Missing("d03", "reactor", 20),
    WrongUnit("d05", "separator", 25, channel="pressure", unit="Cel"),
    Conflict("d08", "reactor", 15, channel="pressure", by=250.0),
    NotANumber("d09", "reactor", 33, channel="level", row=5, rows=8),
)
KILLS: tuple[Kill, ...] = (
    Kill("d04", 24, "worker"),
    Kill("d07", 24, "sink"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One record: `rows` samples of a stream, named by (stream, boot, seq). `note` names the trouble it is part of."""

    run: str
    stream: str
    boot: str
    seq: int
    t0: Micros
    dt: Micros
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    units: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def identity(self) -> tuple[str, str, int]:
        return (self.stream, self.boot, self.seq)

    @property
    def bad_values(self) -> int:
        """Values that are no numbers."""
        return int(np.count_nonzero(~np.isfinite(self.values)))

    def document(self) -> dict[str, object]:
        """The JSON form of `POST /v1/telemetry`; numbers that are none are written as text."""
        columns = {
            name: [float(value) if np.isfinite(value) else "NaN" for value in self.values[:, position]]
            for position, name in enumerate(self.channels)
        }
        body: dict[str, object] = {
            "stream": self.stream,
            "boot": self.boot,
            "seq": self.seq,
            "t0": self.t0,
            "dt": self.dt,
            "values": columns,
        }
        return body | ({"unit": dict(self.units)} if self.units else {})


@dataclass(frozen=True, slots=True)
class Begin:
    """The run starts at `at`, with its first phase."""

    run: str
    at: Micros
    customer: str


@dataclass(frozen=True, slots=True)
class Enter:
    """A further phase of the run begins."""

    run: str
    at: Micros
    phase: str


@dataclass(frozen=True, slots=True, eq=False)
class Send:
    """One request. `at` is the event time at which the newest of its hours is over."""

    run: str
    at: Micros
    batches: tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is sent until everything sent so far has had its effects, as it would in an hour of real time, and the run is judged up to
    `judged`. What comes then and belongs before is late for every reader."""

    run: str
    judged: Micros


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is complete at `at`."""

    run: str
    at: Micros


Step = Begin | Enter | Send | Pause | Finish | Kill


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in order, and what is wrong with them. `channels` are the channel names of each stream, in registry order."""

    runs: tuple[str, ...]
    channels: Mapping[str, tuple[str, ...]]
    troubles: tuple[Trouble, ...] = TROUBLES
    kills: tuple[Kill, ...] = KILLS

    def steps(self) -> Iterator[Step]:
        """Every step of every run, in the order in which they are carried out."""
        for run in self.runs:
            yield from self._run_steps(run)

    def batches(self, run: str, stream: str) -> tuple[Batch, ...]:
        """The batches of a stream as the instrument would send them, without trouble; hour h is number h + 1 of the run's boot."""
        times, values = stream_samples(run, stream)
        start, period = starts_at(run), LAYOUT[stream][0] * ROW_PERIOD
        cuts = [int(cut) for cut in np.searchsorted(times, np.arange(HOURS + 1) * HOUR)]
        return tuple(
            Batch(
                run=run,
                stream=f"{LINE}/{stream}",
                boot=f"replay-{run}",
                seq=hour + 1,
                t0=start + int(times[first]),
                dt=period,
                channels=self.channels[stream],
                values=values[first:behind],
            )
            for hour, (first, behind) in enumerate(pairwise(cuts))
        )

    def delivered(self, run: str) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """What should be in force of each stream after the trouble: times (n,) in µs and values (n, k), NaN where a value is none."""
        arrays = {}
        for stream in STREAMS:
            batches = [b for b in self.batches(run, stream) if not self._lost(run, stream, b.seq - 1)]
            batches = [self._spoilt(batch, stream) for batch in batches]
            times = np.concatenate([b.t0 + b.dt * np.arange(len(b.values), dtype=np.int64) for b in batches])
            arrays[stream] = (times, np.concatenate([b.values for b in batches]))
        return arrays

    def _lost(self, run: str, stream: str, hour: int) -> bool:
        lost = (t for t in self.troubles if isinstance(t, Missing | WrongUnit))
        return any((t.run, t.stream, t.hour) == (run, stream, hour) for t in lost)

    def _run_steps(self, run: str) -> Iterator[Step]:
        start = starts_at(run)
        yield Begin(run, start, customer_of(run))
        sent = {stream: self.batches(run, stream) for stream in STREAMS}
        delayed: dict[int, list[Batch]] = {}
        for hour in range(HOURS):
            yield from (Enter(run, start + at, phase) for phase, at in PHASES[1:] if at == hour * HOUR)
            yield from (kill for kill in self.kills if (kill.run, kill.hour) == (run, hour))
            batches: list[Batch] = []
            for stream in STREAMS:
                batches += self._with_trouble(stream, sent[stream][hour], hour, delayed)
            yield Send(run, start + (hour + 1) * HOUR, tuple(batches))
            if hour in delayed:
                yield Pause(run, start + (hour + 1) * HOUR - ROW_PERIOD)
                yield Send(run, start + (hour + 1) * HOUR, tuple(delayed[hour]))
        yield Finish(run, start + LENGTH)

    def _with_trouble(self, stream: str, batch: Batch, hour: int, delayed: dict[int, list[Batch]]) -> Sequence[Batch]:
        """What is sent in place of a batch now; what is sent later goes to `delayed` by hour."""
        trouble = self._trouble(batch.run, stream, hour)
        match trouble:
            case Duplicate():
                return (batch, _noted(batch, trouble))
            case Late():
                delayed.setdefault(hour + trouble.by, []).append(_noted(batch, trouble))
                return ()
            case Missing():
                return ()
            case WrongUnit():
                return (_noted(batch, trouble, units={trouble.channel: trouble.unit}),)
            case Conflict():
                changed = batch.values.copy()
                changed[:, batch.channels.index(trouble.channel)] += trouble.by
                delayed.setdefault(hour + 1, []).append(_noted(batch, trouble, values=changed))
                return (batch,)
            case _:
                return (self._spoilt(batch, stream),)

    def _spoilt(self, batch: Batch, stream: str) -> Batch:
        trouble = self._trouble(batch.run, stream, batch.seq - 1)
        if not isinstance(trouble, NotANumber):
            return batch
        values = batch.values.copy()
        values[trouble.row : trouble.row + trouble.rows, batch.channels.index(trouble.channel)] = np.nan
        return _noted(batch, trouble, values=values)

    def _trouble(self, run: str, stream: str, hour: int) -> Trouble | None:
        for trouble in self.troubles:
            if (trouble.run, trouble.stream, trouble.hour) == (run, stream, hour):
                return trouble
        return None


def starts_at(run: str) -> Micros:
    """When a run begins, in event time."""
    return START + RUNS.index(run) * SPACING


def customer_of(run: str) -> str:
    """The two customers take turns."""
    return CUSTOMERS[RUNS.index(run) % len(CUSTOMERS)]


def trouble_name(trouble: Trouble | Kill) -> str:
    """The trouble's name in ledger and summary: `duplicate`, `late`, …"""
    name = type(trouble).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _noted(
    batch: Batch,
    trouble: Trouble,
    *,
    values: NDArray[np.float64] | None = None,
    units: Mapping[str, str] | None = None,
) -> Batch:
    return Batch(
        run=batch.run,
        stream=batch.stream,
        boot=batch.boot,
        seq=batch.seq,
        t0=batch.t0,
        dt=batch.dt,
        channels=batch.channels,
        values=batch.values if values is None else values,
        units=units or {},
        note=trouble_name(trouble),
    )
