"""Use cases of people: enter and confirm results, record and accept deviations. Each runs in one transaction that its caller opens and closes.

Nothing that was entered is changed: a wrong result is replaced by one that corrects it, and two people stand behind what needs two.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from services.verification.criteria_handlers import published_criteria
from services.verification.domain.entries import CALIBRATION, ENTERED, EnteredPlan, compile_entered
from services.verification.ports import (
    Announcement,
    Attachment,
    Deviation,
    KeepsCriteria,
    KeepsEntries,
    KeepsRuns,
    ResultEntry,
    Run,
)
from shared.contracts.lifecycle import DeviationAccepted, Entry, ResultConfirmed, ResultEntered
from shared.kernel.errors import Forbidden, Invalid, NotAllowed, NotFound, TooLarge
from shared.kernel.ids import stable_id
from shared.kernel.persons import same_person
from shared.kernel.times import Micros
from shared.kernel.units import commensurable

MAX_ATTACHMENT = 20 * 1024 * 1024
"""Most bytes of a file."""

DEVIATION_KINDS = (CALIBRATION, "undecided", "procedure")
"""A criterion judged with an uncertainty whose calibration was overdue; a criterion that stays undecided; a departure from the procedure."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where entries are kept."""

    runs: KeepsRuns
    criteria: KeepsCriteria
    entries: KeepsEntries


async def attach(content: bytes, content_type: str, *, who: str, desk: Desk) -> Attachment:
    """Keep a file. Raises Invalid(attachment_empty), TooLarge(attachment_too_large)."""
    if not content:
        raise Invalid("attachment_empty", "the file is empty", field="body", remedy="send the bytes of the file")
    if len(content) > MAX_ATTACHMENT:
        raise TooLarge(
            "attachment_too_large",
            f"the file has {len(content)} bytes, at most {MAX_ATTACHMENT} are kept",
            field="body",
            remedy="send a smaller file",
        )
    kept = Attachment(hashlib.sha256(content).hexdigest(), content_type, content)
    await desk.entries.insert_attachment(kept, who=who)
    return kept


async def enter_result(wanted: ResultEntry, desk: Desk) -> ResultEntry:
    """Enter a result for a criterion of a run that has started; the same request again answers what was entered.

    Raises NotFound(run_unknown | criterion_unknown | attachment_unknown), NotAllowed(run_not_started | result_key_reused |
    result_present | result_not_newest), Invalid(result_incomplete | result_unit).
    """
    run = await _started(desk, wanted.run)
    given = await desk.entries.results(wanted.run)
    for earlier in given:
        if earlier.key == wanted.key:
            return _repeated(earlier, wanted)
    plan = await _plan(desk, run, wanted.criterion)
    await _complete(desk, plan, wanted)
    _replaces_newest(wanted, [item for item in given if item.criterion == wanted.criterion])
    await desk.entries.insert_result(wanted)
    await _tell(desk, run, "result.entered", _record(wanted, run), wanted.entered_by)
    return wanted


async def confirm_result(run_id: str, entry: UUID, *, who: str, at: Micros, desk: Desk) -> ResultEntry:
    """Confirm the newest entry of a criterion. The same person again changes nothing.

    Raises NotFound(run_unknown | result_unknown), Forbidden(result_same_person), NotAllowed(result_not_newest | result_confirmed).
    """
    run = await _started(desk, run_id)
    given = await desk.entries.results(run_id)
    found = next((item for item in given if item.entry == entry), None)
    if found is None:
        raise NotFound("result_unknown", f"run {run_id} has no entry {entry}", field="entry")
    if found.confirmed_by == who:
        return found
    if found.confirmed_by is not None:
        raise NotAllowed("result_confirmed", f"{found.confirmed_by} has confirmed this entry", field="entry")
    if same_person(found.entered_by, who):
        raise Forbidden(
            "result_same_person",
            "a result is confirmed by somebody else than who entered it",
            field="entry",
            remedy="let a second person confirm it under a key of their own",
        )
    newest = [item for item in given if item.criterion == found.criterion][-1]
    if newest.entry != entry:
        raise NotAllowed(
            "result_not_newest",
            f"the entry was corrected by {newest.entry}",
            field="entry",
            remedy="confirm the newest entry",
        )
    await desk.entries.confirm_result(entry, who=who, at=at)
    event_id = str(stable_id("result-confirmed", run_id, str(entry)))
    record = ResultConfirmed(event_id, run_id, run.line, at, found.criterion, str(entry), who)
    await _tell(desk, run, "result.confirmed", record, who)
    return replace(found, confirmed_by=who, confirmed_at=at)


