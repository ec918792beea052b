"""Formulas against a brute-force reading and against RTAMT, on multi-rate signals with gaps, equal timestamps and phase borders (V-7, V-26)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.verification.domain.criteria.formulas import Formula
from services.verification.domain.criteria.writing import formula_text
from services.verification.domain.evaluator import RunEvaluator
from services.verification.domain.outcomes import CriterionState, Outcome
from services.verification.domain.rebuilding import rebuild
from tests.property import brute_force as brute
from tests.property.brute_formulas import Pair, Trace, highest, lowest, value
from tests.property.recordings import SECOND, Recording, kpa, recordings, seconds
from tests.property.test_verification_kinds import AGES

CHANNELS = ("fast.x", "fast.y", "slow.z")


def compared(channels: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda op, left, limit: {"op": op, "left": left, "right": kpa(limit)},
        st.sampled_from(["<=", "<", ">=", ">"]),
        st.sampled_from(channels),
        st.sampled_from([-2.0, 0.0, 1.0, 2.0]),
    )


def formulas(channels: tuple[str, ...], most: int = 6, longest: int = 6) -> st.SearchStrategy[dict[str, Any]]:
    within = st.none() | st.tuples(st.integers(0, longest), st.integers(0, longest)).map(
        lambda pair: {"after": seconds(min(pair)), "upto": seconds(max(pair))}
    )

    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        two = st.tuples(inner, inner).map(list)
        return st.one_of(
            st.builds(lambda of: {"op": "not", "of": of}, inner),
            st.builds(lambda op, of: {"op": op, "of": of}, st.sampled_from(["and", "or", "implies"]), two),
            st.builds(lambda op, of: {"op": op, "of": of}, st.sampled_from(["rise", "fall"]), inner),
            st.builds(
                lambda op, of, w: {"op": op, "of": of, "within": w},
                st.sampled_from(["always", "eventually", "historically", "once"]),
                inner,
                within,
            ),
            st.builds(
                lambda op, of, w: {"op": op, "of": of, "within": w}, st.sampled_from(["until", "since"]), two, within
            ),
        )

    return st.recursive(compared(channels), grown, max_leaves=most)


def channels_in(formula: dict[str, Any]) -> set[str]:
    if "left" in formula:
        return {formula["left"]}
    of = formula["of"] if isinstance(formula["of"], list) else [formula["of"]]
    return {name for part in of for name in channels_in(part)}


def trace_of(recording: Recording, formula: dict[str, Any], phase: str) -> Trace:
    """The instants of the phase at which every channel of the formula is defined, each by its held value."""
    paths = sorted(channels_in(formula))
    bounds = recording.phase(phase, stops=False)
    single = [brute.Signal([recording.samples[path]], [AGES[path.split(".")[0]]], lambda x: x) for path in paths]
    instants = sorted({t for path in paths for t, _ in recording.samples[path] if bounds.start <= t < bounds.end})
    held = {t: [signal.at(t) for signal in single] for t in instants}
    kept = [t for t in instants if None not in held[t]]
    columns = {path: [held[t][i] for t in kept] for i, path in enumerate(paths)}
    return Trace(kept, columns, bounds.end)  # type: ignore[arg-type]


def expected(formula: dict[str, Any], trace: Trace, scope: str) -> Pair | None:
    if not trace.times:
        return None
    if scope == "first":
        return value(formula, trace, 0)
    found = [value(formula, trace, k) for k in range(len(trace.times))]
    return lowest(found) if scope == "every" else highest(found)


def agrees(state: CriterionState, pair: Pair | None) -> None:
    if pair is None:
        assert (state.outcome, state.margin) == (Outcome.INCONCLUSIVE, None)
    elif pair[0] >= 0:
        assert (state.outcome, state.margin) == (Outcome.PASS, pair[0])
    elif pair[1] < 0:
        assert (state.outcome, state.margin) == (Outcome.FAIL, pair[1])
    else:
        assert (state.outcome, state.reason, state.margin) == (Outcome.INCONCLUSIVE, "undecided", None)


def evaluate(recording: Recording, criterion: dict[str, Any]) -> CriterionState:
    return rebuild(recording.plan(criterion), recording.lifecycle(), recording.frames).result().criteria[0]


MANY = settings.default.max_examples * 10 // 3 if settings.default is not None else 200
"""200 in the quick profile."""


@settings(max_examples=MANY)
@given(recordings(most=16), formulas(CHANNELS), st.sampled_from(["p", "q"]))
def test_a_formula_agrees_with_brute_force(recording: Recording, formula: dict[str, Any], phase: str) -> None:
    """V-7, V-26: at the phase's first instant."""
    state = evaluate(recording, {"kind": "formula", "phase": phase, "of": formula})
    agrees(state, expected(formula, trace_of(recording, formula, phase), "first"))


