"""The pages: board, run, evidence, curve data. They read and never write; one connection per request, one event stream per page."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from services.verification.adapters.issue_store import IssueStore
from services.verification.adapters.iteration_views import ChannelStatistics
from services.verification.adapters.iterations import Iterations
from services.verification.adapters.read_model import ReadModel
from services.verification.adapters.reports.store import ReportStore
from services.verification.adapters.views import RunView
from services.verification.entrypoints.context import verification
from services.verification.entrypoints.report_files import html_response, pack_response, pdf_response
from services.verification.entrypoints.web import comparing
from services.verification.entrypoints.web import presentation as show
from services.verification.entrypoints.web.entries import show_entries
from services.verification.entrypoints.web.texts import LANGUAGES, Language, language
from services.verification.issue_handlers import issues_of
from shared.kernel.errors import Invalid, NotFound, Problem
from shared.kernel.times import SECOND, micros
from shared.storage.pool import Pool

_HERE: Final = Path(__file__).parent
_VENDORED: Final = {
    name: _HERE / "node_modules" / "uplot" / "dist" / name for name in ("uPlot.iife.min.js", "uPlot.min.css")
}
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ROWS: Final = 100
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_NO_STATISTICS: Final = {
    "run_not_started": "The run has not started.",
    "statistics_too_long": "The phases hold too many samples for statistics on a page; ask the API for one channel.",
}
_WRONG: Final = {
    404: "There is no such page",
    503: "The database does not answer",
}


class _Page(APIRoute):
    """A person who asks for a page gets a page also when it is refused; a script gets the problem document."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                request.scope["pilotline_code"] = problem.code
                reader = _reader(request, "UTC")
                title = reader.text(_WRONG.get(problem.status, "This cannot be shown"))
                return _html(request, reader, "problem.html", status=problem.status, title=title, problem=problem)

        return answered


router = APIRouter(include_in_schema=False, route_class=_Page)
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
)


def mount(app: FastAPI, pool: Pool) -> None:
    """Adds the pages to the API's application."""
    app.state.pages = ReadModel(pool)
    app.state.iterations = Iterations(pool)
    app.include_router(router)


@router.get("/")
async def start(request: Request) -> Response:
    return RedirectResponse(str(request.url_for("pages.board").path))


@router.get("/board", name="pages.board")
async def board(request: Request, only: str = "", after: str | None = None) -> Response:
    page = await _model(request).board(only=only or None, limit=_ROWS, after=after)
    reader = _reader(request, page.rows[0].zone if page.rows else "UTC")
    part = _link(request, "board_rows", {"only": only, "after": after})
    return _html(
        request,
        reader,
        "board.html",
        rows=[show.board_line(row, reader) for row in page.rows],
        only=only,
        part=part,
        more=page.after and _link(request, "board", {"only": only, "after": page.after}),
        filter_link=lambda name: _link(request, "board", {"only": name}),
        live=f"/live?{urlencode({'page': 'board'})}",
        cursor=page.cursor,
    )


@router.get("/board/rows", name="pages.board_rows")
async def board_rows(request: Request, only: str = "", after: str | None = None) -> Response:
    page = await _model(request).board(only=only or None, limit=_ROWS, after=after)
    reader = _reader(request, page.rows[0].zone if page.rows else "UTC")
    return _html(request, reader, "board_rows.html", rows=[show.board_line(row, reader) for row in page.rows])


@router.get("/runs/{run}", name="pages.run")
async def run_page(request: Request, run: str, c: str = "") -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    return _html(
        request,
        reader,
        "run.html",
        **_rows(view, reader, c),
        entries=show_entries(view, reader),
        curves=all(file.exists() for file in _VENDORED.values()),
        live=f"/live?{urlencode({'page': 'run', 'id': run})}",
        cursor=view.cursor,
    )


@router.get("/runs/{run}/head", name="pages.run_head")
async def run_head(request: Request, run: str) -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    return _html(request, reader, "run_head.html", head=show.head(view, reader))


