"""The report as data: canonical JSON with every field of ISO/IEC 17025:2017, 7.8.2.1 a) to p), and the decision rule of 7.8.6 (V-23).

The document is complete before anybody signs it: its number, its end mark and the evidence root are in it. Only the date of issue lies
beside it, because issuing is the last step. HTML and PDF are two views of this one document. Instants are µs (UTC), calendar days text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.verification.domain.criteria.temporal import FORMULA_KINDS
from services.verification.domain.reports.facts import Deviation, RunFacts
from services.verification.domain.reports.profile import Particulars, Profile
from services.verification.domain.reports.results import clauses_of, results_of
from shared.contracts.registry import Name
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.kernel.times import Micros

FORMAT = "pilotline-report/1"
STATEMENTS = {
    "items_only": {
        "en": "The results relate only to the items tested.",
        "zh": "本报告结果仅对被测样品有效。",
    },
    "whole_only": {
        "en": "This report shall not be reproduced except in full without the written approval of the laboratory.",
        "zh": "未经本实验室书面批准，不得部分复制本报告。",
    },
}
_COMPARISON = {
    "rounding": {
        "en": "Conformity is decided with unrounded values; results are rounded for this report, requirements and uncertainties are not.",
        "zh": "符合性以未修约值判定；报告中的结果为修约值，要求与不确定度未经修约。",
    },
    "simple": {
        "en": "Under simple acceptance a value equal to its limit conforms.",
        "zh": "按简单接受规则，等于限值即为符合。",
    },
    "drawn_in": {
        "en": "Where a guard band or a minimum probability draws the limit in, a value equal to the limit drawn in conforms;"
        " one between it and the agreed limit does not.",
        "zh": "采用保护带或最低合格概率而收紧限值时，等于收紧后的限值即为符合；介于其与约定限值之间的不符合。",
    },
    "four_level": {
        "en": "Under four levels a value inside its limit by less than w, or equal to it, conforms conditionally.",
        "zh": "按四级判定，限值以内且距限值不足 w 或等于限值的，为有条件符合。",
    },
    "conditions": {
        "en": "In conditions, ≤ and ≥ hold at the limit, < and > do not; by this it is also decided whether what is forbidden has occurred.",
        "zh": "条件中，等于限值时 ≤ 与 ≥ 成立，< 与 > 不成立；禁止的情形是否出现亦按此判定。",
    },
}
_DRAWN_IN = frozenset({"guard_band", "min_probability"})
_OF_CONDITIONS = FORMULA_KINDS | {"count", "success_rate", "mtbf"}
"""Kinds that judge conditions, whose limits lie in the conditions."""


def compose(
    *,
    number: str,
    kind: str,
    profile: Profile | None,
    particulars: Particulars,
    facts: RunFacts,
    evidence: Mapping[str, Any],
    drafted_at: Micros,
    replaces: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document of a report that may be written. `replaces`: number, digest and reason, for an amendment. Raises what `check` raises."""
    profile = check(facts, profile, kind)
    type_ = profile.report_types[kind]
    assert facts.evaluation is not None
    deviations = [deviation.document() for deviation in facts.deviations if deviation.accepted_by is not None]
    results = results_of(
        criteria=facts.criteria,
        results=facts.evaluation.results,
        streams=facts.streams,
        started_at=facts.run["started_at"],
        deviations=deviations,
        lifecycle=facts.lifecycle,
    )
    return {
        "format": FORMAT,
        "type": kind,
        "number": number,
        "title": type_.title.model_dump(),
        "end_mark": _end_mark(number),
        "laboratory": {**profile.laboratory.model_dump(mode="json"), "platform": _words(facts.platform_name)},
        "location": (profile.location or profile.laboratory.address).model_dump(),
        "customer": {
            "id": facts.customer.id,
            "name": _words(facts.customer.name),
            "credit_code": facts.customer.credit_code,
            "contact": particulars.customer_contact.model_dump(),
        },
        "method": _method(facts, particulars),
        "item": {
            "name": facts.run["item"],
            "revision": facts.run["item_revision"],
            "description": particulars.item_description.model_dump(),
            "condition": particulars.item_condition.model_dump(),
        },
        "dates": {
            "item_received_on": particulars.item_received_on.isoformat(),
            "sampled_on": _day(particulars.sampling.sampled_on),
            "performed_from": facts.run["started_at"],
            "performed_to": facts.run["ended_at"],
            "drafted_at": drafted_at,
        },
        "zone": facts.zone,
        "sampling": particulars.sampling.statement.model_dump(),
        "environment": _optional(particulars.environment),
        "run": _run(facts),
        "verdict": facts.evaluation.verdict,
        "results": results,
        "clauses": clauses_of(results),
        "data_quality": {"streams": [stream.document() for stream in facts.quality]},
        "deviations": deviations,
        "additions": _optional(particulars.additions),
        "externals": [item.model_dump() for item in particulars.externals],
        "opinions": _optional(particulars.opinions),
        "remark": _optional(profile.remark),
        "statements": {**STATEMENTS, "comparison": comparison_of(facts.criteria["criteria"])},
        "signatures": [str(role) for role in type_.signatures],
        "evaluation": facts.evaluation.document(),
        "evidence": dict(evidence),
        "replaces": None if replaces is None else dict(replaces),
    }


