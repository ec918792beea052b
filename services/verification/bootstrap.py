"""The one place where the parts of the verification processes meet."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI

from services.verification.adapters.iterations import Iterations
from services.verification.adapters.live_feed import LiveFeed
from services.verification.adapters.read_model import ReadModel
from services.verification.adapters.webhook_dispatcher import AT_ONCE, WebhookDispatcher
from services.verification.adapters.webhook_sender import WebhookSender
from services.verification.config import ApiSettings
from services.verification.entry_handlers import MAX_ATTACHMENT
from services.verification.handlers import COMMAND_HORIZON
from shared.contracts.topics import Topics
from shared.http.app import create_app
from shared.http.body import BodyLimits
from shared.kernel.times import DAY, Micros
from shared.kernel.units import check_unit
from shared.messaging.producer import Producer, producing
from shared.storage.api_keys import ApiKeys
from shared.storage.pool import Pool, build_pool, reachable
from shared.storage.registry import CachedRegistry


@dataclass(frozen=True, slots=True)
class Verification:
    """What the routes work with."""

    pool: Pool
    topics: Topics
    registry: CachedRegistry
    read_model: ReadModel
    iterations: Iterations
    feed: LiveFeed
    webhook_allow_private: bool = False
    command_horizon: Micros = COMMAND_HORIZON


def now() -> Micros:
    """This machine's clock."""
    return time.time_ns() // 1000


@asynccontextmanager
async def build_api(settings: ApiSettings) -> AsyncIterator[tuple[FastAPI, Producer]]:
    """The application with everything open, and the producer of its outbox relay."""
    check_unit("1")  # loads the unit tables now and not inside the first request
    pool = build_pool(settings.database_url.get_secret_value(), name="verification-api")
    async with pool, producing(settings.kafka, client_id="verification-api") as producer:
        app = create_app(
            "pilotline verification",
            keys=ApiKeys(pool),
            checks={"database": lambda: reachable(pool), "kafka": producer.reachable},
            limits=BodyLimits(
                max_bytes=MAX_ATTACHMENT + 64 * 1024,
                own_texts=re.compile("/v1/runs/[^/]+/attachments"),
                remedy=f"send a smaller file: an attachment has at most {MAX_ATTACHMENT} bytes",
            ),
        )
        app.state.verification = Verification(
            pool=pool,
            topics=Topics(settings.topic_prefix),
            registry=CachedRegistry(pool),
            read_model=ReadModel(pool),
            iterations=Iterations(pool),
            feed=LiveFeed(pool, settings.database_url.get_secret_value(), now=now),
            webhook_allow_private=settings.webhook_allow_private,
            command_horizon=round(settings.command_horizon_days * DAY),
        )
        yield app, producer


@asynccontextmanager
async def build_webhooks(settings: ApiSettings) -> AsyncIterator[WebhookDispatcher]:
    """What sends events to the endpoints that want them."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=0)
    lookups = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook-lookup")
    try:
        async with httpx.AsyncClient(timeout=settings.webhook_timeout, limits=limits, trust_env=False) as client:
            sender = WebhookSender(
                client, lookups, allow_private=settings.webhook_allow_private, timeout=settings.webhook_timeout
            )
            yield WebhookDispatcher(settings.database_url.get_secret_value(), Topics(settings.topic_prefix), sender)
    finally:
        lookups.shutdown(wait=False, cancel_futures=True)
