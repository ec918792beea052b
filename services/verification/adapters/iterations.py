"""Iterations from storage: which runs stand beside one another, their criteria, statistics of their channels, curves to lay over each other.

Everything of one question is read in one repeatable-read snapshot. Samples are read as the evaluator reads them: in the order and units of the
pinned registry version, values marked bad as if absent, a phase as [start, end).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.verification.adapters.curves import MAX_POINTS, read_curve, signal_of
from services.verification.adapters.iteration_views import (
    ChannelStatistics,
    Comparison,
    CriterionNames,
    Overlay,
    OverlayCurve,
    RunColumn,
)
from services.verification.adapters.read_model import ReadModel
from services.verification.adapters.run_queries import RunFacts
from services.verification.adapters.views import BoardRow, CriterionRow, CurveData, PhaseView
from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.domain.computed import signal_of as criterion_signal
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.entries import ENTERED
from services.verification.domain.iterations import (
    Standing,
    baseline_of,
    compare_runs,
    statistics_of,
    within,
)
from services.verification.domain.rows import BAD
from services.verification.domain.signals import Channels, SignalPlan, compile_signal, conversion_between
from shared.contracts.registry import Stream, channel_path
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.times import Micros
from shared.storage.blocks import stream_frames
from shared.storage.pool import Connection
from shared.storage.registry import read_stream

MAX_VALUES = 20_000_000
"""Most values of one stream and phase that statistics hold in memory at a time (8 bytes each)."""

Reaches = Callable[[BoardRow], bool]
"""Whether the caller may see a run."""


def everything(_row: BoardRow) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Side:
    """A run of the comparison with what is needed to read it."""

    facts: RunFacts
    head: BoardRow
    roles: tuple[str, ...]
    criteria: CriteriaSet
    channels: Channels
    streams: tuple[Stream, ...]

    def phase(self, name: str) -> PhaseView | None:
        """A phase that has begun and has an end."""
        found = next((phase for phase in self.head.phases if phase.id == name), None)
        return None if found is None or found.started_at is None or found.ended_at is None else found


class Iterations(ReadModel):
    """Reads through a pool, and remembers what its base remembers."""

    async def comparison(
        self, run: str, *, baseline: str | None = None, reaches: Reaches = everything
    ) -> Comparison | None:
        """The run beside its previous one and the baseline, which is by default the first of its chain; None: there is no such run.

        Runs that the caller may not see are left out. Raises NotFound(run_unknown) for a baseline that does not exist or may not be seen,
        Invalid(baseline_other_project | baseline_other_customer).
        """
        async with self._snapshot() as connection:
            sides = await self._sides(connection, run, baseline, reaches)
            if not sides:
                return None
            rows = {side.facts.run: await self._criterion_rows(connection, side.facts) for side in sides}
        standings = {side.facts.run: _standings(rows[side.facts.run], side.criteria) for side in sides}
        asked = {side.facts.run: {item.id for item in side.criteria.criteria} for side in sides}
        names: dict[str, CriterionNames] = {}
        for side in sides:
            names |= {row.criterion: _names(row) for row in rows[side.facts.run]}
        return Comparison(
            run=run,
            columns=tuple(
                RunColumn(s.facts.run, s.roles, s.head, s.facts.criteria_set, s.facts.criteria_version) for s in sides
            ),
            criteria=compare_runs(run, standings, asked),
            names=names,
        )

    async def statistics(
        self,
        run: str,
        *,
        baseline: str | None = None,
        channels: Sequence[str] = (),
        phase: str | None = None,
        reaches: Reaches = everything,
    ) -> tuple[ChannelStatistics, ...] | None:
        """Per channel and phase of the latest run, for every run compared. Without `channels` those that its criteria read.

        Raises as `comparison` does, NotFound(run_not_started | channel_unknown | phase_unknown), Invalid(statistics_too_long).
        """
        async with self._snapshot() as connection:
            sides = await self._sides(connection, run, baseline, reaches)
            if not sides:
                return None
            latest = _started(sides[-1])
            wanted = [signal_of(latest.criteria, None, name, latest.channels) for name in channels]
            wanted = wanted or _read_by_criteria(latest)
            phases = [item.id for item in latest.head.phases if phase in (None, item.id)]
            if not phases:
                raise NotFound("phase_unknown", f"run {run} has no phase {phase}", field="phase")
            versions = await self._versions(connection, sides)
            found: dict[tuple[str, str], ChannelStatistics] = {
                (signal.inputs[0].path, name): ChannelStatistics(signal.inputs[0].path, name, signal.unit, {})
                for name in phases
                for signal in wanted
            }
            for side in sides:
                await self._add_statistics(connection, side, wanted, phases, versions, found)
        return tuple(item for item in found.values() if item.runs)

    async def overlay(
        self,
        run: str,
        *,
        criterion: str | None = None,
        channel: str | None = None,
        phase: str | None = None,
        baseline: str | None = None,
        points: int = 400,
        reaches: Reaches = everything,
    ) -> Overlay | None:
        """A criterion's signal, or a channel (`<stream>.<channel>`), in one phase of every run compared; the phase is by default the criterion's,
        or the first that the latest run has finished.

        Raises as `comparison` does, NotFound(run_not_started | criterion_unknown | channel_unknown | curve_subject | phase_unknown).
        """
        async with self._snapshot() as connection:
            sides = await self._sides(connection, run, baseline, reaches)
            if not sides:
                return None
            latest = _started(sides[-1])
            row = None if criterion is None else await self._criterion_row(connection, latest.facts, criterion)
            signal = signal_of(latest.criteria, criterion, channel, latest.channels)
            name = phase or (None if row is None else row.phase) or _first_finished(latest)
            if name not in {item.id for item in latest.head.phases}:
                raise NotFound("phase_unknown", f"run {run} has no finished phase {name or ''}", field="phase")
            curves = []
            for side in sides:
                drawn = await _curve(connection, side, name, criterion, channel, signal.unit, points)
                if drawn is not None:
                    curves.append(drawn)
        limits = None if row is None else row.limits
        return Overlay(criterion or channel or "", name, signal.unit, tuple(curves), limits)

    async def _sides(
        self, connection: Connection, run: str, baseline: str | None, reaches: Reaches
    ) -> tuple[_Side, ...]:
        """Baseline, previous and latest run, in this order; one that has two roles comes once."""
        chain = await _chain(connection, run)
        if run not in chain:
            return ()
        named = baseline is not None
        roles: dict[str, list[str]] = {}
        for name, role in (
            (baseline or baseline_of(run, chain), "baseline"),
            (chain[run], "previous"),
            (run, "latest"),
        ):
            if name is not None:
                roles.setdefault(name, []).append(role)
        sides = []
        for name, held in sorted(roles.items(), key=lambda item: "latest" in item[1]):
            side = await self._side(connection, name, tuple(held))
            if side is not None and reaches(side.head):
                sides.append(side)
            elif named and "baseline" in held:
                raise NotFound("run_unknown", f"there is no run {name}", field="baseline")
        if named and sides[0].facts.project != sides[-1].facts.project:
            raise Invalid(
                "baseline_other_project",
                f"{baseline} belongs to the project {sides[0].facts.project}",
                field="baseline",
                remedy="name a run of the same project",
            )
        if named and sides[0].facts.customer != sides[-1].facts.customer:
            raise Invalid(
                "baseline_other_customer",
                f"{baseline} was not made for the customer of {run}",
                field="baseline",
                remedy="name a run of the same customer",
            )
        return tuple(sides)

    async def _side(self, connection: Connection, run: str, roles: tuple[str, ...]) -> _Side | None:
        facts = await self._facts(connection, run)
        if facts is None:
            return None
        head = (await self._board_rows(connection, [facts]))[0]
        channels = await self._channels(connection, facts)
        streams = {stream.id: stream for stream, _ in channels.values()}
        criteria = self._criteria[facts.criteria_digest]
        return _Side(facts, head, roles, criteria, channels, tuple(streams.values()))

    async def _versions(self, connection: Connection, sides: Sequence[_Side]) -> dict[tuple[str, int], Stream]:
        """Every version under which a stream of the runs has stored frames."""
        names = sorted({stream.id for side in sides for stream in side.streams})
        cursor = await connection.execute(
            """select v.stream_id, v.version from ingest.stream_version v where v.stream_id = any(%s)""", (names,)
        )
        for stream, version in await cursor.fetchall():
            if (stream, version) not in self._streams:
                found = await read_stream(connection, stream, version)
                assert found is not None  # versions are immutable and never deleted
                self._streams[stream, version] = found
        return self._streams

    async def _add_statistics(
        self,
        connection: Connection,
        side: _Side,
        wanted: Sequence[SignalPlan],
        phases: Sequence[str],
        versions: dict[tuple[str, int], Stream],
        found: dict[tuple[str, str], ChannelStatistics],
    ) -> None:
        order = ChannelOrder(side.streams, versions)
        for name in phases:
            phase = side.phase(name)
            if phase is None or phase.started_at is None or phase.ended_at is None:
                continue
            for stream in side.streams:
                own = _columns(stream, wanted)
                if not own:
                    continue
                span = (phase.started_at, phase.ended_at)
                times, values = await read_samples(connection, stream, order, [column for column, _ in own], span)
                for row, (column, signal) in enumerate(own):
                    item = found[signal.inputs[0].path, name]
                    bring = conversion_between(
                        stream.channels[column].unit, signal.unit, "channel", difference=signal.difference
                    )
                    part = within(times, values[row], [(name, *span)])[name] * bring.factor + bring.offset
                    runs = {**item.runs, side.facts.run: statistics_of(part)}
                    found[item.channel, name] = ChannelStatistics(item.channel, name, item.unit, runs)


async def _chain(connection: Connection, run: str) -> dict[str, str | None]:
    """The run and those of its customer before it, each with its previous one."""
    cursor = await connection.execute(
        """with recursive chain as (
               select run_id, previous_run, customer_id from verification.run where run_id = %s
               union
               select r.run_id, r.previous_run, r.customer_id
               from verification.run r join chain c on r.run_id = c.previous_run and r.customer_id = c.customer_id)
           select run_id, case when previous_run in (select run_id from chain) then previous_run end from chain""",
        (run,),
    )
    return dict(await cursor.fetchall())


async def _curve(
    connection: Connection,
    side: _Side,
    name: str,
    criterion: str | None,
    channel: str | None,
    unit: str,
    points: int,
) -> OverlayCurve | None:
    """None where the run has not finished the phase, or has no such signal in a unit of the same dimension."""
    phase = side.phase(name)
    if phase is None or phase.started_at is None or phase.ended_at is None:
        return None
    try:
        signal = signal_of(side.criteria, criterion, channel, side.channels)
        bring = conversion_between(signal.unit, unit, "channel", difference=signal.difference)
    except (NotFound, Invalid):
        return None
    data: CurveData = await read_curve(
        connection,
        signal=signal,
        title="",
        criterion=None,
        phases=(),
        span=(phase.started_at, phase.ended_at),
        points=min(max(points, 10), MAX_POINTS),
    )

    def brought(values: Sequence[float | None]) -> tuple[float | None, ...]:
        return tuple(None if value is None else value * bring.factor + bring.offset for value in values)

    start = phase.started_at
    return OverlayCurve(
        side.facts.run, side.roles, tuple(at - start for at in data.at), brought(data.lo), brought(data.hi), data.raw
    )


async def read_samples(
    connection: Connection, stream: Stream, order: ChannelOrder, columns: Sequence[int], span: tuple[Micros, Micros]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Times in order and the columns' values (c, n), NaN where a value is absent or bad. Raises Invalid(statistics_too_long)."""
    times: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    held = 0
    async for frames in stream_frames(connection, [stream.id], *span):
        for frame in frames:
            arranged, quality = order.arranged(frame)
            part = np.where(quality[:, columns] & BAD, np.nan, arranged[:, columns])
            times.append(frame.times)
            values.append(part.T)
            held += part.size
        if held > MAX_VALUES:
            raise Invalid(
                "statistics_too_long",
                f"{stream.id} has more than {MAX_VALUES} values in this phase",
                field="channel",
                remedy="ask for one channel, or for a shorter phase",
            )
    if not times:
        return np.empty(0, np.int64), np.empty((len(columns), 0))
    joined = np.concatenate(times)
    order_ = np.argsort(joined, kind="stable")
    return joined[order_], np.concatenate(values, axis=1)[:, order_]


