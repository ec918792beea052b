"""Sends queued events to their endpoints: at least once, in order per endpoint; one process at a time, by an advisory lock.

An event is queued in the transaction that moves the endpoint's cursor over the published outbox, and a delivery is marked after the
answer: a crash between the two sends the event again under the same webhook-id. Every endpoint has at most one request on its way, which is
settled when it ends: a slow receiver keeps nobody waiting but itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from uuid import UUID

import structlog

from services.verification.adapters.webhook_sender import Attempt, WebhookSender
from services.verification.adapters.webhook_store import Due, WebhookStore
from services.verification.domain.webhooks import Answer, answer_of, wait_before
from shared.contracts.topics import Topics
from shared.messaging.outbox import published_channel
from shared.messaging.sole import run_alone
from shared.observability.metrics import WEBHOOK_ATTEMPTS, OfAnswer
from shared.storage.pool import Connection

log = structlog.get_logger()

AT_ONCE = 64
"""Endpoints that are being sent to, each with one event."""

_Made = tuple[Due, Attempt]


class WebhookDispatcher:
    """Run one in every api process: all but one wait for the lock."""

    def __init__(
        self,
        database_url: str,
        topics: Topics,
        sender: WebhookSender,
        *,
        poll_seconds: float = 1.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database_url = database_url
        self._topics = topics
        self._sender = sender
        self._poll_seconds = poll_seconds
        self._jitter = jitter

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. Waits out what is transient, with back-off; raises what is not."""
        await run_alone(
            "webhooks",
            lambda session: self._send_until(stop, session),
            database_url=self._database_url,
            stop=stop,
            poll_seconds=self._poll_seconds,
        )

    async def _send_until(self, stop: asyncio.Event, connection: Connection) -> None:
        # Listening comes before the first look: an event published in between would wait for the poll.
        await connection.execute(f"listen {published_channel('verification')}".encode())
        store = WebhookStore(connection)
        sending: dict[UUID, asyncio.Task[_Made]] = {}
        look = True
        try:
            while not stop.is_set():
                queued = 0
                if look:
                    async with connection.transaction():
                        queued = await store.queue_published(self._topics)
                for item in await store.due(AT_ONCE - len(sending), besides=list(sending)):
                    sending[item.webhook] = asyncio.create_task(self._attempt(item))
                look = queued > 0 or await self._wait(connection, store, sending)
                await self._settle_ended(connection, store, sending)
            if sending:
                await asyncio.wait(sending.values())
                await self._settle_ended(connection, store, sending)
        finally:
            for task in sending.values():
                task.cancel()

    async def _wait(
        self, connection: Connection, store: WebhookStore, sending: Mapping[UUID, asyncio.Task[_Made]]
    ) -> bool:
        """Until an attempt has ended, something was published, or the next one is due; answers whether there may be news to queue."""
        next_due = await store.seconds_to_next(besides=list(sending)) if len(sending) < AT_ONCE else None
        seconds = self._poll_seconds if next_due is None else min(max(next_due, 0.01), self._poll_seconds)
        listening = asyncio.create_task(_listen(connection, seconds))
        try:
            await asyncio.wait([listening, *sending.values()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = listening.done()
            listening.cancel()
            await asyncio.wait([listening])
        if ended:
            listening.result()
        return ended

    async def _settle_ended(
        self, connection: Connection, store: WebhookStore, sending: dict[UUID, asyncio.Task[_Made]]
    ) -> None:
        for webhook in [webhook for webhook, task in sending.items() if task.done()]:
            item, made = sending.pop(webhook).result()
            async with connection.transaction():
                await self._settle(store, item, made)

    async def _attempt(self, item: Due) -> _Made:
        return item, await self._sender.send(item.url, item.secrets, str(item.event_id), item.body)

    async def _settle(self, store: WebhookStore, item: Due, made: Attempt) -> None:
        answer = Answer.RETRY if made.status is None else answer_of(made.status)
        WEBHOOK_ATTEMPTS.add(OfAnswer(answer))
        await store.record_attempt(item.delivery, made.milliseconds, made.status, made.failure)
        if answer is Answer.DELIVERED:
            await store.end(item.delivery, "delivered")
            return
        wait = None if answer is Answer.GONE else wait_before(item.attempts + 1, self._jitter(), made.retry_after)
        if wait is not None:
            await store.postpone(item.delivery, wait)
            return
        # The endpoint stops here, so that what follows waits in order until a person has looked.
        reason = (
            "the receiver answered 410 Gone"
            if answer is Answer.GONE
            else f"no success in {item.attempts + 1} attempts: {made.failure}"
        )
        await store.end(item.delivery, "dead")
        if await store.disable(item.webhook, reason):
            log.warning("webhook_disabled", webhook=str(item.webhook), delivery=item.delivery, reason=reason)


async def _listen(connection: Connection, seconds: float) -> None:
    async for _ in connection.notifies(timeout=seconds, stop_after=1):
        pass
