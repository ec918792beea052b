"""The sender: repeats what has no answer under the same identity, and writes down what it was told."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.demo.asking import RefusedError
from deploy.demo.configuration import demo_plan
from deploy.demo.ledger import Ledger
from deploy.demo.plan import Batch, Begin, Enter, Finish, Kill, Pause, Send, Step
from deploy.demo.replay import Gateway, Pace, replay
from shared.kernel.times import HOUR, MINUTE

Answer = Callable[[int], Response | None]


class Platform:
    """A front door that answers as it is told and keeps every body it took."""

    def __init__(self, answer: Answer) -> None:
        self.bodies: list[bytes] = []
        self._answer = answer

    async def telemetry(self, request: Request) -> Response:
        body = await request.body()
        self.bodies.append(body)
        given = self._answer(len(self.bodies))
        if given is not None:
            return given
        results = [{"index": index, "outcome": "accepted"} for index, _ in enumerate(json.loads(body)["frames"])]
        return JSONResponse({"counts": {}, "results": results}, 202)

    def client(self) -> httpx.AsyncClient:
        app = Starlette(routes=[Route("/v1/telemetry", self.telemetry, methods=["POST"])])
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://platform")


def some_batches() -> tuple[Batch, ...]:
    return next(step for step in demo_plan(["d00"]).steps() if isinstance(step, Send)).batches


@pytest.fixture
async def patient() -> AsyncIterator[Callable[[Platform, Ledger], Gateway]]:
    clients: list[httpx.AsyncClient] = []

    def gateway(platform: Platform, ledger: Ledger) -> Gateway:
        clients.append(platform.client())
        return Gateway(clients[-1], "pl_key_secret", ledger, patience=5.0)

    yield gateway
    for client in clients:
        await client.aclose()


async def test_a_request_without_an_answer_is_sent_again_unchanged(patient: Callable[..., Gateway]) -> None:
    platform = Platform(lambda count: Response(status_code=503 if count == 1 else 504) if count < 3 else None)
    ledger = Ledger()
    await patient(platform, ledger).send(some_batches())
    assert len(platform.bodies) == 3
    assert len(set(platform.bodies)) == 1
    assert {(record.tries, record.outcome) for record in ledger.records} == {(3, "accepted")}


async def test_a_refusal_for_good_ends_the_replay(patient: Callable[..., Gateway]) -> None:
    platform = Platform(lambda count: JSONResponse({"code": "key_unknown"}, 401))
    with pytest.raises(RefusedError, match="key_unknown"):
        await patient(platform, Ledger()).send(some_batches())
    assert len(platform.bodies) == 1


class Diary:
    """A platform's run commands, written down."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, ...]] = []

    async def begin(self, run: str, customer: str, at: int) -> None:
        self.entries.append(("begin", run, customer))

    async def enter(self, run: str, phase: str, at: int) -> None:
        self.entries.append(("enter", run, phase))

    async def finish(self, run: str, at: int) -> None:
        self.entries.append(("finish", run))

    async def quiet(self, pause: Pause) -> None:
        self.entries.append(("quiet", pause.run))

    async def kill(self, process: str) -> None:
        self.entries.append(("kill", process))


async def test_a_replay_carries_out_every_step_in_order(patient: Callable[..., Gateway]) -> None:
    platform, ledger, diary, steps = Platform(lambda count: None), Ledger(), Diary(), list[Step]()
    plan = demo_plan(["d04"])
    await replay(
        plan,
        patient(platform, ledger),
        diary,
        kill=diary.kill,
        quiet=diary.quiet,
        pace=Pace(),
        on_step=steps.append,
    )
    assert [type(step) for step in steps] == [Begin, *[Send] * 8, Enter, *[Send] * 16, Kill, *[Send] * 24, Finish]
    assert diary.entries == [
        ("begin", "d04", "qiantang-materials"),
        ("enter", "d04", "challenge"),
        ("kill", "worker"),
        ("finish", "d04"),
    ]
    assert len(ledger.records) == 48 * 6


async def test_what_is_late_comes_when_everything_before_it_is_settled(patient: Callable[..., Gateway]) -> None:
    platform, ledger, diary, steps = Platform(lambda count: None), Ledger(), Diary(), list[Step]()
    gateway = patient(platform, ledger)
    await replay(
        demo_plan(["d02"]),
        gateway,
        diary,
        kill=diary.kill,
        quiet=diary.quiet,
        pace=Pace(),
        on_step=steps.append,
    )
    paused = next(index for index, step in enumerate(steps) if isinstance(step, Pause))
    behind = steps[paused + 1]
    assert isinstance(behind, Send)
    assert [batch.note for batch in behind.batches] == ["late"]
    assert ("quiet", "d02") in diary.entries


async def test_a_pace_stretches_event_time() -> None:
    pace, began = Pace(3600.0), time.monotonic()
    await pace.reach(5 * HOUR)
    assert time.monotonic() - began < 0.1
    await pace.reach(5 * HOUR + 6 * MINUTE)
    assert time.monotonic() - began >= 0.1