@settings(max_examples=MANY)
@given(recordings(most=16), formulas(CHANNELS, most=4), st.sampled_from(["p", "q"]))
def test_a_condition_agrees_with_brute_force(recording: Recording, formula: dict[str, Any], phase: str) -> None:
    """V-7, V-26: at every instant; always over the whole phase and eventually over it are that, and some."""
    state = evaluate(recording, {"kind": "condition", "phase": phase, "of": formula})
    trace = trace_of(recording, formula, phase)
    inner, within = formula, formula.get("within")
    while inner["op"] == "always" and (within is None or within["after"]["value"] == 0):
        inner = inner["of"]
        within = inner.get("within")
    agrees(state, expected(inner, trace, "every"))


@given(recordings(most=20), st.integers(0, 4), st.integers(0, 4), st.booleans(), st.data())
def test_a_response_agrees_with_brute_force(
    recording: Recording, after: int, more: int, rise: bool, data: st.DataObject
) -> None:
    """V-6, V-26: windows are closed; one that reaches over the phase's end without an answer is undecided."""
    trigger, answer = data.draw(compared(CHANNELS)), data.draw(compared(CHANNELS))
    criterion = {
        "kind": "response", "phase": "p", "trigger": trigger, "answer": answer, "after": seconds(after),
        "within": seconds(after + more), "on": "rise" if rise else "level",
    }  # fmt: skip
    window = {"after": seconds(after), "upto": seconds(after + more)}
    formula = {
        "op": "implies",
        "of": [
            {"op": "rise", "of": trigger} if rise else trigger,
            {"op": "eventually", "of": answer, "within": window},
        ],
    }
    agrees(evaluate(recording, criterion), expected(formula, trace_of(recording, formula, "p"), "every"))


@given(recordings(most=20), st.none() | st.integers(1, 9), st.data())
def test_until_and_since_agree_with_brute_force(recording: Recording, within: int | None, data: st.DataObject) -> None:
    """V-6, V-26."""
    a, b, c = (data.draw(compared(CHANNELS)) for _ in range(3))
    limit = {} if within is None else {"within": seconds(within)}
    window = None if within is None else {"after": seconds(0), "upto": seconds(within)}
    until = {"op": "until", "of": [a, b], "within": window}
    state = evaluate(recording, {"kind": "until", "phase": "q", "holds": a, "until": b} | limit)
    agrees(state, expected(until, trace_of(recording, until, "q"), "first"))
    since = {"op": "implies", "of": [c, {"op": "since", "of": [a, b], "within": window}]}
    state = evaluate(recording, {"kind": "since", "phase": "p", "trigger": c, "holds": a, "since": b} | limit)
    agrees(state, expected(since, trace_of(recording, since, "p"), "every"))


@given(recordings(most=20), st.lists(compared(CHANNELS), min_size=2, max_size=4))
def test_order_agrees_with_the_first_times_of_its_events(recording: Recording, events: list[dict[str, Any]]) -> None:
    """V-6, V-26: every event happens, and none of them before the one named before it."""
    state = evaluate(recording, {"kind": "order", "phase": "p", "events": events})
    trace = trace_of(recording, {"op": "and", "of": events}, "p")
    if not trace.times:
        assert state.outcome is Outcome.INCONCLUSIVE
        return
    firsts = [
        next((k for k in range(len(trace.times)) if value(event, trace, k)[0] >= 0), math.inf) for event in events
    ]
    in_order = firsts == sorted(firsts) and firsts[-1] < math.inf
    assert (state.outcome is Outcome.PASS) == in_order


@given(recordings(most=20), compared(CHANNELS), compared(CHANNELS))
def test_what_is_forbidden_is_a_violation_at_equality(recording: Recording, of: Any, during: Any) -> None:  # V-6, V-26
    state = evaluate(recording, {"kind": "forbid", "phase": "p", "of": of, "during": during})
    trace = trace_of(recording, {"op": "and", "of": [of, during]}, "p")
    together = [value(of, trace, k)[0] >= 0 and value(during, trace, k)[0] >= 0 for k in range(len(trace.times))]
    if trace.times:
        assert (state.outcome is Outcome.FAIL) == any(together)
    else:
        assert state.outcome is Outcome.INCONCLUSIVE


