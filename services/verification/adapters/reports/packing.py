"""The evidence pack of a report as a file: frames from storage, everything else as it was kept when the report was drafted (V-25)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.verification.adapters.reports.drafting import frames_of
from services.verification.adapters.reports.frames import FrameFile
from services.verification.adapters.reports.judging import Judging
from services.verification.adapters.reports.store import Report, ReportStore
from services.verification.domain.reports import pack
from services.verification.domain.reports.members import report_members
from services.verification.domain.reports.packing import Source, whole, write_pack
from shared.contracts.registry import Stream
from shared.kernel.errors import NotAllowed
from shared.storage.blocks import StoredFrame
from shared.storage.pool import Connection, Pool
from shared.storage.registry import read_stream

_PIECE = 1 << 20


@dataclass(slots=True)
class _Files:
    """One Parquet file per stream and registry version, in a folder of their own."""

    folder: Path
    versions: dict[tuple[str, int], Stream]
    judging: Judging = field(default_factory=lambda: Judging(None, {}, ()))
    files: dict[tuple[str, int], tuple[Path, FrameFile]] = field(default_factory=dict)

    def take(self, frames: Sequence[StoredFrame]) -> None:
        for frame in frames:
            key = (frame.stream, frame.registry_version)
            if key not in self.files:
                path = self.folder / f"{len(self.files)}.parquet"
                self.files[key] = path, FrameFile(path, self.versions[key])
            self.files[key][1].add(frame)
            self.judging.take(frame)

    def sources(self) -> list[Source]:
        found = []
        for key, (path, file) in self.files.items():
            file.close()
            found.append(Source(pack.frames_name(*key), partial(_pieces, path)))
        return found


async def build_pack(pool: Pool, report: Report, folder: Path) -> Path:
    """The pack of a report as a file in `folder`, whose other content it may use. The same report gives the same bytes.

    Raises NotAllowed(report_evidence_changed) when the stored frames are not those that the report was drafted from.
    """
    document = report.tree()
    parts = [part for part in document["evidence"]["parts"] if part["part"] == "frames"]
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("set transaction isolation level repeatable read, read only")
        store = ReportStore(connection)
        members = await store.members(report.platform, report.number)
        signatures, keys = await store.chain(report.platform, report.number)
        members |= await _attachments(connection, members[pack.LIFECYCLE])
        versions: dict[tuple[str, int], Stream] = {}
        for part in parts:
            stream = await read_stream(connection, part["stream"], part["registry_version"])
            if stream is not None:
                versions[stream.id, stream.version] = stream
        files = _Files(folder, versions)
        async for frames in frames_of(
            connection, sorted({part["stream"] for part in parts}), report.frames, report.partition, report.upto_offset
        ):
            if any((frame.stream, frame.registry_version) not in versions for frame in frames):
                raise _changed()
            await asyncio.to_thread(files.take, frames)
    if files.judging.roots.parts() != parts:
        raise _changed()
    members |= report_members(document, report.digest, report.issue(), signatures, keys)
    path = folder / f"{report.number}.zip"
    await asyncio.to_thread(_write, path, [*files.sources(), *(whole(name, data) for name, data in members.items())])
    return path


async def _attachments(connection: Connection, lifecycle: bytes) -> dict[str, bytes]:
    """The files that the run's records name."""
    cursor = await connection.execute(
        "select sha256, content from verification.attachment where sha256 = any(%s)",
        (pack.attachments_of(json.loads(lifecycle)),),
    )
    return {pack.attachment_name(content): bytes(data) for content, data in await cursor.fetchall()}


def _write(path: Path, sources: Sequence[Source]) -> None:
    with path.open("wb") as file:
        write_pack(sources, file.write)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _changed() -> NotAllowed:
    return NotAllowed(
        "report_evidence_changed", "the stored frames are not those that the report was drafted from", field="number",
        remedy="look for frames that were deleted or altered; a pack made earlier still holds them",
    )  # fmt: skip
