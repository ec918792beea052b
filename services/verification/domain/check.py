"""What is said about a criteria set before it is published (V-8): every static error with its field and remedy, and the memory it needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.verification.domain.computed import signal_of
from services.verification.domain.criteria.marks import Marked
from services.verification.domain.criteria.parts import QualityDemand
from services.verification.domain.criteria_model import CriteriaSet, Phase
from services.verification.domain.entries import ENTERED, EnteredPlan, compile_entered
from services.verification.domain.kinds.registry import lane_of
from services.verification.domain.phases import END, START, compile_boundary
from services.verification.domain.plan import CriterionPlan, compile_criterion, known_phase, measures_of
from services.verification.domain.signals import Channels, channels_of
from services.verification.domain.soundness import alone, conditions, phase_duration, with_channels, with_signal
from services.verification.domain.surveying import Surveyed, out_of_range
from shared.contracts.registry import Stream
from shared.kernel.errors import Invalid


@dataclass(frozen=True, slots=True)
class Finding:
    """One static error: stable code, path of the field, what is wrong, what to do; line and column where the text is known."""

    code: str
    field: str
    detail: str
    remedy: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`memory` is the bound in bytes for each criterion without findings; it holds whatever arrives."""

    findings: tuple[Finding, ...]
    memory: tuple[tuple[str, int], ...]

    def text(self) -> str:
        """For the terminal: findings first, then the memory bounds."""
        lines = [f"{_place(f)}{f.field}: {f.code}: {f.detail}; {f.remedy}" for f in self.findings]
        lines += [f"{name}: at most {size / 1024:.1f} KiB" for name, size in self.memory]
        return "\n".join([*lines, f"together at most {sum(size for _, size in self.memory) / 1024:.1f} KiB"])


def _place(finding: Finding) -> str:
    return "" if finding.line is None else f"line {finding.line}, column {finding.column}: "


def check(criteria: CriteriaSet, streams: Sequence[Stream], marks: Marked | None = None) -> CheckReport:
    """Looks at every field of every phase and criterion, compiles what is sound against the channels of `streams`, and collects what does not
    fit. `marks` is where the fields stand in the text: the findings are then in its order."""
    channels = channels_of(streams)
    findings: list[Finding] = []
    phases: dict[str, Phase] = {}
    for place, phase in enumerate(criteria.phases):
        length = phase_duration(phase, f"phases[{place}]")
        phases[phase.id] = phase.model_copy(update={"planned": None}) if length else phase
        findings += _findings([*length, *_of_phase(phase, place, channels)], f"phases[{place}]", phase)
    unknown = {phase.id for phase in criteria.phases if phases[phase.id] is not phase}
    memory: list[tuple[str, int]] = []
    for index, criterion in enumerate(criteria.criteria):
        where = f"criteria[{index}]"
        problems, compiled = _of_criterion(criterion, channels, phases, where)
        if criterion.phase in unknown:
            problems = [problem for problem in problems if problem.code != "criteria_memory"]
        findings += _findings(problems, where, criterion)
        if compiled is not None:
            memory.append((criterion.id, compiled.memory))
    placed = [_marked(finding, marks) for finding in findings]
    return CheckReport(tuple(sorted(placed, key=lambda f: (f.line or 0, f.column or 0))), tuple(memory))


def _of_phase(phase: Phase, place: int, channels: Channels) -> Iterable[Invalid]:
    """What is wrong with a phase beside its planned length."""
    where = f"phases[{place}]"
    found = alone(phase, where)
    for what in (START, END):
        given = getattr(phase, f"{what}s_when")
        if given is None:
            continue
        field = f"{where}.{what}s_when.formula"
        wrong = conditions([(field, given.formula, given.formula)], channels)
        found += wrong or _of_boundary(phase, place, what, channels)
    return found


def _of_boundary(phase: Phase, place: int, what: str, channels: Channels) -> list[Invalid]:
    try:
        compile_boundary(phase, place, what, channels)
    except Invalid as problem:
        return [problem]
    return []


def _of_criterion(
    criterion: Any, channels: Channels, phases: dict[str, Phase], where: str
) -> tuple[list[Invalid], CriterionPlan | None]:
    """Everything that is wrong with a criterion, from the fields by themselves to the whole; compiled when nothing is."""
    found = alone(criterion, where)
    try:
        known_phase(criterion, phases, where)
    except Invalid as problem:
        found.append(problem)
    if criterion.kind in ENTERED:
        return found or _of_entered(criterion, where), None
    if any(problem.code == "criteria_formula" and problem.field == where for problem in found):
        return found, None
    wrong = with_channels(criterion, channels, where)
    if not wrong:
        wrong = _of_whole(criterion, channels, phases.get(criterion.phase), where)
    found += wrong
    if found:
        return found, None
    try:
        compiled = compile_criterion(criterion, channels, phases, None, where)
    except Invalid as problem:
        return [problem], None
    empty = _emptied(compiled, where)
    return empty, None if empty else compiled


