"""Evidence of a segment, gathered frame by frame in event time.

The digest is a chain: d = SHA-256(d before, as raw bytes, empty at first; then stream, boot and seq, each followed by a zero byte; then the
frame's content hash). Frames enter at their first use: those whose values hold at the segment's start in the order of the instrument's
channels, then by (time, stream, boot, seq).
"""

from __future__ import annotations

import hashlib

from services.billing.domain.meter_state import Provenance
from services.billing.domain.readings import SeenSequences, SourceFrame
from services.billing.domain.segment import Evidence, OffsetRange, SequenceRange


def include(provenance: Provenance, frame: SourceFrame) -> None:
    """Take a frame into the evidence; a second time it changes nothing."""
    sequences = provenance.seen.setdefault(frame.stream, {}).setdefault(frame.boot, SeenSequences())
    if not sequences.add(frame.seq):
        return
    identity = f"{frame.stream}\x00{frame.boot}\x00{frame.seq}\x00".encode()
    chain = bytes.fromhex(provenance.digest) + identity + bytes.fromhex(frame.hash)
    provenance.digest = hashlib.sha256(chain).hexdigest()
    if provenance.frames == 0:
        provenance.partition, provenance.first_offset, provenance.last_offset = (
            frame.partition,
            frame.offset,
            frame.offset,
        )
    provenance.first_offset = min(provenance.first_offset, frame.offset)
    provenance.last_offset = max(provenance.last_offset, frame.offset)
    provenance.frames += 1


def evidence_of(provenance: Provenance) -> Evidence:
    ranges = [
        SequenceRange(stream, boot, first, last)
        for stream, boots in sorted(provenance.seen.items())
        for boot, sequences in sorted(boots.items())
        for first, last in zip(sequences.starts, sequences.ends, strict=True)
    ]
    return Evidence(
        ranges=tuple(ranges),
        frames=provenance.frames,
        samples=provenance.samples,
        digest=provenance.digest,
        offsets=OffsetRange(provenance.partition, provenance.first_offset, provenance.last_offset)
        if provenance.frames
        else None,
    )
