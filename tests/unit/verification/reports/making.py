"""A small run, its report, signed by three people, and its evidence pack, all in memory."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.verification.adapters.reports.frames import FrameFile
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.plan import RunPlan
from services.verification.domain.rebuilding import rebuild
from services.verification.domain.reports import pack
from services.verification.domain.reports.document import compose, document_digest
from services.verification.domain.reports.evidence import FrameRoots, evidence_of, frame_leaf
from services.verification.domain.reports.facts import Customer, Deviation, Evaluation, RunFacts, StreamQuality
from services.verification.domain.reports.members import evidence_members, report_members
from services.verification.domain.reports.packing import whole, write_pack
from services.verification.domain.reports.profile import Particulars, Profile, load_particulars, load_profile
from services.verification.domain.reports.signatures import PublicKey, Signature, next_statement, public_key_of, sign
from services.verification.domain.reports.trust import RegisteredKey, Trust
from services.verification.domain.results import result_facts
from shared.contracts.frame import Frame
from shared.contracts.lifecycle import PinnedStream, RunStarted
from shared.contracts.registry import Name
from shared.kernel.canonical import canonical_json
from shared.kernel.times import to_rfc3339
from shared.storage.blocks import StoredFrame
from tests.unit.verification.building import FACTS, SECOND, STREAMS, begun, criteria_of, ended, kpa, one, two

POLICY = ("performed", "reviewed", "approved")
PEOPLE = ("li", "wang", "chen")
PRIVATE = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")) for name in PEOPLE}
NAMES = {"li": "Li Wei 李伟", "wang": "Wang Fang 王芳", "chen": "Chen Jing 陈静"}
KEYS = {name: PublicKey(name, NAMES[name], public_key_of(PRIVATE[name]), POLICY) for name in PEOPLE}

SIGNED_AT = 1_700_000_000_000_000
TRUST = Trust(
    {key.fingerprint: RegisteredKey(key, SIGNED_AT - 1, None) for key in KEYS.values()}, {"verification": [POLICY]}
)

PROFILE_TEXT = """
platform: platform
laboratory:
  name: {en: Pilot Testing Centre, zh: 中试验证中心}
  address: {en: "1 Test Road, Wuhan", zh: 武汉市测试路1号}
  contact: "+86 27 0000 0000"
  accreditation: {body: CNAS, number: L00000}
report_types:
  verification:
    title: {en: Verification report, zh: 中试验证报告}
    signatures: [performed, reviewed, approved]
