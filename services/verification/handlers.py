"""Use cases: create a run, give it a command. Each runs in one transaction that its caller opens and closes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from services.verification.criteria_handlers import published_criteria, streams_of_line
from services.verification.domain.baselines import Recorded, baselines_of, compares
from services.verification.domain.check import require_valid
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.plan import RunPlan
from services.verification.domain.run_state import Command, Issued, Lifecycle, RunState, transition
from services.verification.ports import (
    Announcement,
    CommandRecord,
    KeepsCriteria,
    KeepsRuns,
    Run,
)
from shared.contracts.lifecycle import (
    LineRecord,
    PhaseStarted,
    PinnedStream,
    RunEnded,
    RunHeld,
    RunRestarted,
    RunStarted,
)
from shared.contracts.registry import Stream, channel_path
from shared.kernel.errors import Invalid, NotAllowed, NotFound, Problem
from shared.kernel.ids import stable_id
from shared.kernel.times import DAY, Micros, to_rfc3339
from shared.storage.registry import Registry

PHASE = "phase"
_EVENTS = {
    "start": "run.started",
    "hold": "run.held",
    "restart": "run.restarted",
    "stop": "run.ended",
    "abort": "run.ended",
    "complete": "run.ended",
    PHASE: "run.phase_started",
}


COMMAND_HORIZON: Micros = 3660 * DAY
"""How long ago a command may lie: recorded runs of other years are replayed, but a meter closes every clock hour since the start."""
CREATED = "run.created"


@dataclass(frozen=True, slots=True)
class Order:
    """A command to a run, or with `command` "phase" the start of `phase`. `key` makes a repetition harmless. With `at_once` nobody named an
    instant and `at` is this moment: a repetition comes later and is the same command all the same."""

    run: str
    key: str
    command: str
    at: Micros
    who: str
    reason: str = ""
    phase: str | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Clock:
    """This moment, and how long before it a command may lie."""

    now: Micros
    horizon: Micros = COMMAND_HORIZON


def refusal(record: CommandRecord) -> Problem | None:
    """The problem that a refused command was answered with, as it was."""
    if record.problem is None:
        return None
    known = {"status", "title", "type", "code", "detail", "field", "remedy", "problem"}
    family = next(kind for kind in (NotAllowed, Invalid, NotFound) if kind.__name__ == record.problem["problem"])
    return family(
        record.problem["code"],
        record.problem["detail"],
        field=record.problem.get("field"),
        remedy=record.problem.get("remedy"),
        extra={name: value for name, value in record.problem.items() if name not in known},
    )


async def create_run(
    run: Run, *, now: Micros, registry: Registry, criteria: KeepsCriteria, runs: KeepsRuns
) -> tuple[Run, bool]:
    """Keep an idle run whose criteria fit its line, and say so. Answers the run and whether it is new: the same request again changes nothing.

    Raises NotFound(line_unknown | customer_unknown | criteria_unknown | run_unknown), NotAllowed(criteria_not_published | run_exists),
    Invalid for criteria that do not fit, or for a run that is no iteration of the previous one (run_iteration | run_previous_other).
    """
    streams = streams_of_line(registry, run.line)
    if run.customer not in registry.customers:
        raise NotFound("customer_unknown", f"there is no customer {run.customer}", field="customer")
    for instrument in run.equipment:
        if instrument not in registry.instruments:
            raise NotFound("instrument_unknown", f"there is no instrument {instrument}", field="equipment")
    stored = await published_criteria(criteria, run.criteria_set, run.criteria_version)
    require_valid(stored.criteria, streams)
    await _check_previous(run, runs)
    wanted = replace(run, platform=registry.lines[run.line].platform, criteria_digest=stored.digest)
    if await runs.insert(wanted):
        data = {"run": wanted.run, "line": wanted.line, "state": str(wanted.state), "who": wanted.created_by}
        await runs.announce(wanted, Announcement("created", now, None, CREATED, data))
        return wanted, True
    present = await runs.lock(run.run)
    assert present is not None
    if _given(present) != _given(wanted):
        raise NotAllowed(
            "run_exists", f"run {run.run} is there with other facts", field="run", remedy="choose another id"
        )
    return present, False


async def carry_out(
    order: Order, *, clock: Clock, registry: Registry, criteria: KeepsCriteria, runs: KeepsRuns
) -> CommandRecord:
    """Carry out a command, or record why not (V-2): the refusal is in the answer's `problem`, so that its record is kept.

    The key decides identity: the same key again gives the recorded answer, refused or not, and changes nothing. Only a refusal that asks to
    wait (`run_previous_not_final`) leaves the key free, and says so in `key`: the same command may come again under it. Raises
    NotFound(run_unknown), or NotAllowed(run_command_key_reused) when the key belongs to another command, instant, reason or person.
    """
    run = await runs.lock(order.run)
    if run is None:
        raise NotFound("run_unknown", f"there is no run {order.run}", field="run")
    given = await runs.commands(order.run)
    for earlier in given:
        if earlier.key == order.key:
            return _repeated(earlier, order)
    try:
        if order.command == PHASE and order.phase in await runs.begun_by_condition(order.run):
            raise _repeated_phase(order.phase)
        changed = await _changed(run, order, _carried_out(given), clock, registry, criteria, runs)
    except Problem as problem:
        refused = _refused(order, run.state, problem)
        if all(earlier.key != refused.key for earlier in given):
            await runs.record(refused)
        return refused
    carried_out = _record(order, changed.state, None)
    await runs.record(carried_out)
    await runs.save(changed)
    await runs.announce(changed, _announcement(order, changed, registry))
    return carried_out


async def _changed(
    run: Run,
    order: Order,
    history: tuple[CommandRecord, ...],
    clock: Clock,
    registry: Registry,
    criteria: KeepsCriteria,
    runs: KeepsRuns,
) -> Run:
    _check_plausible(order, clock, streams_of_line(registry, run.line))
    if history and order.at < history[-1].at:
        raise NotAllowed(
            "run_command_time",
            "the command lies before the one carried out last",
            field="at",
            remedy="give an instant at or after the last command's",
        )
    stored = await published_criteria(criteria, run.criteria_set, run.criteria_version)
    if order.command == PHASE:
        return _entered(run, order, history, tuple(phase.id for phase in stored.criteria.phases))
    lifecycle = Lifecycle(run.state, tuple(_issued(item) for item in history if item.command != PHASE))
    state = transition(lifecycle, _issued_by(order)).state
    if order.command == Command.START:
        before = await _run_before(run, stored.criteria, runs)
        return _started(run, order, stored.criteria, streams_of_line(registry, run.line), before)
    if state in {RunState.STOPPED, RunState.ABORTED, RunState.COMPLETE}:
        return replace(run, state=state, ended_at=order.at, end_reason=order.reason)
    return replace(run, state=state)


def _check_plausible(order: Order, clock: Clock, streams: Sequence[Stream]) -> None:
    """A command records what has happened: it lies no further in the future than a sample of its line may, recorded ones too, and not before the
    horizon. Raises Invalid(run_command_future | run_command_past)."""
    latest = clock.now + max((stream.future_bound for stream in streams), default=0)
    if order.at > latest:
        raise Invalid(
            "run_command_future",
            f"{to_rfc3339(order.at)} lies further in the future than {to_rfc3339(latest)}",
            field="at",
            remedy="give the instant at which it has happened, or none for this moment",
        )
    earliest = clock.now - clock.horizon
    if order.at < earliest:
        raise Invalid(
            "run_command_past",
            f"{to_rfc3339(order.at)} lies before {to_rfc3339(earliest)}",
            field="at",
            remedy="give the instant at which it has happened; for older recordings raise PILOTLINE_COMMAND_HORIZON_DAYS",
        )


async def _run_before(run: Run, criteria: CriteriaSet, runs: KeepsRuns) -> Recorded | None:
    """What the run is compared with, where its criteria ask for that and it has a run before it. Raises NotAllowed(run_previous_not_final)."""
    if run.previous_run is None or not compares(criteria):
        return None
    recorded = await runs.recorded(run.previous_run)
    if recorded is None:
        raise NotAllowed(
            "run_previous_not_final",
            f"run {run.previous_run} has no final verdict yet, and the criteria compare with it",
            field="previous_run",
            remedy="end it and wait for its close, then give this command again; its key is still free",
        )
    return recorded


def _started(
    run: Run, order: Order, criteria: CriteriaSet, streams: tuple[Stream, ...], before: Recorded | None
) -> Run:
    """Pins the registry versions that the criteria read and the values that they compare with. Raises Invalid when the registry has changed so
    that the criteria do not fit."""
    baselines = () if before is None else baselines_of(criteria, before)
    plan = RunPlan.build(run=run.run, criteria=criteria, streams=streams, start=order.at, baselines=baselines)
    pinned = tuple(PinnedStream(stream.id, stream.version, stream.digest()) for stream in plan.streams)
    return replace(run, state=RunState.RUNNING, started_at=order.at, streams=pinned, baselines=baselines)


def _entered(run: Run, order: Order, history: tuple[CommandRecord, ...], phases: tuple[str, ...]) -> Run:
    if order.phase not in phases:
        raise Invalid(
            "run_phase_unknown",
            f"the criteria have no phase {order.phase}",
            field="phase",
            remedy=f"use one of: {', '.join(phases)}",
        )
    if run.state is not RunState.RUNNING:
        raise NotAllowed(
            "run_command_not_allowed",
            f"a run that is {run.state} starts no phase",
            field="phase",
            remedy="start or restart the run first",
            extra={"state": str(run.state), "allowed": []},
        )
    if any(item.phase == order.phase for item in history):
        raise _repeated_phase(order.phase)
    return replace(run, phase=order.phase)


def _repeated_phase(phase: str | None) -> NotAllowed:
    return NotAllowed(
        "run_phase_repeated",
        f"phase {phase} has been started already",
        field="phase",
        remedy="a phase is judged once; repeat it in a new run",
    )


def _announcement(order: Order, run: Run, registry: Registry) -> Announcement:
    """`run` is as the command has left it. Of one that never started only the event is told: nothing on its line and no document waits for an end."""
    record = line_record(order, run)
    data = {
        "run": run.run,
        "line": run.line,
        "command": order.command,
        "state": str(run.state),
        "phase": run.phase,
        "who": order.who,
        "reason": order.reason,
    }
    if run.started_at is None:
        return Announcement(record.event_id, order.at, None, _EVENTS[order.command], data)
    event: tuple[str, str, Mapping[str, object]] = ("event", f"command/{order.key}", {**data, "at": order.at})
    documents = [*_opening(run, registry), event] if order.command == Command.START else [event]
    return Announcement(record.event_id, order.at, record, _EVENTS[order.command], data, documents)


def _opening(run: Run, registry: Registry) -> list[tuple[str, str, Mapping[str, object]]]:
    """`run_start`, and one descriptor per pinned stream (V-4)."""
    left_out = {"state", "phase", "streams", "baselines"}
    facts = {name: value for name, value in asdict(run).items() if name not in left_out}
    baselines = [msgspec.structs.asdict(baseline) for baseline in run.baselines]
    start: dict[str, object] = {**facts, "at": run.started_at, "baselines": baselines}
    documents: list[tuple[str, str, Mapping[str, object]]] = [("run_start", "start", start)]
    for pinned in run.streams:
        stream = registry.versions[pinned.stream, pinned.version]
        channels = [{"path": channel_path(stream, c.name), "unit": c.unit} for c in stream.channels]
        body: dict[str, object] = {
            "stream": pinned.stream,
            "version": pinned.version,
            "digest": pinned.digest,
            "period": stream.period,
            "max_age": stream.max_age,
            "channels": channels,
        }
        documents.append(("descriptor", f"descriptor/{pinned.stream}", body))
    return documents


def line_record(order: Order, run: Run) -> LineRecord:
    """What a command is on the line's topic; `run` is as the command has left it."""
    event_id = str(stable_id("run-command", run.run, order.key))
    if order.command == PHASE:
        return PhaseStarted(event_id, run.run, run.line, order.at, order.phase or "")
    if order.command == Command.HOLD:
        return RunHeld(event_id, run.run, run.line, order.at, order.reason)
    if order.command == Command.RESTART:
        return RunRestarted(event_id, run.run, run.line, order.at, order.reason)
    if order.command == Command.START:
        return RunStarted(
            event_id=event_id,
            run=run.run,
            line=run.line,
            at=order.at,
            project=run.project,
            customer=run.customer,
            criteria_set=run.criteria_set,
            criteria_version=run.criteria_version,
            criteria_digest=run.criteria_digest,
            streams=run.streams,
            tariff=run.tariff,
            service_code=run.service_code,
            planned_end=run.planned_end,
            baselines=run.baselines,
        )
    how = {"stop": "stopped", "abort": "aborted", "complete": "completed"}[order.command]
    return RunEnded(event_id, run.run, run.line, order.at, how, order.reason)


