"""What people enter of a run, as the evaluator sees it: results of the laboratory, inspections, accepted deviations (V-6, V-9).

Entries come on the line's topic, in one order with the frames, and belong to the inputs of an evaluation like them. The entry in force of a
criterion is the newest one that counts: an entry counts once a second person, other than its author, has confirmed it, or at once where
the criterion asks for no second person. A further entry has to correct the newest one by name; until it counts, the earlier stays in force.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.decisions import agreed_uncertainty
from services.verification.domain.outcomes import Activity, CriterionState, DataQuality, Outcome
from services.verification.domain.signals import convert, interval_unit
from shared.contracts.lifecycle import DeviationAccepted, Entry, ResultConfirmed, ResultEntered
from shared.kernel.errors import Invalid, Problem
from shared.kernel.persons import same_person
from shared.kernel.times import Micros

ENTERED = frozenset({"lab_result", "inspection"})
"""Kinds of criteria that people answer."""

CALIBRATION = "calibration_expired"
"""The kind of deviation that lets a criterion be judged by an uncertainty whose calibration was overdue."""

_NOTHING = DataQuality(0.0, 0, 0, 0, None, None)


@dataclass(frozen=True, slots=True)
class EnteredPlan:
    """A criterion that people answer, compiled: limits in `unit` (infinite where there is none), `guard` the width by which a guard band
    tightens them, None where it comes with each result as `multiplier` times its uncertainty."""

    id: str
    clause: str
    phase: str
    kind: str
    unit: str
    low: float
    high: float
    guard: float | None
    multiplier: float
    second_person: bool
    attachment_required: bool

    @property
    def needs_uncertainty(self) -> bool:
        return self.guard is None

    @property
    def tolerance(self) -> float | None:
        """Half the width of the band, or the size of its only limit."""
        both = math.isfinite(self.low) and math.isfinite(self.high)
        size = (self.high - self.low) / 2 if both else abs(self.low if math.isfinite(self.low) else self.high)
        return size if 0 < size < math.inf else None


def compile_entered(criterion: Any, where: str) -> EnteredPlan:
    """Raises Invalid(criteria_unit | criteria_decision_rule)."""
    common = {"id": criterion.id, "clause": criterion.clause, "phase": criterion.phase, "kind": criterion.kind}
    if criterion.kind == "inspection":
        return EnteredPlan(
            **common,
            unit="1",
            low=-math.inf,
            high=math.inf,
            guard=0.0,
            multiplier=0.0,
            second_person=criterion.second_person,
            attachment_required=criterion.attachment == "required",
        )
    unit = (criterion.low or criterion.high).unit
    convert(Quantity(value=0.0, unit=unit), unit, f"{where}.{'low' if criterion.low else 'high'}", difference=False)
    return EnteredPlan(
        **common,
        unit=unit,
        low=-math.inf if criterion.low is None else criterion.low.value,
        high=math.inf if criterion.high is None else convert(criterion.high, unit, f"{where}.high", difference=False),
        guard=_guard(criterion.decision, unit, where),
        multiplier=criterion.decision.multiplier,
        second_person=True,
        attachment_required=False,
    )


def _guard(decision: Any, unit: str, where: str) -> float | None:
    if decision.rule == "simple":
        return 0.0
    if decision.rule != "guard_band":
        raise Invalid(
            "criteria_decision_rule",
            f"a laboratory result is judged by simple acceptance or with a guard band, not by {decision.rule}",
            field=f"{where}.decision.rule",
            remedy="use the rule simple or guard_band",
        )
    if decision.uncertainty is None:
        return None
    expanded = agreed_uncertainty(decision.uncertainty, unit, f"{where}.decision.uncertainty")
    return float(decision.multiplier) * expanded


@dataclass(slots=True)
class Answers:
    """The entries of one criterion in the order of the log. `pending`: the newest one, while it does not count yet."""

    given: dict[str, ResultEntered] = field(default_factory=dict)
    confirmed: dict[str, ResultConfirmed] = field(default_factory=dict)
    in_force: ResultEntered | None = None
    pending: ResultEntered | None = None

    def take(self, record: ResultEntered | ResultConfirmed, *, second_person: bool) -> bool:
        if isinstance(record, ResultEntered):
            return self.enter(record, second_person=second_person)
        return self.confirm(record)

    def enter(self, record: ResultEntered, *, second_person: bool) -> bool:
        """False for an entry that is known, or that does not replace the newest one by name."""
        newest = next(reversed(self.given), "")
        if record.entry in self.given or record.corrects != newest:
            return False
        self.given[record.entry] = record
        self.pending = record if second_person else None
        if not second_person:
            self.in_force = record
        return True

    def confirm(self, record: ResultConfirmed) -> bool:
        """False unless somebody else confirms the entry that waits for it."""
        waiting = self.pending
        if waiting is None or waiting.entry != record.entry or same_person(waiting.entered_by, record.confirmed_by):
            return False
        self.confirmed[record.entry] = record
        self.in_force, self.pending = waiting, None
        return True


class Entries:
    """Every entry that an evaluation has taken in, and what the criteria are worth by them."""

    def __init__(self, plans: Sequence[EnteredPlan]) -> None:
        self.plans = {plan.id: plan for plan in plans}
        self.records: list[Entry] = []
        self.outcomes = dict.fromkeys(self.plans, Outcome.NONE)
        self.waived: frozenset[str] = frozenset()
        self._answers = {name: Answers() for name in self.plans}

    def apply(self, record: Entry) -> bool:
        """Takes in a record in log order; False for one that changes nothing (known, refuted, of no criterion of this run)."""
        if isinstance(record, DeviationAccepted):
            taken = record.kind == CALIBRATION and record.criterion not in self.waived
            taken = taken and not same_person(record.recorded_by, record.accepted_by)
            self.waived |= {record.criterion} if taken else set()
        else:
            answers, plan = self._answers.get(record.criterion), self.plans.get(record.criterion)
            if answers is None or plan is None:
                return False
            taken = answers.take(record, second_person=plan.second_person)
        if taken:
            self.records.append(record)
        return taken

    def facts(self) -> list[object]:
        """The records taken in, as they belong to the inputs of the evaluation."""
        return [_facts(record) for record in self.records]

    def state(self, criterion: str, *, final: bool, stale: bool) -> CriterionState:
        """The criterion as it stands. With `final` the run is over: what has not come is inconclusive until it comes."""
        plan, answers = self.plans[criterion], self._answers[criterion]
        entry = answers.in_force
        if entry is None:
            reason = "awaiting_result" if answers.pending is None else "awaiting_confirmation"
            outcome = Outcome.INCONCLUSIVE if final else Outcome.NONE
            return _state(plan, outcome, reason, _awaited(answers), stale=stale)
        at = entry.at if entry.entry not in answers.confirmed else answers.confirmed[entry.entry].at
        text = _signed(entry, answers.confirmed.get(entry.entry))
        if plan.kind == "inspection":
            outcome = Outcome.PASS if entry.passed else Outcome.FAIL
            return _state(plan, outcome, None, text, decided_at=at, worst_at=entry.sampled_at, stale=stale)
        return _judged(plan, entry, at, text, stale=stale)


def _facts(record: Entry) -> dict[str, object]:
    """Numbers as binary64, as they come off the wire: 95 and 95.0 are one result."""
    facts: dict[str, Any] = msgspec.to_builtins(record)
    numbers = {name: float(facts[name]) for name in ("value", "uncertainty") if facts.get(name) is not None}
    return facts | numbers


def _judged(plan: EnteredPlan, entry: ResultEntered, at: Micros, text: str, *, stale: bool) -> CriterionState:
    """By the acceptance limits: the criterion's less the guard band. Equality passes."""
    try:
        value = convert(Quantity(value=entry.value or 0.0, unit=entry.unit), plan.unit, "value", difference=False)
        width = plan.guard
        if width is None and entry.uncertainty is not None:
            expanded = Quantity(value=entry.uncertainty, unit=interval_unit(entry.unit))
            width = plan.multiplier * convert(expanded, plan.unit, "uncertainty", difference=True)
    except Problem as problem:
        return _state(plan, Outcome.INCONCLUSIVE, "result_unit", problem.detail, decided_at=at, stale=stale)
    if width is None:
        detail = "the guard band needs the uncertainty of the result, and it came without"
        return _state(plan, Outcome.INCONCLUSIVE, "uncertainty_missing", detail, decided_at=at, stale=stale)
    margin = min(value - (plan.low + width), (plan.high - width) - value)
    outcome = Outcome.PASS if margin >= 0 else Outcome.FAIL
    return _state(
        plan, outcome, None, text, decided_at=at, worst_at=entry.sampled_at, value=value, margin=margin, stale=stale
    )


