"""`pilotline verify`: everything in an evidence pack computed again, with nothing but the pack (V-25)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.verification.adapters.reports.frames import FramesUnreadable, ReadFrame, read_frames
from services.verification.adapters.reports.judging import Judging
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.outcomes import RunResult, Verdict
from services.verification.domain.plan import ENGINE, RunPlan
from services.verification.domain.reports import checks, pack
from services.verification.domain.reports.findings import Finding, FindingKind
from shared.contracts.lifecycle import RunStarted
from shared.contracts.registry import Stream
from shared.kernel.errors import PilotlineError
from shared.storage.registry import stream_from_description

Say = Callable[[str], None]
_LISTED_ROWS = 20


@dataclass(slots=True)
class Checked:
    """What came out. `unable` says why something could not be recomputed here, though nothing contradicts it."""

    findings: list[Finding] = field(default_factory=list)
    signers: list[checks.Signer] = field(default_factory=list)
    number: str = ""
    verdict: str = ""
    run: str = ""
    digest: str = ""
    merkle_root: str = ""
    frames: int = 0
    rows: int = 0
    issued: bool = False
    unable: str = ""


def verify_pack(data: memoryview, *, trusted: Collection[str] | None, say: Say) -> Checked:
    """Everything that can be said of the pack in `data`. `trusted`: fingerprints of keys the reader holds for genuine."""
    checked = Checked()
    say("structure and hashes")
    inspected = pack.inspect(data)
    checked.merkle_root = inspected.merkle_root
    checked.findings += inspected.findings
    if checked.findings:
        return checked
    say("documents")
    documents: dict[str, Any] = {}
    for name in pack.DOCUMENTS:
        try:
            documents[name] = pack.read_document(inspected.members[name])
        except ValueError as error:
            checked.findings.append(Finding(FindingKind.MEMBER, name, f"cannot be read: {error}"))
    if checked.findings:
        return checked
    try:
        _Check(inspected.members, documents, checked, say).run(trusted)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, msgspec.ValidationError) as error:
        detail = f"the documents lack something or hold something else than they should: {error!r}"
        checked.findings.append(Finding(FindingKind.MEMBER, "documents", detail))
    except PilotlineError as error:
        checked.findings.append(Finding(FindingKind.MEMBER, "documents", str(error)))
    return checked


class _Check:
    def __init__(
        self, members: Mapping[str, memoryview], documents: Mapping[str, Any], checked: Checked, say: Say
    ) -> None:
        self._members = members
        self._documents = documents
        self._checked = checked
        self._say = say

    def run(self, trusted: Collection[str] | None) -> None:
        checked, documents = self._checked, self._documents
        report = documents[pack.REPORT]
        document = report["document"]
        checked.number, checked.verdict, checked.run = document["number"], document["verdict"], document["run"]["run"]
        checked.issued = report["issue"] is not None
        self._say("report and signatures")
        checked.findings += checks.check_digest(report)
        checked.findings += checks.check_documents(document, self._members)
        checked.findings += checks.check_attachments(documents[pack.LIFECYCLE], self._members)
        checked.findings += checks.check_pins(documents[pack.CRITERIA], document)
        found, checked.signers = checks.check_signatures(
            document, documents[pack.SIGNATURES], documents[pack.KEYS], trusted
        )
        checked.findings += found
        checked.findings += checks.check_deviations(document, documents[pack.DEVIATIONS])
        pinned, versions = _streams(documents[pack.STREAMS])
        result = self._frames(document, pinned, versions)
        if result is not None:
            checked.digest = result.digest
            self._say("figures")
            checked.findings += checks.check_result(
                document,
                documents[pack.EVALUATIONS],
                documents[pack.CRITERIA],
                pinned,
                documents[pack.LIFECYCLE],
                result,
            )

    def _frames(
        self, document: Mapping[str, Any], pinned: Sequence[Stream], versions: Mapping[tuple[str, int], Stream]
    ) -> RunResult | None:
        """Every frame checked, and the run judged by them; None when this program's engine is another one."""
        lifecycle: Sequence[Lifecycle] = msgspec.convert(self._documents[pack.LIFECYCLE], list[Lifecycle])
        started = next(record for record in lifecycle if isinstance(record, RunStarted))
        for item in started.streams:
            if versions[item.stream, item.version].digest() != item.digest:
                detail = "is not the version that the run has pinned"
                self._checked.findings.append(Finding(FindingKind.VALUE, f"streams.json {item.stream}", detail))
        same = document["evaluation"]["engine"] == ENGINE
        if not same:
            self._checked.unable = (
                f"the run was judged by engine {document['evaluation']['engine']}, this program has {ENGINE}; "
                "install the release of that engine to compute the verdict again"
            )
        criteria = CriteriaSet.model_validate(self._documents[pack.CRITERIA])
        plan = None
        if same:
            plan = RunPlan.build(
                run=started.run, criteria=criteria, streams=pinned, start=started.at, baselines=started.baselines
            )
        self._say("frames" if plan is None else "frames, and the run judged by them again")
        judging = Judging(plan, versions, lifecycle)
        for read in self._ordered(versions):
            self._check_frame(read)
            if judging.take(read.frame) in (Verdict.DUPLICATE, Verdict.CONFLICT):
                where = f"{read.frame.stream} {read.frame.boot} {read.frame.seq}"
                self._checked.findings.append(Finding(FindingKind.FRAME, where, "is in the pack more than once"))
        self._checked.frames, self._checked.rows = judging.frames, judging.rows
        self._checked.findings += checks.check_frame_parts(document, judging.roots.parts())
        result = judging.result()
        if result is not None:
            self._checked.findings += checks.check_phases(document, judging.phases)
        return result

    def _ordered(self, versions: Mapping[tuple[str, int], Stream]) -> Iterator[ReadFrame]:
        """The frames of all files in order of time, as an evaluation from storage reads them."""
        files = []
        for name, member in self._members.items():
            if not name.startswith(pack.FRAMES):
                continue
            stream = next((item for key, item in versions.items() if pack.frames_name(*key) == name), None)
            if stream is None:
                self._checked.findings.append(
                    Finding(FindingKind.MEMBER, name, "streams.json has no such stream version")
                )
                continue
            files.append(self._readable(name, member, stream))
        return heapq.merge(
            *files, key=lambda read: (int(read.frame.times[0]), read.frame.boot, read.frame.seq, read.frame.stream)
        )

    def _readable(self, name: str, member: memoryview, stream: Stream) -> Iterator[ReadFrame]:
        try:
            yield from read_frames(member, stream)
        except FramesUnreadable as error:
            self._checked.findings.append(Finding(FindingKind.MEMBER, name, str(error)))

    def _check_frame(self, read: ReadFrame) -> None:
        """The rows that changed; or the frame, when its rows agree with their checks but not with the content hash."""
        frame, findings = read.frame, self._checked.findings
        for bad in read.bad[:_LISTED_ROWS]:
            findings.append(Finding(FindingKind.ROW, f"{frame.stream} {bad.boot} {bad.seq} {bad.row}", bad.detail))
        if frame.content_hash() != frame.hash:
            where = f"{frame.stream} {frame.boot} {frame.seq}"
            findings.append(Finding(FindingKind.FRAME, where, "instants and values do not have the content hash"))


def _streams(document: Mapping[str, Any]) -> tuple[list[Stream], dict[tuple[str, int], Stream]]:
    """The pinned streams, and every version that frames were sent under."""
    versions = {}
    for item in document["versions"]:
        stream = stream_from_description(item["id"], item["version"], item["description"])
        versions[stream.id, stream.version] = stream
    return [versions[stream, version] for stream, version in document["pinned"]], versions
