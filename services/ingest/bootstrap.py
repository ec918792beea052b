"""The one place where the gateway's and the sink's parts meet."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from services.ingest.adapters.ledger import Ledger
from services.ingest.adapters.sink import Sink
from services.ingest.config import GatewaySettings
from services.ingest.domain.clock import ClockRule
from services.ingest.handlers import Gate
from shared.contracts.topics import Topics
from shared.http.app import create_app
from shared.http.body import BodyLimits, InFlight
from shared.kernel.times import DAY, SECOND, Micros
from shared.kernel.units import check_unit
from shared.messaging.producer import producing
from shared.storage.api_keys import ApiKeys
from shared.storage.pool import Pool, build_pool, reachable
from shared.storage.registry import CachedRegistry


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the routes work with."""

    settings: GatewaySettings
    pool: Pool
    registry: CachedRegistry
    gate: Gate
    in_flight: InFlight

    def limit_headers(self) -> dict[str, str]:
        """The limits that apply to a telemetry request, and what is left of the shared one (draft-ietf-httpapi-ratelimit-headers)."""
        settings = self.settings
        return {
            "RateLimit-Policy": f'"in-flight";q={settings.in_flight_max_bytes};qu="content-bytes", '
            f'"body";q={settings.body_max_bytes};qu="content-bytes", "frames";q={settings.frames_per_request};qu="frames"',
            "RateLimit": f'"in-flight";r={max(0, settings.in_flight_max_bytes - self.in_flight.used)}',
        }


def now() -> Micros:
    """This machine's clock."""
    return time.time_ns() // 1000


@asynccontextmanager
async def build_gateway(settings: GatewaySettings) -> AsyncIterator[FastAPI]:
    """The gateway's application with everything open; closed on leaving, what was accepted flushed."""
    check_unit("1")  # loads the unit tables now and not inside the first request
    pool = build_pool(settings.database_url.get_secret_value(), name="ingest-http")
    in_flight = InFlight(settings.in_flight_max_bytes)
    async with (
        pool,
        producing(
            settings.kafka,
            max_bytes=settings.producer_max_bytes,
            deadline=settings.producer_deadline_seconds,
            client_id="ingest-http",
        ) as producer,
    ):
        registry = CachedRegistry(pool)
        gate = Gate(
            streams=registry,
            stored=Ledger(pool),
            publisher=producer,
            now=now,
            topic=Topics(settings.topic_prefix).line_records,
            clock_rule=ClockRule(
                suspect_beyond=int(settings.clock_suspect_seconds * SECOND),
                horizon=int(settings.lateness_horizon_days * DAY),
            ),
            remembered=settings.identities_remembered,
        )
        app = create_app(
            "pilotline ingest",
            keys=ApiKeys(pool),
            checks={"database": lambda: reachable(pool), "kafka": producer.reachable},
            limits=BodyLimits(
                settings.body_max_bytes,
                settings.body_patience_seconds,
                remedy="send fewer frames in a request",
                own_texts=re.compile("/v1/telemetry"),
            ),
            in_flight=in_flight,
        )
        app.state.gateway = Gateway(settings, pool, registry, gate, in_flight)
        yield app


def build_sink(pool: Pool, topics: Topics) -> Sink:
    """The sink as a processor of `line.records`; gaps go back to that topic."""
    return Sink(CachedRegistry(pool), topics.line_records)
