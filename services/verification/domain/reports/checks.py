"""Whether report, signatures and evaluation of a pack agree with one another and with what was recomputed (V-25). Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.verification.domain.outcomes import RunResult
from services.verification.domain.phases import PhaseSpan
from services.verification.domain.reports import pack
from services.verification.domain.reports.document import document_digest
from services.verification.domain.reports.evidence import EVIDENCE, evidence_root
from services.verification.domain.reports.findings import Finding, FindingKind
from services.verification.domain.reports.results import clauses_of, results_of
from services.verification.domain.reports.signatures import PublicKey, Signature, check_next
from services.verification.domain.results import result_facts
from shared.contracts.registry import Stream
from shared.kernel.canonical import canonical_json, digest, sha256_hex
from shared.kernel.errors import Problem

_LATER = frozenset({"worst_unit", "measured"})
"""Fields of a result that reports of earlier versions do not hold."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed, as the pack says; `trusted`: the key is among those the reader brought along, None when none were brought."""

    position: int
    role: str
    name: str
    fingerprint: str
    trusted: bool | None


def check_digest(report: Mapping[str, Any]) -> list[Finding]:
    """The report's digest, and its record of issue."""
    actual = document_digest(report["document"])
    found = []
    if report["digest"] != actual:
        found.append(_value("report.json digest", report["digest"], actual))
    issue = report["issue"]
    if issue is not None and (issue["number"], issue["digest"]) != (report["document"]["number"], actual):
        found.append(_value("report.json issue", issue["digest"], actual))
    return found


def check_documents(document: Mapping[str, Any], members: Mapping[str, memoryview]) -> list[Finding]:
    """The JSON members against the evidence parts of the signed report, and its root against the parts."""
    parts = {part["part"]: part for part in document["evidence"]["parts"] if part["part"] != "frames"}
    found = []
    for name in EVIDENCE:
        actual = sha256_hex(bytes(members[name]))
        if name not in parts or parts[name]["sha256"] != actual:
            found.append(_value(f"{name} (evidence of the report)", parts.get(name, {}).get("sha256"), actual))
    root = evidence_root(document["evidence"]["parts"])
    if document["evidence"]["root"] != root:
        found.append(_value("evidence root", document["evidence"]["root"], root))
    return found


def check_attachments(lifecycle: Sequence[Mapping[str, Any]], members: Mapping[str, memoryview]) -> list[Finding]:
    """Every file that a record names is there, is that file, and no other one is there."""
    wanted = {pack.attachment_name(content): content for content in pack.attachments_of(lifecycle)}
    found = [Finding(FindingKind.MEMBER, name, "the file is missing") for name in wanted if name not in members]
    for name in members:
        if name.startswith(pack.ATTACHMENTS) and sha256_hex(bytes(members[name])) != wanted.get(name):
            found.append(Finding(FindingKind.MEMBER, name, "no record of the run names this content"))
    return found