@given(recordings(most=20), formulas(CHANNELS), st.randoms(use_true_random=False))
def test_a_formula_is_the_same_however_it_is_fed(recording: Recording, formula: Any, random: Any) -> None:
    """V-11, V-12, V-26: order, pieces, snapshots; the interval only narrows and never excludes the final margin."""
    plan = recording.plan(*({"kind": kind, "phase": "p", "of": formula} for kind in ("formula", "condition")))
    reference = rebuild(plan, recording.lifecycle(), recording.frames).result()
    shuffled = list(recording.frames)
    random.shuffle(shuffled)
    assert rebuild(plan, recording.lifecycle(), shuffled).result() == reference
    live = RunEvaluator(plan)
    for record in recording.lifecycle():
        live.apply(record)
    spans = [(-math.inf, math.inf)] * 2
    for frame in sorted(recording.frames, key=lambda f: (int(f.times_array()[0]), f.stream, f.boot, f.seq)):
        live.add_frame(frame)
        live.advance(upto=int(frame.times_array()[0]) - 1)
        live = RunEvaluator.restore(plan, live.snapshot())
        now = [(state.low, state.high) for state in live.states()]
        assert all(a[0] <= b[0] and b[1] <= a[1] for a, b in zip(spans, now, strict=True))
        spans = now
    assert live.result() == reference
    for (low, high), state in zip(spans, reference.criteria, strict=True):
        assert state.margin is None or low <= state.margin <= high


rtamt = pytest.importorskip("rtamt", reason="RTAMT supports Python up to 3.12")


def spelled(formula: dict[str, Any]) -> str:
    """In RTAMT's language; time is the number of the sample."""
    op = formula["op"]
    if "left" in formula:
        return f"({formula['left'].split('.')[1]} {op} {formula['right']['value']})"
    of = formula["of"] if isinstance(formula["of"], list) else [formula["of"]]
    parts = [spelled(part) for part in of]
    within = formula.get("within")
    window = "" if within is None else f"[{int(within['after']['value'])}:{int(within['upto']['value'])}]"
    if op in ("and", "or", "implies"):
        return f"({f' {op} '.join(parts)})"
    if op in ("until", "since"):
        return f"({parts[0]} {op}{window} {parts[1]})"
    return f"({op}{window} {parts[0]})"


ROWS = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=24)


@settings(max_examples=MANY)
@given(ROWS, formulas(("fast.x", "fast.y"), longest=4))
def test_a_formula_agrees_with_rtamt(rows: list[tuple[int, int]], formula: dict[str, Any]) -> None:  # V-7, V-26
    """Where no window reaches over the end or before the start, and none is empty: there both say the same of every formula."""
    if any(op in spell for spell in [spelled(formula)] for op in ("rise", "fall", "until", "since")):
        rows = rows[:12]
    specification = rtamt.StlDiscreteTimeSpecification()
    for name in ("x", "y"):
        specification.declare_var(name, "float")
    trace = Trace(
        [k * SECOND for k in range(len(rows))],
        {"fast.x": [float(x) for x, _ in rows], "fast.y": [float(y) for _, y in rows]},
        len(rows) * SECOND,
    )
    mine = value(formula, trace, 0)
    if mine[0] != mine[1] or not _plain(formula):
        return
    specification.spec = spelled(formula)
    specification.parse()
    series = {"x": trace.values["fast.x"], "y": trace.values["fast.y"]}
    theirs = specification.evaluate({"time": list(range(len(rows))), **series})[0][1]
    assert theirs == pytest.approx(mine[0], abs=1e-300), formula_text(Formula_of(formula))


def _plain(formula: dict[str, Any]) -> bool:
    """RTAMT reads edges and the past otherwise at the first sample, so they are left to the other witness."""
    if "left" in formula:
        return True
    of = formula["of"] if isinstance(formula["of"], list) else [formula["of"]]
    return formula["op"] not in ("rise", "fall", "historically", "once", "since") and all(map(_plain, of))


def Formula_of(document: dict[str, Any]) -> Any:  # noqa: N802
    from pydantic import TypeAdapter

    adapter: TypeAdapter[Any] = TypeAdapter(Formula)
    return adapter.validate_python(document)
