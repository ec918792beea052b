"""The demonstration's gateway: carries out a plan over HTTP, as a plant's edge box would, and writes down what it was told.

A request without a clear answer (503, 504, a broken connection) is sent again, the same bytes under the same identities, until it has one:
the platform tells repeats from new records. Any other refusal ends the replay: it would be refused again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import httpx
import msgspec

from deploy.demo.asking import RefusedError
from deploy.demo.ledger import Ledger
from deploy.demo.plan import Batch, Begin, Enter, Finish, Kill, Pause, Plan, Send, Step
from shared.kernel.times import SECOND, Micros

_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = 2.0


class _Result(msgspec.Struct):
    outcome: str
    code: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result]


class RunsRuns(Protocol):
    """Who tells the platform about runs. Every call returns once the record is in the log, so that frames sent afterwards lie behind it."""

    async def begin(self, run: str, customer: str, at: Micros) -> None: ...

    async def enter(self, run: str, phase: str, at: Micros) -> None: ...

    async def finish(self, run: str, at: Micros) -> None: ...


class Gateway:
    """Sends batches with an API key. `patience` is how many seconds it keeps trying one request."""

    def __init__(self, client: httpx.AsyncClient, key: str, ledger: Ledger, *, patience: float = 120.0) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._ledger = ledger
        self._patience = patience

    async def send(self, batches: Sequence[Batch]) -> None:
        """One request with these batches, in order. Raises RefusedError, or TimeoutError when there is no answer at all."""
        if not batches:
            return
        entries = self._ledger.open(batches)
        body = msgspec.json.encode({"frames": [batch.document() for batch in batches]})

        def trying() -> None:
            for entry in entries:
                entry.tries += 1

        answer = await self._answer(body, trying)
        for entry, result in zip(entries, answer.results, strict=True):
            entry.outcome, entry.code = result.outcome, result.code

    async def _answer(self, body: bytes, trying: Callable[[], None]) -> _Answer:
        give_up = time.monotonic() + self._patience
        pause = 0.05
        while True:
            trying()
            try:
                response = await self._client.post("/v1/telemetry", content=body, headers=self._headers)
            except httpx.TransportError as error:
                reason = repr(error)
            else:
                if response.status_code == 202:
                    return msgspec.json.decode(response.content, type=_Answer)
                reason = f"{response.status_code} {response.text[:500]}"
                if response.status_code not in _AGAIN:
                    raise RefusedError(reason)
                pause = max(pause, float(response.headers.get("retry-after", 0)))
            if time.monotonic() > give_up:
                raise TimeoutError(f"no answer within {self._patience} s: {reason}")
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            pause = min(2 * pause, _LONGEST_PAUSE)


class Pace:
    """Holds a replay back so that `speed` seconds of event time take one second; without speed it holds nothing back. The first instant
    asked for is the one that counts as now."""

    def __init__(self, speed: float | None = None) -> None:
        self._speed = speed
        self._began: tuple[float, Micros] | None = None

    async def reach(self, at: Micros) -> None:
        """Returns at the moment that stands for event time `at`."""
        if self._speed is None:
            return
        clock, start = self._began = self._began or (time.monotonic(), at)
        due = clock + (at - start) / SECOND / self._speed
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def replay(
    plan: Plan,
    gateway: Gateway,
    runs: RunsRuns,
    *,
    kill: Callable[[str], Awaitable[None]],
    quiet: Callable[[Pause], Awaitable[None]],
    pace: Pace,
    on_step: Callable[[Step], None],
) -> None:
    """Carry out every step of the plan, one after another. `kill` ends the process of that name; `quiet` returns when everything sent so
    far has had the effects that a pause asks for."""
    for step in plan.steps():
        match step:
            case Begin():
                await pace.reach(step.at)
                await runs.begin(step.run, step.customer, step.at)
            case Enter():
                await runs.enter(step.run, step.phase, step.at)
            case Send():
                await pace.reach(step.at)
                await gateway.send(step.batches)
            case Pause():
                await quiet(step)
            case Finish():
                await runs.finish(step.run, step.at)
            case Kill():
                await kill(step.process)
        on_step(step)
