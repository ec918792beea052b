"""Where a webhook may go: its URL as it is used for the request, and the addresses to which nothing is sent."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import httpx

from shared.kernel.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"https": 443, "http": 80}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_NAME = 253
# Where an IPv4 address is the last four bytes: translated to it (RFC 6052), or compatible with it (RFC 4291).
_IPV4_AT_END = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
_TRANSLATED_INSIDE = ipaddress.IPv6Network("64:ff9b:1::/48")


@dataclass(frozen=True, slots=True)
class Target:
    """`host` is looked up and named in TLS: an address, or a name in ASCII (IDNA) without the root's dot. `authority` is for the Host header."""

    url: httpx.URL
    host: str
    port: int
    authority: str


def target_of(url: str, schemes: Collection[str] = tuple(_PORTS)) -> Target:
    """Raises ValueError for what no request could be sent to, another scheme, credentials and fragments."""
    if not url.isprintable() or " " in url:
        raise ValueError("it has blanks or control characters")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    written = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    if parsed.scheme not in schemes or "@" in written or parsed.fragment:
        raise ValueError(f"it is not {' or '.join(schemes)}://host/path without credentials and fragment")
    port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not 0 < port < 65_536:
        raise ValueError(f"there is no port {port}")
    host = parsed.raw_host.decode("ascii").lower().removesuffix(".")
    if not (_is_address(host) or _is_name(host)):
        raise ValueError(f"{host} is no name of a host")
    return Target(parsed, host, port, parsed.netloc.decode("ascii"))


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises Invalid(webhook_url) for what no attempt could use: not https (http where private targets are allowed), credentials, no host."""
    schemes = ("https", "http") if allow_private else ("https",)
    try:
        target = target_of(url, schemes)
    except ValueError as error:
        raise Invalid(
            "webhook_url",
            f"no address that events could be sent to: {error}",
            field="url",
            remedy=f"give {' or '.join(schemes)}://host/path, without credentials and fragment",
        ) from error
    if not allow_private and inside(target.host):
        raise Invalid(
            "webhook_url",
            f"{target.host} is a private address",
            field="url",
            remedy="give a public address, or set PILOTLINE_WEBHOOK_ALLOW_PRIVATE where receivers are inside",
        )


def inside(host: str) -> bool:
    """Whether it is an address that is not public, or a name of this machine."""
    try:
        return not public(ipaddress.ip_address(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def public(address: Address) -> bool:
    """Whether it is one host of the internet. An IPv6 address that carries an IPv4 address is as public as that."""
    if address.is_multicast or not address.is_global:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    return not (address.is_site_local or address in _TRANSLATED_INSIDE) and all(map(public, _carried(address)))


def _carried(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    found = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
    yield from (each for each in found if each is not None)
    if any(address in network for network in _IPV4_AT_END):
        yield ipaddress.IPv4Address(address.packed[-4:])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _is_name(host: str) -> bool:
    """A last label that is a number would be read as an address in an old spelling (127.1, 0x7f000001)."""
    labels = host.split(".")
    return len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels)) and _NUMBER.fullmatch(labels[-1]) is None
