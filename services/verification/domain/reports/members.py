"""The JSON members of an evidence pack, in canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.verification.domain.reports import pack
from services.verification.domain.reports.derived import entered
from services.verification.domain.reports.facts import RunFacts
from services.verification.domain.reports.signatures import PublicKey, Signature
from shared.contracts.registry import Stream
from shared.kernel.canonical import canonical_json


def evidence_members(
    facts: RunFacts,
    *,
    versions: Iterable[Stream],
    evaluations: Sequence[Mapping[str, Any]],
) -> dict[str, bytes]:
    """What the evidence root covers beside the frames. `versions`: the registry versions that frames were sent under; `evaluations`: all
    of the run up to the one reported. What people entered (laboratory results, inspections) are records of the lifecycle."""
    known = {(stream.id, stream.version): stream for stream in (*facts.streams, *versions)}
    streams = {
        "pinned": [[stream.id, stream.version] for stream in facts.streams],
        "versions": [
            {"id": stream.id, "version": stream.version, "description": _description(stream)}
            for _, stream in sorted(known.items())
        ],
    }
    trees = {
        pack.CRITERIA: facts.criteria,
        pack.STREAMS: streams,
        pack.LIFECYCLE: list(facts.lifecycle),
        pack.DEVIATIONS: [deviation.document() for deviation in facts.deviations],
        pack.RESULTS: entered(facts.lifecycle),
        pack.EVALUATIONS: list(evaluations),
    }
    return {name: canonical_json(tree) for name, tree in trees.items()}


def report_members(
    document: Mapping[str, Any],
    digest: str,
    issue: Mapping[str, Any] | None,
    signatures: Sequence[Signature],
    keys: Sequence[PublicKey],
) -> dict[str, bytes]:
    """The report, its signatures and the keys that made them. `issue`: number, digest, issued_at (µs); None for a draft."""
    return {
        pack.REPORT: canonical_json({"document": document, "digest": digest, "issue": issue}),
        pack.SIGNATURES: canonical_json([signature.document() for signature in signatures]),
        pack.KEYS: canonical_json([key.document() for key in keys]),
    }


def _description(stream: Stream) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(stream)
    del facts["id"], facts["version"]
    return facts