@router.get("/runs/{run}/entries", name="pages.run_entries")
async def run_entries(request: Request, run: str) -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    return _html(request, reader, "run_entries.html", entries=show_entries(view, reader))


@router.get("/runs/{run}/criteria", name="pages.criteria_rows")
async def criteria_rows(request: Request, run: str) -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    return _html(request, reader, "criteria_rows.html", **_rows(view, reader, ""))


@router.get("/runs/{run}/criteria/{criterion}/evidence", name="pages.evidence")
async def evidence(request: Request, run: str, criterion: str) -> Response:
    view = await _view(request, run)
    found = await _model(request).criterion(run, criterion)
    if found is None:
        raise NotFound("criterion_unknown", f"run {run} has no criterion {criterion}", field="criterion")
    reader = _reader(request, view.head.zone)
    return _html(request, reader, "evidence.html", detail=show.detail(found, reader))


@router.get("/runs/{run}/reports", name="pages.reports")
async def reports_page(request: Request, run: str) -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    async with verification(request).pool.connection() as connection:
        found = await ReportStore(connection).of_run(run)
    return _html(
        request,
        reader,
        "reports.html",
        head=show.head(view, reader),
        rows=[show.report_line(item, reader) for item in found],
    )


@router.get("/runs/{run}/reports/{number}.{form}", name="pages.report")
async def report_file(request: Request, run: str, number: str, form: str) -> Response:
    """A report of the run as `html`, `pdf` (in the page's language) or `zip`, its evidence pack."""
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    parts = verification(request)
    async with parts.pool.connection() as connection:
        found = next((item for item in await ReportStore(connection).of_run(run) if item.number == number), None)
    if found is None or form not in ("html", "pdf", "zip"):
        raise NotFound("report_unknown", f"run {run} has no report {number}.{form}", field="number")
    if form == "zip":
        return await pack_response(parts, found)
    return await (html_response if form == "html" else pdf_response)(parts, found, reader.code)


@router.get("/runs/{run}/compare", name="pages.compare")
async def compare_page(request: Request, run: str, baseline: str = "", c: str = "") -> Response:
    view = await _view(request, run)
    reader = _reader(request, view.head.zone)
    iterations: Iterations = request.app.state.iterations
    found = await iterations.comparison(run, baseline=baseline or None)
    assert found is not None  # the view is there
    statistics, note = await _statistics(iterations, run, baseline or None)
    async with verification(request).pool.connection() as connection:
        issues = await issues_of(run, IssueStore(connection))
    titles = {name: reader.local_name(dict(names.title)) for name, names in found.names.items()}
    return _html(
        request,
        reader,
        "compare.html",
        part=comparing.show_comparison(found, reader),
        item=f"{view.head.item} {view.head.item_revision}",
        statistics=comparing.statistic_lines(statistics, comparing.titles_of(found, reader), reader),
        statistic_heads=comparing.statistic_heads(reader),
        statistics_note=reader.text(note) if note else "",
        issues=[comparing.issue_line(issue, titles, reader) for issue in issues],
        chosen=c,
        baseline=baseline,
        curves=all(file.exists() for file in _VENDORED.values()),
    )


@router.get("/runs/{run}/compare/overlay", name="pages.overlay")
async def overlay(request: Request, run: str, criterion: str, baseline: str = "", points: int = 400) -> Response:
    view = await _view(request, run)
    iterations: Iterations = request.app.state.iterations
    try:
        found = await iterations.overlay(run, criterion=criterion, baseline=baseline or None, points=points)
    except Problem as problem:
        if problem.code != "run_not_started":
            raise
        return JSONResponse({"curves": []}, headers={"Cache-Control": "no-store"})
    assert found is not None  # the view is there
    document = comparing.overlay_document(found, _reader(request, view.head.zone))
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


