"""`pilotline verification webhooks …`: through the API, because only a running api sends."""

from __future__ import annotations

from typing import Any

import click
import httpx

from services.verification.domain.webhooks import DEFAULT_EVENTS, EVENTS

_api = click.option(
    "--api",
    envvar="PILOTLINE_API",
    default="http://127.0.0.1:8401",
    show_default=True,
    help="address of the verification api",
)
_key = click.option(
    "--key", envvar="PILOTLINE_KEY", required=True, help="API key of an operator; default $PILOTLINE_KEY"
)


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
@_api
@_key
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
    made = _ask(api, key, "POST", "", json=body)
    click.echo(f"{made['webhook']}\nsecret, shown only now: {made['secret']}")


@webhooks.command("list")
@_api
@_key
def list_(api: str, key: str) -> None:
    """Endpoints with their state."""
    after: str | None = None
    while True:
        page = _ask(api, key, "GET", "", params={} if after is None else {"after": after})
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
    "--overlap-hours", default=24.0, show_default=True, help="how long the old secret signs beside the new one"
)
@_api
@_key
def rotate(webhook: str, overlap_hours: float, api: str, key: str) -> None:
    """A new secret, printed once."""
    made = _ask(api, key, "POST", f"/{webhook}/secrets", json={"overlap_hours": overlap_hours})
    click.echo(f"secret, shown only now: {made['secret']}")


@webhooks.command("deliveries")
@click.argument("webhook")
@click.option("--state", type=click.Choice(["waiting", "delivered", "dead"]))
@click.option("--limit", default=50, show_default=True)
@_api
@_key
def deliveries(webhook: str, state: str | None, limit: int, api: str, key: str) -> None:
    """What was sent, newest first."""
    wanted = {"limit": limit, **({} if state is None else {"state": state})}
    for item in _ask(api, key, "GET", f"/{webhook}/deliveries", params=wanted)["items"]:
        last = item["last_failure"] or item["last_status"] or ""
        click.echo(
            f"{item['delivery']}  {item['state']}  {item['event']}  attempts {item['attempts']}  {item['created_at']}  {last}"
        )


@webhooks.command("resend")
@click.argument("webhook")
@click.option("--delivery", type=int, help="one of them; default: all dead ones")
@_api
@_key
def resend(webhook: str, delivery: int | None, api: str, key: str) -> None:
    """Send dead deliveries again."""
    wanted = {} if delivery is None else {"delivery": delivery}
    click.echo(f"{_ask(api, key, 'POST', f'/{webhook}/resend', params=wanted)['queued']} queued")


@webhooks.command("enable")
@click.argument("webhook")
@_api
@_key
def enable(webhook: str, api: str, key: str) -> None:
    """Go on with a disabled endpoint, where it stopped."""
    click.echo(_ask(api, key, "POST", f"/{webhook}/enable")["state"])


def _ask(api: str, key: str, method: str, path: str, **facts: Any) -> Any:
    try:
        answer = httpx.request(
            method, f"{api}/v1/webhooks{path}", headers={"authorization": f"Bearer {key}"}, timeout=30, **facts
        )
    except httpx.HTTPError as error:
        raise click.ClickException(f"{api} does not answer: {error}; `pilotline status` says what runs") from error
    if answer.is_success:
        return answer.json()
    problem = answer.json()
    raise click.ClickException(f"{problem['code']}: {problem['detail']}; {problem.get('remedy', '')}")
