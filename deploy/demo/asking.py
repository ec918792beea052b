"""One service over HTTP with an API key: asks again while there is no clear answer, gives up on a refusal."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

Document = dict[str, Any]


class RefusedError(Exception):
    """The platform refused a request for good."""


class Service:
    """`patience` is how many seconds one request is tried. Every request sent must be harmless when it is repeated."""

    def __init__(self, client: httpx.AsyncClient, key: str, *, patience: float = 60.0) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}
        self._patience = patience

    async def ask(self, method: str, path: str, **request: Any) -> Document:
        """The JSON answer. Raises RefusedError for 4xx, TimeoutError when there is no good answer in time."""
        give_up = time.monotonic() + self._patience
        while True:
            try:
                response = await self._client.request(method, path, headers=self._headers, **request)
            except httpx.TransportError as error:
                reason = f"{method} {path}: {error!r}"
            else:
                if response.is_success:
                    answer: Document = response.json()
                    return answer
                reason = f"{method} {path}: {response.status_code} {response.text[:500]}"
                if response.status_code < 500:
                    raise RefusedError(reason)
            if time.monotonic() > give_up:
                raise TimeoutError(reason)
            await asyncio.sleep(0.1)

    async def every(self, path: str, **parameters: str) -> list[Document]:
        """All pages of a list."""
        items: list[Document] = []
        cursor: str | None = None
        while True:
            page = await self.ask("GET", path, params={**parameters, **({"cursor": cursor} if cursor else {})})
            items += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return items
