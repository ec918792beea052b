"""From a lane's state to what is said about a criterion: decision, data quality, evidence (V-9, V-10, V-12, V-13)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.verification.domain.decisions import conformity, level_of
from services.verification.domain.groups import END, START, Group, Member
from services.verification.domain.kinds import quality
from services.verification.domain.kinds.clock import clock, unclock
from services.verification.domain.kinds.lanes import (
    CLOSED,
    FAR,
    OVERFLOW,
    PROVEN_FAIL,
    PROVEN_PASS,
    Judgement,
    View,
)
from services.verification.domain.outcomes import (
    Activity,
    CriterionState,
    DataQuality,
    Evidence,
    Outcome,
    SamplePosition,
)
from services.verification.domain.plan import CriterionPlan
from services.verification.domain.rows import BOOT_SHIFT, ROW_MASK, StreamRows
from shared.contracts.frame import Quality
from shared.kernel.times import Micros, to_rfc3339


@dataclass(frozen=True, slots=True)
class BadValues:
    """Values in the phase that were marked bad: how many, how many of them not a number or of suspect clock, and the first of each."""

    count: int = 0
    first_at: Micros = FAR
    nan_count: int = 0
    first_nan_at: Micros = FAR
    suspect_count: int = 0
    first_suspect_at: Micros = FAR


def counted(bad: BadValues, marks: NDArray[np.uint8], times: NDArray[np.int64]) -> BadValues:
    """With the values of one channel that are marked, at the instants of `times`."""

    def grown(count: int, first: Micros, flags: NDArray[np.bool_]) -> tuple[int, Micros]:
        found = int(np.count_nonzero(flags))
        return (count + found, min(first, int(times[flags.argmax()]))) if found else (count, first)

    count, first = grown(bad.count, bad.first_at, marks != 0)
    nan_count, first_nan = grown(bad.nan_count, bad.first_nan_at, (marks & int(Quality.NOT_A_NUMBER)) != 0)
    suspects = (marks & int(Quality.CLOCK_SUSPECT)) != 0
    suspect_count, first_suspect = grown(bad.suspect_count, bad.first_suspect_at, suspects)
    return BadValues(count, first, nan_count, first_nan, suspect_count, first_suspect)


_UNDECIDED = {
    "past_reference": "the phase outlasts the reference",
    "no_previous_run": "no value of the run before was pinned at the start",
}


@dataclass(frozen=True, slots=True)
class _Ruling:
    outcome: Outcome
    decided_at: Micros | None
    reason: str | None = None
    detail: str = ""


def judge(
    plan: CriterionPlan,
    member: Member,
    group: Group,
    rows: dict[str, StreamRows],
    held: NDArray[np.int64],
    bad: BadValues,
    *,
    run_ended: bool,
    stale: bool,
) -> CriterionState:
    """The criterion as it stands."""
    view = _view(plan, member, held, bad)
    judgement = plan.kernel.judge(view)
    seen = _quality(member, view, group.released, bad)
    overflow = bool(member.lane.lanes.sn[member.lane.row, OVERFLOW])
    ruling = _rule(plan, view, judgement, seen, bad, overflow=overflow, run_ended=run_ended)
    factor = plan.lane.factor
    margin = None if judgement.margin is None else judgement.margin * factor
    tolerance = plan.lane.tolerance
    return CriterionState(
        criterion=plan.id,
        clause=plan.clause,
        phase=plan.phase,
        kind=plan.kind,
        activity=_activity(view, ruling),
        outcome=ruling.outcome,
        unit=plan.lane.unit,
        margin=margin,
        low=judgement.low * factor,
        high=judgement.high * factor,
        share=None if margin is None or tolerance is None else margin / tolerance,
        worst_at=judgement.worst_at,
        worst_value=None if judgement.worst_value is None else judgement.worst_value * factor,
        time_margin=judgement.time_margin,
        time_out=judgement.time_out,
        decided_at=ruling.decided_at,
        reason=ruling.reason,
        detail=ruling.detail,
        quality=seen,
        evidence=_evidence(plan, member, judgement, rows),
        level=level_of(plan.decision, ruling.outcome, margin),
        conformity_probability=conformity(plan.decision, margin) if view.closed else None,
        stale=stale,
    )


def _view(plan: CriterionPlan, member: Member, held: NDArray[np.int64], bad: BadValues) -> View:
    lanes, row = member.lane.lanes, member.lane.row
    stretches = held if plan.lane.stops else held[:0]
    return View(
        p=lanes.pf[row],
        q=lanes.pn[row],
        f=lanes.sf[row],
        n=lanes.sn[row],
        start=int(lanes.bounds[row, START]),
        end=int(lanes.bounds[row, END]),
        closed=bool(lanes.sn[row, CLOSED]),
        clock=lambda t: int(clock(t, stretches)),
        unclock=lambda c: unclock(c, stretches),
        nan_cells=bad.nan_count,
        first_nan_at=bad.first_nan_at,
        suspect_cells=bad.suspect_count,
        first_suspect_at=bad.first_suspect_at,
    )


def _quality(member: Member, view: View, released: Micros, bad: BadValues) -> DataQuality:
    state = member.quality.lanes.sn[member.quality.row]
    samples = int(state[quality.SAMPLES])
    length = min(view.end, released) - view.start if not view.closed else view.end - view.start
    return DataQuality(
        coverage=int(state[quality.COVERED]) / length if length > 0 and view.start < FAR else 0.0,
        longest_gap=int(state[quality.GAP]),
        samples=samples,
        bad_samples=bad.count,
        first_at=int(state[quality.FIRST_AT]) if samples else None,
        last_at=int(state[quality.LAST_AT]) if samples else None,
    )


def _rule(
    plan: CriterionPlan,
    view: View,
    judgement: Judgement,
    seen: DataQuality,
    bad: BadValues,
    *,
    overflow: bool,
    run_ended: bool,
) -> _Ruling:
    """A proven FAIL first, then what forbids a PASS, then the margin (G5, G6)."""
    proven = judgement.decided_at if judgement.proof == PROVEN_FAIL and not overflow else None
    spoilt = bad.first_at if plan.on_bad_quality == "fail" and bad.count else None
    if proven is not None and (spoilt is None or proven <= spoilt):
        return _Ruling(Outcome.FAIL, proven)
    if spoilt is not None:
        return _Ruling(Outcome.FAIL, spoilt, "bad_quality", f"{bad.count} values marked bad")
    if not view.closed:
        if run_ended and view.start == FAR:
            return _Ruling(Outcome.INCONCLUSIVE, None, "phase_not_run", f"the phase {plan.phase} never began")
        early = judgement.proof == PROVEN_PASS and not plan.demands_whole_phase
        if early and not plan.calibration_expired and not overflow:
            return _Ruling(Outcome.PASS, judgement.decided_at)
        return _Ruling(Outcome.NONE, None)
    if lacking := _lacking(plan, view, judgement, seen, bad, overflow):
        return _Ruling(Outcome.INCONCLUSIVE, view.end, *lacking)
    if judgement.margin is not None and judgement.margin < 0:
        return _Ruling(Outcome.FAIL, view.end)
    if plan.calibration_expired:
        return _Ruling(
            Outcome.INCONCLUSIVE, view.end, "calibration_expired", "the uncertainty's calibration was overdue"
        )
    early = judgement.proof == PROVEN_PASS and not plan.demands_whole_phase
    return _Ruling(Outcome.PASS, judgement.decided_at if early else view.end)


def _lacking(
    plan: CriterionPlan, view: View, judgement: Judgement, seen: DataQuality, bad: BadValues, overflow: bool
) -> tuple[str, str] | None:
    """Why a closed phase without a proven FAIL cannot be judged by its margin."""
    if seen.samples == 0:
        return "no_data", "no valid sample in the phase"
    if overflow:
        return "rate", "more samples than the registered rate allows"
    if plan.min_coverage is not None and seen.coverage < plan.min_coverage:
        return "coverage", f"{seen.coverage:.4f} of the phase is covered, {plan.min_coverage:g} is demanded"
    if plan.max_gap is not None and seen.longest_gap > plan.max_gap:
        return "gap", _gap_text(plan.max_gap, view, seen)
    if plan.idle is not None and seen.last_at is not None and view.end - seen.last_at > plan.idle:
        return "silent", f"no data since {to_rfc3339(seen.last_at)}"
    if plan.on_bad_quality == "inconclusive" and bad.count:
        return "bad_quality", f"{bad.count} values marked bad"
    reason = judgement.undecided
    if reason is None and (judgement.margin is None or math.isnan(judgement.margin)):
        reason = "no_window"
    return None if reason is None else (reason, _UNDECIDED.get(reason, "nothing in the phase answers the criterion"))


def _gap_text(allowed: Micros, view: View, seen: DataQuality) -> str:
    text = f"{seen.longest_gap / 1e6:g} s without a sample, {allowed / 1e6:g} s are allowed"
    if seen.last_at is not None and view.end - seen.last_at > allowed:
        return f"{text}; no data since {to_rfc3339(seen.last_at)}"
    return text


def _activity(view: View, ruling: _Ruling) -> Activity:
    if ruling.outcome is not Outcome.NONE:
        return Activity.DECIDED
    return Activity.PLANNED if view.start == FAR else Activity.OPEN


def _evidence(
    plan: CriterionPlan, member: Member, judgement: Judgement, rows: dict[str, StreamRows]
) -> Evidence | None:
    if judgement.start is None or judgement.end is None or not math.isfinite(judgement.start):
        return None
    remembered = member.lane.lanes.sw[member.lane.row]
    width = 2 * len(plan.signal.inputs)
    samples = []
    for role, place in judgement.positions:
        for index, item in enumerate(plan.signal.inputs):
            at = place * width + 2 * index
            mark = int(remembered[at + 1])
            boot = rows[item.stream].boots[mark >> BOOT_SHIFT]
            samples.append(SamplePosition(role, item.path, item.stream, boot, int(remembered[at]), mark & ROW_MASK))
    return Evidence(judgement.start, judgement.end, tuple(samples))
