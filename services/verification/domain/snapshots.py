"""An evaluator as bytes, and back: one MessagePack map of plain facts and the raw bytes of every state array."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from services.verification.domain.arrivals import BootArrivals, Intervals
from services.verification.domain.groups import Group
from services.verification.domain.judging import BadValues
from services.verification.domain.outcomes import Outcome
from services.verification.domain.phases import PhaseWatch
from services.verification.domain.rows import Chunk
from shared.contracts.lifecycle import Entry, decode_line_record, encode_line_record

if TYPE_CHECKING:
    from services.verification.domain.evaluator import RunEvaluator

FORMAT = 6


class _Boot(msgspec.Struct, array_like=True):
    stream: str
    boot: str
    starts: list[int]
    ends: list[int]
    tail: list[tuple[int, bytes, int]]
    link: bytes
    linked: int
    last_linked: int
    latest_linked: int
    broken: bool


class _Rows(msgspec.Struct, array_like=True):
    stream: str
    boots: list[str]
    watermark: int
    times: bytes
    values: bytes
    positions: bytes
    bad: bytes


class _Watch(msgspec.Struct, array_like=True):
    reached: int
    place: int
    armed: int
    current: str | None
    begun: list[str]
    commands: list[tuple[int, str | None]]
    found: list[tuple[str, str, int]]
    settled: bool
    lost: bool
    conditions: list[tuple[int, int, bytes, bytes]]


class _Snapshot(msgspec.Struct):
    format: int
    plan: str
    stale: list[str]
    how: str
    end: int
    phases: dict[str, tuple[int, int]]
    phase: str | None
    held: bytes
    boots: list[_Boot]
    rows: list[_Rows]
    released: list[int]
    behind: list[bool]
    arrays: list[bytes]
    outcomes: list[int]
    bad: list[tuple[int, int, int, int, int, int]]
    entries: list[bytes]
    entered: dict[str, int]
    finished: bool
    watch: _Watch


_decoder = msgspec.msgpack.Decoder(_Snapshot)


def freeze(evaluator: RunEvaluator) -> bytes:
    """Arrived rows are put in order first, so that the bytes depend on what is known and not on how it came."""
    rows = []
    for name, held in evaluator._rows.items():
        held.settle()
        rows.append(_rows(name, held))
    snapshot = _Snapshot(
        format=FORMAT,
        plan=evaluator.plan.digest(),
        stale=sorted(evaluator.stale),
        how=evaluator.how,
        end=evaluator._end,
        phases=evaluator._phases,
        phase=evaluator._phase,
        held=evaluator._held.tobytes(),
        boots=[_boot(key, arrivals) for key, arrivals in sorted(evaluator._arrivals.items())],
        rows=rows,
        released=[group.released for group in evaluator._groups],
        behind=[group.behind for group in evaluator._groups],
        arrays=[array.tobytes() for array in _arrays(evaluator)],
        outcomes=[int(outcome) for outcome in evaluator._outcomes],
        bad=[astuple(bad) for bad in evaluator._bad],
        entries=[encode_line_record(record) for record in evaluator._entries.records],
        entered={name: int(outcome) for name, outcome in evaluator._entries.outcomes.items()},
        finished=evaluator._finished,
        watch=_watch(evaluator._watch),
    )
    return msgspec.msgpack.encode(snapshot)


def thaw(evaluator: RunEvaluator, data: bytes) -> bool:
    """Puts a snapshot into a new evaluator; False when it was taken under another plan, engine or format."""
    snapshot = _decoder.decode(data)
    if snapshot.format != FORMAT or snapshot.plan != evaluator.plan.digest():
        return False
    evaluator.stale = set(snapshot.stale)
    evaluator.how = snapshot.how
    evaluator._end = snapshot.end
    evaluator._phases = snapshot.phases
    evaluator._phase = snapshot.phase
    evaluator._held = np.frombuffer(snapshot.held, np.int64).reshape(-1, 2).copy()
    for boot in snapshot.boots:
        evaluator._arrivals[boot.stream, boot.boot] = BootArrivals(
            seen=Intervals(boot.starts, boot.ends),
            tail={seq: (content, first) for seq, content, first in boot.tail},
            waiting=[seq for seq, _, _ in boot.tail],
            link=boot.link,
            linked=boot.linked,
            last_linked=boot.last_linked,
            latest_linked=boot.latest_linked,
            broken=boot.broken,
        )
    for kept in snapshot.rows:
        _thaw_rows(evaluator._rows[kept.stream], kept)
    for group, released, behind in zip(evaluator._groups, snapshot.released, snapshot.behind, strict=True):
        group.released, group.behind = released, behind
    for array, content in zip(_arrays(evaluator), snapshot.arrays, strict=True):
        array[...] = np.frombuffer(content, array.dtype).reshape(array.shape)
    evaluator._outcomes = [Outcome(value) for value in snapshot.outcomes]
    evaluator._bad = [BadValues(*counts) for counts in snapshot.bad]
    for record in snapshot.entries:
        entry = decode_line_record(record)
        assert isinstance(entry, Entry)
        evaluator._entries.apply(entry)
    evaluator._entries.outcomes = {name: Outcome(value) for name, value in snapshot.entered.items()}
    evaluator._finished = snapshot.finished
    _thaw_watch(evaluator._watch, snapshot.watch)
    return True


def arrays_of(group: Group) -> list[Any]:
    """The arrays that are all of a group's state."""
    arrays: list[Any] = []
    for merged in group.merged.values():
        arrays += [merged.held, merged.until]
    for lanes in group.lane_sets:
        arrays += lanes.state()
    return arrays


