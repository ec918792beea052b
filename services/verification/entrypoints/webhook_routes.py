"""Webhooks over HTTP: endpoints, secrets, deliveries, the dead ones sent again."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from services.verification.adapters.webhook_store import Webhook, WebhookStore, test_body
from services.verification.adapters.webhook_target import check_url
from services.verification.domain.webhooks import (
    DEFAULT_EVENTS,
    SECRET_BYTES,
    TEST_EVENT,
    Filter,
    known_events,
    secret_text,
)
from services.verification.entrypoints.context import Operator, Parts
from shared.http.keys import check_scope
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.messaging.outbox import published_channel
from shared.storage.api_keys import Caller
from shared.storage.pool import Connection

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
Limit = Annotated[int, Query(ge=1, le=500)]


class NewWebhook(BaseModel):
    """An endpoint. Without `events`: decisions, verdicts and mismatches. `platform`, `line`, `project` narrow it."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=2000)
    description: str = Field(default="", max_length=400)
    events: list[str] = Field(default=list(DEFAULT_EVENTS), max_length=40)
    platform: str | None = Field(default=None, max_length=200)
    line: str | None = Field(default=None, max_length=200)
    project: str | None = Field(default=None, max_length=200)


class Rotation(BaseModel):
    """For how long the old secret signs beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: float = Field(default=24.0, ge=0, le=24 * 30)


@router.post("", status_code=201)
async def create(body: NewWebhook, parts: Parts, caller: Operator) -> dict[str, Any]:
    """A new endpoint, which hears of what is published from now on. The secret is in this answer and in no other."""
    check_url(body.url, allow_private=parts.webhook_allow_private)
    platform = await _platform(parts, body)
    check_scope(caller, platform=platform, line=body.line, field="line")
    wanted = Filter(known_events(body.events), platform, body.line, body.project)
    webhook, secret = uuid4(), secret_text(secrets.token_bytes(SECRET_BYTES))
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        await store.insert(webhook, body.url, body.description, wanted, caller.prefix)
        await store.add_secret(webhook, secret, caller.prefix, timedelta())
        found = await _known(store, caller, webhook)
    return {**_document(found), "secret": secret}


@router.get("")
async def index(parts: Parts, caller: Operator, limit: Limit = 100, after: str | None = None) -> dict[str, Any]:
    """Endpoints within the key's scope, by creation; `next` is the token of the following page."""
    async with parts.pool.connection() as connection:
        found = await WebhookStore(connection).page(limit=limit + 1, after=_token(after))
    last = found[limit - 1] if len(found) > limit else None
    return {
        "items": [_document(webhook) for webhook in found[:limit] if _reached(caller, webhook)],
        "next": None if last is None else f"{last.created_at.isoformat()}@{last.webhook}",
    }


@router.get("/{webhook}")
async def show(parts: Parts, caller: Operator, webhook: UUID) -> dict[str, Any]:
    """One endpoint, with how many deliveries wait and how many are dead."""
    async with parts.pool.connection() as connection:
        return _document(await _known(WebhookStore(connection), caller, webhook))


@router.delete("/{webhook}", status_code=204)
async def remove(parts: Parts, caller: Operator, webhook: UUID) -> None:
    """It gets nothing any more; what was sent stays in the log."""
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        await store.remove(webhook, f"removed by {caller.prefix}")


@router.post("/{webhook}/secrets", status_code=201)
async def rotate(parts: Parts, caller: Operator, webhook: UUID, body: Rotation | None = None) -> dict[str, Any]:
    """A new secret, shown here only. Until the overlap ends every request carries a signature of each."""
    overlap = timedelta(hours=(body or Rotation()).overlap_hours)
    secret = secret_text(secrets.token_bytes(SECRET_BYTES))
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        await store.add_secret(webhook, secret, caller.prefix, overlap)
    return {"webhook": str(webhook), "secret": secret, "overlap_hours": overlap / timedelta(hours=1)}


@router.post("/{webhook}/enable")
async def enable(parts: Parts, caller: Operator, webhook: UUID) -> dict[str, Any]:
    """A disabled endpoint goes on where it stopped; what waited is tried at once."""
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        await store.enable(webhook)
        await store.retry_now(webhook)
        return _document(await _known(store, caller, webhook))