def _of_whole(criterion: Any, channels: Channels, phase: Phase | None, where: str) -> list[Invalid]:
    """What its fields say of its signal, and of its phase when there is one."""
    try:
        signal = signal_of(criterion, channels, where)
    except Invalid as problem:
        return [problem]
    found = with_signal(criterion, signal, where)
    if phase is None:
        return found
    plain = criterion.model_copy(update={"quality": QualityDemand()})
    surveyed = Surveyed(measures_of(plain, signal, phase, where), found)
    try:
        _, lane = lane_of(plain, surveyed)
    except Invalid as problem:
        return found or [problem]
    except (OverflowError, ZeroDivisionError):
        return found or [out_of_range(where)]
    needed = getattr(criterion, "min_count", 0)
    length = lane.window or surveyed.planned_length()
    if not found and length and needed > surveyed.slots(length):
        found.append(
            Invalid(
                "criteria_horizon",
                f"{needed} samples do not come in {length / 1e6:g} s at the registered rate",
                field=f"{where}.min_count",
                remedy=f"ask for {surveyed.slots(length)} at most, or for a longer window",
            )
        )
    return found


def _of_entered(criterion: Any, where: str) -> list[Invalid]:
    try:
        compiled = compile_entered(criterion, where)
    except Invalid as problem:
        return [problem]
    return _narrowed(compiled.guard, _band(compiled), where)


def _band(plan: EnteredPlan) -> float | None:
    return plan.high - plan.low if math.isfinite(plan.low) and math.isfinite(plan.high) else None


def _emptied(plan: CriterionPlan, where: str) -> list[Invalid]:
    decision = plan.decision
    if decision.rule == "guard_band" and plan.kind in ("balance", "setpoint_band", "uniformity"):
        allowed = plan.lane.tolerance
        return _narrowed(decision.guard, None if allowed is None else 2 * allowed, where)
    return _narrowed(decision.guard, decision.band, where) if decision.rule == "guard_band" else []


def _narrowed(guard: float | None, band: float | None, where: str) -> list[Invalid]:
    """A guard band that leaves no value between the limits."""
    if not guard or band is None or 2 * guard <= band:
        return []
    return [
        Invalid(
            "criteria_decision_rule",
            f"the guard band of {guard:g} at each limit leaves nothing of a band of {band:g}",
            field=f"{where}.decision",
            remedy="agree on a smaller multiplier, wider limits or a better instrument",
        )
    ]


def _findings(problems: Iterable[Invalid], where: str, item: Any) -> list[Finding]:
    """One finding for each field: the first, which looked closest. What is inside of a field at fault, or around it, is that fault again. A
    kind that stands for a formula has no field of it: what is too much in the whole is said of the criterion."""
    kept: dict[str, Finding] = {}
    for problem in problems:
        field = problem.field or where
        if _within(field, f"{where}.of") and not hasattr(item, "of"):
            field = where
        if not any(_said(problem, field, other) for other in kept.values() if other.field != where):
            kept.setdefault(field, Finding(problem.code, field, problem.detail, problem.remedy or ""))
    return list(kept.values())


def _said(problem: Invalid, field: str, other: Finding) -> bool:
    return _within(field, other.field) or (_within(other.field, field) and problem.code == other.code)


def _within(field: str, other: str) -> bool:
    return field == other or field.startswith((f"{other}.", f"{other}["))


def _marked(finding: Finding, marks: Marked | None) -> Finding:
    if marks is None:
        return finding
    mark = marks.at(finding.field)
    return replace(finding, line=mark.line, column=mark.column)


def require_valid(criteria: CriteriaSet, streams: Sequence[Stream], marks: Marked | None = None) -> CheckReport:
    """The report of a set without findings. Raises Invalid with the first finding's code and all of them under `findings`."""
    report = check(criteria, streams, marks)
    if report.findings:
        first = report.findings[0]
        raise Invalid(
            first.code,
            first.detail,
            field=first.field,
            remedy=first.remedy,
            extra={"findings": [asdict(finding) for finding in report.findings]},
        )
    return report