async def _statistics(
    iterations: Iterations, run: str, baseline: str | None
) -> tuple[tuple[ChannelStatistics, ...], str]:
    """The statistics, or why there are none."""
    try:
        return await iterations.statistics(run, baseline=baseline) or (), ""
    except Problem as problem:
        if problem.code not in _NO_STATISTICS:
            raise
        return (), _NO_STATISTICS[problem.code]


@router.get("/runs/{run}/curve", name="pages.curve")
async def curve(request: Request, run: str, criterion: str, points: int = 800) -> Response:
    view = await _view(request, run)
    data = await _model(request).curve(
        run,
        criterion=criterion,
        from_=_instant(request, "from"),
        to=_instant(request, "to"),
        points=min(max(points, 10), 4000),
    )
    if data is None:
        raise NotFound("criterion_unknown", f"run {run} has no criterion {criterion}", field="criterion")
    return JSONResponse(
        show.curve_document(data, view.head.phases, _reader(request, view.head.zone)),
        headers={"Cache-Control": "no-store"},
    )


@router.get("/static/{name:path}", name="pages.static")
async def static(name: str) -> Response:
    """Files of the pages: ours from `static/`, the curves' library from where npm put it."""
    vendored = _VENDORED.get(name.removeprefix("vendor/")) if name.startswith("vendor/") else None
    own = _HERE / "static" / name
    file = vendored or own
    if (vendored is None and own.parent != _HERE / "static") or not file.is_file():
        raise NotFound("page_unknown", f"there is no file {name}", field="path")
    return FileResponse(file, media_type=_TYPES.get(file.suffix), headers={"Cache-Control": "no-cache"})


def _model(request: Request) -> ReadModel:
    model: ReadModel = request.app.state.pages
    return model


async def _view(request: Request, run: str) -> RunView:
    view = await _model(request).run(run)
    if view is None:
        raise NotFound("run_unknown", f"there is no run {run}", field="run", remedy="the board lists the runs")
    return view


def _reader(request: Request, zone: str) -> Language:
    asked = request.query_params.get("lang") or request.cookies.get("lang")
    return language(asked, request.headers.get("accept-language", ""), zone)


def _rows(view: RunView, reader: Language, chosen: str) -> dict[str, Any]:
    return {
        "head": show.head(view, reader),
        "rows": [show.criterion_line(row, view.head.phases, reader) for row in view.criteria],
        "chosen": chosen,
    }


def _instant(request: Request, name: str) -> int | None:
    """Seconds since the epoch, as the curve's axis has them. Raises Invalid(instant_malformed)."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return round(float(text) * SECOND)
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "instant_malformed", f"'{text}' is no number of seconds", field=name, remedy="send seconds since 1970"
        ) from error


def _link(request: Request, name: str, query: dict[str, str | None]) -> str:
    given = {key: value for key, value in query.items() if value}
    return request.url_for(f"pages.{name}").path + (f"?{urlencode(given)}" if given else "")


def _html(request: Request, reader: Language, template: str, *, status: int = 200, **values: Any) -> Response:
    body = _templates.get_template(template).render(
        _=reader.text,
        word_text=reader.text,
        lang=reader.code,
        lang_tag=reader.tag,
        zone=reader.zone,
        as_of=reader.instant(micros(datetime.now(UTC))),
        url=lambda name, **parts: request.url_for(f"pages.{name}", **parts).path,
        static=lambda name: request.url_for("pages.static", name=name).path,
        switch_language=_switch(request),
        **({"live": "", "cursor": ""} | values),
    )
    response = Response(body, status, media_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept-Language, Cookie"
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie("lang", reader.code, max_age=31_536_000, samesite="lax", httponly=True)
    return response


def _switch(request: Request) -> Callable[[str], str]:
    def link(code: str) -> str:
        kept = {key: value for key, value in request.query_params.items() if key != "lang"}
        return f"{request.url.path}?{urlencode(kept | {'lang': code})}"

    return link