@router.post("/{webhook}/test", status_code=202)
async def test(parts: Parts, caller: Operator, webhook: UUID) -> dict[str, Any]:
    """Queue an event of type verification.webhook.test, behind what waits already."""
    event_id = uuid4()
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        found = await _known(store, caller, webhook)
        if found.state != "active":
            raise NotAllowed(
                "webhook_disabled", f"it is disabled: {found.reason}", field="webhook", remedy="enable it first"
            )
        body = test_body(webhook, datetime.now(UTC).isoformat())
        await store.queue(webhook, event_id, TEST_EVENT, body)
        await _wake(connection)
    return {"event_id": str(event_id)}


@router.get("/{webhook}/deliveries")
async def deliveries(
    parts: Parts,
    caller: Operator,
    webhook: UUID,
    state: Literal["waiting", "delivered", "dead"] | None = None,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """Newest first. `state=dead` is the dead-letter list; `next` goes into `before`."""
    async with parts.pool.connection() as connection:
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        found = await store.deliveries(webhook, state=state, limit=limit + 1, before=before)
    return {
        "items": [asdict(delivery) for delivery in found[:limit]],
        "next": found[limit - 1].delivery if len(found) > limit else None,
    }


@router.get("/{webhook}/deliveries/{delivery}")
async def attempts(parts: Parts, caller: Operator, webhook: UUID, delivery: int) -> dict[str, Any]:
    """Every attempt of a delivery: when, how long it took, what was answered."""
    async with parts.pool.connection() as connection:
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        found = await store.deliveries(webhook, state=None, limit=1, before=delivery + 1)
        if not found or found[0].delivery != delivery:
            raise NotFound("webhook_delivery_unknown", f"there is no delivery {delivery}", field="delivery")
        return {**asdict(found[0]), "log": await store.attempts(webhook, delivery)}


@router.post("/{webhook}/resend", status_code=202)
async def resend(
    parts: Parts, caller: Operator, webhook: UUID, delivery: Annotated[int | None, Query(ge=1)] = None
) -> dict[str, Any]:
    """Dead deliveries wait once more under their old ids: one, or all of them."""
    async with parts.pool.connection() as connection, connection.transaction():
        store = WebhookStore(connection)
        await _known(store, caller, webhook)
        again = await store.send_again(webhook, delivery)
        if delivery is not None and not again:
            raise NotAllowed(
                "webhook_delivery_not_dead",
                f"delivery {delivery} is not dead",
                field="delivery",
                remedy="see GET …/deliveries?state=dead",
            )
        await _wake(connection)
    return {"queued": again}


async def _platform(parts: Parts, body: NewWebhook) -> str | None:
    """The platform it is about. Raises NotFound for a line or platform that is not registered."""
    registry = await parts.registry.current()
    if body.line is not None:
        line = registry.lines.get(body.line)
        if line is None or body.platform not in (None, line.platform):
            raise NotFound("line_unknown", f"there is no line {body.line}", field="line")
        return line.platform
    if body.platform is not None and body.platform not in registry.platforms:
        raise NotFound("platform_unknown", f"there is no platform {body.platform}", field="platform")
    return body.platform


async def _known(store: WebhookStore, caller: Caller, webhook: UUID) -> Webhook:
    found = await store.find(webhook)
    if found is None or not _reached(caller, found):
        raise NotFound("webhook_unknown", f"there is no webhook {webhook}", field="webhook")
    return found


def _reached(caller: Caller, webhook: Webhook) -> bool:
    return caller.scope.covers(platform=webhook.filter.platform, line=webhook.filter.line)


async def _wake(connection: Connection) -> None:
    """The dispatcher listens where the relay says what is published."""
    await connection.execute("select pg_notify(%s, '')", (published_channel("verification"),))


def _document(webhook: Webhook) -> dict[str, Any]:
    facts = asdict(webhook)
    return {**{name: value for name, value in facts.items() if name != "filter"}, **facts["filter"]}


def _token(token: str | None) -> tuple[datetime, UUID] | None:
    if token is None:
        return None
    at, _, webhook = token.rpartition("@")
    try:
        return datetime.fromisoformat(at), UUID(webhook)
    except ValueError as error:
        raise Invalid(
            "page_token", "this is no token of this list", field="after", remedy="take `next` of the page before"
        ) from error