def _state(
    plan: EnteredPlan,
    outcome: Outcome,
    reason: str | None,
    detail: str,
    *,
    stale: bool,
    decided_at: Micros | None = None,
    worst_at: Micros | None = None,
    value: float | None = None,
    margin: float | None = None,
) -> CriterionState:
    return CriterionState(
        criterion=plan.id,
        clause=plan.clause,
        phase=plan.phase,
        kind=plan.kind,
        activity=Activity.WAITING if outcome is Outcome.NONE else Activity.DECIDED,
        outcome=outcome,
        unit=plan.unit,
        margin=margin,
        low=-math.inf if margin is None else margin,
        high=math.inf if margin is None else margin,
        share=None if margin is None or plan.tolerance is None else margin / plan.tolerance,
        worst_at=worst_at,
        worst_value=value,
        time_margin=None,
        time_out=None,
        decided_at=decided_at,
        reason=reason,
        detail=detail,
        quality=_NOTHING,
        evidence=None,
        stale=stale,
    )


def _awaited(answers: Answers) -> str:
    if answers.pending is None:
        return "no result has been entered"
    return f"entered by {answers.pending.entered_by}; somebody else has to confirm it"


def _signed(entry: ResultEntered, confirmed: ResultConfirmed | None) -> str:
    second = "" if confirmed is None else f", confirmed by {confirmed.confirmed_by}"
    return f"entered by {entry.entered_by}{second}"
