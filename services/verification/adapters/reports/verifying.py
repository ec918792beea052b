"""`pilotline verify`: everything in an evidence pack computed again, with nothing but the pack (V-25)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from services.verification.adapters.reports.frames import FramesUnreadable, ReadFrame, read_frames
from services.verification.adapters.reports.judging import Judging
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.evaluator import Lifecycle
from services.verification.domain.outcomes import RunResult, Verdict
from services.verification.domain.plan import ENGINE, RunPlan
from services.verification.domain.reports import checks, pack
from services.verification.domain.reports.derived import FORMAT
from services.verification.domain.reports.findings import Finding, FindingKind
from services.verification.domain.reports.trust import Trust
from shared.contracts.lifecycle import RunStarted
from shared.contracts.registry import Stream
from shared.kernel.errors import PilotlineError
from shared.kernel.times import Micros
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
    issued_at: Micros | None = None
    unable: str = ""


def verify_pack(data: memoryview, *, trust: Trust | None, say: Say) -> Checked:
    """Everything that can be said of the pack in `data`. `trust`: the keys and policies that the reader holds for genuine."""
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
    check = _Check(inspected.members, documents, checked, say)
    try:
        check.run(trust)
    except _UNFIT as error:
        detail = f"something is missing in it, or is not what it should be: {_first(error)}"
        checked.findings.append(Finding(FindingKind.MEMBER, check.at, detail))
    return checked


_UNFIT = (
    PilotlineError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, MemoryError, OSError,
    StopIteration, msgspec.ValidationError,
)  # fmt: skip
"""What reading goes wrong with when a member was made up: whoever makes one may put anything into it."""


def _first(error: BaseException) -> str:
    """In one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    text = str(error).splitlines()
    return f"{type(error).__name__} {text[0] if text else ''}".strip()


class _Check:
    """`at` is the member that is being looked at."""

    def __init__(
        self, members: Mapping[str, memoryview], documents: Mapping[str, Any], checked: Checked, say: Say
    ) -> None:
        self._members = members
        self._documents = documents
        self._checked = checked
        self._say = say
        self.at = pack.REPORT

    def run(self, trust: Trust | None) -> None:
        checked, documents = self._checked, self._documents
        report = documents[pack.REPORT]
        document = report["document"]
        checked.number, checked.verdict, checked.run = document["number"], document["verdict"], document["run"]["run"]
        checked.issued_at = None if report["issue"] is None else report["issue"]["issued_at"]
        self._say("report and signatures")
        checked.findings += checks.check_digest(report)
        checked.findings += checks.check_documents(document, self._members)
        checked.findings += checks.check_pins(documents[pack.CRITERIA], document)
        self.at = pack.SIGNATURES
        found, chain, checked.signers = checks.check_signatures(
            document, documents[pack.SIGNATURES], documents[pack.KEYS], trust
        )
        checked.findings += found
        self.at = pack.REPORT
        checked.findings += checks.check_issue(report, chain)
        self.at = pack.LIFECYCLE
        checked.findings += checks.check_attachments(documents[pack.LIFECYCLE], self._members)
        if document["format"] != FORMAT:
            checked.unable = f"the report has the form {document['format']}, this program reads {FORMAT}; install the release that wrote it"
            return
        self.at = pack.STREAMS
        pinned, versions = _streams(documents[pack.STREAMS])
        result, parts = self._frames(document, pinned, versions)
        self.at = pack.REPORT
        self._say("figures")
        checked.findings += checks.check_records(document, documents, pinned, parts)
        if result is not None:
            checked.digest = result.digest
            checked.findings += checks.check_result(document, documents, pinned, result)

    def _frames(
        self, document: Mapping[str, Any], pinned: Sequence[Stream], versions: Mapping[tuple[str, int], Stream]
    ) -> tuple[RunResult | None, list[dict[str, Any]]]:
        """Every frame checked, the run judged by them, and their parts of the evidence; no result when this program's engine is another one."""
        self.at = pack.LIFECYCLE
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
        self.at = pack.CRITERIA
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
        parts = judging.roots.parts()
        self._checked.findings += checks.check_frame_parts(document, parts)
        result = judging.result()
        if result is not None:
            self.at = pack.REPORT
            self._checked.findings += checks.check_phases(document, judging.phases)
        return result, parts

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
            for read in read_frames(member, stream):
                self.at = name
                yield read
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
