"""The demonstration from the first registration to the final invoice, on a running installation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psycopg
import yaml

from deploy.demo.asking import Document, Service
from deploy.demo.configuration import REGISTRY
from deploy.demo.desk import Desk
from deploy.demo.facts import Facts, read_facts
from deploy.demo.ledger import Ledger
from deploy.demo.office import Billed, Office
from deploy.demo.plan import Pause, Plan, Step, customer_of
from deploy.demo.replay import Gateway, Pace, replay
from deploy.demo.settling import Outstanding, Progress
from deploy.local.installation import Installation
from shared.contracts.topics import Topics
from shared.storage.api_keys import Role, create_key

_SETTLED_WITHIN = 180.0
_READY_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that is known when the story is over."""

    ledger: Ledger
    facts: Facts
    usage: Mapping[str, RunUsage]
    counts: Sequence[Document]
    billed: Mapping[str, Billed]
    voucher: Document
    restarts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What was metered during a run."""

    hours: Sequence[Document]
    quantities: Sequence[Document]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who wants to know how far the story is."""

    on_stage: Callable[[str], None]
    on_step: Callable[[Step], None]
    on_progress: Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Hands:
    """The people and machines of the story, each with a key of its own."""

    gateway: Gateway
    desk: Desk
    office: Office


async def tell(system: Installation, plan: Plan, listener: Listener, *, pace: Pace) -> Told:
    """Replay the plan and wait until everything is settled, billed and read back."""
    ledger = Ledger()
    async with equipped(system, plan, ledger) as hands:
        listener.on_stage("replay")
        async with watched(system, plan, listener.on_progress):
            await replay(
                plan,
                hands.gateway,
                hands.desk,
                kill=lambda process: kill(system, process),
                quiet=lambda pause: quiet(system, pause),
                pace=pace,
                on_step=listener.on_step,
            )
        listener.on_stage("settle")
        await settle(system, plan, hands.office, listener.on_progress)
        listener.on_stage("bill")
        return await read_back(system, plan, ledger, hands.office)


@asynccontextmanager
async def equipped(system: Installation, plan: Plan, ledger: Ledger) -> AsyncIterator[Hands]:
    """Keys, registry, criteria, state model, tariff and voucher in place, and clients with these keys."""
    keys = await create_keys(system)
    async with (
        httpx.AsyncClient(base_url=system.url("http"), timeout=30) as door,
        httpx.AsyncClient(base_url=system.url("verification-api"), timeout=60) as verification,
        httpx.AsyncClient(base_url=system.url("billing-api"), timeout=120) as billing,
    ):
        document = json.loads(json.dumps(yaml.safe_load(REGISTRY.read_text(encoding="utf-8")), default=str))
        await Service(door, keys[Role.ADMIN]).ask("PUT", "/v1/registry", json=document)
        desk = Desk(Service(verification, keys[Role.OPERATOR]), plan.runs)
        office = Office(Service(billing, keys[Role.ACCOUNTANT]))
        await desk.publish_criteria()
        await office.publish_rules()
        yield Hands(Gateway(door, keys[Role.GATEWAY], ledger), desk, office)


async def create_keys(system: Installation) -> dict[Role, str]:
    """One key per role, as `pilotline keys create` makes them."""
    async with await psycopg.AsyncConnection.connect(system.endpoints.database_url) as connection:
        return {
            role: await create_key(connection, label=f"demo {role}", role=role, person=f"demo {role}") for role in Role
        }


async def kill(system: Installation, process: str) -> None:
    """SIGKILL, as a crash would; the supervisor starts the process again while the replay goes on."""

    def strike() -> None:
        system.supervisor.wait_ready(process, _READY_WITHIN)
        system.supervisor.kill(process)

    await asyncio.to_thread(strike)


async def quiet(system: Installation, pause: Pause) -> None:
    """Returns when everything sent so far has had its effects. Raises Unsettled."""
    async with outstanding(system) as work:
        await work.settled((), within=_SETTLED_WITHIN)
        await work.judged(pause.run, pause.judged, within=_SETTLED_WITHIN)


@asynccontextmanager
async def watched(
    system: Installation, plan: Plan, on_progress: Callable[[Progress], None], *, every: float = 0.5
) -> AsyncIterator[None]:
    """Tells how far the platform is behind while the body runs."""

    async def watch() -> None:
        async with outstanding(system) as work:
            while True:
                on_progress(await work.count(plan.runs))
                await asyncio.sleep(every)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


def outstanding(system: Installation) -> Outstanding:
    endpoints = system.endpoints
    return Outstanding(endpoints.kafka_bootstrap, endpoints.database_url, Topics(system.topic_prefix))


async def settle(
    system: Installation, plan: Plan, office: Office, on_progress: Callable[[Progress], None] = lambda progress: None
) -> None:
    """Returns when every record has had its effects. Raises Unsettled."""
    async with outstanding(system) as work:
        while True:
            await work.settled(plan.runs, within=_SETTLED_WITHIN, on_progress=on_progress)
            if await office.metered():
                return


async def read_back(system: Installation, plan: Plan, ledger: Ledger, office: Office) -> Told:
    """Close the invoices and read everything back that the checks and the summary need."""
    customers = sorted({customer_of(run) for run in plan.runs})
    billed = {customer: await office.close(customer) for customer in customers}
    return Told(
        ledger=ledger,
        facts=await asyncio.to_thread(read_facts, system.endpoints.database_url),
        usage={run: RunUsage(await office.hours(run), await office.quantities(run)) for run in plan.runs},
        counts=await office.counts(),
        billed=billed,
        voucher=await office.voucher(),
        restarts={process.name: process.restarts for process in system.supervisor.status()},
    )
