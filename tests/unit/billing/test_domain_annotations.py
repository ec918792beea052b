"""People's notes on an instrument's time: they explain, and never overwrite what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.billing.domain.explain import document
from services.billing.domain.rating import RatingContext, rate
from services.billing.domain.segment import Segment
from services.billing.domain.stretches import Stretch, Stretches
from services.billing.domain.tariff_file import load_tariff
from shared.contracts.lifecycle import AnnotationWithdrawn, InstrumentAnnotated, LineRecord
from shared.contracts.registry import CustomerClass
from shared.kernel.errors import Reject
from tests.unit.billing.domain_builders import MeterBench, at, ledger, plan, run_records, steady
from tests.unit.billing.domain_tariffs import TARIFF


def note(
    name: str, start: float, end: float, *, responsible: str = "platform", noted: int = 1, reason: str = "pump"
) -> InstrumentAnnotated:
    return InstrumentAnnotated(name, "l1", "l1/reactor", at(start), at(end), reason, "li", responsible, noted)


def withdrawn(name: str, noted: int = 9) -> AnnotationWithdrawn:
    return AnnotationWithdrawn(f"{name}/withdrawn", "l1", "l1/reactor", name, "a mistake", "li", noted)


def reactor(bench: MeterBench) -> list[Segment]:
    return [segment for segment in bench.in_force() if segment.instrument == "l1/reactor"]


def bench_of(*records: LineRecord) -> MeterBench:
    bench = MeterBench(plan())
    bench.feed([*records, *run_records(end=120), *steady(120)])
    bench.rebuild()
    return bench


# B-1: reason and party are the note's; state, time, quantities and evidence stay what the channels say
def test_a_note_explains_its_stretch_and_changes_no_measurement() -> None:
    plain, noted = bench_of(), bench_of(note("n1", 20, 40))
    before, inside, after, _ = reactor(noted)
    assert [(s.start, s.end) for s in (before, inside, after)] == [(at(0), at(20)), (at(20), at(40)), (at(40), at(60))]
    assert (inside.outcome.state, inside.outcome.sub_state) == ("productive", "run")
    assert (inside.outcome.reason, inside.outcome.responsible) == ("pump", "platform")
    assert inside.annotation is not None
    assert (inside.annotation.id, inside.annotation.who) == ("n1", "li")
    assert (inside.annotation.model_reason, inside.annotation.model_responsible) == ("", "customer")
    assert (before.annotation, after.annotation) == (None, None)
    whole = reactor(plain)[0]
    assert before.measured + inside.measured + after.measured == whole.measured
    for place, quantity in enumerate(whole.quantities[:2]):
        assert sum(s.quantities[place].value for s in (before, inside, after)) == quantity.value
    assert [s for s in noted.in_force() if s.instrument == "l1/drive"] == [
        s for s in plain.in_force() if s.instrument == "l1/drive"
    ]


# B-1
def test_a_note_without_a_party_leaves_the_party_to_the_model() -> None:
    inside = reactor(bench_of(note("n1", 20, 40, responsible="")))[1]
    assert (inside.outcome.reason, inside.outcome.responsible) == ("pump", "customer")


# B-1, B-3: what was metered and emitted is superseded, not edited
def test_a_late_note_supersedes_what_was_said_and_a_withdrawal_brings_it_back() -> None:
    bench = bench_of()
    first = reactor(bench)
    bench.feed([note("n1", 20, 40)])
    assert bench.meter.stale is not None
    assert bench.meter.stale.instruments == ("l1/reactor",)
    bench.rebuild()
    assert reactor(bench) == reactor(bench_of(note("n1", 20, 40)))
    revised = [segment for segment in bench.emitted if segment.revision == 1]
    assert [(s.start, s.end) for s in revised] == [(at(0), at(20))]
    bench.feed([withdrawn("n1")])
    bench.rebuild()
    assert reactor(bench) == first
    assert {s.start for s in bench.emitted if s.void} == {at(20), at(40)}


# B-1
def test_a_withdrawal_before_its_note_and_a_second_one_change_nothing() -> None:
    bench = bench_of(withdrawn("n1"), note("n1", 20, 40))
    assert reactor(bench) == reactor(bench_of())
    bench.feed([note("n1", 20, 40), withdrawn("n1")])
    assert bench.meter.stale is None


# B-1
def test_the_note_said_last_is_in_force_whatever_came_first() -> None:
    old, new = note("n1", 10, 50), note("n2", 20, 30, noted=2, reason="valve", responsible="supplier")
    forth, back = bench_of(old, new), bench_of(new, old)
    assert reactor(forth) == reactor(back)
    assert [s.outcome.reason for s in reactor(forth)[:5]] == ["", "pump", "valve", "pump", ""]


# B-1
def test_a_note_on_what_is_to_come_needs_nothing_computed_again() -> None:
    bench = MeterBench(plan())
    frames = steady(120)
    bench.feed([*run_records(), *(f for f in frames if int(f.times[0]) < at(15))])
    bench.feed([note("n1", 20, 40), note("n0", -300, -200)])
    assert bench.meter.stale is None
    bench.crash()
    bench.feed([*(f for f in frames if int(f.times[0]) >= at(15)), *run_records(end=120)])
    assert reactor(bench) == reactor(bench_of(note("n1", 20, 40)))
    assert all(segment.revision == 0 for segment in bench.emitted)


# B-1: of an instrument the line's model does not know, nothing is kept
def test_a_note_on_an_unknown_instrument_is_ignored() -> None:
    bench = bench_of()
    stranger = InstrumentAnnotated("n1", "l1", "l1/other", at(20), at(40), "pump", "li")
    assert bench.meter.apply(stranger) is False
    assert bench.meter.stale is None


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (note("n1", 40, 40), "annotation_range"),
        (note("n1", 20, 40, responsible="nobody"), "annotation_responsible"),
        (note("n1", 20, 40, reason="x" * 201), "annotation_text"),
        (note("n1", 20, 40, reason="a\x00b"), "annotation_text"),
    ],
)
def test_a_note_that_cannot_hold_is_refused_and_forgotten(bad: InstrumentAnnotated, code: str) -> None:
    bench = bench_of()
    before = bench.meter.snapshot()
    with pytest.raises(Reject) as refused:
        bench.meter.apply(bad)
    assert refused.value.code == code
    assert bench.meter.snapshot() == before


# B-1, B-14: who pays follows the note, and the tree says whose note that was
def test_a_waiver_follows_the_party_of_the_note_and_explain_names_it() -> None:
    tariff = load_tariff(
        TARIFF.replace("{states: [unscheduled_down], resp", "{states: [unscheduled_down, productive], resp")
    )
    context = RatingContext("hz", "acme", CustomerClass.SME, at(0), at(600))
    plain, noted = (
        rate(ledger(bench.in_force()), tariff, context) for bench in (bench_of(), bench_of(note("n1", 0, 60)))
    )
    assert plain.lines[0].amount - noted.lines[0].amount == 600
    assert plain.lines[1].amount == noted.lines[1].amount
    leaves = [leaf for line in noted.lines for leaf in _leaves(document(line.tree)) if "annotation" in leaf]
    assert leaves[0]["annotation"] == {
        "id": "n1",
        "who": "li",
        "model_reason": "",
        "model_responsible": "customer",
    }
    assert not [leaf for line in plain.lines for leaf in _leaves(document(line.tree)) if "annotation" in leaf]


# a segment that nobody annotated has the digest it always had: what was emitted before notes existed stays in force
def test_the_digest_of_a_segment_without_a_note_does_not_know_of_notes() -> None:
    plain, noted = reactor(bench_of())[0], reactor(bench_of(note("n1", 0, 60)))[0]
    assert noted.content_digest() != plain.content_digest()
    assert replace(noted, annotation=None, outcome=plain.outcome).content_digest() == plain.content_digest()


def test_stretches_are_half_open_and_the_highest_rank_is_in_force() -> None:
    found = Stretches([Stretch("a", 0, 10, 1), Stretch("b", 5, 7, 2), Stretch("c", 5, 6, 2)])
    assert [found.at(instant) for instant in (-1, 0, 4, 5, 6, 7, 9, 10)] == ["", "a", "a", "c", "b", "a", "a", ""]
    assert [found.next_change(instant) for instant in (-1, 0, 5, 7, 10)] == [0, 5, 6, 10, None]


def _leaves(tree: dict[str, Any]) -> list[dict[str, Any]]:
    if tree["op"] == "segment":
        return [tree]
    return [leaf for part in tree.get("of", []) for leaf in _leaves(part)]
