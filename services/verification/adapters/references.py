"""The recorded phases of a family of runs, from storage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.verification.adapters.curves import signal_of
from services.verification.adapters.iterations import Iterations, read_samples
from services.verification.adapters.worker.columns import ChannelOrder
from services.verification.domain.references import RecordedPhase
from services.verification.domain.signals import conversion_between
from shared.kernel.errors import NotFound


class References(Iterations):
    """Reads in one repeatable-read snapshot, in the unit that the first run's registry has for the channel."""

    async def family(self, runs: Sequence[str], channel: str, phase: str) -> tuple[str, tuple[RecordedPhase, ...]]:
        """The unit, and the phase of every run. Raises NotFound(run_unknown | phase_unknown | channel_unknown), Invalid(criteria_unit)."""
        unit, found = "", []
        async with self._snapshot() as connection:
            for run in runs:
                side = await self._side(connection, run, ())
                if side is None:
                    raise NotFound("run_unknown", f"there is no run {run}", field="runs")
                span = side.phase(phase)
                if span is None or span.started_at is None or span.ended_at is None:
                    raise NotFound("phase_unknown", f"run {run} has no finished phase {phase}", field="phase")
                signal = signal_of(side.criteria, None, channel, side.channels)
                unit = unit or signal.unit
                bring = conversion_between(signal.unit, unit, "channel", difference=signal.difference)
                stream, column = side.channels[channel]
                order = ChannelOrder(side.streams, await self._versions(connection, [side]))
                reach = (span.started_at - stream.max_age, span.ended_at)
                times, values = await read_samples(connection, stream, order, [column], reach)
                valid = ~np.isnan(values[0])
                brought = values[0][valid] * bring.factor + bring.offset
                found.append(RecordedPhase(run, span.started_at, span.ended_at, stream.max_age, times[valid], brought))
        return unit, tuple(found)
