"""Webhooks: the signature of the scheme, what is wanted, when it is tried again, where nothing is sent."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from services.verification.adapters.webhook_sender import WebhookSender
from services.verification.adapters.webhook_target import check_url, inside, public, target_of
from services.verification.domain.webhooks import (
    DEFAULT_EVENTS,
    EVENTS,
    SCHEDULE,
    TOLERANCE_SECONDS,
    Answer,
    Filter,
    answer_of,
    known_events,
    secret_text,
    signed_headers,
    verified,
    wait_before,
)
from shared.kernel.errors import Invalid

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = 1_614_265_330
BODY = b'{"test": 2432232314}'


def test_the_signature_is_that_of_the_scheme() -> None:  # V-22
    """The vector that the scheme's reference libraries test themselves with."""
    headers = signed_headers([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", AT, BODY)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_accepts_either_secret_and_nothing_else() -> None:  # V-22
    old, new, other = (secret_text(bytes([byte]) * 32) for byte in (1, 2, 3))
    headers = signed_headers([new, old], "id", AT, BODY)
    assert [verified(secret, headers, BODY, AT) for secret in (old, new, other)] == [True, True, False]
    assert not verified(old, headers, BODY + b" ", AT)
    assert not verified(old, {**headers, "webhook-id": "other"}, BODY, AT)
    assert verified(old, headers, BODY, AT + TOLERANCE_SECONDS)
    assert not verified(old, headers, BODY, AT + TOLERANCE_SECONDS + 1)
    assert not verified(old, {"webhook-id": "id"}, BODY, AT)


def test_a_filter_narrows_by_event_and_place() -> None:  # V-22
    place = {"platform": "p", "line": "l", "project": "a"}
    assert Filter().wants("verdict", **place)
    assert not Filter().wants("gap", **place)
    assert Filter(line="l", project="a").wants("verdict", **place)
    assert not Filter(project="b").wants("verdict", **place)
    assert known_events(["gap", "verdict", "gap"]) == ("verdict", "gap")
    for wrong in (["verdict", "verdicts"], []):
        with pytest.raises(Invalid) as caught:
            known_events(wrong)
        assert caught.value.code == "webhook_event_unknown"


def test_waits_grow_and_end() -> None:  # V-22
    waits = [wait_before(attempt, 0.5) for attempt in range(len(SCHEDULE) + 1)]
    assert waits == [*SCHEDULE, None]
    assert wait_before(2, 0.0) == 270.0
    assert wait_before(1, 0.5, retry_after=60.0) == 60.0
    assert wait_before(1, 0.5, retry_after=1.0) == 5.0
    assert wait_before(1, 0.5, retry_after=1e9) == 86_400.0


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, Answer.DELIVERED), (204, Answer.DELIVERED), (302, Answer.RETRY), (400, Answer.RETRY), (503, Answer.RETRY), (410, Answer.GONE)],
)  # fmt: skip
def test_what_an_answer_means(status: int, answer: Answer) -> None:  # V-22
    assert answer_of(status) is answer


@pytest.mark.parametrize(
    "url",
    ["http://example.org/hook", "https://user:pass@example.org/", "https://", "ftp://example.org", "https://127.0.0.1/x", "https://10.1.2.3/",
     "https://[::1]/x", "https://localhost/x", "https://localhost./x", "https://169.254.169.254/latest", "https://example.org:99999/",
     "https://example.org:0/", "https://receiver..example/hook", "https://.example/", f"https://{'a' * 64}.example/",
     f"https://{'é' * 70}.example/", "https://" + "a." * 127 + "example/", "https://日本..example/", "https://exa mple.org/",
     "https://example.org/a b", " https://example.org/", "https://example.org/\r\nx-more: 1", "https://exam\tple.org/", "https://example.org/\x00",
     "https://\ud800.example/", "https://:secret@example.org/", "https://@example.org/", "https://example.org\\@10.1.2.3/",
     "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://[fe80::1%25eth0]/"],
)  # fmt: skip
def test_nothing_is_registered_that_points_inside_or_nowhere(url: str) -> None:  # V-22
    with pytest.raises(Invalid) as caught:
        check_url(url, allow_private=False)
    assert (caught.value.code, caught.value.field) == ("webhook_url", "url")


@pytest.mark.parametrize(
    "address",
    ["224.0.0.1", "ff02::1", "ff0e::1", "fec0::1", "::", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
     "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a00:1::1", "2001:0:808:808:0:0:80ff:fffe", "100.64.0.1"],
)  # fmt: skip
def test_an_address_that_leads_inside_by_another_spelling_is_not_public(address: str) -> None:  # V-22
    assert not public(ipaddress.ip_address(address))
    assert inside(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
)
def test_what_leads_out_is_public(address: str) -> None:  # V-22
    assert public(ipaddress.ip_address(address))


def test_inside_receivers_are_allowed_where_the_installation_says_so() -> None:  # V-22
    check_url("http://127.0.0.1:9000/hook", allow_private=True)
    check_url("https://example.org/hook", allow_private=False)
    assert target_of("https://例子.example./路?a=1").host == "xn--fsqu00a.example"
    assert target_of("https://[2606:4700::1]:8443/x@y").authority == "[2606:4700::1]:8443"


def refusing(request: httpx.Request) -> httpx.Response:
    raise RuntimeError("the lines\x00 of somebody")


@pytest.mark.parametrize(
    ("url", "failure"),
    [
        ("http://receiver..example/hook", "ValueError: receiver..example is no name of a host"),
        ("http://127.0.0.1:9/hook", "RuntimeError: the lines\N{REPLACEMENT CHARACTER} of somebody"),
    ],
)
async def test_an_attempt_never_raises(url: str, failure: str) -> None:  # V-22
    async with httpx.AsyncClient(transport=httpx.MockTransport(refusing)) as client:
        with ThreadPoolExecutor(1) as lookups:
            sender = WebhookSender(client, lookups, allow_private=True, timeout=2.0)
            made = await sender.send(url, (secret_text(b"k" * 32),), "m", b"{}")
    assert (made.status, made.failure) == (None, failure)


async def test_a_name_is_looked_up_while_the_process_s_own_threads_are_taken() -> None:  # V-22
    loop, free = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    taken = loop.run_in_executor(None, free.wait)
    answering = httpx.MockTransport(lambda _: httpx.Response(204, stream=httpx.ByteStream(b"")))
    with ThreadPoolExecutor(1) as lookups:
        async with httpx.AsyncClient(transport=answering) as client:
            sender = WebhookSender(client, lookups, allow_private=True, timeout=2.0)
            made = await sender.send("http://127.0.0.1:9/hook", (secret_text(b"k" * 32),), "m", b"{}")
    free.set()
    await taken
    assert made.status == 204


def test_the_manual_lists_every_event() -> None:  # V-22
    manual = Path(__file__).parents[3].joinpath("docs", "webhooks.md").read_text(encoding="utf-8")
    listed = manual.partition("\nEvents: ")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"`([a-z_.]+)`", listed)) == EVENTS
    default = listed.partition("(the default)")[0]
    assert tuple(re.findall(r"`([a-z_.]+)`", default)) == DEFAULT_EVENTS
