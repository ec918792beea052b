"""What people have entered of a run, as the page prints it: awaited results, entries with who stands behind them, deviations."""

from __future__ import annotations

from dataclasses import dataclass

from services.verification.adapters.views import RunView
from services.verification.entrypoints.web.texts import ABSENT, Language
from services.verification.ports import Deviation, ResultEntry
from shared.kernel.canonical import digest
from shared.kernel.times import Micros

_AWAITED = {
    "awaiting_result": "waits for a result",
    "awaiting_confirmation": "waits for a second person to confirm the result",
}


@dataclass(frozen=True, slots=True)
class EntryLine:
    criterion: str
    result: str
    entered: str
    confirmed: str
    note: str
    attachment: str
    replaced: bool


@dataclass(frozen=True, slots=True)
class DeviationLine:
    kind: str
    criterion: str
    reason: str
    recorded: str
    accepted: str


@dataclass(frozen=True, slots=True)
class EntriesPart:
    """`version` changes with anything shown; `awaited` are (criterion, reason)."""

    version: str
    awaited: tuple[tuple[str, str], ...]
    results: tuple[EntryLine, ...]
    deviations: tuple[DeviationLine, ...]


def show_entries(view: RunView, language: Language) -> EntriesPart:
    titles = {row.criterion: language.local_name(dict(row.title)) for row in view.criteria}
    replaced = {entry.corrects for entry in view.results}
    return EntriesPart(
        version=digest([[str(e.entry), e.confirmed_by] for e in view.results]
                       + [[str(d.deviation), d.accepted_by] for d in view.deviations])[:12],
        awaited=tuple((titles.get(row.criterion, row.criterion), language.text(_AWAITED[row.reason])) for row in view.awaited),
        results=tuple(_result(entry, titles, entry.entry in replaced, language) for entry in view.results),
        deviations=tuple(_deviation(item, titles, language) for item in view.deviations),
    )  # fmt: skip


def _result(entry: ResultEntry, titles: dict[str, str], replaced: bool, language: Language) -> EntryLine:
    if entry.value is None:
        result = language.text("passed" if entry.passed else "failed")
    else:
        result = language.number(entry.value, entry.unit, 5)
        if entry.uncertainty is not None:
            result = f"{result} \N{PLUS-MINUS SIGN} {language.number(entry.uncertainty, '', 3)}"
    return EntryLine(
        criterion=titles.get(entry.criterion, entry.criterion),
        result=result,
        entered=_signed(entry.entered_by, entry.entered_at, language),
        confirmed=_signed(entry.confirmed_by, entry.confirmed_at, language),
        note=entry.note,
        attachment=entry.attachment or "",
        replaced=replaced,
    )


def _deviation(item: Deviation, titles: dict[str, str], language: Language) -> DeviationLine:
    return DeviationLine(
        kind=language.text(item.kind.replace("_", " ")),
        criterion=language.text("Whole run") if item.criterion is None else titles.get(item.criterion, item.criterion),
        reason=item.reason,
        recorded=_signed(item.recorded_by, item.recorded_at, language),
        accepted=_signed(item.accepted_by, item.accepted_at, language),
    )


def _signed(who: str | None, at: Micros | None, language: Language) -> str:
    return ABSENT if who is None else f"{who} · {language.instant(at)}"
