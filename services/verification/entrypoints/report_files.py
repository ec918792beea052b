"""A report as something to download or to show: PDF, HTML, evidence pack."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fastapi import Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from services.verification.adapters.reports.packing import build_pack
from services.verification.adapters.reports.rendering import html, pdf
from services.verification.adapters.reports.store import Report, ReportStore
from services.verification.bootstrap import Verification

_STILL = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


async def pdf_response(parts: Verification, report: Report, lang: str) -> Response:
    """A download."""
    data = await asyncio.to_thread(pdf, _shown(report), await _signatures(parts, report), lang)
    name = f'attachment; filename="{report.number}.{lang}.pdf"'
    return Response(data, media_type="application/pdf", headers={"content-disposition": name, **_STILL})


async def html_response(parts: Verification, report: Report, lang: str) -> Response:
    """Shown in the browser."""
    text = html(_shown(report), await _signatures(parts, report), lang)
    headers = {"content-security-policy": _POLICY, **_STILL}
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)


def _shown(report: Report) -> dict[str, Any]:
    """What a presentation needs of a report."""
    return {"document": report.tree(), "digest": report.digest, "issue": report.issue(), "state": report.state}


async def _signatures(parts: Verification, report: Report) -> list[dict[str, Any]]:
    async with parts.pool.connection() as connection:
        signatures, _ = await ReportStore(connection).chain(report.platform, report.number)
    return [signature.document() for signature in signatures]


async def pack_response(parts: Verification, report: Report) -> FileResponse:
    """The pack of a report from a folder that is removed once it is sent."""
    folder = Path(tempfile.mkdtemp(prefix="pilotline-pack-"))
    try:
        path = await build_pack(parts.pool, report, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    clear = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type="application/zip", filename=f"{report.number}.zip", background=clear)