def _record(order: Order, state: RunState, problem: Problem | None) -> CommandRecord:
    document = None if problem is None else {**problem.document(), "problem": type(problem).__name__}
    return CommandRecord(
        order.run, order.key, order.command, order.phase, order.at, order.who, order.reason, document, state
    )


def _refused(order: Order, state: RunState, problem: Problem) -> CommandRecord:
    """Where waiting helps, the record has a key of its own and names the order's as `key`, which stays free."""
    if problem.code != "run_previous_not_final":
        return _record(order, state, problem)
    problem.extra["key"] = order.key
    return _record(replace(order, key=str(stable_id("run-command-waits", order.run, order.key))), state, problem)


def _repeated(earlier: CommandRecord, order: Order) -> CommandRecord:
    at = earlier.at if order.at_once else order.at
    again = (order.command, order.phase, at, order.who, order.reason)
    if (earlier.command, earlier.phase, earlier.at, earlier.who, earlier.reason) != again:
        raise NotAllowed(
            "run_command_key_reused",
            f"key {order.key} was used for another command: {earlier.command} at {to_rfc3339(earlier.at)}",
            field="key",
            remedy="give every command a key of its own",
        )
    return earlier


def _carried_out(given: Sequence[CommandRecord]) -> tuple[CommandRecord, ...]:
    return tuple(item for item in given if item.problem is None)