def comparison_of(criteria: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How values at a limit are judged, for the kinds and decision rules of these criteria and no other."""
    rules = {item["decision"]["rule"] for item in criteria if item["kind"] not in _OF_CONDITIONS}
    said = ["rounding"]
    said += ["simple"] if "simple" in rules else []
    said += ["drawn_in"] if rules & _DRAWN_IN else []
    said += ["four_level"] if "four_level" in rules else []
    said += ["conditions"] if any(item["kind"] in _OF_CONDITIONS for item in criteria) else []
    return {
        "en": " ".join(_COMPARISON[key]["en"] for key in said),
        "zh": "".join(_COMPARISON[key]["zh"] for key in said),
    }


def document_digest(document: Mapping[str, Any]) -> str:
    """What the signatures cover."""
    return digest(document)


def check(facts: RunFacts, profile: Profile | None, kind: str) -> Profile:
    """Whether a report of this kind may be written of the run.

    Raises NotFound(report_profile_missing), Invalid(report_type_unknown) or NotAllowed(report_run_open | report_mismatch |
    report_not_final | report_undecided).
    """
    if profile is None:
        raise NotFound(
            "report_profile_missing", f"the platform {facts.run['platform']} has not said what stands on its reports",
            field="platform", remedy="write a profile and apply it: `pilotline reports profile apply FILE`",
        )  # fmt: skip
    if kind not in profile.report_types:
        raise Invalid(
            "report_type_unknown", f"the platform has no report type {kind}", field="type",
            remedy=f"use one of: {', '.join(sorted(profile.report_types))}",
        )  # fmt: skip
    evaluation = facts.evaluation
    if facts.run["ended_at"] is None or evaluation is None:
        raise NotAllowed(
            "report_run_open",
            f"the run {facts.run['run']} has not ended",
            field="run",
            remedy="complete or stop it first",
        )
    if evaluation.mismatch:
        raise NotAllowed(
            "report_mismatch", "live evaluation and recomputation from stored data disagree; no report is issued over that",
            field="run", remedy="find out why they differ; both are kept under the run's evaluations",
        )  # fmt: skip
    if not evaluation.final:
        raise NotAllowed(
            "report_not_final", "the evaluation is not final yet", field="run",
            remedy="wait until the worker has compared the run with its stored data",
        )  # fmt: skip
    if undecided := _undecided(evaluation.results, facts.deviations):
        raise NotAllowed(
            "report_undecided", f"not decided, and no accepted deviation: {', '.join(undecided)}", field="deviations",
            remedy="record a deviation for each of them and let another person accept it",
            extra={"criteria": undecided},
        )  # fmt: skip
    return profile


def _undecided(results: Sequence[Mapping[str, Any]], deviations: Sequence[Deviation]) -> list[str]:
    accepted = {deviation.criterion for deviation in deviations if deviation.accepted_by is not None}
    return [
        str(result["criterion"])
        for result in results
        if str(result["outcome"]) not in ("PASS", "FAIL") and result["criterion"] not in accepted
    ]


def _end_mark(number: str) -> dict[str, str]:
    return {"en": f"End of report {number}", "zh": f"报告 {number} 正文结束"}


def _method(facts: RunFacts, particulars: Particulars) -> dict[str, Any]:
    assert facts.evaluation is not None
    return {
        "criteria_set": facts.run["criteria_set"],
        "criteria_version": facts.run["criteria_version"],
        "criteria_digest": facts.run["criteria_digest"],
        "title": facts.criteria["title"],
        "phases": [{"id": phase["id"], "title": phase["title"]} for phase in facts.criteria["phases"]],
        "standard": facts.criteria.get("standard"),
        "engine": facts.evaluation.engine,
        "streams": [
            {"stream": stream.id, "registry_version": stream.version, "digest": stream.digest()}
            for stream in facts.streams
        ],
    }


def _run(facts: RunFacts) -> dict[str, Any]:
    wanted = (
        "run",
        "project",
        "line",
        "scene",
        "verification_kind",
        "iteration",
        "previous_run",
        "equipment",
        "state",
        "end_reason",
    )
    return {
        **{name: facts.run[name] for name in wanted},
        "line_name": _words(facts.line_name),
        "history": [
            {
                name: record[name]
                for name in ("type", "at", "phase", "reason", "how")
                if record.get(name) not in (None, "")
            }
            for record in facts.lifecycle
        ],
        "phases": [asdict(span) for span in facts.phases],
    }


def _words(name: Name) -> dict[str, str]:
    return {"en": name.en, "zh": name.zh}


def _optional(text: Any) -> Any:
    return None if text is None else text.model_dump()


def _day(day: Any) -> str | None:
    return None if day is None else day.isoformat()