async def record_deviation(wanted: Deviation, desk: Desk) -> Deviation:
    """Record a departure from what was agreed; the same request again answers what was recorded.

    Raises NotFound(run_unknown | criterion_unknown), Invalid(deviation_kind | deviation_reason | deviation_criterion),
    NotAllowed(deviation_key_reused).
    """
    run = await _known(desk, wanted.run)
    for earlier in await desk.entries.deviations(wanted.run):
        if earlier.key == wanted.key:
            return _recorded(earlier, wanted)
    if wanted.kind not in DEVIATION_KINDS:
        raise Invalid(
            "deviation_kind",
            f"there is no kind {wanted.kind}",
            field="kind",
            remedy=f"use one of: {', '.join(DEVIATION_KINDS)}",
        )
    if not wanted.reason.strip():
        raise Invalid("deviation_reason", "a deviation needs its reason", field="reason", remedy="say why")
    if wanted.criterion is None and wanted.kind != "procedure":
        raise Invalid(
            "deviation_criterion", f"{wanted.kind} concerns a criterion", field="criterion", remedy="name the criterion"
        )
    if wanted.criterion is not None:
        await _criterion(desk, run, wanted.criterion)
    await desk.entries.insert_deviation(wanted)
    await _tell_deviation(desk, run, "deviation.recorded", wanted, None, wanted.recorded_at)
    return wanted


async def accept_deviation(run_id: str, deviation: UUID, *, who: str, at: Micros, desk: Desk) -> Deviation:
    """Accept a deviation that somebody else has recorded. The same person again changes nothing. An accepted `calibration_expired` has its
    criterion judged again.

    Raises NotFound(run_unknown | deviation_unknown), Forbidden(deviation_same_person), NotAllowed(deviation_accepted).
    """
    run = await _known(desk, run_id)
    found = next((item for item in await desk.entries.deviations(run_id) if item.deviation == deviation), None)
    if found is None:
        raise NotFound("deviation_unknown", f"run {run_id} has no deviation {deviation}", field="deviation")
    if found.accepted_by == who:
        return found
    if found.accepted_by is not None:
        raise NotAllowed("deviation_accepted", f"{found.accepted_by} has accepted this deviation", field="deviation")
    if same_person(found.recorded_by, who):
        raise Forbidden(
            "deviation_same_person",
            "a deviation is accepted by somebody else than who recorded it",
            field="deviation",
            remedy="let a second person accept it under a key of their own",
        )
    await desk.entries.accept_deviation(deviation, who=who, at=at)
    accepted = replace(found, accepted_by=who, accepted_at=at)
    record = None
    if found.kind == CALIBRATION and found.criterion is not None and run.started_at is not None:
        event_id = str(stable_id("deviation-accepted", run_id, str(deviation)))
        record = DeviationAccepted(
            event_id, run_id, run.line, at, str(deviation), found.criterion, found.kind, found.recorded_by, who
        )
    await _tell_deviation(desk, run, "deviation.accepted", accepted, record, at)
    return accepted


async def _known(desk: Desk, run_id: str) -> Run:
    run = await desk.runs.lock(run_id)
    if run is None:
        raise NotFound("run_unknown", f"there is no run {run_id}", field="run")
    return run


async def _started(desk: Desk, run_id: str) -> Run:
    run = await _known(desk, run_id)
    if run.started_at is None:
        raise NotAllowed(
            "run_not_started", f"run {run_id} has not started", field="run", remedy="start the run, then enter results"
        )
    return run


async def _criterion(desk: Desk, run: Run, criterion: str) -> Any:
    stored = await published_criteria(desk.criteria, run.criteria_set, run.criteria_version)
    for index, item in enumerate(stored.criteria.criteria):
        if item.id == criterion:
            return index, item
    raise NotFound("criterion_unknown", f"run {run.run} has no criterion {criterion}", field="criterion")


async def _plan(desk: Desk, run: Run, criterion: str) -> EnteredPlan:
    index, item = await _criterion(desk, run, criterion)
    if item.kind not in ENTERED:
        raise Invalid(
            "result_criterion",
            f"{criterion} is {item.kind}: samples answer it, not people",
            field="criterion",
            remedy="name a criterion of kind lab_result or inspection",
        )
    return compile_entered(item, f"criteria[{index}]")


