"""A replay with processes killed at random moments ends with the same rows, verdicts, hours and invoices as one that nobody disturbed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.demo import checks
from deploy.demo.cli import ENVIRONMENT
from deploy.demo.comparing import comparable
from deploy.demo.configuration import demo_plan
from deploy.demo.plan import Begin, Plan, Send
from deploy.demo.replay import Pace
from deploy.demo.story import Listener, Told, tell
from deploy.local import waiting
from deploy.local.installation import DATABASE_URL, KAFKA, TOPIC_PREFIX, Installation, installed
from deploy.local.stack import Endpoints
from shared.kernel.times import Micros
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1500)]

RUNS = ("d01", "d02", "d03", "d06")
"""A duplicate, a late batch, a gap, and the platform's own trouble."""

VICTIMS = ("http", "sink", "worker", "meter", "recorder")
EACH = 5
READY_SECONDS = 240


class Fire:
    """Kills each victim `EACH` times, in random order and at random moments, while a replay goes on."""

    def __init__(self, system: Installation, chance: random.Random) -> None:
        self._system = system
        self._chance = chance
        self._struck = asyncio.Condition()
        self.killed: Counter[str] = Counter()

    async def burn(self) -> None:
        order = list(VICTIMS) * EACH
        self._chance.shuffle(order)
        for victim in order:
            await asyncio.sleep(self._chance.uniform(0.0, 1.0))  # the random moment
            await asyncio.to_thread(self._strike, victim)
            async with self._struck:
                self.killed[victim] += 1
                self._struck.notify_all()

    def _strike(self, victim: str) -> None:
        supervisor = self._system.supervisor

        def struck() -> bool:
            try:
                supervisor.kill(victim)
            except ProcessLookupError:
                return False  # it is being restarted after the last time
            return True

        waiting.until(struck, READY_SECONDS, f"{victim} to be there to be killed")

    async def reached(self, kills: int) -> None:
        """Returns when so many kills have been."""
        async with self._struck:
            await self._struck.wait_for(lambda: self.killed.total() >= kills)


class InStep(Pace):
    """Holds the replay back so that the kills spread over all of it."""

    def __init__(self, steps: int, fire: Fire) -> None:
        super().__init__()
        self._steps = steps
        self._fire = fire
        self._done = 0

    async def reach(self, at: Micros) -> None:
        self._done += 1
        await self._fire.reached(len(VICTIMS) * EACH * self._done // self._steps)


@contextmanager
def system_of(
    name: str, stack: Endpoints, new_database: NewDatabase, new_topics: NewTopics, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """Every process on a database and topics of its own."""
    with new_database() as database, new_topics() as topics, monkeypatch.context() as environment:
        environment.setenv(KAFKA, stack.kafka_bootstrap)
        environment.setenv(DATABASE_URL, database)
        environment.setenv(TOPIC_PREFIX, topics.prefix)
        with installed(f"{name}-{os.getpid()}", environment=ENVIRONMENT) as system:
            system.supervisor.wait_all_ready(READY_SECONDS)
            yield system


def ignored(_: object) -> None:
    """Nobody watches."""


async def undisturbed(system: Installation, plan: Plan) -> Told:
    return await tell(system, plan, Listener(ignored, ignored, ignored), pace=Pace())


async def under_fire(system: Installation, plan: Plan, seed: int) -> tuple[Told, Fire]:
    fire = Fire(system, random.Random(seed))
    burning: list[asyncio.Task[None]] = []

    def on_stage(stage: str) -> None:
        if stage == "replay":
            burning.append(asyncio.create_task(fire.burn()))

    paced = sum(isinstance(step, Begin | Send) for step in plan.steps())
    told = await tell(system, plan, Listener(on_stage, ignored, ignored), pace=InStep(paced, fire))
    await asyncio.gather(*burning)
    return told, fire


def test_kills_at_random_moments_change_nothing(
    stack: Endpoints, new_database: NewDatabase, new_topics: NewTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("PILOTLINE_CHAOS_SEED", random.SystemRandom().randrange(10**6)))
    plan = demo_plan(RUNS, kills=())
    with system_of("calm", stack, new_database, new_topics, monkeypatch) as system:
        calm = asyncio.run(undisturbed(system, plan))
    with system_of("fire", stack, new_database, new_topics, monkeypatch) as system:
        told, fire = asyncio.run(under_fire(system, plan, seed))
    assert fire.killed == dict.fromkeys(VICTIMS, EACH), f"seed {seed}"
    wrong = [check for check in checks.check_books(told.facts, told.ledger) if not check.passed]
    assert not wrong, f"seed {seed}"  # G1, G2
    assert comparable(told) == comparable(calm), f"seed {seed}"  # G3, V-17, B-22