def _columns(stream: Stream, wanted: Sequence[SignalPlan]) -> list[tuple[int, SignalPlan]]:
    places = {channel_path(stream, channel.name): column for column, channel in enumerate(stream.channels)}
    return [
        (places[signal.inputs[0].path], signal)
        for signal in wanted
        if signal.inputs[0].path in places
    ]  # fmt: skip


def _read_by_criteria(side: _Side) -> list[SignalPlan]:
    """The channels that the run's criteria read, as signals of their own, by name."""
    paths = {
        item.path
        for criterion in side.criteria.criteria
        if criterion.kind not in ENTERED
        for item in criterion_signal(criterion, side.channels, "criterion").inputs
    }
    return [compile_signal(path, side.channels, "channel") for path in sorted(paths)]


def _started(side: _Side) -> _Side:
    """A run pins its streams when it starts."""
    if side.facts.started_at is None:
        raise NotFound("run_not_started", f"run {side.facts.run} has not started", field="run")
    return side


def _first_finished(side: _Side) -> str | None:
    return next((phase.id for phase in side.head.phases if side.phase(phase.id) is not None), None)


def _standings(rows: Sequence[CriterionRow], criteria: CriteriaSet) -> dict[str, Standing]:
    texts = {item.id: digest(item.model_dump(mode="json")) for item in criteria.criteria}
    return {
        row.criterion: Standing(
            verdict=row.verdict if row.activity == "decided" else row.activity,
            margin=row.margin,
            share=row.share,
            unit=row.unit,
            worst_value=row.worst_value,
            worst_unit=row.worst_unit,
            reason=row.reason,
            document=texts[row.criterion],
        )
        for row in rows
    }


def _names(row: CriterionRow) -> CriterionNames:
    return CriterionNames(row.title, row.clause, row.phase, row.kind)
