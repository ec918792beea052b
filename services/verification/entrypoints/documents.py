"""The JSON forms of the read API: instants as RFC 3339, infinities as null (nothing bounds that side yet)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from services.verification.ports import CommandRecord, Run, StoredCriteria
from shared.kernel.times import to_rfc3339

_INSTANTS = {
    "started_at",
    "ended_at",
    "planned_end",
    "next_decision",
    "newest",
    "worst_at",
    "decided_at",
    "frontier",
    "opened_at",
    "closed_at",
    "created_at",
    "published_at",
    "received_at",
    "entered_at",
    "confirmed_at",
    "sampled_at",
    "recorded_at",
    "accepted_at",
    "first_at",
    "last_at",
    "start",
    "end",
    "from_",
    "to",
}


def json_of(value: Any, name: str = "") -> Any:
    """A tree of dataclasses, structs, mappings, sequences and plain values as JSON. A number under the name of an instant is one."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): json_of(getattr(value, f.name), f.name) for f in fields(value)}
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): json_of(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_of(item, name) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and name in _INSTANTS:
        return to_rfc3339(value)
    return value


def criteria_document(stored: StoredCriteria, *, whole: bool) -> dict[str, Any]:
    """With `whole` the document itself."""
    facts: dict[str, Any] = {
        "id": stored.criteria.id,
        "version": stored.criteria.version,
        "digest": stored.digest,
        "state": "published" if stored.published else "draft",
        "line": stored.line,
        "memory_bytes": stored.memory,
        "title": stored.criteria.title.model_dump(),
        "criteria": len(stored.criteria.criteria),
        "created_at": to_rfc3339(stored.created_at),
        "published_at": None if stored.published_at is None else to_rfc3339(stored.published_at),
    }
    return {**facts, "document": stored.criteria.model_dump(mode="json")} if whole else facts


def run_document(run: Run) -> dict[str, Any]:
    """A run as it was asked for, and its state."""
    document: dict[str, Any] = json_of(run)
    document["streams"] = [msgspec.structs.asdict(item) for item in run.streams]
    document["baselines"] = [msgspec.structs.asdict(item) for item in run.baselines]
    return document


def command_document(record: CommandRecord, *, in_log: bool) -> dict[str, Any]:
    """`in_log`: whether Kafka has acknowledged the record; frames published from then on lie behind it."""
    return {
        "run": record.run,
        "key": record.key,
        "command": record.command,
        "phase": record.phase,
        "at": to_rfc3339(record.at),
        "who": record.who,
        "reason": record.reason,
        "state": record.state_after,
        "in_log": in_log,
    }
