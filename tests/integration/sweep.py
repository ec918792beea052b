"""Every route of an API asked with what nobody sends by intention: no answer is an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

ODD = (
    "\0",
    "\x1b",
    "\ud800",
    "x" * 20_000,
    "-1",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "1" + "0" * 22,
    "9" * 39,
    "1e300",
    "nan",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-02-30",
)
ODD_VALUES: tuple[object, ...] = (*ODD, -1, 2**31, 2**40, 2**63, 10**22, 1e300, True, None, [], {}, [[]], "9999-12-31")
RAW = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"a":' * 20_000,
    b"9" * 5_000,
    b'"\\u0000"',
    b'{"\\ud800": "\\ud800"}',
    b"null",
    b"[]",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One request: `url` is encoded already."""

    method: str
    url: str
    body: bytes | None = None
    kind: str = "application/json"


@dataclass(slots=True)
class Sweep:
    """`known` are values that exist, by name of a parameter or of a field of a body; `skip` are paths that answer for ever."""

    app: FastAPI
    client: httpx.AsyncClient
    known: Mapping[str, object]
    skip: frozenset[str] = frozenset()
    asked: int = 0
    failures: list[str] = field(default_factory=list)

    async def run(self) -> None:
        """Fills `failures` with every answer that is an error of ours, or a refusal without a code."""
        specification = self.app.openapi()
        for path, operations in specification["paths"].items():
            for method, operation in operations.items():
                if path not in self.skip:
                    for question in _questions(specification, method.upper(), path, operation, self.known):
                        await self._ask(question)
        for route in self.app.routes:
            if isinstance(route, APIRoute) and not route.include_in_schema and route.path not in self.skip:
                named = [{"name": item.alias, "in": "path"} for item in route.dependant.path_params]
                named += [
                    {"name": name, "in": "query"}
                    for name in ("from", "to", "points", "c", "baseline", "criterion", "after", "lang")
                ]
                for question in _questions(specification, "GET", route.path, {"parameters": named}, self.known):
                    await self._ask(question)

    async def _ask(self, question: Question) -> None:
        self.asked += 1
        headers = {} if question.body is None else {"content-type": question.kind}
        answer = await self.client.request(question.method, question.url, content=question.body, headers=headers)
        told = answer.headers.get("content-type", "").startswith("application/problem+json")
        if answer.status_code >= 500 or (answer.status_code >= 400 and not (told and answer.json().get("code"))):
            what = f"{question.method} {question.url[:200]} {(question.body or b'')[:200]!r}"
            self.failures.append(f"{what}: {answer.status_code} {answer.text[:300]}")


async def sweep(app: FastAPI, key: str, known: Mapping[str, object], *, skip: frozenset[str] = frozenset()) -> Sweep:
    """Everything asked with `key`, in this process."""
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=headers, timeout=60.0
    ) as client:
        asked = Sweep(app, client, known, skip)
        await asked.run()
    return asked


def _questions(
    specification: Mapping[str, Any],
    method: str,
    path: str,
    operation: Mapping[str, Any],
    known: Mapping[str, object],
) -> Iterator[Question]:
    parameters: Sequence[Mapping[str, Any]] = operation.get("parameters", ())
    usual = {item["name"]: str(known.get(item["name"], "1")) for item in parameters}
    needed = {
        item["name"] for item in parameters if item["in"] == "query" and (item.get("required") or item["name"] in known)
    }
    content = operation.get("requestBody", {}).get("content", {})
    schema = next((item.get("schema", {}) for kind, item in content.items() if kind == "application/json"), None)
    whole = None if schema is None else _example(specification, schema, "", known)
    body = None if method == "GET" else json.dumps(whole or {}).encode()
    yield Question(method, _url(path, parameters, usual, needed), body)
    for item in parameters:
        for odd in ODD:
            if item["in"] in ("path", "query"):
                url = _url(path, parameters, usual | {item["name"]: odd}, needed | {item["name"]})
                yield Question(method, url, body)
    if method == "GET":
        return
    url = _url(path, parameters, usual, needed)
    for raw in RAW:
        for kind in ("application/json", "application/yaml", "application/octet-stream"):
            yield Question(method, url, raw, kind)
    for place in _places(whole):
        for value in ODD_VALUES:
            yield Question(method, url, json.dumps(_changed(whole, place, value)).encode())


def _url(path: str, parameters: Sequence[Mapping[str, Any]], values: Mapping[str, str], query: set[str]) -> str:
    for item in parameters:
        if item["in"] == "path":
            text = _quoted(values[item["name"]])
            path = path.replace("{" + item["name"] + "}", text).replace("{" + item["name"] + ":path}", text)
    asked = [(name, values[name]) for name in sorted(query)]
    return path + ("?" + urlencode(asked, errors="surrogatepass") if asked else "")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _example(
    specification: Mapping[str, Any], schema: Mapping[str, Any], name: str, known: Mapping[str, object]
) -> Any:
    """A value that the schema takes, by what is known of the name."""
    if "$ref" in schema:
        found = specification["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return _example(specification, found, name, known)
    if name in known and schema.get("type") not in ("object", "array"):
        return known[name]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return _example(specification, schema[choice][0], name, known)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = schema.get("type")
    if kind == "object":
        return {key: _example(specification, item, key, known) for key, item in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(specification, schema.get("items", {}), name, known)]
    texts = {"uuid": "00000000-0000-4000-8000-000000000000", "date": "2026-03-02", "date-time": "2026-03-02T00:00:00Z"}
    return {"integer": 1, "number": 1.0, "boolean": False, "string": texts.get(schema.get("format", ""), "a")}.get(
        kind or ""
    )


def _places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*place, key)
            yield from _places(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*place, index)
            yield from _places(item, (*place, index))


def _changed(value: Any, place: tuple[str | int, ...], to: object) -> Any:
    changed = deepcopy(value)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = to
    return changed
