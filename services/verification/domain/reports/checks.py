"""Whether report, signatures and evaluation of a pack agree with one another and with what was recomputed (V-25). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.verification.domain.outcomes import RunResult
from services.verification.domain.phases import PhaseSpan
from services.verification.domain.reports import pack
from services.verification.domain.reports.derived import counted, derived, entered, undecided
from services.verification.domain.reports.document import document_digest
from services.verification.domain.reports.evidence import EVIDENCE, evidence_root
from services.verification.domain.reports.findings import Finding, FindingKind
from services.verification.domain.reports.results import clauses_of, results_of
from services.verification.domain.reports.signatures import CLOCK_TOLERANCE, PublicKey, Role, Signature, check_next
from services.verification.domain.reports.trust import Trust, check_policy, distrusted
from services.verification.domain.results import result_facts
from shared.contracts.registry import Stream
from shared.kernel.canonical import canonical_json, digest, sha256_hex
from shared.kernel.errors import Problem
from shared.kernel.persons import same_person
from shared.kernel.times import to_rfc3339


@dataclass(frozen=True, slots=True)
class Signer:
    """Who has signed; `trusted`: by the keys that the reader brought along, None when none were brought."""

    position: int
    role: str
    name: str
    fingerprint: str
    trusted: bool | None


def check_digest(report: Mapping[str, Any]) -> list[Finding]:
    """The report's digest."""
    actual = document_digest(report["document"])
    found = [] if report["digest"] == actual else [_value("report.json digest", report["digest"], actual)]
    strange = sorted(set(report) - {"document", "digest", "issue"})
    return found + [Finding(FindingKind.VALUE, f"report.json {name}", "does not belong here") for name in strange]


def check_issue(report: Mapping[str, Any], signatures: Sequence[Signature]) -> list[Finding]:
    """The record of issue, which nobody signs: of this report, after the last signature."""
    issue = report["issue"]
    if issue is None:
        return []
    document = report["document"]
    wanted = {"number": document["number"], "digest": document_digest(document), "issued_at": issue.get("issued_at")}
    if issue != wanted or type(issue["issued_at"]) is not int:
        return [_value("report.json issue", issue, wanted)]
    signed_at = max((signature.statement.signed_at for signature in signatures), default=0)
    if issue["issued_at"] < signed_at - CLOCK_TOLERANCE:
        detail = f"issued at {issue['issued_at']}, before the last signature at {signed_at}"
        return [Finding(FindingKind.VALUE, "report.json issue", detail)]
    return []


def check_documents(document: Mapping[str, Any], members: Mapping[str, memoryview]) -> list[Finding]:
    """The JSON members against the evidence parts of the signed report, and its root against the parts."""
    parts = {part["part"]: part for part in document["evidence"]["parts"] if part["part"] != "frames"}
    found = []
    for name in EVIDENCE:
        actual = sha256_hex(bytes(members[name]))
        if name not in parts or parts[name]["sha256"] != actual:
            found.append(_value(f"{name} (evidence of the report)", parts.get(name, {}).get("sha256"), actual))
    found += [
        Finding(FindingKind.VALUE, f"evidence {name}", "the report names a part that a pack does not have")
        for name in parts
        if name not in EVIDENCE
    ]
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
    trust: Trust | None,
) -> tuple[list[Finding], list[Signature], list[Signer]]:
    """Every signature in its place. Whose key it is and what that person may sign, `trust` says; the pack only where none was brought."""
    policy, found = _policy(document, trust)
    known, wrong = _known_keys(keys, trust)
    found += wrong
    chain: list[Signature] = []
    signers: list[Signer] = []
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
        reason = _out_of_time(signature, document)
        if trust is not None:
            reason = distrusted(signature.statement, trust) or reason
        if reason:
            found.append(Finding(FindingKind.SIGNATURE, where, reason))
        chain.append(signature)
        genuine = None if trust is None else not reason
        signers.append(Signer(position, signature.statement.role, key.name, key.fingerprint, genuine))
    if len(chain) == len(signatures) < len(policy):
        found.append(
            Finding(FindingKind.SIGNATURE, f"{len(chain) + 1} {policy[len(chain)]}", "the signature is missing")
        )
    if not found and (len(keys) > len(known) or list(known) != [signer.fingerprint for signer in signers]):
        found.append(Finding(FindingKind.SIGNATURE, "keys.json", "holds other keys than those of the signatures"))
    return found, chain, signers


