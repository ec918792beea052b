"""The one place where billing's parts meet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from services.billing.adapters.meter import Meter
from services.billing.adapters.meter_tables import SCHEMA
from services.billing.adapters.recorder import Recorder
from services.billing.adapters.usage_queries import UsageBooks
from services.billing.config import ApiSettings
from services.billing.handlers import Submission
from shared.contracts.topics import Topics
from shared.http.app import create_app
from shared.http.body import BodyLimits, InFlight
from shared.kernel.units import check_unit
from shared.messaging.producer import producing
from shared.messaging.relay import Relay
from shared.storage.api_keys import ApiKeys
from shared.storage.pool import Pool, build_pool, reachable
from shared.storage.registry import CachedRegistry


@dataclass(frozen=True, slots=True)
class Office:
    """What the routes work with."""

    settings: ApiSettings
    pool: Pool
    registry: CachedRegistry
    topics: Topics
    submission: Submission


def build_meter(pool: Pool, topics: Topics) -> Meter:
    """The meter as a processor of `line.records`; its usage events go to `usage.events`."""
    return Meter(CachedRegistry(pool), line_topic=topics.line_records, usage_topic=topics.usage_events)


def build_recorder() -> Recorder:
    """The recorder as a processor of `usage.events`."""
    return Recorder()


@asynccontextmanager
async def build_api(settings: ApiSettings) -> AsyncIterator[tuple[FastAPI, Relay]]:
    """The application with everything open, and the relay that stands by for the meter's; closed on leaving."""
    await asyncio.to_thread(check_unit, "1")  # loads the unit tables now and not inside the first request
    database_url = settings.database_url.get_secret_value()
    pool = build_pool(database_url, name="billing-api")
    async with pool, producing(settings.kafka, client_id="billing-api") as producer:
        topics = Topics(settings.topic_prefix)
        app = create_app(
            "pilotline billing",
            keys=ApiKeys(pool),
            checks={"database": lambda: reachable(pool), "kafka": producer.reachable},
            limits=BodyLimits(
                settings.body_max_bytes,
                settings.body_patience_seconds,
                remedy="send fewer events in a request",
                own_texts=re.compile("/v1/usage/events"),
            ),
            in_flight=InFlight(settings.in_flight_max_bytes),
        )
        submission = Submission(UsageBooks(pool), producer, topics.usage_events)
        app.state.office = Office(settings, pool, CachedRegistry(pool), topics, submission)
        yield app, Relay(SCHEMA, database_url=database_url, producer=producer)