async def _complete(desk: Desk, plan: EnteredPlan, wanted: ResultEntry) -> None:
    field = _lacking(plan, wanted)
    if field is not None:
        raise Invalid(
            "result_incomplete",
            f"a result of kind {plan.kind} is entered with its {field}, and nothing of the other kind",
            field=field,
            remedy=f"give {field}",
        )
    if plan.kind == "lab_result" and not commensurable(wanted.unit, plan.unit):
        raise Invalid(
            "result_unit",
            f"{wanted.unit} does not measure what the criterion limits in {plan.unit}",
            field="unit",
            remedy=f"use {plan.unit} or a unit of the same dimension",
        )
    if wanted.attachment is not None and not await desk.entries.attachment_known(wanted.attachment):
        raise NotFound(
            "attachment_unknown",
            f"there is no file {wanted.attachment}",
            field="attachment",
            remedy="send the file first; its answer names the SHA-256",
        )


def _lacking(plan: EnteredPlan, wanted: ResultEntry) -> str | None:
    """The field that is missing, or there without need."""
    if plan.kind == "inspection":
        if wanted.passed is None or wanted.value is not None:
            return "passed"
        return "attachment" if plan.attachment_required and wanted.attachment is None else None
    if wanted.value is None or not math.isfinite(wanted.value) or wanted.passed is not None:
        return "value"
    if wanted.uncertainty is not None and not 0 <= wanted.uncertainty < math.inf:
        return "uncertainty"
    return "uncertainty" if plan.needs_uncertainty and wanted.uncertainty is None else None


def _replaces_newest(wanted: ResultEntry, given: Sequence[ResultEntry]) -> None:
    newest = given[-1].entry if given else None
    if wanted.corrects == newest:
        return
    if wanted.corrects is None:
        raise NotAllowed(
            "result_present",
            f"{wanted.criterion} has the entry {newest}",
            field="corrects",
            remedy="replace it: name it in `corrects`",
            extra={"newest": str(newest)},
        )
    raise NotAllowed(
        "result_not_newest",
        f"{wanted.corrects} is not the newest entry of {wanted.criterion}",
        field="corrects",
        remedy="correct the newest entry" if given else "leave `corrects` out: there is no entry yet",
    )


def _record(entry: ResultEntry, run: Run) -> ResultEntered:
    return ResultEntered(
        event_id=str(stable_id("result-entered", run.run, str(entry.entry))),
        run=run.run,
        line=run.line,
        at=entry.entered_at,
        criterion=entry.criterion,
        entry=str(entry.entry),
        entered_by=entry.entered_by,
        value=entry.value,
        unit=entry.unit,
        uncertainty=entry.uncertainty,
        passed=entry.passed,
        sampled_at=entry.sampled_at,
        attachment=entry.attachment or "",
        corrects="" if entry.corrects is None else str(entry.corrects),
    )


async def _tell(desk: Desk, run: Run, event: str, record: ResultEntered | ResultConfirmed, who: str) -> None:
    data = {"run": run.run, "line": run.line, "criterion": record.criterion, "entry": record.entry, "who": who}
    await _announce(desk, run, event, f"{event}/{record.entry}", record.at, record, data)


async def _tell_deviation(
    desk: Desk, run: Run, event: str, deviation: Deviation, record: DeviationAccepted | None, at: Micros
) -> None:
    data = {
        "run": run.run,
        "line": run.line,
        "deviation": str(deviation.deviation),
        "criterion": deviation.criterion,
        "kind": deviation.kind,
        "reason": deviation.reason,
        "who": deviation.accepted_by or deviation.recorded_by,
    }
    await _announce(desk, run, event, f"{event}/{deviation.deviation}", at, record, data)


async def _announce(
    desk: Desk, run: Run, event: str, identity: str, at: Micros, record: Entry | None, data: dict[str, Any]
) -> None:
    """A document of the run too, while it has not ended: after its stop a run gets no more of them."""
    under_way = run.started_at is not None and run.ended_at is None
    documents = [("event", identity, {**data, "event": event, "at": at})] if under_way else []
    await desk.runs.announce(run, Announcement(identity, at, record, event, data, documents))


def _repeated(earlier: ResultEntry, wanted: ResultEntry) -> ResultEntry:
    again = replace(wanted, entry=earlier.entry, entered_at=earlier.entered_at)
    if replace(earlier, confirmed_by=None, confirmed_at=None) != again:
        raise NotAllowed(
            "result_key_reused",
            f"key {earlier.key} was used for another entry",
            field="key",
            remedy="give every entry a key of its own",
        )
    return earlier


def _recorded(earlier: Deviation, wanted: Deviation) -> Deviation:
    again = replace(wanted, deviation=earlier.deviation, recorded_at=earlier.recorded_at)
    if replace(earlier, accepted_by=None, accepted_at=None) != again:
        raise NotAllowed(
            "deviation_key_reused",
            f"key {earlier.key} was used for another deviation",
            field="key",
            remedy="give every deviation a key of its own",
        )
    return earlier
