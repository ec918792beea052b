"""A replay of the demonstration while its processes are killed, and the same replay undisturbed."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from deploy.demo.cli import ENVIRONMENT
from deploy.demo.plan import Begin, Plan, Send
from deploy.demo.replay import Pace
from deploy.demo.story import Listener, Told, tell
from deploy.local import waiting
from deploy.local.installation import DATABASE_URL, KAFKA, TOPIC_PREFIX, Installation, installed
from deploy.local.stack import Endpoints
from shared.kernel.times import Micros
from tests.plugins.stack import NewDatabase, NewTopics

_log = logging.getLogger(__name__)

VICTIMS = ("http", "sink", "worker", "meter", "recorder")
SEED = "PILOTLINE_CHAOS_SEED"
_READY_SECONDS = 240
_LONGEST_LIFE = 0.8
"""Seconds for which a victim works on its part of the replay at most."""


def chosen_seed() -> int:
    """The seed of the environment, else any; logged, so that a failure says which order and pauses to ask for again."""
    seed = int(os.environ.get(SEED, random.SystemRandom().randrange(10**6)))
    _log.warning("%s=%d", SEED, seed)
    return seed


class Fire:
    """Kills each victim `each` times with SIGKILL, in an order and at moments that `chance` gives, spread over a whole replay.

    With n kills a replay has n + 1 parts. Part k begins when kill k is done and the next victim serves again; kill k + 1 falls while its
    records are on their way, whatever became of the processes killed before. The last part, one step, comes after the last kill.
    """

    def __init__(self, system: Installation, chance: random.Random, *, each: int) -> None:
        self._supervisor = system.supervisor
        self._chance = chance
        self._order = list(VICTIMS) * each
        chance.shuffle(self._order)
        self._changed = asyncio.Condition()
        self._released = -1
        self._reached = -1
        self.killed: Counter[str] = Counter()

    @property
    def kills(self) -> int:
        """How many there will be."""
        return len(self._order)

    async def burn(self) -> None:
        """Returns after the last kill. Raises TimeoutError when a victim does not come back."""
        for part, victim in enumerate(self._order):
            await asyncio.to_thread(self._supervisor.wait_ready, victim, _READY_SECONDS)
            await self._release(part)
            await self._until_reached(part)
            await asyncio.sleep(self._chance.uniform(0.0, _LONGEST_LIFE))  # the random moment
            await asyncio.to_thread(self._strike, victim)
            self.killed[victim] += 1
        await self._release(self.kills)

    async def enter(self, part: int) -> None:
        """The replay stands before a step of `part`; returns when it may go on."""
        async with self._changed:
            self._reached = part
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._released >= part)

    async def _release(self, part: int) -> None:
        async with self._changed:
            self._released = part
            self._changed.notify_all()

    async def _until_reached(self, part: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._reached >= part)

    def _strike(self, victim: str) -> None:
        def struck() -> bool:
            try:
                self._supervisor.kill(victim)
            except ProcessLookupError:
                return False  # it ended by itself and will be started again
            return True

        waiting.until(struck, _READY_SECONDS, f"{victim} to be there to be killed")


class InParts(Pace):
    """Divides the `steps` of a replay evenly among the parts of a fire."""

    def __init__(self, steps: int, fire: Fire) -> None:
        super().__init__()
        self._steps = steps
        self._fire = fire
        self._done = 0

    async def reach(self, at: Micros) -> None:
        self._done += 1
        await self._fire.enter(self._fire.kills * self._done // self._steps)


@contextmanager
def system_of(name: str, stack: Endpoints, new_database: NewDatabase, new_topics: NewTopics) -> Iterator[Installation]:
    """Every process, ready, on a database and topics of its own."""
    with new_database() as database, new_topics() as topics, pytest.MonkeyPatch.context() as environment:
        environment.setenv(KAFKA, stack.kafka_bootstrap)
        environment.setenv(DATABASE_URL, database)
        environment.setenv(TOPIC_PREFIX, topics.prefix)
        with installed(f"{name}-{os.getpid()}", environment=ENVIRONMENT) as system:
            system.supervisor.wait_all_ready(_READY_SECONDS)
            yield system


def undisturbed(system: Installation, plan: Plan) -> Told:
    """The plan carried out as fast as possible."""
    return asyncio.run(tell(system, plan, _nobody(), pace=Pace()))


def under_fire(system: Installation, plan: Plan, seed: int, *, each: int) -> tuple[Told, Fire]:
    """The plan carried out under `each` kills of every victim."""
    return asyncio.run(_under_fire(system, plan, random.Random(seed), each))


async def _under_fire(system: Installation, plan: Plan, chance: random.Random, each: int) -> tuple[Told, Fire]:
    fire = Fire(system, chance, each=each)
    steps = sum(isinstance(step, Begin | Send) for step in plan.steps())
    # In a group, so that a victim that stays down ends the replay that waits for its kill.
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(tell(system, plan, _nobody(), pace=InParts(steps, fire)))
        group.create_task(fire.burn())
    return telling.result(), fire


def _nobody() -> Listener:
    def ignored(_: object) -> None: ...

    return Listener(ignored, ignored, ignored)


def differing(one: object, other: object, place: str = "") -> Sequence[str]:
    """The places at which two trees of plain values differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [text for key in one for text in differing(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{place}: {len(one)} and {len(other)} items"]
        pairs = enumerate(zip(one, other, strict=True))
        return [text for index, (a, b) in pairs for text in differing(a, b, f"{place}/{index}")]
    return [] if one == other else [f"{place}: {one!r} and {other!r}"]
