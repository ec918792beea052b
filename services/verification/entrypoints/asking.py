"""How commands ask the API: its address, the key, the request, and what is said when no answer comes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click
import httpx

from services.processes import ADDRESS_OF, preferred_address
from shared.kernel.errors import Problem

_T = TypeVar("_T")
_PROCESS = "verification-api"


def _address() -> str:
    """Of the installation that the root command was told; of the preferred port where there is no root command."""
    address_of = click.get_current_context().meta.get(ADDRESS_OF, preferred_address)
    return str(address_of(_PROCESS))


api_option = click.option(
    "--api",
    envvar="PILOTLINE_API",
    default=_address,
    show_default="$PILOTLINE_API, else the installation that runs here",
    help="address of the verification api",
)
key_option = click.option(
    "--key", envvar="PILOTLINE_KEY", required=True, help="API key of the person who acts; default $PILOTLINE_KEY"
)


class Number(click.ParamType):
    """A finite number, at least `low` and at most `high` where they are given."""

    name = "number"

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        self.low = low
        self.high = high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is no number", param, ctx)
        if not math.isfinite(number) or not self.low <= number <= self.high:
            reach = f" from {self.low:g} to {self.high:g}" if math.isfinite(self.low) else ""
            self.fail(f"{value} is no finite number{reach}", param, ctx)
        return number


def ask(
    api: str,
    key: str,
    method: str,
    *path: str,
    headers: dict[str, str] | None = None,
    timeout: float = 60.0,
    **facts: Any,
) -> Any:
    """The document that the API answers under /v1, None for an answer without one. `path` are segments: whatever is in them stays in them.

    Raises ClickException with the problem's sentence and remedy, or with what is wrong with the address.
    """
    with _explained(api):
        answer = httpx.request(
            method,
            _url(api, path),
            headers=_headers(key) | (headers or {}),
            timeout=httpx.Timeout(timeout, connect=10),
            **facts,
        )
    if not answer.is_success:
        raise _refused(api, answer)
    return None if answer.status_code == httpx.codes.NO_CONTENT else _document(api, answer)


def save(api: str, key: str, target: Path, *path: str, **query: str) -> None:
    """Write an answer into a file, whole or not at all. Raises as `ask`."""
    part = target.with_name(target.name + ".part")
    with (
        _explained(api),
        httpx.stream(
            "GET", _url(api, path), headers=_headers(key), params=query, timeout=httpx.Timeout(600, connect=10)
        ) as answer,
    ):
        if not answer.is_success:
            answer.read()
            raise _refused(api, answer)
        with part.open("wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)
    part.replace(target)


def explaining(work: Callable[[], _T]) -> _T:
    """What the work gives. Raises ClickException for a problem found here, as `ask` does for one that the API answers."""
    try:
        return work()
    except Problem as problem:
        where = f"{problem.field}: " if problem.field else ""
        remedy = f"; {problem.remedy}" if problem.remedy else ""
        raise click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}") from problem


def _url(api: str, path: tuple[str, ...]) -> str:
    return "/".join((api.rstrip("/"), "v1", *(_segment(item) for item in path)))


def _segment(text: str) -> str:
    if not text:
        raise click.ClickException("an id is empty")
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _headers(key: str) -> dict[str, str]:
    if not (key.isascii() and key.isprintable()):
        raise click.ClickException("the key has characters that no key has; see --key and $PILOTLINE_KEY")
    return {"authorization": f"Bearer {key}"}


@contextmanager
def _explained(api: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{api} does not answer: {error}; `pilotline status` says what runs") from error


def _document(api: str, answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _stranger(api, answer)
    return document


def _refused(api: str, answer: httpx.Response) -> click.ClickException:
    problem = _document(api, answer)
    if not {"code", "detail"} <= problem.keys():
        return _stranger(api, answer)
    remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
    return click.ClickException("\n".join((f"{problem['code']}: {problem['detail']}{remedy}", *_findings(problem))))


def _findings(problem: dict[str, Any]) -> Iterator[str]:
    """One line each of what a refused standard or set is about."""
    for item in (*problem.get("changes", ()), *problem.get("loosened", ())):
        digit = f" ({item['digit']})" if "digit" in item else ""
        yield f"  {'.'.join(part for part in (item['criterion'], item['field']) if part)}: {item['detail']}{digit}"


def _stranger(api: str, answer: httpx.Response) -> click.ClickException:
    kind = answer.headers.get("content-type", "nothing").split(";")[0]
    return click.ClickException(
        f"{api} is no verification api: it answers {answer.status_code} with {kind}; see --api and $PILOTLINE_API"
    )
