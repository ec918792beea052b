"""A run judged by frames that pass by, with their Merkle roots: the same work when a report is drafted and when a stranger verifies it."""

from __future__ import annotations

from collections.abc import Iterable

from services.verification.adapters.worker.columns import ChannelOrder, Versions
from services.verification.domain.arrivals import LONG_TAIL
from services.verification.domain.evaluator import Lifecycle, RunEvaluator
from services.verification.domain.outcomes import RunResult, Verdict
from services.verification.domain.phases import PhaseSpan
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import REBUILD_ROWS
from services.verification.domain.reports.evidence import FrameRoots, frame_leaf
from shared.storage.blocks import StoredFrame


class Judging:
    """Takes the frames in order of (first sample, boot, number). Without a plan only the roots are computed."""

    def __init__(self, plan: RunPlan | None, versions: Versions, lifecycle: Iterable[Lifecycle]) -> None:
        self.roots = FrameRoots()
        self.frames = 0
        self.rows = 0
        self._evaluator = None if plan is None else RunEvaluator(plan, LONG_TAIL)
        self._order = None if plan is None else ChannelOrder(plan.streams, versions)
        self._waiting = 0
        if self._evaluator is not None:
            for record in lifecycle:
                self._evaluator.apply(record)

    def take(self, frame: StoredFrame) -> Verdict:
        """What the evaluator made of the frame; `ignored` also for one that no criterion reads."""
        rows = len(frame.times)
        leaf = frame_leaf(frame.boot, frame.seq, rows, frame.hash, frame.quality.tobytes())
        self.roots.add(frame.stream, frame.registry_version, leaf, rows)
        self.frames += 1
        self.rows += rows
        if self._evaluator is None or self._order is None or frame.stream not in self._order:
            return Verdict.IGNORED
        if self._waiting >= REBUILD_ROWS:
            self._evaluator.advance(upto=int(frame.times[0]) - 1)
            self._waiting = 0
        self._waiting += rows
        return self._order.add_stored(self._evaluator, frame).verdict

    @property
    def phases(self) -> tuple[PhaseSpan, ...]:
        """Those that the run has had, once its result is there."""
        return () if self._evaluator is None else self._evaluator.phases

    def result(self) -> RunResult | None:
        """The run's result, after its last frame. Raises NeedsRebuild when the frames were not in order."""
        if self._evaluator is None:
            return None
        self._evaluator.joined()
        return self._evaluator.result()
