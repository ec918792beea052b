"""What a report says that follows from the run's own records: written into it when it is drafted, compared with it when it is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.verification.domain.reports.statements import statements_of
from shared.contracts.registry import Stream

FORMAT = "pilotline-report/2"


def derived(
    *,
    number: str,
    criteria: Mapping[str, Any],
    streams: Sequence[Stream],
    lifecycle: Sequence[Mapping[str, Any]],
    engine: str,
) -> dict[str, Any]:
    """By the name of the section. `customer`, `dates` and `run` are parts of theirs, the others are whole. `lifecycle` are the run's records
    as JSON trees, its start and its end among them."""
    started, ended = (
        next(item for item in lifecycle if item["type"] == type_) for type_ in ("run_started", "run_ended")
    )
    return {
        "format": FORMAT,
        "end_mark": {"en": f"End of report {number}", "zh": f"报告 {number} 正文结束"},
        "statements": statements_of(criteria["criteria"]),
        "customer": {"id": started["customer"]},
        "method": {
            **{name: started[name] for name in ("criteria_set", "criteria_version", "criteria_digest")},
            "title": criteria["title"],
            "phases": [{"id": phase["id"], "title": phase["title"]} for phase in criteria["phases"]],
            "standard": criteria.get("standard"),
            "engine": engine,
            "streams": [
                {"stream": stream.id, "registry_version": stream.version, "digest": stream.digest()}
                for stream in streams
            ],
        },
        "dates": {"performed_from": started["at"], "performed_to": ended["at"]},
        "run": {
            **{name: started[name] for name in ("run", "project", "line")},
            "end_reason": ended["reason"],
            "history": [
                {
                    name: record[name]
                    for name in ("type", "at", "phase", "reason", "how")
                    if record.get(name) not in (None, "")
                }
                for record in lifecycle
            ],
        },
    }


def counted(parts: Sequence[Mapping[str, Any]], stream: str) -> dict[str, int]:
    """Frames and rows of a stream among the parts of the evidence, under every registry version."""
    own = [part for part in parts if part["part"] == "frames" and part["stream"] == stream]
    return {name: sum(part[name] for part in own) for name in ("frames", "rows")}


def entered(lifecycle: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records of what people have entered, in order of the log."""
    return [record for record in lifecycle if str(record["type"]).startswith("result_")]


def undecided(results: Sequence[Mapping[str, Any]], deviations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The criteria without PASS or FAIL that no accepted deviation is about."""
    accepted = {deviation["criterion"] for deviation in deviations if deviation["accepted_by"] is not None}
    return [
        str(result["criterion"])
        for result in results
        if str(result["outcome"]) not in ("PASS", "FAIL") and result["criterion"] not in accepted
    ]
