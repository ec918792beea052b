"""From the read model to what a template prints: words, numbers and times of one reader's language and zone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from services.verification.adapters.reports.store import Report
from services.verification.adapters.reports.wording import exact
from services.verification.adapters.views import (
    BoardRow,
    Bounds,
    CriterionDetail,
    CriterionRow,
    CurveData,
    Limits,
    PhaseView,
    Position,
    RunView,
)
from services.verification.domain.computed import SLACKS
from services.verification.domain.entries import ENTERED
from services.verification.entrypoints.web.bar import margin_bar
from services.verification.entrypoints.web.reasons import reason_text
from services.verification.entrypoints.web.texts import ABSENT, Language
from shared.contracts.lifecycle import Baseline
from shared.kernel.times import SECOND, Micros

_WRITTEN_ELSEWHERE = {"id", "clause", "title", "phase", "kind", "signal", "decision", "quality"}

WORDS = ("fail", "inconclusive", "pass", "open", "waiting", "rebuilding", "planned")


@dataclass(frozen=True, slots=True)
class BoardLine:
    """A row of the board. `phases` are `done`, `now` or `todo`, one per phase of the criteria set."""

    run: str
    version: str
    line: str
    item: str
    state: str
    word: str
    phases: tuple[str, ...]
    phase_text: str
    counts: str
    next_decision: str
    newest: str
    newest_utc: str
    gaps: int


@dataclass(frozen=True, slots=True)
class Head:
    run: str
    version: str
    line: str
    customer: str
    item: str
    state: str
    phase: str
    word: str
    span: str
    span_utc: str
    counts: tuple[tuple[str, int], ...]
    gaps: int
    late: int
    mismatch: bool
    digest: str | None
    standard: str


@dataclass(frozen=True, slots=True)
class CriterionLine:
    criterion: str
    version: str
    word: str
    title: str
    phase: str
    level: str
    reason: str
    bar: Markup
    margin: str
    worst: str
    worst_utc: str


@dataclass(frozen=True, slots=True)
class SampleLine:
    role: str
    channel: str
    stream: str
    boot: str
    seq: int
    row: int
    position: str


@dataclass(frozen=True, slots=True)
class Detail:
    criterion: str
    title: str
    text: str
    facts: tuple[tuple[str, str], ...]
    samples: tuple[SampleLine, ...]


def board_line(row: BoardRow, language: Language) -> BoardLine:
    left = None if row.next_decision is None or row.newest is None else max(row.next_decision - row.newest, 0)
    newest = _within(row)
    return BoardLine(
        run=row.run,
        version=row.version,
        line=row.line,
        item=_item(row),
        state=language.text(row.state),
        word=row.word,
        phases=tuple(_progress(phase) for phase in row.phases),
        phase_text=_phase_text(row, language),
        counts=" · ".join(f"{language.text(word)} {row.counts[word]}" for word in WORDS if row.counts.get(word)),
        next_decision=ABSENT if row.ended_at is not None else language.duration(left),
        newest=language.instant(newest),
        newest_utc=language.utc(newest),
        gaps=row.gaps,
    )


def _within(row: BoardRow) -> Micros | None:
    """The newest sample of the run's streams; what came before the run began is none of its data."""
    begun = row.newest is not None and row.started_at is not None and row.newest >= row.started_at
    return row.newest if begun else None


def head(view: RunView, language: Language) -> Head:
    row = view.head
    return Head(
        run=row.run,
        version=row.version,
        line=row.line,
        customer=language.local_name(dict(row.customer_name)) or row.customer,
        item=_item(row),
        state=language.text(row.state),
        phase=_phase_text(row, language),
        word=row.word,
        span=f"{language.instant(row.started_at)} {ABSENT} {language.instant(row.ended_at)}",
        span_utc=f"{language.utc(row.started_at)} {ABSENT} {language.utc(row.ended_at)}",
        counts=tuple((word, row.counts[word]) for word in WORDS if row.counts.get(word)),
        gaps=row.gaps,
        late=row.late,
        mismatch=view.mismatch,
        digest=view.digest,
        standard=_standard_ended(view, language),
    )


def _standard_ended(view: RunView, language: Language) -> str:
    """Which standard the criteria keep and what has become of it, empty while it is in effect."""
    kept = view.standard
    if kept is None or kept.state == "effective":
        return ""
    return f"{kept.id} {kept.version} ({language.text(kept.state)})"


