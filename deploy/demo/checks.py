"""The demonstration's checks of ingest and verification: what the platform says against the sender's books and against the recordings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deploy.demo.configuration import ExpectedRun, expected_run
from deploy.demo.facts import Facts, GapFacts, RunFacts
from deploy.demo.ledger import Ledger
from deploy.demo.plan import LINE, Conflict, Duplicate, Kill, Late, Missing, NotANumber, Plan, Trouble, WrongUnit

_NUMBERLESS = frozenset({"pressure-data", "lined-out-product-data"})
"""Criteria of kind data_quality: their margin is a share whose formula is the evaluator's own."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so; `detail` gives the numbers either way."""

    name: str
    passed: bool
    detail: str


def check_books(facts: Facts, ledger: Ledger) -> Iterator[Check]:
    """received = stored + duplicate + conflict + quarantined, and each equal to what was sent (G2)."""
    for stream in ledger.streams:
        books, here = ledger.books(stream), facts.streams.get(stream)
        if here is None:
            yield Check(f"books of {stream}", passed=False, detail="the platform has none")
            continue
        balanced = here.received == here.stored + here.duplicate + here.conflict + here.quarantined
        sent = (books.stored, books.conflict, books.quarantined, books.rows)
        agrees = sent == (here.stored, here.conflict, here.quarantined, here.rows)
        bounded = books.answered <= here.received <= books.answered + books.unanswered
        yield Check(
            f"books of {stream}",
            balanced and agrees and bounded,
            f"received {here.received} = stored {here.stored} + duplicate {here.duplicate} + conflict {here.conflict}"
            f" + quarantined {here.quarantined}; sent {books.answered}"
            + (f" (and {books.unanswered} tries without an answer)" if books.unanswered else ""),
        )
    yield Check("nothing in the dead letters", facts.dead_letters == 0, f"{facts.dead_letters} records")


def check_troubles(facts: Facts, ledger: Ledger, plan: Plan, restarts: Mapping[str, int]) -> Iterator[Check]:
    """Each trouble made on purpose is found, at its place, and no other gap is."""
    for trouble in plan.troubles:
        if trouble.run in plan.runs:
            found, detail = _found(trouble, facts, ledger)
            yield Check(f"{_words(trouble)} in {trouble.run}", found, detail)
    for kill in plan.kills:
        if kill.run in plan.runs:
            count = restarts.get(kill.process, 0)
            yield Check(f"SIGKILL of {kill.process} in {kill.run}", count >= 1, f"restarted {count} time(s)")
    wanted = {_place(trouble) for trouble in plan.troubles if isinstance(trouble, Missing | WrongUnit)}
    wanted = {place for place in wanted if place[1].removeprefix("replay-") in plan.runs}
    found_open = {(gap.stream, gap.boot, gap.from_seq) for gap in facts.gaps if not gap.closed}
    yield Check("open gaps are those made on purpose", found_open == wanted, _list(found_open) or "none")


def _found(trouble: Trouble, facts: Facts, ledger: Ledger) -> tuple[bool, str]:
    stream, boot, seq = _place(trouble)
    gap = _gap(facts.gaps, stream, boot, seq)
    answers = [r.outcome for r in ledger.records if (r.stream, r.boot, r.seq) == (stream, boot, seq)]
    waiting = {
        row["code"] for row in facts.quarantine if (row["stream_id"], row["boot"], row["seq"]) == (stream, boot, seq)
    }
    match trouble:
        case Duplicate():
            return "duplicate" in answers and facts.streams[stream].duplicate >= 1, f"answers: {', '.join(answers)}"
        case Late():
            late = facts.runs[trouble.run].late if trouble.run in facts.runs else 0
            passed = gap is not None and gap.closed and facts.streams[stream].late >= 1 and late >= 1
            return passed, f"gap opened and closed: {gap is not None and gap.closed}; late for the run: {late}"
        case Missing():
            return gap is not None and not gap.closed, f"gap {gap}"
        case WrongUnit():
            return waiting == {"unit_incommensurable"}, f"quarantined: {_list(waiting)}"
        case Conflict():
            return waiting == {"conflict"} and "conflict" in answers, f"quarantined: {_list(waiting)}"
        case NotANumber():
            cells = facts.nan_cells.get(boot, 0)
            return cells == trouble.rows, f"{cells} values stored and marked"
    return False, "nobody looks for it"


