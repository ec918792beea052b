"""One webhook request: to the address that was looked at, and to no other.

The name is resolved here and the connection goes to that address, so that a name which points elsewhere a moment later (DNS rebinding)
reaches nothing. Private, loopback and link-local addresses are refused unless the installation allows them. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from services.verification.domain.webhooks import signed_headers
from shared.kernel.errors import Invalid

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


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises Invalid(webhook_url) for what no attempt could use: not https (http where private targets are allowed), credentials, no host."""
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_fits = urlsplit(""), False
    schemes = ("https", "http") if allow_private else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.username or parts.fragment or not port_fits:
        raise Invalid(
            "webhook_url",
            "no address that events could be sent to",
            field="url",
            remedy=f"give {' or '.join(schemes)}://host/path, without credentials and fragment",
        )
    if not allow_private and _refused(parts.hostname):
        raise Invalid(
            "webhook_url",
            f"{parts.hostname} is a private address",
            field="url",
            remedy="give a public address, or set PILOTLINE_WEBHOOK_ALLOW_PRIVATE where receivers are inside",
        )


def _refused(address: str) -> bool:
    try:
        return not ipaddress.ip_address(address).is_global
    except ValueError:
        return address == "localhost" or address.endswith(".localhost")


class WebhookSender:
    """`timeout` (s) is for the whole attempt."""

    def __init__(self, client: httpx.AsyncClient, *, allow_private: bool, timeout: float) -> None:
        self._client = client
        self._allow_private = allow_private
        self._timeout = timeout

    async def send(self, url: str, secrets: tuple[str, ...], message_id: str, body: bytes) -> Attempt:
        """Never raises for what the receiver or the network does."""
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
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            failure = f"{type(error).__name__}: {error}"[:300]
        if status is not None and not 200 <= status < 300:
            failure = f"answered {status}"
        return Attempt(round(1e3 * (time.monotonic() - began)), status, failure, retry_after)

    async def _post(self, url: str, secrets: tuple[str, ...], message_id: str, body: bytes) -> tuple[int, float | None]:
        parts = urlsplit(url)
        host = parts.hostname or ""
        address = await self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
        target = httpx.URL(url).copy_with(host=address)
        headers = {
            **signed_headers(secrets, message_id, int(time.time()), body),
            "content-type": "application/json",
            "user-agent": _AGENT,
            "host": parts.netloc,
        }
        extensions: dict[str, Any] = {"sni_hostname": host}
        async with self._client.stream(
            "POST", target, content=body, headers=headers, extensions=extensions, follow_redirects=False
        ) as answer:
            received = 0
            async for part in answer.aiter_raw():
                received += len(part)
                if received > _READ_BYTES:
                    break
            return answer.status_code, _seconds(answer.headers.get("retry-after"))

    async def _address(self, host: str, port: int) -> str:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        if not self._allow_private and any(_refused(address) for address in addresses):
            raise TargetRefused(f"{host} is a private address")
        return addresses[0]


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
