"""The replay plan: what is sent, in which order, and where the trouble is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deploy.demo.configuration import demo_plan
from deploy.demo.ledger import Ledger
from deploy.demo.plan import HOURS, STREAMS, Batch, Begin, Enter, Finish, Kill, Plan, Send, starts_at
from deploy.demo.tennessee import RUNS, stream_samples
from shared.kernel.times import HOUR


def batches_sent(plan: Plan) -> list[Batch]:
    return [batch for step in plan.steps() if isinstance(step, Send) for batch in step.batches]


def test_every_run_begins_enters_its_phase_after_eight_hours_and_ends() -> None:
    steps = list(demo_plan(RUNS[:1]).steps())
    assert isinstance(steps[0], Begin)
    assert isinstance(steps[-1], Finish)
    entered = next(index for index, step in enumerate(steps) if isinstance(step, Enter))
    assert len([step for step in steps[:entered] if isinstance(step, Send)]) == 8
    last_before = max(step.at for step in steps[:entered] if isinstance(step, Send))
    assert last_before == starts_at("d00") + 8 * HOUR


def test_without_trouble_every_sample_is_sent_once_and_in_order() -> None:
    plan = demo_plan(RUNS[:2], troubles=(), kills=())
    for stream in STREAMS:
        mine = [batch for batch in batches_sent(plan) if batch.stream == f"te1/{stream}"]
        for run in plan.runs:
            ours = [batch for batch in mine if batch.run == run]
            assert [batch.seq for batch in ours] == list(range(1, HOURS + 1))
            times, values = stream_samples(run, stream)
            sent = np.concatenate([batch.t0 + batch.dt * np.arange(len(batch.values)) for batch in ours])
            np.testing.assert_array_equal(sent, starts_at(run) + times)
            np.testing.assert_array_equal(np.concatenate([batch.values for batch in ours]), values)


def test_two_replays_send_the_same_bytes() -> None:
    first, second = ([batch.document() for batch in batches_sent(demo_plan())] for _ in range(2))
    assert first == second


def test_every_trouble_is_there_once() -> None:
    plan = demo_plan()
    notes = Counter(batch.note for batch in batches_sent(plan) if batch.note)
    assert notes == {"duplicate": 1, "late": 1, "wrong_unit": 1, "conflict": 1, "not_a_number": 1}
    assert [step.process for step in plan.steps() if isinstance(step, Kill)] == ["worker", "sink"]
    identities = {batch.identity for batch in batches_sent(plan)}
    assert len(identities) == len(RUNS) * len(STREAMS) * HOURS - 1
    assert ("te1/reactor", "replay-d03", 21) not in identities


def test_the_late_batch_comes_behind_its_successor() -> None:
    order = [batch.seq for batch in batches_sent(demo_plan(["d02"])) if batch.stream == "te1/reactor"]
    assert order.index(31) == order.index(32) + 1


def test_what_is_delivered_is_what_was_sent_less_the_trouble() -> None:
    plan = demo_plan()
    assert len(plan.delivered("d03")["reactor"][0]) == 960 - 20
    assert len(plan.delivered("d05")["separator"][0]) == 960 - 20
    assert np.isnan(plan.delivered("d09")["reactor"][1]).sum() == 8
    np.testing.assert_array_equal(plan.delivered("d08")["reactor"][1], stream_samples("d08", "reactor")[1])


def test_the_ledger_tells_what_must_have_become_of_every_record() -> None:
    ledger = Ledger()
    for entry in ledger.open(batches_sent(demo_plan())):
        entry.tries, entry.outcome = 1, "accepted"
        if entry.note == "wrong_unit":
            entry.outcome, entry.code = "quarantined", "unit_incommensurable"
    reactor, separator = ledger.books("te1/reactor"), ledger.books("te1/separator")
    whole = len(RUNS) * HOURS
    assert (reactor.answered, reactor.stored, reactor.conflict) == (whole, whole - 1, 1)
    assert (separator.answered, separator.stored, separator.quarantined) == (whole, whole - 1, 1)
    assert ledger.books("te1/stripper").duplicate == 1
    assert reactor.rows == (whole - 1) * 20


@pytest.mark.parametrize("tries", [1, 3])
def test_a_try_without_an_answer_widens_what_may_have_been_received(tries: int) -> None:
    ledger = Ledger()
    entry = ledger.open(batches_sent(demo_plan(["d00"]))[:1])[0]
    entry.tries, entry.outcome = tries, "duplicate" if tries > 1 else "accepted"
    books = ledger.books(entry.stream)
    assert (books.answered, books.unanswered, books.stored) == (1, tries - 1, 1)
