"""Results that people enter, and accepted deviations, as inputs of an evaluation."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from services.verification.domain.check import check
from services.verification.domain.evaluator import Lifecycle, NeedsRebuild, RunEvaluator
from services.verification.domain.outcomes import Activity, CriterionState, Outcome
from services.verification.domain.rebuilding import rebuild
from shared.contracts.frame import Frame
from shared.contracts.lifecycle import DeviationAccepted, ResultConfirmed, ResultEntered
from tests.unit.verification.building import (
    FACTS,
    SECOND,
    STREAMS,
    begun,
    criteria_of,
    ended,
    fed,
    kpa,
    one,
    plan_of,
    seconds,
)

YIELD = {"kind": "lab_result", "low": {"value": 90, "unit": "%"}, "high": {"value": 100, "unit": "%"}}
LOOK = {"kind": "inspection"}
BAND = {"kind": "band", "signal": "one.x", "high": kpa(5)}
ids = count()


def entered(value: float | None = None, *, entry: str = "e1", at: float = 5, who: str = "anna", criterion: str = "c0",
            unit: str = "%", uncertainty: float | None = None, passed: bool | None = None, corrects: str = "") -> ResultEntered:  # fmt: skip
    facts = FACTS | {"event_id": f"entered-{next(ids)}"}
    return ResultEntered(
        at=round(at * SECOND), criterion=criterion, entry=entry, entered_by=who, value=value, unit=unit if passed is None else "",
        uncertainty=uncertainty, passed=passed, sampled_at=3 * SECOND, corrects=corrects, **facts,
    )  # fmt: skip


def confirmed(entry: str = "e1", *, at: float = 6, who: str = "bert", criterion: str = "c0") -> ResultConfirmed:
    facts = FACTS | {"event_id": f"confirmed-{next(ids)}"}
    return ResultConfirmed(at=round(at * SECOND), criterion=criterion, entry=entry, confirmed_by=who, **facts)


def accepted(criterion: str = "c0", *, by: str = "bert") -> DeviationAccepted:
    return DeviationAccepted(
        at=9 * SECOND, deviation="d1", criterion=criterion, kind="calibration_expired", recorded_by="anna", accepted_by=by, **FACTS
    )  # fmt: skip


def state(criterion: dict[str, Any], *records: Frame | Lifecycle) -> CriterionState:
    return fed(plan_of(criterion), begun(), *records).states()[0]


def final(criterion: dict[str, Any], *records: Lifecycle) -> CriterionState:
    return rebuild(plan_of(criterion), [begun(), *records, ended(10)], []).result().criteria[0]


def test_a_result_counts_when_a_second_person_has_confirmed_it() -> None:
    # V-6
    waiting = state(YIELD)
    assert (waiting.outcome, waiting.activity, waiting.reason) == (Outcome.NONE, Activity.WAITING, "awaiting_result")
    alone = state(YIELD, entered(95))
    assert (alone.outcome, alone.reason) == (Outcome.NONE, "awaiting_confirmation")
    own = state(YIELD, entered(95), confirmed(who="anna"))
    assert own.reason == "awaiting_confirmation"
    other = state(YIELD, entered(95), confirmed(entry="e2"))
    assert other.reason == "awaiting_confirmation"
    good = state(YIELD, entered(95), confirmed())
    assert (good.outcome, good.margin, good.worst_value, good.decided_at) == (Outcome.PASS, 5.0, 95.0, 6 * SECOND)
    assert (good.low, good.high, good.share) == (5.0, 5.0, 1.0)
    bad = state(YIELD, entered(89), confirmed())
    assert (bad.outcome, bad.margin) == (Outcome.FAIL, -1.0)


def test_a_result_has_its_own_unit_and_equality_with_the_limit_passes() -> None:
    # V-6
    share = final(YIELD, entered(0.9, unit="1"), confirmed())
    assert (share.outcome, share.worst_value, share.unit) == (Outcome.PASS, 90.0, "%")
    wrong = final(YIELD, entered(95, unit="kPa"), confirmed())
    assert (wrong.outcome, wrong.reason) == (Outcome.INCONCLUSIVE, "result_unit")


def test_the_guard_band_of_a_result_is_agreed_or_comes_with_it() -> None:
    # V-9
    agreed = YIELD | {"decision": {"rule": "guard_band", "multiplier": 2, "uncertainty": {"value": 0.01, "unit": "1"}}}
    assert final(agreed, entered(92), confirmed()).margin == 0.0
    assert final(agreed, entered(91.5), confirmed()).outcome is Outcome.FAIL
    reported = YIELD | {"decision": {"rule": "guard_band"}}
    assert final(reported, entered(91, uncertainty=1.0), confirmed()).outcome is Outcome.PASS
    assert final(reported, entered(91, uncertainty=1.5), confirmed()).outcome is Outcome.FAIL
    without = final(reported, entered(95), confirmed())
    assert (without.outcome, without.reason) == (Outcome.INCONCLUSIVE, "uncertainty_missing")


def test_what_has_not_come_at_the_end_is_inconclusive_and_says_why() -> None:
    # V-6
    assert (final(YIELD).outcome, final(YIELD).reason) == (Outcome.INCONCLUSIVE, "awaiting_result")
    assert final(YIELD, entered(95)).reason == "awaiting_confirmation"
    assert final(LOOK).reason == "awaiting_result"


def test_an_entry_is_replaced_by_one_that_corrects_it_and_by_no_other() -> None:
    # V-6
    first: list[Lifecycle] = [entered(95), confirmed()]
    assert final(YIELD, *first, entered(50, entry="e2"), confirmed("e2")).worst_value == 95.0
    assert final(YIELD, *first, entered(50, entry="e2", corrects="e9"), confirmed("e2")).worst_value == 95.0
    correcting = entered(50, entry="e2", corrects="e1")
    assert final(YIELD, *first, correcting).worst_value == 95.0
    assert final(YIELD, *first, correcting, confirmed("e2")).worst_value == 50.0
    assert final(YIELD, entered(95), correcting, confirmed("e1")).reason == "awaiting_confirmation"


def test_an_inspection_passes_or_fails_by_one_person_or_by_two() -> None:
    # V-6
    yes, no = entered(passed=True), entered(passed=False)
    assert (final(LOOK, yes).outcome, final(LOOK, no).outcome) == (Outcome.PASS, Outcome.FAIL)
    two = LOOK | {"second_person": True}
    assert final(two, yes).reason == "awaiting_confirmation"
    assert final(two, yes, confirmed()).outcome is Outcome.PASS


def test_a_correction_for_the_better_asks_for_a_new_evaluation_and_one_for_the_worse_only_grows() -> None:
    # V-6, V-15
    live = fed(plan_of(YIELD), begun(), entered(50), confirmed())
    assert live.apply(entered(95, entry="e2", corrects="e1")) == ()
    assert live.apply(confirmed("e2")) == ("c0",)
    assert live.needs_rebuild
    with pytest.raises(NeedsRebuild):
        fed_to_end(live)
    worse = fed(plan_of(YIELD), begun(), entered(95), confirmed(), entered(50, entry="e2", corrects="e1"))
    worse.apply(confirmed("e2"))
    assert [(change.before, change.after) for change in worse.advance()] == [(Outcome.PASS, Outcome.FAIL)]
    assert not worse.needs_rebuild


def give(evaluator: RunEvaluator, record: Frame | Lifecycle) -> None:
    if isinstance(record, Frame):
        evaluator.add_frame(record)
    else:
        evaluator.apply(record)


def fed_to_end(evaluator: RunEvaluator) -> None:
    evaluator.apply(ended(10))
    evaluator.result()


def test_entries_are_inputs_of_the_evaluation_and_copies_of_them_are_not() -> None:
    # V-16
    plan = plan_of(YIELD, BAND)
    frames = [one([(t, 1.0) for t in range(10)])]

    def digests(*records: Lifecycle) -> tuple[str, str]:
        result = rebuild(plan, [begun(), *records, ended(10)], frames).result()
        return result.inputs_digest, result.digest

    first, second = entered(95), confirmed()
    assert digests() != digests(first)
    assert digests(first) != digests(first, second)
    assert digests(first, first, second, second) == digests(first, second)
    elsewhere = entered(95, criterion="c9")
    assert digests(first, elsewhere, second) == digests(first, second)


def test_live_and_rebuilt_evaluations_agree_whenever_the_entries_came_and_snapshots_keep_them() -> None:
    # V-16, V-17
    plan = plan_of(BAND, YIELD)
    early, late = one([(t, 1.0) for t in range(5)]), one([(t, 2.0) for t in range(5, 10)], seq=1)
    records: list[Lifecycle] = [entered(95, criterion="c1"), confirmed(criterion="c1")]
    live = RunEvaluator(plan)
    mixed: list[Frame | Lifecycle] = [begun(), early, records[0], late, records[1], ended(10)]
    for record in mixed:
        give(live, record)
        live.advance()
        live = RunEvaluator.restore(plan, live.snapshot())
    stored = rebuild(plan, [begun(), *records, ended(10)], [early, late])
    assert live.result().digest == stored.result().digest
    assert [item.outcome for item in live.result().criteria] == [Outcome.PASS, Outcome.PASS]


def test_criteria_keep_the_order_of_the_set_and_a_part_of_it_has_its_own() -> None:
    # V-15
    plan = plan_of(YIELD, BAND, LOOK, BAND)
    states = rebuild(plan, [begun(), ended(10)], []).states()
    assert [item.criterion for item in states] == ["c0", "c1", "c2", "c3"]
    part = rebuild(plan.only(["c3", "c2"]), [begun(), ended(10)], []).states()
    assert [item.criterion for item in part] == ["c2", "c3"]


GUARDED = {"kind": "band", "signal": "one.x", "high": kpa(10), "decision": {"rule": "guard_band"}}
OVERDUE = 1_780_000_000 * SECOND
"""After the calibration of one.x was due, 2026-01-31."""


def test_an_expired_calibration_is_inconclusive_until_its_deviation_is_accepted() -> None:
    # V-9
    plan = plan_of(GUARDED, start=OVERDUE)
    frame = one([(OVERDUE / SECOND + t, 5.0) for t in range(10)])
    start, end = begun(OVERDUE / SECOND), ended(OVERDUE / SECOND + 10)
    refused = rebuild(plan, [start, end], [frame]).result()
    assert (refused.criteria[0].outcome, refused.criteria[0].reason) == (Outcome.INCONCLUSIVE, "calibration_expired")
    judged = rebuild(plan, [start, end, accepted()], [frame]).result()
    assert (judged.criteria[0].outcome, judged.criteria[0].margin) == (Outcome.PASS, 3.0)
    assert judged.inputs_digest != refused.inputs_digest
    alone = rebuild(plan, [start, end, accepted(by="anna")], [frame]).result()
    assert alone.digest == refused.digest
    other = rebuild(plan, [start, end, accepted("c7")], [frame]).result()
    assert other.criteria[0].outcome is Outcome.INCONCLUSIVE


def test_a_deviation_accepted_after_the_phase_makes_the_criterion_stale() -> None:
    # V-9, V-15
    plan = plan_of(GUARDED, start=OVERDUE)
    second = OVERDUE / SECOND
    first, after = one([(second + t, 5.0) for t in range(10)]), one([(second + 11, 5.0)], seq=1)
    live = fed(plan, begun(second), first, begun(second + 10, "q"), after)
    assert live.states()[0].outcome is Outcome.INCONCLUSIVE
    assert live.apply(accepted()) == ("c0",)
    early = fed(plan, begun(second), accepted(), first, begun(second + 10, "q"), after)
    assert (early.states()[0].outcome, early.needs_rebuild) == (Outcome.PASS, False)


def test_static_errors_of_criteria_that_people_answer() -> None:
    # V-8
    def codes(*criteria: dict[str, Any]) -> list[tuple[str, str]]:
        return [(found.code, found.field) for found in check(criteria_of(*criteria), STREAMS).findings]

    assert codes(YIELD, LOOK, BAND | {"quality": {"max_gap": seconds(1)}}) == []
    assert codes(YIELD | {"high": kpa(1)}) == [("criteria_unit", "criteria[0].high")]
    assert codes(YIELD | {"phase": "x"}) == [("criteria_phase_unknown", "criteria[0].phase")]
    bad = YIELD | {"decision": {"rule": "guard_band", "uncertainty": kpa(1)}}
    assert codes(bad) == [("criteria_unit", "criteria[0].decision.uncertainty")]
