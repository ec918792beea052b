"""The gateway's one use case: take the records of a request, publish each as a frame or as quarantined, say what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.ingest.domain.admission import StreamRules, admit, compile_rules
from services.ingest.domain.clock import ClockRule, Clocks
from services.ingest.domain.keeping import kept, printable
from services.ingest.domain.recent import Key, Outcome, Recent
from services.ingest.domain.submission import Received, Submission
from services.ingest.ports import Clock, KnowsStored, KnowsStreams, PublishesRecords
from shared.contracts import quarantine
from shared.contracts.frame import Frame, encode_frame
from shared.contracts.quarantine import UNKNOWN, QuarantineRecord, encode_quarantine
from shared.contracts.registry import Stream
from shared.contracts.topics import Kind
from shared.kernel.errors import Reject
from shared.kernel.times import Micros
from shared.messaging.producer import Outgoing
from shared.storage.registry import Registry

Permit = Callable[[Stream, int], None]
"""Raises Forbidden(key_scope) when the caller may not send this stream; the number is the record's index."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the record at `index` of the request."""

    index: int
    outcome: Outcome
    code: str | None = None
    detail: str | None = None

    def document(self) -> dict[str, object]:
        body: dict[str, object] = {"index": self.index, "outcome": self.outcome}
        if self.code is not None:
            body |= {"code": self.code, "detail": self.detail}
        return body


@dataclass(frozen=True, slots=True, eq=False)
class _Decision:
    """A record on its way: what to publish, and for a frame its identity and content hash."""

    result: Result
    outgoing: Outgoing
    identity: Key | None = None
    content: bytes = b""


class Gate:
    """The gateway's memory and its ways out. One per process."""

    def __init__(
        self,
        *,
        streams: KnowsStreams,
        stored: KnowsStored,
        publisher: PublishesRecords,
        now: Clock,
        topic: str,
        clock_rule: ClockRule,
        remembered: int,
    ) -> None:
        self._streams = streams
        self._stored = stored
        self._publisher = publisher
        self._now = now
        self._topic = topic
        self._clocks = Clocks(clock_rule)
        self._recent = Recent(remembered)
        self._rules: dict[tuple[str, int], StreamRules] = {}

    async def accept(self, records: Sequence[Received], source: str, permit: Permit) -> list[Result]:
        """One result per record, in order, once every record is durable in Kafka.

        Raises Forbidden before anything is published; Unavailable or OutcomeUnknown when some record is not known to be durable: the
        sender repeats the whole request, and what was published already is a duplicate then.
        """
        received_at = self._now()
        registry = await self._registry(records)
        for index, record in enumerate(records):
            if (stream := registry.streams.get(record.identity.stream or "")) is not None:
                permit(stream, index)
        frames = [self._frame(record, registry, received_at) for record in records]
        judged = iter(await self._outcomes([frame for frame in frames if isinstance(frame, Frame)]))
        decisions = []
        for index, (record, frame) in enumerate(zip(records, frames, strict=True)):
            if isinstance(frame, Frame):
                line = registry.streams[frame.stream].line
                outcome, content = next(judged)
                decisions.append(
                    _Decision(Result(index, outcome), self._frame_record(frame, line), _key(frame), content)
                )
            else:
                result = Result(index, Outcome.QUARANTINED, frame.code, frame.detail)
                waiting = self._waiting_record(record, frame, registry, source, received_at)
                decisions.append(_Decision(result, waiting))
        await self._publish(decisions)
        return [decision.result for decision in decisions]

    async def _registry(self, records: Sequence[Received]) -> Registry:
        """The registry; read again at once when a record names a stream it does not have."""
        registry = await self._streams.current()
        named = {record.identity.stream for record in records if record.identity.stream is not None}
        if not named <= registry.streams.keys():
            registry = await self._streams.refresh(unless_younger=1.0)
        return registry

    def _frame(self, record: Received, registry: Registry, received_at: Micros) -> Frame | Reject:
        if isinstance(record.content, Reject):
            return record.content
        try:
            rules = self._rules_for(record.content, registry)
            clock = self._clocks.judge(rules.stream, record.content.sent_at, received_at)
            return admit(record.content, rules, received_at, clock)
        except Reject as reject:
            return reject

    def _rules_for(self, submission: Submission, registry: Registry) -> StreamRules:
        current = registry.streams.get(submission.stream)
        if current is None:
            raise Reject("stream_unknown", f"no stream {submission.stream!a} is registered")
        stream: Stream | None = current
        if submission.registry_version:
            stream = registry.versions.get((submission.stream, submission.registry_version))
        if stream is None:
            raise Reject("version_unknown", f"{submission.stream} has no version {submission.registry_version}")
        key = (stream.id, stream.version)
        if key not in self._rules:
            self._rules[key] = compile_rules(stream)
        return self._rules[key]

    async def _outcomes(self, frames: Sequence[Frame]) -> list[tuple[Outcome, bytes]]:
        """Which frames are new, as far as this process and the ledger know, also within the request; with their content hashes."""
        keys = [_key(frame) for frame in frames]
        if boots := self._recent.unknown_boots(keys):
            self._recent.learn_boots(boots, await self._stored.last_seqs(boots))
        doubtful = self._recent.doubtful(keys)
        known = dict(await self._stored.hashes(doubtful)) if doubtful else {}
        outcomes = []
        for key, frame in zip(keys, frames, strict=True):
            content = frame.content_hash()
            outcomes.append((self._recent.outcome(key, content, known), content))
            known.setdefault(key, content)
        return outcomes

    async def _publish(self, decisions: Sequence[_Decision]) -> None:
        """In the order of the request, so that a sender in order makes no gaps in the log."""
        await self._publisher.put_all([decision.outgoing for decision in decisions])
        for decision in decisions:
            if decision.identity and decision.result.outcome is Outcome.ACCEPTED:
                self._recent.remember(decision.identity, decision.content)

    def _frame_record(self, frame: Frame, line: str) -> Outgoing:
        """Duplicates and conflicts are published too: the sink counts them and keeps the conflicting content."""
        return Outgoing(self._topic, line.encode(), encode_frame(frame), Kind.FRAME, {})

    def _waiting_record(
        self, record: Received, reject: Reject, registry: Registry, source: str, received_at: Micros
    ) -> Outgoing:
        stream = registry.streams.get(record.identity.stream or "")
        raw, encoding, complete = kept(bytes(record.raw))
        waiting = QuarantineRecord(
            version=quarantine.VERSION,
            stream=printable(record.identity.stream) or UNKNOWN,
            code=reject.code,
            detail=reject.detail[:2000],
            hash=quarantine.record_hash(record.raw),
            raw=raw,
            encoding=encoding,
            complete=complete,
            content_type=record.content_type,
            source=source,
            received_at=received_at,
            boot=printable(record.identity.boot),
            seq=record.identity.seq,
            registry_version=None if stream is None else stream.version,
        )
        key = UNKNOWN if stream is None else stream.line
        return Outgoing(self._topic, key.encode(), encode_quarantine(waiting), Kind.QUARANTINE, {})


def _key(frame: Frame) -> Key:
    return (frame.stream, frame.boot, frame.seq)
