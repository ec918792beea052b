"""Webhook endpoints, secrets, deliveries and attempts in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from services.verification.adapters.announcements import PREFIX
from services.verification.domain.webhooks import TEST_EVENT, Filter
from shared.contracts.events import CloudEvent, decode_event
from shared.contracts.topics import Topics
from shared.kernel.canonical import canonical_json
from shared.storage.pool import Connection

_QUEUED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint as listed: everything but its secrets."""

    webhook: UUID
    url: str
    description: str
    filter: Filter
    state: str
    reason: str | None
    created_by: str
    created_at: datetime
    waiting: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint. `state`: waiting, delivered or dead."""

    delivery: int
    webhook: UUID
    event_id: UUID
    event: str
    state: str
    attempts: int
    next_attempt_at: datetime
    created_at: datetime
    ended_at: datetime | None
    last_status: int | None
    last_failure: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried now; `secrets` are those in force, newest first."""

    delivery: int
    webhook: UUID
    url: str
    event_id: UUID
    body: bytes
    attempts: int
    secrets: tuple[str, ...]


class WebhookStore:
    """On one connection, in the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(self, webhook: UUID, url: str, description: str, wanted: Filter, who: str) -> None:
        """It begins with what is published from now on."""
        await self._connection.execute(
            """insert into verification.webhook (webhook_id, url, description, events, platform_id, line_id, project, reached, created_by)
               select %s, %s, %s, %s, %s, %s, %s, coalesce(max(published_seq), 0), %s from verification.outbox""",
            (webhook, url, description, list(wanted.events), wanted.platform, wanted.line, wanted.project, who),
        )

    async def add_secret(self, webhook: UUID, secret: str, who: str, overlap: timedelta) -> None:
        """The new secret signs at once; those before it sign beside it for `overlap`."""
        await self._connection.execute(
            """update verification.webhook_secret set expires_at = clock_timestamp() + %s
               where webhook_id = %s and (expires_at is null or expires_at > clock_timestamp() + %s)""",
            (overlap, webhook, overlap),
        )
        await self._connection.execute(
            "insert into verification.webhook_secret (webhook_id, secret, created_by) values (%s, %s, %s)",
            (webhook, secret, who),
        )

    async def find(self, webhook: UUID) -> Webhook | None:
        """None also for one that has been removed."""
        found = await self._webhooks("w.webhook_id = %s", (webhook,), limit=1)
        return found[0] if found else None

    async def page(self, *, limit: int, after: tuple[datetime, UUID] | None) -> Sequence[Webhook]:
        """By creation."""
        if after is None:
            return await self._webhooks("true", (), limit)
        return await self._webhooks("(w.created_at, w.webhook_id) > (%s, %s)", after, limit)

    async def _webhooks(self, condition: str, parameters: Sequence[object], limit: int) -> list[Webhook]:
        cursor = await self._connection.execute(
            f"""select w.webhook_id, w.url, w.description, w.events, w.platform_id, w.line_id, w.project, w.state, w.reason, w.created_by,
                    w.created_at,
                    (select count(*) from verification.webhook_delivery d where d.webhook_id = w.webhook_id and d.state = 'waiting'),
                    (select count(*) from verification.webhook_delivery d where d.webhook_id = w.webhook_id and d.state = 'dead')
                from verification.webhook w where w.state <> 'removed' and {condition} order by w.created_at, w.webhook_id limit %s""".encode(),
            (*parameters, limit),
        )
        return [
            Webhook(row[0], row[1], row[2], Filter(tuple(row[3]), row[4], row[5], row[6]), *row[7:])
            for row in await cursor.fetchall()
        ]

    async def remove(self, webhook: UUID, reason: str) -> None:
        """For good: no state follows."""
        await self._connection.execute(
            "update verification.webhook set state = 'removed', reason = %s where webhook_id = %s", (reason, webhook)
        )

    async def disable(self, webhook: UUID, reason: str) -> bool:
        """Whether it was active."""
        cursor = await self._connection.execute(
            "update verification.webhook set state = 'disabled', reason = %s where webhook_id = %s and state = 'active'",
            (reason, webhook),
        )
        return cursor.rowcount > 0

    async def enable(self, webhook: UUID) -> None:
        """One that is disabled is active again."""
        await self._connection.execute(
            "update verification.webhook set state = 'active', reason = null where webhook_id = %s and state = 'disabled'",
            (webhook,),
        )

    async def queue_published(self, topics: Topics) -> int:
        """Queue what active endpoints want of the events published since they were last looked at; answers how many events were read.

        Cursor and deliveries belong into one transaction: apart, an event would be lost, or queued again for ever.
        """
        cursor = await self._connection.execute(
            """select webhook_id, events, platform_id, line_id, project, reached from verification.webhook
               where state = 'active' order by webhook_id for update"""
        )
        read = 0
        for webhook, events, platform, line, project, reached in await cursor.fetchall():
            read += await self._queue_for(webhook, Filter(tuple(events), platform, line, project), reached, topics)
        return read

    async def _queue_for(self, webhook: UUID, wanted: Filter, reached: int, topics: Topics) -> int:
        cursor = await self._connection.execute(
            """select published_seq, event_id, topic, value from verification.outbox
               where published_seq > %s order by published_seq limit %s""",
            (reached, _QUEUED_AT_ONCE),
        )
        rows = await cursor.fetchall()
        if not rows:
            return 0
        events = [
            (event_id, decode_event(value)) for _, event_id, topic, value in rows if topic == topics.verification_events
        ]
        places = await self._places({event.subject for _, event in events})
        for event_id, event in events:
            platform, line, project = places.get(event.subject, ("", "", ""))
            name = event.type.removeprefix(PREFIX)
            if wanted.wants(name, platform=platform, line=line, project=project):
                await self.queue(webhook, event_id, name, body_of(event))
        await self._connection.execute(
            "update verification.webhook set reached = %s where webhook_id = %s", (rows[-1][0], webhook)
        )
        return len(rows)

    async def _places(self, runs: set[str]) -> dict[str, tuple[str, str, str]]:
        cursor = await self._connection.execute(
            "select run_id, platform_id, line_id, project from verification.run where run_id = any(%s)", (list(runs),)
        )
        return {run: (platform, line, project) for run, platform, line, project in await cursor.fetchall()}

    async def queue(self, webhook: UUID, event_id: UUID, event: str, body: bytes) -> None:
        """A known event adds nothing."""
        await self._connection.execute(
            """insert into verification.webhook_delivery (webhook_id, event_id, event, body) values (%s, %s, %s, %s)
               on conflict (webhook_id, event_id) do nothing""",
            (webhook, event_id, event, body),
        )

    async def due(self, limit: int, *, besides: Sequence[UUID] = ()) -> Sequence[Due]:
        """For each active endpoint its oldest waiting delivery, when its time has come: the ones behind it wait, so the order is kept.
        Nothing for the endpoints in `besides`, to which one is on its way."""
        cursor = await self._connection.execute(
            """select d.delivery_id, w.webhook_id, w.url, d.event_id, d.body, d.attempts,
                   array(select secret from verification.webhook_secret s where s.webhook_id = w.webhook_id
                         and (s.expires_at is null or s.expires_at > clock_timestamp()) order by s.secret_id desc)
               from verification.webhook w,
                   lateral (select * from verification.webhook_delivery d where d.webhook_id = w.webhook_id and d.state = 'waiting'
                            order by d.delivery_id limit 1) d
               where w.state = 'active' and d.next_attempt_at <= clock_timestamp() and w.webhook_id <> all(%s)
               order by d.next_attempt_at limit %s""",
            (list(besides), limit),
        )
        return [
            Due(delivery, webhook, url, event_id, bytes(body), attempts, tuple(secrets))
            for delivery, webhook, url, event_id, body, attempts, secrets in await cursor.fetchall()
        ]

    async def seconds_to_next(self, *, besides: Sequence[UUID] = ()) -> float | None:
        """Until the oldest waiting delivery of some endpoint, not one of `besides`, is due; None when nothing waits."""
        cursor = await self._connection.execute(
            """select extract(epoch from min(first) - clock_timestamp())::float8 from (
                   select (select d.next_attempt_at from verification.webhook_delivery d
                           where d.webhook_id = w.webhook_id and d.state = 'waiting' order by d.delivery_id limit 1) as first
                   from verification.webhook w where w.state = 'active' and w.webhook_id <> all(%s)) firsts""",
            (list(besides),),
        )
        row = await cursor.fetchone()
        return None if row is None or row[0] is None else float(row[0])

    async def record_attempt(self, delivery: int, milliseconds: int, status: int | None, failure: str | None) -> None:
        await self._connection.execute(
            "insert into verification.webhook_attempt (delivery_id, milliseconds, status, failure) values (%s, %s, %s, %s)",
            (delivery, milliseconds, status, failure),
        )

    async def end(self, delivery: int, state: str) -> None:
        await self._connection.execute(
            """update verification.webhook_delivery set state = %s, attempts = attempts + 1, ended_at = clock_timestamp()
               where delivery_id = %s""",
            (state, delivery),
        )

    async def postpone(self, delivery: int, seconds: float) -> None:
        await self._connection.execute(
            """update verification.webhook_delivery set attempts = attempts + 1, next_attempt_at = clock_timestamp() + %s
               where delivery_id = %s""",
            (timedelta(seconds=seconds), delivery),
        )

    async def send_again(self, webhook: UUID, delivery: int | None) -> int:
        """Dead deliveries wait once more, one of them or all; answers how many."""
        cursor = await self._connection.execute(
            """update verification.webhook_delivery
               set state = 'waiting', attempts = 0, next_attempt_at = clock_timestamp(), ended_at = null
               where webhook_id = %s and state = 'dead' and (%s::bigint is null or delivery_id = %s)""",
            (webhook, delivery, delivery),
        )
        return cursor.rowcount

    async def retry_now(self, webhook: UUID) -> None:
        """What waits is tried at once, with all of its attempts before it."""
        await self._connection.execute(
            """update verification.webhook_delivery set attempts = 0, next_attempt_at = clock_timestamp()
               where webhook_id = %s and state = 'waiting'""",
            (webhook,),
        )

    async def deliveries(
        self, webhook: UUID, *, state: str | None, limit: int, before: int | None
    ) -> Sequence[Delivery]:
        """Newest first."""
        cursor = await self._connection.execute(
            """select d.delivery_id, d.webhook_id, d.event_id, d.event, d.state, d.attempts, d.next_attempt_at, d.created_at, d.ended_at,
                   a.status, a.failure
               from verification.webhook_delivery d
               left join lateral (select status, failure from verification.webhook_attempt a where a.delivery_id = d.delivery_id
                                  order by attempt_id desc limit 1) a on true
               where d.webhook_id = %s and (%s::text is null or d.state = %s) and (%s::bigint is null or d.delivery_id < %s)
               order by d.delivery_id desc limit %s""",
            (webhook, state, state, before, before, limit),
        )
        return [Delivery(*row) for row in await cursor.fetchall()]

    async def attempts(self, webhook: UUID, delivery: int) -> Sequence[dict[str, Any]]:
        """The attempts of a delivery, oldest first."""
        cursor = await self._connection.execute(
            """select a.at, a.milliseconds, a.status, a.failure from verification.webhook_attempt a
               join verification.webhook_delivery d using (delivery_id)
               where d.webhook_id = %s and d.delivery_id = %s order by a.attempt_id""",
            (webhook, delivery),
        )
        names = ("at", "milliseconds", "status", "failure")
        return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


def body_of(event: CloudEvent) -> bytes:
    """The request's body: type, timestamp and data as the scheme recommends, the CloudEvent whole under data."""
    name = event.type.removeprefix("pilotline.")
    return canonical_json({"type": name, "timestamp": event.time, "data": msgspec.structs.asdict(event)})


def test_body(webhook: UUID, at: str) -> bytes:
    return canonical_json({"type": f"verification.{TEST_EVENT}", "timestamp": at, "data": {"webhook": str(webhook)}})