def _policy(document: Mapping[str, Any], trust: Trust | None) -> tuple[list[str], list[Finding]]:
    """Who has to sign, as the document says; with what is wrong about that: nobody, no known role, or not what the platform asks for."""
    policy = document["signatures"]
    known = isinstance(policy, list) and policy and all(role in list(Role) for role in policy)
    if not known or len(set(policy)) < len(policy):
        return [], [
            Finding(FindingKind.SIGNATURE, "policy", f"says {policy}: a report is signed by somebody, in known roles")
        ]
    return policy, [] if trust is None else check_policy(document, trust)


def _known_keys(keys: Sequence[Mapping[str, Any]], trust: Trust | None) -> tuple[dict[str, PublicKey], list[Finding]]:
    """By fingerprint, as they are registered; as the pack says where nobody knows better."""
    known: dict[str, PublicKey] = {}
    found = []
    for position, item in enumerate(keys, 1):
        try:
            key = PublicKey.of(item)
        except Problem as problem:
            found.append(Finding(FindingKind.SIGNATURE, f"keys.json {position}", problem.detail))
            continue
        registered = None if trust is None else trust.keys.get(key.fingerprint)
        if registered is not None and registered.key != key:
            found.append(_value(f"keys.json {position}", key.document(), registered.key.document()))
        known[key.fingerprint] = key if registered is None else registered.key
    return known, found


def _out_of_time(signature: Signature, document: Mapping[str, Any]) -> str:
    drafted, signed = document["dates"]["drafted_at"], signature.statement.signed_at
    early = signed < drafted - CLOCK_TOLERANCE
    return f"signed at {to_rfc3339(signed)}, before the report was drafted at {to_rfc3339(drafted)}" if early else ""


def check_records(
    document: Mapping[str, Any],
    documents: Mapping[str, Any],
    streams: Sequence[Stream],
    parts: Sequence[Mapping[str, Any]],
) -> list[Finding]:
    """What the report says that follows from the records in the pack, and the members that follow from one another. `parts` are those of the
    evidence as computed from the frames."""
    lifecycle = documents[pack.LIFECYCLE]
    records = derived(
        number=document["number"],
        criteria=documents[pack.CRITERIA],
        streams=streams,
        lifecycle=lifecycle,
        engine=document["evaluation"]["engine"],
    )
    found = []
    for section, expected in _plain(records).items():
        if section in ("customer", "dates", "run"):
            said = document[section]
            found += _compared(f"report.json {section}", {name: said.get(name) for name in expected}, expected)
        elif document[section] != expected:
            found.append(_value(f"report.json {section}", document[section], expected))
    for item in document["data_quality"]["streams"]:
        expected = counted(parts, item["stream"])
        found += _compared(
            f"report.json data_quality {item['stream']}", {name: item[name] for name in expected}, expected
        )
    told = [item["stream"] for item in document["data_quality"]["streams"]]
    if told != [stream.id for stream in streams]:
        found.append(_value("report.json data_quality", told, [stream.id for stream in streams]))
    if documents[pack.RESULTS] != entered(lifecycle):
        found.append(Finding(FindingKind.VALUE, "results.json", "is not what people have entered by lifecycle.json"))
    return found + _deviations(document, documents[pack.DEVIATIONS])


