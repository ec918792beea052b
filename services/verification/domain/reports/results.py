"""The results of a report: every criterion with requirement, decision rule, value, margin and uncertainty; and what that means per clause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.verification.domain.baselines import subject_of
from services.verification.domain.computed import measured, worst_unit
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.signals import Channels, channels_of
from shared.contracts.registry import Channel, Stream, channel_path
from shared.kernel.times import Micros, to_rfc3339

_ABOUT = {"id", "clause", "title", "phase", "kind", "decision", "quality"}
"""Fields of a criterion that say nothing of what is demanded."""

_FIRST = (
    "signal",
    "inputs",
    "outputs",
    "statistic",
    "percentile",
    "low",
    "high",
    "target",
    "tolerance",
    "limit",
    "fraction",
)
"""The order of what is demanded; a stored document does not keep the order it was written in."""

_BESIDE = frozenset({"criterion", "clause", "phase", "kind", "quality", "evidence"})
"""Fields of an evaluation's result that are no figures, or that a report shows in its own form."""


def results_of(
    *,
    criteria: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    streams: Sequence[Stream],
    started_at: Micros,
    deviations: Sequence[Mapping[str, Any]],
    lifecycle: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """In the order of the criteria set. `results` are an evaluation's criteria as digested, `deviations` the accepted ones, `lifecycle` the
    run's records, what people entered among them."""
    known = {str(result["criterion"]): result for result in results}
    channels = {channel_path(stream, channel.name): channel for stream in streams for channel in stream.channels}
    read = {item.id: item for item in CriteriaSet.model_validate(criteria).criteria}
    columns = channels_of(streams)
    return [
        _result(
            criterion, known[criterion["id"]], channels, to_rfc3339(started_at)[:10], _previous(criterion, lifecycle)
        )
        | _worst_unit(read[criterion["id"]], known[criterion["id"]], columns)
        | _measured(read[criterion["id"]], known[criterion["id"]])
        | {
            "deviations": [item["id"] for item in deviations if item["criterion"] == criterion["id"]],
            "entered": _entered(criterion["id"], lifecycle),
        }
        for criterion in criteria["criteria"]
        if criterion["id"] in known
    ]


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an evaluation's result, named as in the report: outcome, margin, worst instant, reason, …"""
    return {name: value for name, value in result.items() if name not in _BESIDE}


def clauses_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per clause: `not_met` when one of its criteria fails, `met` when all pass, else `not_decided`. Criteria without a clause are left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        if result["clause"]:
            found.setdefault(str(result["clause"]), []).append(result)
    return [
        {"clause": clause, "state": _state(items), "criteria": [item["criterion"] for item in items]}
        for clause, items in found.items()
    ]


def _state(items: Sequence[Mapping[str, Any]]) -> str:
    outcomes = {item["outcome"] for item in items}
    if "FAIL" in outcomes:
        return "not_met"
    return "met" if outcomes == {"PASS"} else "not_decided"


def _result(
    criterion: Mapping[str, Any],
    result: Mapping[str, Any],
    channels: Mapping[str, Channel],
    day: str,
    previous: Mapping[str, Any],
) -> dict[str, Any]:
    quality = result["quality"]
    return {
        "criterion": criterion["id"],
        "clause": criterion.get("clause", ""),
        "title": criterion["title"],
        "phase": criterion["phase"],
        "kind": criterion["kind"],
        "requirement": [{"name": name, "value": value} for name, value in _demanded({**criterion, **previous})],
        "decision": criterion["decision"],
        "uncertainty": _uncertainty(criterion, channels, day),
        **figures(result),
        "coverage": quality["coverage"],
        "longest_gap": quality["longest_gap"],
        "samples": quality["samples"],
        "bad_samples": quality["bad_samples"],
    }


def _worst_unit(criterion: Any, result: Mapping[str, Any], columns: Channels) -> dict[str, str]:
    """Told where it is not the unit of the margin."""
    unit = worst_unit(criterion, result["unit"], columns)
    return {} if unit == result["unit"] else {"worst_unit": unit}


def _measured(criterion: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    """Told where it is not the worst value."""
    found = measured(criterion, result)
    return {} if found is None else {"measured": asdict(found)}


def _entered(criterion: str, lifecycle: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What people entered for a criterion, in order of the log, with who confirmed it; a corrected entry stays in the list."""
    confirmed = {
        record["entry"]: record["confirmed_by"] for record in lifecycle if record["type"] == "result_confirmed"
    }
    wanted = (
        "entry",
        "at",
        "entered_by",
        "value",
        "unit",
        "uncertainty",
        "passed",
        "sampled_at",
        "attachment",
        "corrects",
    )
    return [
        {name: record[name] for name in wanted} | {"confirmed_by": confirmed.get(record["entry"])}
        for record in lifecycle
        if record["type"] == "result_entered" and record["criterion"] == criterion
    ]


def _previous(criterion: Mapping[str, Any], lifecycle: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The value of the run before that was pinned for a comparison, and that run; nothing where there was none."""
    if criterion["kind"] != "compare_previous":
        return {}
    started = next(record for record in lifecycle if record["type"] == "run_started")
    for pinned in started.get("baselines", ()):
        if pinned["subject"] == subject_of(criterion):
            return {
                "previous": {"value": pinned["value"], "unit": pinned["unit"]},
                "previous_run": pinned["run"],
            }
    return {}


def _demanded(criterion: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the criterion asks for, as pairs of a field and its value; demands on data quality last."""
    names = [name for name in _FIRST if name in criterion] + sorted(set(criterion) - {*_FIRST, *_ABOUT})
    for name in names:
        if criterion[name] is not None:
            yield name, criterion[name]
    for name, value in sorted((criterion.get("quality") or {}).items()):
        if value is not None and value != "exclude":
            yield name, value


def _uncertainty(criterion: Mapping[str, Any], channels: Mapping[str, Channel], day: str) -> list[dict[str, Any]]:
    """Expanded uncertainties that belong to the result: the one that was agreed, else those of the channels it reads."""
    agreed = criterion["decision"].get("uncertainty")
    if agreed is not None:
        return [{"of": criterion["id"], "expanded": agreed["value"], "unit": agreed["unit"], "coverage_factor": None,
                 "source": "agreed", "calibration_due": None, "calibration_valid": None}]  # fmt: skip
    found = []
    for path in dict.fromkeys(_paths(criterion)):
        if path not in channels or (known := channels[path].uncertainty) is None:
            continue
        due = None if known.calibration_due is None else known.calibration_due.isoformat()
        found.append(
            {
                "of": path,
                "expanded": known.expanded,
                "unit": channels[path].unit,
                "coverage_factor": known.coverage_factor,
                "source": known.source,
                "calibration_due": due,
                "calibration_valid": None if due is None else due >= day,
            }
        )
    return found


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
