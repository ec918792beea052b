"""The report as data: canonical JSON with every field of ISO/IEC 17025:2017, 7.8.2.1 a) to p), and the decision rule of 7.8.6 (V-23).

The document is complete before anybody signs it: its number, its end mark and the evidence root are in it. Only the date of issue lies
beside it, because issuing is the last step. HTML and PDF are two views of this one document. Instants are µs (UTC), calendar days text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from services.verification.domain.reports.derived import counted, derived, undecided
from services.verification.domain.reports.facts import RunFacts
from services.verification.domain.reports.profile import Particulars, Profile
from services.verification.domain.reports.results import clauses_of, results_of
from shared.contracts.registry import Name
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.kernel.times import Micros


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
    records = derived(
        number=number,
        criteria=facts.criteria,
        streams=facts.streams,
        lifecycle=facts.lifecycle,
        engine=facts.evaluation.engine,
    )
    return {
        "format": records["format"],
        "type": kind,
        "number": number,
        "title": type_.title.model_dump(),
        "end_mark": records["end_mark"],
        "laboratory": {**profile.laboratory.model_dump(mode="json"), "platform": _words(facts.platform_name)},
        "location": (profile.location or profile.laboratory.address).model_dump(),
        "customer": {
            **records["customer"],
            "name": _words(facts.customer.name),
            "credit_code": facts.customer.credit_code,
            "contact": particulars.customer_contact.model_dump(),
        },
        "method": records["method"],
        "item": {
            "name": facts.run["item"],
            "revision": facts.run["item_revision"],
            "description": particulars.item_description.model_dump(),
            "condition": particulars.item_condition.model_dump(),
        },
        "dates": {
            "item_received_on": particulars.item_received_on.isoformat(),
            "sampled_on": _day(particulars.sampling.sampled_on),
            **records["dates"],
            "drafted_at": drafted_at,
        },
        "zone": facts.zone,
        "sampling": particulars.sampling.statement.model_dump(),
        "environment": _optional(particulars.environment),
        "run": {**records["run"], **_run(facts)},
        "verdict": facts.evaluation.verdict,
        "results": results,
        "clauses": clauses_of(results),
        "data_quality": {
            "streams": [stream.document() | counted(evidence["parts"], stream.stream) for stream in facts.quality]
        },
        "deviations": deviations,
        "additions": _optional(particulars.additions),
        "externals": [item.model_dump() for item in particulars.externals],
        "opinions": _optional(particulars.opinions),
        "remark": _optional(profile.remark),
        "statements": records["statements"],
        "signatures": [str(role) for role in type_.signatures],
        "evaluation": facts.evaluation.document(),
        "evidence": dict(evidence),
        "replaces": None if replaces is None else dict(replaces),
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
    if open_ := undecided(evaluation.results, [deviation.document() for deviation in facts.deviations]):
        raise NotAllowed(
            "report_undecided", f"not decided, and no accepted deviation: {', '.join(open_)}", field="deviations",
            remedy="record a deviation for each of them and let another person accept it",
            extra={"criteria": open_},
        )  # fmt: skip
    return profile


def _run(facts: RunFacts) -> dict[str, Any]:
    wanted = ("scene", "verification_kind", "iteration", "previous_run", "equipment", "state")
    return {
        **{name: facts.run[name] for name in wanted},
        "line_name": _words(facts.line_name),
        "phases": [asdict(span) for span in facts.phases],
    }


def _words(name: Name) -> dict[str, str]:
    return {"en": name.en, "zh": name.zh}


def _optional(text: Any) -> Any:
    return None if text is None else text.model_dump()


def _day(day: Any) -> str | None:
    return None if day is None else day.isoformat()