def check_frame_parts(document: Mapping[str, Any], actual: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The frames of every stream against the evidence parts of the signed report."""

    def keyed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
        return {
            f"{part['stream']} version {part['registry_version']}": part for part in parts if part["part"] == "frames"
        }

    said, made = keyed(document["evidence"]["parts"]), keyed(actual)
    return [
        _value(f"frames of {key}", _root(said.get(key)), _root(made.get(key)))
        for key in sorted({*said, *made})
        if said.get(key) != made.get(key)
    ]


def check_signatures(
    document: Mapping[str, Any],
    signatures: Sequence[Mapping[str, Any]],
    keys: Sequence[Mapping[str, Any]],
    trusted: Collection[str] | None,
) -> tuple[list[Finding], list[Signer]]:
    """Every signature in its place, by the key that the pack names for it; `trusted` are fingerprints the reader holds for genuine."""
    policy = list(document["signatures"])
    known = {key.fingerprint: key for key in map(PublicKey.of, keys)}
    chain: list[Signature] = []
    found: list[Finding] = []
    signers = []
    for position, item in enumerate(signatures, 1):
        where = f"{position} {item.get('role', '')}".strip()
        try:
            signature = Signature.of(item)
            key = known.get(signature.statement.key)
            if key is None:
                found.append(Finding(FindingKind.SIGNATURE, where, "the pack holds no key for it"))
                break
            check_next(document_digest(document), policy, chain, signature, key)
        except Problem as problem:
            found.append(Finding(FindingKind.SIGNATURE, where, f"{problem.code}: {problem.detail}"))
            break
        genuine = None if trusted is None else key.fingerprint in trusted
        if genuine is False:
            found.append(
                Finding(
                    FindingKind.SIGNATURE, where, f"{key.name}'s key {key.fingerprint} is not among the trusted ones"
                )
            )
        chain.append(signature)
        signers.append(Signer(position, signature.statement.role, key.name, key.fingerprint, genuine))
    if not found and len(chain) < len(policy):
        found.append(
            Finding(FindingKind.SIGNATURE, f"{len(chain) + 1} {policy[len(chain)]}", "the signature is missing")
        )
    return found, signers


def check_result(
    document: Mapping[str, Any],
    evaluations: Sequence[Mapping[str, Any]],
    criteria: Mapping[str, Any],
    streams: Sequence[Stream],
    lifecycle: Sequence[Mapping[str, Any]],
    result: RunResult,
) -> list[Finding]:
    """Digests and figures, in the report and in the evaluation it reports, against those computed from the frames; and what the report says
    beside the figures (requirement, decision rule, uncertainty) against criteria and registry."""
    said = document["evaluation"]
    found = [
        _value(f"evaluation {said['number']} {name}", said[name], getattr(result, name))
        for name in ("inputs_digest", "criteria_digest", "digest")
        if said[name] != getattr(result, name)
    ]
    kept = next((item for item in evaluations if item["number"] == said["number"]), None)
    if kept is None:
        return [*found, Finding(FindingKind.VALUE, "evaluations.json", f"evaluation {said['number']} is missing")]
    computed = [_plain(result_facts(state)) for state in result.criteria]
    stored = {item["criterion"]: item for item in kept["result"]["criteria"]}
    for facts in computed:
        found += _compared(f"evaluations.json {facts['criterion']}", stored.get(facts["criterion"], {}), facts)
    results = results_of(
        criteria=criteria,
        results=computed,
        streams=streams,
        started_at=document["dates"]["performed_from"],
        deviations=document["deviations"],
        lifecycle=lifecycle,
    )
    reported = {item["criterion"]: item for item in document["results"]}
    for expected in map(_plain, results):
        said_of = reported.pop(expected["criterion"], {})
        known = {name: value for name, value in expected.items() if name in said_of or name not in _LATER}
        found += _compared(f"report.json {expected['criterion']}", said_of, known)
    found += [Finding(FindingKind.VALUE, f"report.json {name}", "the run has no such criterion") for name in reported]
    for where, verdict in (("report.json", document["verdict"]), ("evaluations.json", kept["verdict"])):
        if verdict != result.outcome.name.lower():
            found.append(_value(f"{where} verdict", verdict, result.outcome.name.lower()))
    if document["clauses"] != clauses_of(document["results"]):
        found.append(Finding(FindingKind.VALUE, "report.json clauses", "do not follow from the results"))
    return found


def check_phases(document: Mapping[str, Any], phases: Sequence[PhaseSpan]) -> list[Finding]:
    """The phases that the report tells of against those that commands and telemetry have made."""
    computed = [asdict(span) for span in phases]
    said = document["run"].get("phases", computed)
    return [] if said == computed else [_value("report.json phases", said, computed)]


def check_deviations(document: Mapping[str, Any], deviations: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The report names the accepted deviations, all of them and no other."""
    accepted = [item for item in deviations if item["accepted_by"] is not None]
    return (
        []
        if document["deviations"] == accepted
        else [_value("report.json deviations", document["deviations"], accepted)]
    )


def check_pins(criteria: Any, document: Mapping[str, Any]) -> list[Finding]:
    """The criteria of the pack against the digest the run has pinned."""
    actual = digest(criteria)
    said = document["method"]["criteria_digest"]
    return [] if said == actual else [_value("criteria.json digest", said, actual)]


def _compared(where: str, said: Mapping[str, Any], computed: Mapping[str, Any]) -> list[Finding]:
    return [
        _value(f"{where} {name}", said.get(name), value)
        for name, value in computed.items()
        if name not in said or said[name] != value
    ]


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    """As JSON reads it back."""
    plain: dict[str, Any] = json.loads(canonical_json(facts))
    return plain


def _root(part: Mapping[str, Any] | None) -> str:
    return "none" if part is None else f"{part['frames']} frames, {part['merkle_root']}"


def _value(where: str, said: object, computed: object) -> Finding:
    return Finding(FindingKind.VALUE, where, f"says {said}, computed is {computed}")