def criterion_line(row: CriterionRow, phases: Sequence[PhaseView], language: Language) -> CriterionLine:
    titles = phase_titles(phases, language)
    return CriterionLine(
        criterion=row.criterion,
        version=row.version,
        word=row.word,
        title=language.local_name(dict(row.title)),
        phase=titles.get(row.phase, row.phase),
        level=_level(row.state, language),
        reason=reason_text(row.reason, row.detail, row.state, language),
        bar=_bar(row, language),
        margin=language.number(row.margin, row.unit),
        worst=language.instant(row.worst_at),
        worst_utc=language.utc(row.worst_at),
    )


def phase_titles(phases: Sequence[PhaseView], language: Language) -> dict[str, str]:
    """By the phase's id."""
    return {phase.id: language.local_name(dict(phase.title)) for phase in phases}


def detail(found: CriterionDetail, language: Language) -> Detail:
    row, state = found.row, found.row.state
    quality: Mapping[str, Any] = state.get("quality") or {}
    evidence: Mapping[str, Any] = state.get("evidence") or {}
    facts = [
        ("Outcome", language.text(row.word)),
        ("Level (ILAC-G8)", _level(state, language)),
        ("Probability of conformity", _percent(state.get("conformity_probability"), language)),
        ("Reason", reason_text(row.reason, row.detail, state, language)),
        ("Margin", language.number(row.margin, row.unit)),
        ("Margin can still lie in", _interval(row, language)),
        ("Share of tolerance", "" if row.share is None else language.number(100 * row.share, "%", 2)),
        ("Value of the run before", _pinned(found.previous, language)),
        ("Measured", "" if row.measured is None else language.number(row.measured.value, row.measured.unit, 4)),
        (_worst(row), "" if row.worst_value is None else _reading(row, language)),
        ("Earliest decision", "" if row.decided_at is None else language.instant(row.decided_at)),
        ("Time margin", _span(state.get("time_margin"), language)),
        ("Time out of band", _span(state.get("time_out"), language)),
        ("Evidence window", _window(evidence, language)),
        *(() if row.kind in ENTERED else _quality(quality, language)),
    ]
    return Detail(
        criterion=row.criterion,
        title=language.local_name(dict(row.title)),
        text=written(found.document),
        facts=tuple((language.text(name), value) for name, value in facts if value),
        samples=tuple(_sample(position) for position in found.positions),
    )


_LEVELS = {
    "pass": "Pass",
    "conditional_pass": "Conditional pass",
    "conditional_fail": "Conditional fail",
    "fail": "Fail",
}


def _level(state: Mapping[str, Any], language: Language) -> str:
    """Of the four-level rule; nothing under the others."""
    return language.text(_LEVELS[state["level"]]) if state.get("level") else ""


def _percent(share: float | None, language: Language) -> str:
    return "" if share is None else language.number(100 * share, "%", 6)


def _quality(quality: Mapping[str, Any], language: Language) -> tuple[tuple[str, str], ...]:
    return (
        ("Coverage", f"{100 * quality['coverage']:.2f} %" if quality else ""),
        ("Longest gap", _span(quality.get("longest_gap"), language)),
        ("Samples", str(quality.get("samples", ""))),
        ("Bad samples", str(quality.get("bad_samples", ""))),
    )


def written(document: Mapping[str, Any]) -> str:
    """The criterion as its author wrote it, on one line, without its names and without what was left out."""
    order = ["kind", "signal", *(key for key in document if key not in _WRITTEN_ELSEWHERE), "decision", "quality"]
    shown = [(key, document[key]) for key in order if document.get(key) not in (None, {}, [])]
    return " · ".join(f"{key.replace('_', ' ')} {_value(value)}" for key, value in shown)


def _value(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value) if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
    if set(value) == {"value", "unit"}:
        return f"{exact(value['value'])} {value['unit']}"
    if "mean" in value and "sd" in value:
        return f"({len(value['mean'])} points, {_value(value['step'])} apart, of {len(value['runs'])} runs)"
    parts = [f"{key.replace('_', ' ')} {_value(part)}" for key, part in value.items() if part is not None]
    return f"({', '.join(parts)})"


