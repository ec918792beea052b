"""`pilotline webhooks …`: through the API, because only a running api sends."""

from __future__ import annotations

import click

from services.verification.domain.webhooks import DEFAULT_EVENTS, EVENTS
from services.verification.entrypoints.asking import Number, api_option, ask, key_option


@click.group("webhooks")
def webhooks() -> None:
    """Endpoints that get decisions, verdicts and mismatches as signed requests."""


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, type=click.Choice(EVENTS), help=f"default: {', '.join(DEFAULT_EVENTS)}"
)
@click.option("--platform", help="only what happens on this platform")
@click.option("--line", help="only what happens on this line")
@click.option("--project", help="only runs of this project")
@click.option("--description", default="")
@api_option
@key_option
def add(url: str, events: tuple[str, ...], platform: str | None, line: str | None, project: str | None, description: str,
        api: str, key: str) -> None:  # fmt: skip
    """Register URL. The secret is printed once."""
    body = {
        "url": url,
        "events": list(events or DEFAULT_EVENTS),
        "platform": platform,
        "line": line,
        "project": project,
        "description": description,
    }
    made = ask(api, key, "POST", "webhooks", json=body)
    click.echo(f"{made['webhook']}\nsecret, shown only now: {made['secret']}")


@webhooks.command("list")
@api_option
@key_option
def list_(api: str, key: str) -> None:
    """Endpoints with their state."""
    after: str | None = None
    while True:
        page = ask(api, key, "GET", "webhooks", params={} if after is None else {"after": after})
        for item in page["items"]:
            reason = f" ({item['reason']})" if item["reason"] else ""
            click.echo(
                f"{item['webhook']}  {item['state']}{reason}  waiting {item['waiting']}, dead {item['dead']}  {item['url']}"
            )
        after = page["next"]
        if after is None:
            return


@webhooks.command("rotate")
@click.argument("webhook")
@click.option(
    "--overlap-hours",
    type=Number(low=0, high=720),
    default=24.0,
    show_default=True,
    help="how long the old secret signs beside the new one, at most 720",
)
@api_option
@key_option
def rotate(webhook: str, overlap_hours: float, api: str, key: str) -> None:
    """A new secret, printed once."""
    made = ask(api, key, "POST", "webhooks", webhook, "secrets", json={"overlap_hours": overlap_hours})
    click.echo(f"secret, shown only now: {made['secret']}")


@webhooks.command("deliveries")
@click.argument("webhook")
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]))
@click.option("--limit", default=50, show_default=True)
@api_option
@key_option
def deliveries(webhook: str, state: str | None, limit: int, api: str, key: str) -> None:
    """What was sent, newest first."""
    wanted = {"limit": limit, **({} if state is None else {"state": state})}
    for item in ask(api, key, "GET", "webhooks", webhook, "deliveries", params=wanted)["items"]:
        last = item["last_failure"] or item["last_status"] or ""
        click.echo(
            f"{item['delivery']}  {item['state']}  {item['event']}  attempts {item['attempts']}  {item['created_at']}  {last}"
        )


@webhooks.command("resend")
@click.argument("webhook")
@click.option("--delivery", type=int, help="one of them; default: all dead ones")
@api_option
@key_option
def resend(webhook: str, delivery: int | None, api: str, key: str) -> None:
    """Send dead deliveries again."""
    wanted = {} if delivery is None else {"delivery": delivery}
    queued = ask(api, key, "POST", "webhooks", webhook, "resend", params=wanted)["queued"]
    click.echo(f"{queued} queued")


@webhooks.command("enable")
@click.argument("webhook")
@api_option
@key_option
def enable(webhook: str, api: str, key: str) -> None:
    """Go on with a disabled endpoint, where it stopped."""
    click.echo(ask(api, key, "POST", "webhooks", webhook, "enable")["state"])


@webhooks.command("remove")
@click.argument("webhook")
@api_option
@key_option
def remove(webhook: str, api: str, key: str) -> None:
    """Send it nothing any more. What was sent stays in its log."""
    ask(api, key, "DELETE", "webhooks", webhook)
    click.echo(f"{webhook} removed")


@webhooks.command("test")
@click.argument("webhook")
@api_option
@key_option
def test(webhook: str, api: str, key: str) -> None:
    """Queue an event of type verification.webhook.test, behind what waits already; `deliveries` shows what became of it."""
    made = ask(api, key, "POST", "webhooks", webhook, "test")
    click.echo(f"queued as {made['event_id']}")


@webhooks.command("attempts")
@click.argument("webhook")
@click.argument("delivery", type=click.IntRange(min=1))
@api_option
@key_option
def attempts(webhook: str, delivery: int, api: str, key: str) -> None:
    """Every attempt of DELIVERY: when, how long it took, what was answered. `deliveries` prints the numbers of deliveries."""
    found = ask(api, key, "GET", "webhooks", webhook, "deliveries", str(delivery))
    click.echo(f"{found['delivery']}  {found['state']}  {found['event']}  attempts {found['attempts']}")
    for item in found["log"]:
        click.echo(
            f"  {item['at']}  {item['status'] or '-'}  {item['milliseconds']} ms  {item['failure'] or ''}".rstrip()
        )
