"""The checks find what they look for: each of them fails on the fault it is there for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from deploy.demo import billing_checks, checks
from deploy.demo.configuration import demo_plan, expected_run
from deploy.demo.facts import EvaluationFacts, Facts, GapFacts, RunFacts, StreamFacts
from deploy.demo.ledger import Ledger
from deploy.demo.metered import integrals
from deploy.demo.office import VOUCHER, Billed
from deploy.demo.plan import Plan, Send
from deploy.demo.story import RunUsage

RUN = "d03"
PLAN = demo_plan([RUN])
GAP = GapFacts("te1/reactor", "replay-d03", 21, 21, closed=False)


def sent(plan: Plan = PLAN) -> Ledger:
    """The books of a replay in which every request was answered at once."""
    ledger = Ledger()
    for step in plan.steps():
        if isinstance(step, Send):
            for entry in ledger.open(step.batches):
                entry.tries, entry.outcome = 1, "accepted"
    return ledger


def platform(ledger: Ledger) -> Facts:
    """What a platform without fault says of it."""
    streams = {}
    for stream in ledger.streams:
        books = ledger.books(stream)
        streams[stream] = StreamFacts(
            received=books.answered,
            stored=books.stored,
            duplicate=books.duplicate,
            conflict=books.conflict,
            quarantined=books.quarantined,
            rows=books.rows,
            late=0,
            digest="",
        )
    return Facts(streams, quarantine=(), gaps=(GAP,), nan_cells={}, runs={RUN: judged()}, dead_letters=0)


def judged(**changes: Any) -> RunFacts:
    """The run as its recording says, live and from stored frames."""
    expected = expected_run(PLAN, RUN)
    outcomes = {name: outcome for name, (outcome, _) in expected.criteria.items()}
    facts: dict[str, Any] = {
        "state": "final",
        "verdict": expected.verdict,
        "digest": "d",
        "cause": "",
        "outcomes": outcomes,
        "margins": {name: margin for name, (_, margin) in expected.criteria.items()},
        "reasons": {name: "gap" if outcome == "INCONCLUSIVE" else "" for name, outcome in outcomes.items()},
    }
    live = EvaluationFacts(number=1, kind="live", **facts)
    stored = EvaluationFacts(number=2, kind="stored", **(facts | changes))
    return RunFacts(RUN, "c", "complete", expected.verdict, "final", 1, 0, (live, stored), 0)


def failed(found: Iterable[checks.Check]) -> list[str]:
    return [check.name for check in found if not check.passed]


def test_books_without_fault_pass() -> None:
    ledger = sent()
    assert failed(checks.check_books(platform(ledger), ledger)) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"stored": 46},
        {"rows": 939},
        {"received": 48, "duplicate": 0},
        {"received": 46, "stored": 46},
        {"conflict": 1, "received": 48},
    ],
)
def test_a_record_lost_or_doubled_is_found(fault: dict[str, int]) -> None:
    ledger = sent()
    facts = platform(ledger)
    wrong = replace(facts.streams["te1/reactor"], **fault)  # type: ignore[arg-type]
    faulty = replace(facts, streams={**facts.streams, "te1/reactor": wrong})
    assert failed(checks.check_books(faulty, ledger)) == ["books of te1/reactor"]


def test_a_dead_letter_is_found() -> None:
    ledger = sent()
    assert failed(checks.check_books(replace(platform(ledger), dead_letters=1), ledger)) == [
        "nothing in the dead letters"
    ]


def test_a_gap_that_is_not_seen_or_not_meant_is_found() -> None:
    ledger = sent()
    blind = replace(platform(ledger), gaps=())
    assert failed(checks.check_troubles(blind, ledger, PLAN, {})) == [
        "batch never sent in d03",
        "open gaps are those made on purpose",
    ]
    another = replace(platform(ledger), gaps=(GAP, replace(GAP, stream="te1/stripper")))
    assert failed(checks.check_troubles(another, ledger, PLAN, {})) == ["open gaps are those made on purpose"]


@pytest.mark.parametrize("run", ["d01", "d02", "d05", "d08", "d09"])
def test_trouble_of_which_the_platform_says_nothing_is_found(run: str) -> None:
    plan = demo_plan([run], kills=())
    silent = replace(platform(sent()), gaps=(), runs={})
    assert len(failed(checks.check_troubles(silent, Ledger(), plan, {}))) >= 1


def test_a_process_that_was_not_restarted_is_found() -> None:
    plan = demo_plan(["d04"])
    assert failed(checks.check_troubles(platform(sent()), Ledger(), plan, {"worker": 0}))[0].startswith(
        "SIGKILL of worker"
    )


def test_a_run_without_fault_passes() -> None:
    assert failed(checks.check_runs(platform(sent()), PLAN)) == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"digest": "e"}, "d03: live verdict = recomputed verdict"),
        ({"state": "open"}, "d03: live verdict = recomputed verdict"),
        ({"outcomes": {"pressure-limit": "PASS"}}, "d03: verdict follows from the data"),
        ({"margins": {"pressure-limit": 0.0}}, "d03: verdict follows from the data"),
        (
            {"reasons": dict.fromkeys(["pressure-limit", "temperature-limit"], "")},
            "d03: the gap leaves criteria inconclusive, with the reason",
        ),
    ],
)
def test_a_verdict_that_does_not_agree_is_found(fault: dict[str, Any], found: str) -> None:
    whole = judged()
    merged = {
        name: {**getattr(whole.evaluations[1], name), **value} if isinstance(value, dict) else value
        for name, value in fault.items()
    }
    facts = replace(platform(sent()), runs={RUN: judged(**merged)})
    assert found in failed(checks.check_runs(facts, PLAN))


# Billing ------------------------------------------------------------------------------------------------------------------------


def usage(**changes: str) -> RunUsage:
    """48 h of four instruments in one state, and the quantities of the recording."""
    hours = [
        {
            "instrument": f"te1/{name}",
            "state": "productive",
            "responsible": "customer",
            "measured_s": "172800",
            "inferred_s": "0",
            "unknown_s": "0",
        }
        for name in ("reactor", "separator", "stripper", "analysers")
    ]
    hours[0] |= {name: value for name, value in changes.items() if name in hours[0]}
    quantities = [
        {"name": name, "value": changes.get(name, f"{float(amount):.9f}")}
        for name, amount in integrals(PLAN, RUN).items()
    ]
    return RunUsage(hours, quantities)


COUNTS = {"received": 3, "recorded": 2, "duplicate": 1, "conflict": 0, "quarantined": 0}


def test_usage_without_fault_passes() -> None:
    assert failed(billing_checks.check_usage({RUN: usage()}, [COUNTS], PLAN)) == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"measured_s": "172799"}, "d03: hours by state sum to the run"),
        ({"steam": "11182.703"}, "d03: metered quantities are the channels' integrals"),
        ({"state": "unscheduled_down", "responsible": "platform"}, "unscheduled down at the platform's expense"),
    ],
)
def test_metering_that_does_not_follow_from_the_channels_is_found(fault: dict[str, str], found: str) -> None:
    assert failed(billing_checks.check_usage({RUN: usage(**fault)}, [COUNTS], PLAN)) == [found]


def test_usage_in_conflict_is_found() -> None:
    damaged = COUNTS | {"recorded": 1, "conflict": 1}
    assert failed(billing_checks.check_usage({RUN: usage()}, [damaged], PLAN)) == ["usage events are recorded once"]


def bill(
    *, amount: str = "4970.00", paid: str = "5268.20", offsets: bool = True, ok: bool = True, net: str = "4970.00"
) -> Billed:
    """One line of d06, paid by customer and voucher."""
    evidence = {
        "ranges": [{"stream": "te1/reactor", "boot": "b", "seq_from": 1, "seq_to": 1}],
        "frames": 1,
        "offsets": {"partition": 0, "first": 1, "last": 1} if offsets else None,
    }
    leaf = {"op": "segment", "value": "4970", "ledger_seq": 1, "evidence": evidence}
    line = {
        "charge": "reactor-hours",
        "scope": "d06",
        "amount": amount,
        "tax": "298.20",
        "shares": [{"payer": VOUCHER["id"], "amount": "1000.00"}, {"payer": "c", "amount": str(float(paid) - 1000)}],
    }
    invoice = {"number": "n", "state": "final", "net": net, "tax": "298.20", "gross": "5268.20"}
    return Billed(invoice, [line], [{"tree": {"op": "round", "of": [leaf]}}], {"ok": ok, "lines": [{"ok": ok}]})


def test_an_invoice_without_fault_passes() -> None:
    assert failed(billing_checks.check_invoices({"c": bill()}, {"consumed": "1000.00"}, demo_plan())) == []


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"net": "4970.01"}, "c: the invoice is the sum of its lines"),
        ({"paid": "5268.19"}, "c: shares sum to their lines"),
        ({"offsets": False}, "c: explain trees reach the log"),
        ({"amount": "4971.00"}, "c: explain trees reach the log"),
        ({"amount": "4971.00"}, "nobody pays for the platform's trouble"),
        ({"ok": False}, "c: rating again gives the same digests"),
    ],
)
def test_an_invoice_with_a_fault_is_found(fault: dict[str, Any], found: str) -> None:
    assert found in failed(billing_checks.check_invoices({"c": bill(**fault)}, {"consumed": "1000.00"}, demo_plan()))


@pytest.mark.parametrize("consumed", ["999.99", "0.00"])
def test_a_voucher_that_gave_something_else_is_found(consumed: str) -> None:
    found = failed(billing_checks.check_invoices({"c": bill()}, {"consumed": consumed}, demo_plan()))
    assert found == ["the voucher pays its percentage up to its cap"]
