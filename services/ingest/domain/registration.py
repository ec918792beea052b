"""What applying a registry document changes: compared first, shown, then written. A stream's new channel list is a new version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from shared.contracts.registry import RegistryDraft, Stream
from shared.kernel.errors import Invalid
from shared.kernel.units import check_unit


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that would change. `what` is added, changed or activated (an older version made current); `detail` says more."""

    kind: str
    id: str
    what: str
    detail: str = ""

    def line(self) -> str:
        sign = {"added": "+", "changed": "~", "activated": "^"}[self.what]
        return f"{sign} {self.kind} {self.id}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """`draft` holds only what differs, its streams with the version they will have; `new_versions` are the streams to be inserted, the
    others are older versions to be made current again."""

    draft: RegistryDraft
    new_versions: frozenset[str]
    differences: tuple[Difference, ...]


def plan(wanted: RegistryDraft, present: RegistryDraft, versions: Mapping[tuple[str, int], Stream]) -> Plan:
    """What has to change so that everything in `wanted` is registered. Nothing is ever removed.

    Raises Invalid(registry_invalid | unit_unknown) when the result would not hang together.
    """
    _check(wanted, present)
    differences: list[Difference] = []
    changed = {}
    for kind in ("platforms", "lines", "instruments", "customers"):
        found = {key: item for key, item in getattr(wanted, kind).items() if getattr(present, kind).get(key) != item}
        for key in found:
            differences.append(Difference(kind[:-1], key, "changed" if key in getattr(present, kind) else "added"))
        changed[kind] = found
    streams: dict[str, Stream] = {}
    new_versions = set()
    for key, stream in wanted.streams.items():
        known = present.streams.get(key)
        if known is not None and known.digest() == stream.digest():
            continue
        numbered, is_new = _number(stream, versions)
        streams[key] = numbered
        if is_new:
            new_versions.add(key)
        what = "activated" if not is_new else "added" if known is None else "changed"
        detail = f"version {numbered.version}" + (
            "" if known is None else f"; {'; '.join(_channel_changes(known, stream))}"
        )
        differences.append(Difference("stream", key, what, detail.rstrip("; ")))
    return Plan(RegistryDraft(**changed, streams=streams), frozenset(new_versions), tuple(differences))


def _number(stream: Stream, versions: Mapping[tuple[str, int], Stream]) -> tuple[Stream, bool]:
    """The stream under the version it has had, or the next one. A version's content never changes."""
    mine = {version: old for (key, version), old in versions.items() if key == stream.id}
    for version, old in mine.items():
        if old.digest() == stream.digest():
            return replace(stream, version=version), False
    return replace(stream, version=max(mine, default=0) + 1), True


def _channel_changes(old: Stream, new: Stream) -> Iterator[str]:
    before = {channel.name: channel for channel in old.channels}
    after = {channel.name: channel for channel in new.channels}
    yield from (f"+ {name}" for name in after if name not in before)
    yield from (f"- {name}" for name in before if name not in after)
    yield from (f"~ {name}" for name in after if name in before and before[name] != after[name])


def _check(wanted: RegistryDraft, present: RegistryDraft) -> None:
    for line in wanted.lines.values():
        _exists("platform", line.platform, line.id, wanted.platforms, present.platforms)
    for instrument in wanted.instruments.values():
        _exists("line", instrument.line, instrument.id, wanted.lines, present.lines)
        known = present.instruments.get(instrument.id)
        if known is not None and known.line != instrument.line:
            raise _wrong(instrument.id, "an instrument cannot move to another line")
    for stream in wanted.streams.values():
        _exists("instrument", stream.instrument, stream.id, wanted.instruments, present.instruments)
        if stream.instrument.split("/")[0] != stream.line:
            raise _wrong(stream.id, "its instrument belongs to another line")
        names = [channel.name for channel in stream.channels]
        if len(set(names)) != len(names):
            raise _wrong(stream.id, "a channel name is there twice")
        for channel in stream.channels:
            check_unit(channel.unit)


def _exists(kind: str, key: str, of: str, *places: Mapping[str, object]) -> None:
    if not any(key in place for place in places):
        raise _wrong(of, f"there is no {kind} {key}")


def _wrong(key: str, detail: str) -> Invalid:
    return Invalid("registry_invalid", f"{key}: {detail}", field=key, remedy="correct the document and apply it again")