def _deviations(document: Mapping[str, Any], deviations: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The report names the accepted deviations, all of them and no other; nobody has accepted an own one; none lacks that is needed."""
    found = []
    accepted = [item for item in deviations if item["accepted_by"] is not None]
    if document["deviations"] != accepted:
        found.append(_value("report.json deviations", document["deviations"], accepted))
    found += [
        Finding(FindingKind.VALUE, f"deviations.json {item['id']}", "was accepted by who recorded it")
        for item in accepted
        if same_person(item["accepted_by"], item["recorded_by"])
    ]
    return found + [
        Finding(FindingKind.VALUE, f"report.json {criterion}", "is not decided, and no deviation was accepted")
        for criterion in undecided(document["results"], accepted)
    ]


def check_result(
    document: Mapping[str, Any],
    documents: Mapping[str, Any],
    streams: Sequence[Stream],
    result: RunResult,
) -> list[Finding]:
    """Digests and figures, in the report and in the evaluation it reports, against those computed from the frames; and what the report says
    beside the figures (requirement, decision rule, uncertainty) against criteria and registry."""
    said = document["evaluation"]
    kept = next((item for item in documents[pack.EVALUATIONS] if item["number"] == said["number"]), None)
    if kept is None:
        return [Finding(FindingKind.VALUE, "evaluations.json", f"evaluation {said['number']} is missing")]
    verdict = result.outcome.name.lower()
    computed = {name: getattr(result, name) for name in ("inputs_digest", "criteria_digest", "digest", "engine", "how")}
    found = _compared(
        f"evaluation {said['number']}",
        said,
        computed | {"number": said["number"], "cause": kept["cause"], "verdict": verdict},
    )
    found += [
        _value(f"{where} verdict", given, verdict)
        for where, given in (("report.json", document["verdict"]), ("evaluations.json", kept["verdict"]))
        if given != verdict
    ]
    facts = [_plain(result_facts(state)) for state in result.criteria]
    stored = {item["criterion"]: item for item in kept["result"]["criteria"]}
    for item in facts:
        found += _compared(f"evaluations.json {item['criterion']}", stored.get(item["criterion"], {}), item)
    return found + _results(document, documents, streams, facts)


def _results(
    document: Mapping[str, Any],
    documents: Mapping[str, Any],
    streams: Sequence[Stream],
    facts: Sequence[Mapping[str, Any]],
) -> list[Finding]:
    results = results_of(
        criteria=documents[pack.CRITERIA],
        results=facts,
        streams=streams,
        started_at=document["dates"]["performed_from"],
        deviations=document["deviations"],
        lifecycle=documents[pack.LIFECYCLE],
    )
    found = []
    reported = {item["criterion"]: item for item in document["results"]}
    for expected in map(_plain, results):
        found += _compared(f"report.json {expected['criterion']}", reported.pop(expected["criterion"], {}), expected)
    found += [Finding(FindingKind.VALUE, f"report.json {name}", "the run has no such criterion") for name in reported]
    if document["clauses"] != clauses_of(document["results"]):
        found.append(Finding(FindingKind.VALUE, "report.json clauses", "do not follow from the results"))
    return found


def check_phases(document: Mapping[str, Any], phases: Sequence[PhaseSpan]) -> list[Finding]:
    """The phases that the report tells of against those that commands and telemetry have made."""
    computed, said = [asdict(span) for span in phases], document["run"]["phases"]
    return [] if said == computed else [_value("report.json phases", said, computed)]


def check_pins(criteria: Any, document: Mapping[str, Any]) -> list[Finding]:
    """The criteria of the pack against the digest the run has pinned."""
    actual = digest(criteria)
    said = document["method"]["criteria_digest"]
    return [] if said == actual else [_value("criteria.json digest", said, actual)]


def _compared(where: str, said: Mapping[str, Any], computed: Mapping[str, Any]) -> list[Finding]:
    missing = object()
    found = [
        _value(f"{where} {name}", said.get(name, "nothing"), value)
        for name, value in computed.items()
        if said.get(name, missing) != value
    ]
    return found + [
        Finding(FindingKind.VALUE, f"{where} {name}", "does not belong here") for name in said if name not in computed
    ]


def _plain(facts: Mapping[str, object]) -> dict[str, Any]:
    """As JSON reads it back."""
    plain: dict[str, Any] = json.loads(canonical_json(facts))
    return plain


def _root(part: Mapping[str, Any] | None) -> str:
    return "none" if part is None else f"{part['frames']} frames, {part['merkle_root']}"


def _value(where: str, said: object, computed: object) -> Finding:
    return Finding(FindingKind.VALUE, where, f"says {said}, computed is {computed}")