def check_runs(facts: Facts, plan: Plan) -> Iterator[Check]:
    """Live and stored evaluation agree bit for bit, and with the recordings."""
    for run in plan.runs:
        here = facts.runs.get(run)
        if here is None:
            yield Check(f"{run} is there", passed=False, detail="the platform has no such run")
            continue
        yield _same_digest(here)
        yield _as_recorded(here, expected_run(plan, run))
    yield from _gap_reasons(facts, plan)


def _same_digest(run: RunFacts) -> Check:
    live, stored = run.last("live"), run.last("stored")
    same = live is not None and stored is not None and live.digest == stored.digest != ""
    passed = same and run.verdict_state == "final" and run.mismatches == 0
    shown = (
        f"{live.digest[:12] if live else 'none'} live, {stored.digest[:12] if stored else 'none'} from stored frames"
    )
    return Check(f"{run.run}: live verdict = recomputed verdict", passed, f"{shown}, {run.verdict_state}")


def _as_recorded(run: RunFacts, expected: ExpectedRun) -> Check:
    stored = run.last("stored")
    if stored is None:
        return Check(f"{run.run}: verdict follows from the data", passed=False, detail="no final evaluation")
    wanted = {name: outcome for name, (outcome, _) in expected.criteria.items()}
    wrong = [name for name in wanted if stored.outcomes.get(name) != wanted[name]]
    wrong += [name for name in wanted if name not in wrong and not _same_margin(name, expected, stored.margins)]
    detail = f"{run.verdict}, {len(wanted)} criteria" if not wrong else f"differs in {', '.join(wrong)}"
    return Check(f"{run.run}: verdict follows from the data", not wrong and run.verdict == expected.verdict, detail)


def _same_margin(name: str, expected: ExpectedRun, margins: Mapping[str, float | None]) -> bool:
    """`hold` tells its margin in the channel's unit, the recomputation in seconds: its outcome is compared alone."""
    wanted, found = expected.criteria[name][1], margins.get(name)
    if name in _NUMBERLESS or name == "pressure-recovered":
        return True
    if wanted is None or found is None:
        return wanted is found
    return math.isclose(wanted, found, rel_tol=1e-9, abs_tol=1e-9)


def _gap_reasons(facts: Facts, plan: Plan) -> Iterator[Check]:
    """Where a batch is missing, the criteria that cannot do without it say so."""
    for trouble in plan.troubles:
        if isinstance(trouble, Missing) and trouble.run in plan.runs:
            stored = facts.runs[trouble.run].last("stored") if trouble.run in facts.runs else None
            outcomes = stored.outcomes if stored else {}
            reasons = (
                {name: stored.reasons[name] for name in outcomes if outcomes[name] == "INCONCLUSIVE"} if stored else {}
            )
            passed = bool(reasons) and set(reasons.values()) <= {"gap", "coverage"}
            shown = ", ".join(f"{name}: {reason}" for name, reason in reasons.items())
            yield Check(
                f"{trouble.run}: the gap leaves criteria inconclusive, with the reason", passed, shown or "none"
            )


def _gap(gaps: Iterable[GapFacts], stream: str, boot: str, seq: int) -> GapFacts | None:
    covering = [g for g in gaps if (g.stream, g.boot) == (stream, boot) and g.from_seq <= seq <= g.to_seq]
    return covering[-1] if covering else None


def _place(trouble: Trouble) -> tuple[str, str, int]:
    return (f"{LINE}/{trouble.stream}", f"replay-{trouble.run}", trouble.hour + 1)


def _words(trouble: Trouble | Kill) -> str:
    words = {
        Duplicate: "batch sent twice",
        Late: "batch late by an hour",
        Missing: "batch never sent",
        WrongUnit: "batch with a wrong unit",
        Conflict: "conflicting resend",
        NotANumber: "NaN burst",
    }
    return next(text for kind, text in words.items() if isinstance(trouble, kind))


def _list(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in sorted(items, key=str))