def curve_document(curve: CurveData, phases: Sequence[PhaseView], language: Language) -> dict[str, Any]:
    """What curves.js draws: seconds on the x axis, null at a gap."""
    titles = phase_titles(phases, language)
    return {
        "channel": curve.channel,
        "unit": curve.unit,
        "x": [at / SECOND for at in curve.at],
        "lo": list(curve.lo),
        "hi": list(curve.hi),
        "samples": curve.raw,
        "gaps": [{"from": gap.from_ / SECOND, "to": gap.to / SECOND} for gap in curve.gaps],
        "phases": [{"name": titles[p.name], "from": p.from_ / SECOND, "to": p.to / SECOND} for p in curve.phases],
        "late": [at / SECOND for at in curve.late],
        "limits": limit_lines(curve.limits, language),
        "bounds": _bounds(curve.bounds),
        "worst": None if curve.worst is None else {"at": curve.worst[0] / SECOND, "value": curve.worst[1]},
    }


def _bounds(bounds: Bounds | None) -> dict[str, Any] | None:
    if bounds is None:
        return None
    return {"x": [at / SECOND for at in bounds.at], "low": list(bounds.low), "high": list(bounds.high)}


def limit_lines(limits: Limits | None, language: Language) -> list[dict[str, Any]]:
    """Each limit and its guard band, with a label and the side of its line on which the label stands."""
    if limits is None:
        return []
    lines = []
    for value, inward in ((limits.low, 1), (limits.high, -1)):
        if value is None:
            continue
        text = language.number(value, limits.unit, 4)
        lines.append({"value": value, "label": text, "guard": False, "below": inward > 0})
        if limits.guard:
            edge = value + inward * limits.guard
            text = language.number(edge, limits.unit, 4)
            lines.append({"value": edge, "label": text, "guard": True, "below": inward < 0})
    return lines


def _bar(row: CriterionRow, language: Language) -> Markup:
    known = [abs(value) for value in (row.low, row.high, row.margin) if value is not None and math.isfinite(value)]
    tolerance = abs(row.margin / row.share) if row.share and row.margin is not None else 0.0
    scale = max([*known, tolerance]) or 1.0
    guard = row.limits.guard if row.limits is not None else 0.0
    return margin_bar(
        row.low, row.high, scale * 1.1, guard, failed=row.verdict == "fail", label=_interval(row, language)
    )


def _interval(row: CriterionRow, language: Language) -> str:
    return f"[{language.number(row.low, row.unit)}, {language.number(row.high, row.unit)}]"


def _reading(row: CriterionRow, language: Language) -> str:
    return f"{language.number(row.worst_value, row.worst_unit, 4)} @ {language.instant(row.worst_at)}"


def _worst(row: CriterionRow) -> str:
    """What the worst value is: of a tolerance that is counted down it is what was left."""
    return "Least left of the tolerance" if row.kind in SLACKS else "Worst value"


def _pinned(previous: Baseline | None, language: Language) -> str:
    return "" if previous is None else f"{language.number(previous.value, previous.unit, 4)} ({previous.run})"


def _window(evidence: Mapping[str, Any], language: Language) -> str:
    if not evidence:
        return ""
    return f"{language.instant(evidence['start'])} {ABSENT} {language.instant(evidence['end'])}"


def _span(length: Micros | None, language: Language) -> str:
    return "" if length is None else language.duration(length)


def _sample(position: Position) -> SampleLine:
    place = ABSENT if position.offset is None else f"{position.partition}:{position.offset}"
    return SampleLine(
        position.role, position.channel, position.stream, position.boot, position.seq, position.row, place
    )


def _item(row: BoardRow) -> str:
    return f"{row.item} {row.item_revision} · {row.iteration}"


def _progress(phase: PhaseView) -> str:
    if phase.ended_at is not None:
        return "done"
    return "now" if phase.started_at is not None else "todo"


def _phase_text(row: BoardRow, language: Language) -> str:
    current = next((phase for phase in row.phases if phase.id == row.phase), None)
    return language.local_name(dict(current.title)) if current else ABSENT


def report_line(report: Report, reader: Language) -> dict[str, Any]:
    """One report of a run: its number, where it stands, and what it has to do with others."""
    return {
        "number": report.number,
        "kind": report.kind,
        "state": report.state,
        "state_text": reader.text(_REPORT_STATES[report.state]),
        "signed": report.signatures,
        "at": reader.instant(report.ended_at or report.created_at),
        "replaces": report.replaces or "",
        "replaced_by": report.replaced_by or "",
        "reason": report.void_reason or "",
    }


_REPORT_STATES = {"draft": "Draft", "issued": "Issued", "void": "Void"}