def _arrays(evaluator: RunEvaluator) -> list[Any]:
    return [array for group in evaluator._groups for array in arrays_of(group)]


def _watch(watch: PhaseWatch) -> _Watch:
    return _Watch(
        reached=watch.reached,
        place=watch.place,
        armed=watch.armed,
        current=watch.current,
        begun=sorted(watch.begun),
        commands=watch.commands,
        found=watch.found,
        settled=watch.settled,
        lost=watch.lost,
        conditions=[(w.since, w.until, w.merged.held.tobytes(), w.merged.until.tobytes()) for w in watch.watched],
    )


def _thaw_watch(watch: PhaseWatch, saved: _Watch) -> None:
    watch.reached, watch.place, watch.armed, watch.current = saved.reached, saved.place, saved.armed, saved.current
    watch.begun, watch.commands, watch.found = set(saved.begun), saved.commands, saved.found
    watch.settled, watch.lost = saved.settled, saved.lost
    for watched, (since, until, held, ends) in zip(watch.watched, saved.conditions, strict=True):
        watched.since, watched.until = since, until
        watched.merged.held[...] = np.frombuffer(held, np.float64)
        watched.merged.until[...] = np.frombuffer(ends, np.int64).reshape(watched.merged.until.shape)


def _boot(key: tuple[str, str], arrivals: BootArrivals) -> _Boot:
    return _Boot(
        stream=key[0],
        boot=key[1],
        starts=arrivals.seen.starts,
        ends=arrivals.seen.ends,
        tail=[(seq, content, first) for seq, (content, first) in sorted(arrivals.tail.items())],
        link=arrivals.link,
        linked=arrivals.linked,
        last_linked=arrivals.last_linked,
        latest_linked=arrivals.latest_linked,
        broken=arrivals.broken,
    )


def _rows(name: str, held: Any) -> _Rows:
    chunk = held.between(-(2**62), 2**62)
    if chunk is None:
        return _Rows(name, held.boots, held.watermark, b"", b"", b"", b"")
    return _Rows(
        stream=name,
        boots=held.boots,
        watermark=held.watermark,
        times=chunk.times.tobytes(),
        values=np.ascontiguousarray(chunk.values).tobytes(),
        positions=chunk.positions.tobytes(),
        bad=b"" if chunk.bad is None else np.ascontiguousarray(chunk.bad).tobytes(),
    )


def _thaw_rows(rows: Any, kept: _Rows) -> None:
    rows.boots = kept.boots
    rows.watermark = kept.watermark
    if not kept.times:
        return
    shape = (rows.columns.shape[0], -1)
    rows.chunks = [
        Chunk(
            times=np.frombuffer(kept.times, np.int64),
            values=np.frombuffer(kept.values, np.float64).reshape(shape),
            positions=np.frombuffer(kept.positions, np.int64).reshape(-1, 2),
            bad=np.frombuffer(kept.bad, np.uint8).reshape(shape) if kept.bad else None,
        )
    ]
