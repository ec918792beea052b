"""What is said about a criteria set before it is published (V-8): every static error with its field and remedy, and the memory it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from services.verification.domain.criteria.marks import Marked
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.entries import ENTERED, compile_entered
from services.verification.domain.phases import END, START, compile_boundary
from services.verification.domain.plan import compile_criterion, known_phase
from services.verification.domain.signals import channels_of
from shared.contracts.registry import Stream
from shared.kernel.errors import Invalid
from shared.kernel.units import commensurable


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
    """Compiles every criterion against the channels of `streams` and collects what does not fit. `marks` is where the fields stand in the
    text."""
    channels = channels_of(streams)
    findings: list[Finding] = []
    phases = {}
    for phase in criteria.phases:
        phases[phase.id] = phase
        if phase.planned is not None and not _is_duration(phase.planned.unit):
            phases[phase.id] = phase.model_copy(update={"planned": None})
            findings.append(
                Finding(
                    "criteria_unit",
                    f"phases[{phase.id}].planned",
                    f"{phase.planned.unit} is no unit of time",
                    "use s, min or h",
                )
            )
    for place, phase in enumerate(criteria.phases):
        for what in (START, END):
            if getattr(phase, f"{what}s_when") is None:
                continue
            try:
                compile_boundary(phase, place, what, channels)
            except Invalid as problem:
                findings.append(Finding(problem.code, problem.field or "", problem.detail, problem.remedy or ""))
    memory: list[tuple[str, int]] = []
    for index, criterion in enumerate(criteria.criteria):
        where = f"criteria[{index}]"
        try:
            if criterion.kind in ENTERED:
                known_phase(criterion, phases, where)
                compile_entered(criterion, where)
                continue
            compiled = compile_criterion(criterion, channels, phases, None, where)
        except Invalid as problem:
            findings.append(Finding(problem.code, problem.field or "", problem.detail, problem.remedy or ""))
        else:
            memory.append((criterion.id, compiled.memory))
    return CheckReport(tuple(_marked(finding, marks) for finding in findings), tuple(memory))


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


def _is_duration(unit: str) -> bool:
    try:
        return commensurable(unit, "s")
    except Invalid:
        return False