def _issued(record: CommandRecord) -> Issued:
    return Issued(record.key, Command(record.command), record.at, record.who, record.reason)


def _issued_by(order: Order) -> Issued:
    return Issued(order.key, Command(order.command), order.at, order.who, order.reason)


def _given(run: Run) -> Run:
    """The run as somebody asked for it, without what came of it."""
    nothing: dict[str, Any] = {
        "phase": None,
        "started_at": None,
        "ended_at": None,
        "end_reason": None,
        "streams": (),
        "baselines": (),
    }
    return replace(run, state=RunState.IDLE, created_by="", **nothing)


async def _check_previous(run: Run, runs: KeepsRuns) -> None:
    if run.previous_run is None:
        return
    previous = await runs.lock(run.previous_run)
    if previous is None:
        raise NotFound("run_unknown", f"there is no run {run.previous_run}", field="previous_run")
    if (previous.customer, previous.item) != (run.customer, run.item):
        raise Invalid(
            "run_previous_other",
            f"{run.previous_run} is no run of {run.item} for {run.customer}",
            field="previous_run",
            remedy="name a run of the same customer and item; what differs between iterations is the item's revision",
        )
    if previous.project != run.project or previous.iteration >= run.iteration:
        raise Invalid(
            "run_iteration",
            f"iteration {run.iteration} of {run.project} cannot follow iteration {previous.iteration} of {previous.project}",
            field="iteration",
            remedy="name an earlier iteration of the same project, or count on",
        )
