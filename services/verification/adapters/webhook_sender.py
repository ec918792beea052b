"""One webhook request: to the address that was looked at, and to no other.

The name is resolved here and the connection goes to that address, so that a name which points elsewhere a moment later (DNS rebinding)
reaches nothing. Addresses that are not public are refused unless the installation allows them. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from services.verification.adapters.webhook_target import inside, target_of
from services.verification.domain.webhooks import signed_headers
from shared.kernel.errors import words

log = structlog.get_logger()

_AGENT = "pilotline-webhooks/1"
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it went. `status` is None when nobody answered; `failure` says why in a few words."""

    milliseconds: int
    status: int | None
    failure: str | None
    retry_after: float | None = None


class TargetRefused(Exception):
    """The endpoint's name points where nothing may be sent."""


class WebhookSender:
    """`timeout` (s) is for the whole attempt. `lookups` has the threads in which names are looked up: a name server that is silent holds one
    for longer than the attempt, and must not hold those of others."""

    def __init__(self, client: httpx.AsyncClient, lookups: Executor, *, allow_private: bool, timeout: float) -> None:
        self._client = client
        self._lookups = lookups
        self._allow_private = allow_private
        self._timeout = timeout

    async def send(self, url: str, secrets: tuple[str, ...], message_id: str, body: bytes) -> Attempt:
        """Never raises: what went wrong is in the attempt, whatever it was."""
        began = time.monotonic()
        status: int | None = None
        failure: str | None = None
        retry_after: float | None = None
        try:
            async with asyncio.timeout(self._timeout):
                status, retry_after = await self._post(url, secrets, message_id, body)
        except TargetRefused as error:
            failure = str(error)
        except TimeoutError:
            failure = f"no answer within {self._timeout:g} s"
        except (httpx.HTTPError, OSError, ValueError) as error:
            failure = words(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this attempt and no other
            # Without the frames' values: the secrets are among them.
            where = "".join(traceback.format_tb(error.__traceback__)[-4:])
            log.error("webhook_attempt_failed", message=message_id, error=type(error).__name__, where=where)  # noqa: TRY400
            failure = words(error)
        if status is not None and not 200 <= status < 300:
            failure = f"answered {status}"
        return Attempt(round(1e3 * (time.monotonic() - began)), status, failure, retry_after)

    async def _post(self, url: str, secrets: tuple[str, ...], message_id: str, body: bytes) -> tuple[int, float | None]:
        target = target_of(url)
        address = await self._address(target.host, target.port)
        headers = {
            **signed_headers(secrets, message_id, int(time.time()), body),
            "content-type": "application/json",
            "user-agent": _AGENT,
            "host": target.authority,
        }
        extensions: dict[str, Any] = {"sni_hostname": target.host}
        async with self._client.stream(
            "POST",
            target.url.copy_with(host=address),
            content=body,
            headers=headers,
            extensions=extensions,
            follow_redirects=False,
        ) as answer:
            received = 0
            async for part in answer.aiter_raw():
                received += len(part)
                if received > _READ_BYTES:
                    break
            return answer.status_code, _seconds(answer.headers.get("retry-after"))

    async def _address(self, host: str, port: int) -> str:
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, _looked_up, host, port)
        if not self._allow_private and any(map(inside, found)):
            raise TargetRefused(f"{host} is a private address")
        return found[0]


def _looked_up(host: str, port: int) -> list[str]:
    return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