"""
PARTICULARS_TEXT = """
customer_contact: "Ms Zhang, zhang@example.com"
item_description: {en: Epoxy resin batch, zh: 环氧树脂批次}
item_condition: {en: Sealed drum, zh: 密封桶装}
item_received_on: 2026-01-02
sampling: {statement: {en: As received from the customer, zh: 由客户送样}}
"""

CRITERIA = (
    {"kind": "band", "signal": "one.x", "low": kpa(0.0), "high": kpa(10.0), "clause": "5.1"},
    {"kind": "band", "signal": "two.z", "high": {"value": 40.0, "unit": "Pa"}, "clause": "5.2"},
    {"kind": "window_statistics", "signal": "one.x", "statistic": "mean", "high": kpa(6.0), "clause": "5.1"},
)
LENGTH = 120


def profile() -> Profile:
    return load_profile(PROFILE_TEXT)


def particulars() -> Particulars:
    return load_particulars(PARTICULARS_TEXT)


def recorded() -> list[Frame]:
    """A frame of line/one every ten seconds, one of line/two every twenty."""
    frames = [
        one([(t, 5.0 + (t % 7) / 4) for t in range(start, start + 10)], seq=number)
        for number, start in enumerate(range(0, LENGTH, 10))
    ]
    frames += [
        two([(t, 20.0 + t % 5) for t in range(start, start + 20, 2)], seq=number)
        for number, start in enumerate(range(0, LENGTH, 20))
    ]
    return sorted(frames, key=lambda frame: (int(frame.times_array()[0]), frame.boot, frame.seq, frame.stream))


def stored(frames: Iterable[Frame]) -> list[StoredFrame]:
    return [
        StoredFrame(
            frame.stream, frame.boot, frame.seq, frame.registry_version, int(frame.times_array()[-1]), 0, offset,
            frame.content_hash(), False, frame.times_array(), frame.values_array(), frame.quality_array(),
        )
        for offset, frame in enumerate(frames)
    ]  # fmt: skip


def facts_of(frames: Sequence[Frame], *criteria: dict[str, Any], deviations: Sequence[Deviation] = ()) -> RunFacts:
    """A finished run of those criteria, judged."""
    wanted = criteria_of(*(criteria or CRITERIA))
    plan = RunPlan.build(run="run", criteria=wanted, streams=STREAMS, start=0)
    pins = tuple(PinnedStream(stream.id, stream.version, stream.digest()) for stream in STREAMS)
    started = RunStarted(
        at=0, project="project", customer="acme", criteria_set="set", criteria_version=1, criteria_digest=wanted.digest(),
        streams=pins, **FACTS,
    )  # fmt: skip
    records: list[Lifecycle] = [started, begun(), ended(LENGTH)]
    evaluator = rebuild(plan, records, frames)
    result = evaluator.result()
    evaluation = Evaluation(
        number=2, cause="close", final=True, mismatch=False, verdict=result.outcome.name.lower(), how=result.how,
        engine=result.engine, criteria_digest=result.criteria_digest, inputs_digest=result.inputs_digest, digest=result.digest,
        results=json.loads(canonical_json([result_facts(state) for state in result.criteria])),
    )  # fmt: skip
    run = {
        "run": "run", "project": "project", "customer": "acme", "platform": "platform", "line": "line", "scene": "replica",
        "verification_kind": "process", "item": "resin", "item_revision": "B", "iteration": 2, "previous_run": "run-0",
        "equipment": ["reactor"], "criteria_set": "set", "criteria_version": 1, "criteria_digest": wanted.digest(),
        "state": "complete", "started_at": 0, "ended_at": LENGTH * SECOND, "end_reason": "done",
    }  # fmt: skip
    return RunFacts(
        run=run,
        customer=Customer("acme", Name("Acme", "爱克美"), "91110000600037341L"),
        platform_name=Name("Platform", "平台"),
        line_name=Name("Line", "产线"),
        zone="Asia/Shanghai",
        criteria=wanted.model_dump(mode="json"),
        streams=STREAMS,
        lifecycle=msgspec.to_builtins(records),
        evaluation=evaluation,
        deviations=deviations,
        quality=(
            StreamQuality("line/one", 1, 1, 2, {"out_of_range": 3}, 1),
            StreamQuality("line/two", 0, 0, 0, {}, 0),
        ),
        phases=evaluator.phases,
    )


def signed(document: Mapping[str, Any], people: Sequence[str] = PEOPLE) -> list[Signature]:
    chain: list[Signature] = []
    digest = document_digest(document)
    for name, role in zip(people, document["signatures"], strict=False):
        statement = next_statement(digest, document["signatures"], chain, KEYS[name], role, SIGNED_AT)
        chain.append(sign(PRIVATE[name], statement))
    return chain


Change = Callable[[Any], Any]


def members(
    folder: Path,
    *,
    frames: Sequence[Frame] | None = None,
    change_frame: Callable[[StoredFrame], StoredFrame] = lambda frame: frame,
    change: Mapping[str, Change] | None = None,
    people: Sequence[str] = PEOPLE,
    facts: RunFacts | None = None,
) -> dict[str, bytes]:
    """The members of the run's pack. `change_frame` and `change` (by member) alter what is written behind the evaluation and the report."""
    given = recorded() if frames is None else list(frames)
    facts = facts or facts_of(given)
    assert facts.evaluation is not None
    evaluations = [
        {**facts.evaluation.document(), "result": {"how": "completed", "criteria": facts.evaluation.results}}
    ]
    documents = evidence_members(facts, versions=STREAMS, evaluations=evaluations)
    roots = FrameRoots()
    for frame in stored(given):
        leaf = frame_leaf(frame.boot, frame.seq, len(frame.times), frame.hash, frame.quality.tobytes())
        roots.add(frame.stream, frame.registry_version, leaf, len(frame.times))
    document = compose(
        number="VR-2026-000001", kind="verification", profile=profile(), particulars=particulars(), facts=facts,
        evidence=evidence_of(documents, roots), drafted_at=SIGNED_AT,
    )  # fmt: skip
    digest = document_digest(document)
    issue = {"number": document["number"], "digest": digest, "issued_at": 1_700_000_100_000_000}
    documents |= report_members(document, digest, issue, signed(document, people), [KEYS[name] for name in people])
    for name, altered in (change or {}).items():
        documents[name] = canonical_json(altered(json.loads(documents[name])))
    for stream in STREAMS:
        path = folder / f"{stream.id.replace('/', '-')}.parquet"
        file = FrameFile(path, stream)
        for frame in stored(given):
            if frame.stream == stream.id:
                file.add(change_frame(frame))
        file.close()
        documents[pack.frames_name(stream.id, 1)] = path.read_bytes()
    return documents


def trust_file() -> str:
    """TRUST as `pilotline reports keys list --json` prints it."""
    items = [
        item.key.document() | {"registered_at": to_rfc3339(item.registered_at), "revoked_at": None}
        for item in TRUST.keys.values()
    ]
    return json.dumps({"items": items, "policies": {"verification": [list(POLICY)]}})


def packed(documents: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    write_pack([whole(name, data) for name, data in documents.items()], out.write)
    return out.getvalue()


def value_changed(frame: StoredFrame, seq: int, row: int, *, rehash: bool) -> StoredFrame:
    """The frame of line/one with that number, with one value of that row changed."""
    if (frame.stream, frame.seq) != ("line/one", seq):
        return frame
    values = np.array(frame.values)
    values[row, 0] += 0.25
    other = replace(frame, values=values)
    return replace(other, hash=other.content_hash()) if rehash else other
