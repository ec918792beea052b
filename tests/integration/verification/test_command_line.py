"""Commands that ask the API: runs and webhooks, from the first to the last (V-1, V-2, V-22)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from services.verification.entrypoints.run_cli import runs
from services.verification.entrypoints.webhook_cli import webhooks
from tests.integration.verification.rig import CRITERIA, Rig

pytestmark = pytest.mark.stack
_LOGGED = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2} \[")

Said = tuple[int, str]


def commanding(rig: Rig, group: click.Group) -> Callable[..., Awaitable[Said]]:
    """Exit code and output, without what the services beside it write into the same stream meanwhile."""
    key = rig.client.headers["authorization"].removeprefix("Bearer ")

    async def run(*arguments: str) -> Said:
        words = [*arguments, "--api", rig.base, "--key", key]
        done = await asyncio.to_thread(CliRunner().invoke, group, words)
        return done.exit_code, "".join(line for line in done.output.splitlines(True) if not _LOGGED.match(line))

    return run


async def test_a_run_from_its_creation_to_its_end(rig: Rig, tmp_path: Path) -> None:  # V-1, V-2
    run, file = commanding(rig, runs), tmp_path / "run.yaml"
    wanted = {
        "run": "r-1",
        "project": "project",
        "customer": "acme",
        "line": "l1",
        "scene": "replica",
        "verification_kind": "process",
        "item": "Reactor",
        "criteria": {"set": CRITERIA["id"], "version": CRITERIA["version"]},
    }
    file.write_text(yaml.safe_dump(wanted) + "planned_end: 2030-01-01T08:00:00+08:00\n", encoding="utf-8")
    for _ in range(2):
        assert await run("create", str(file)) == (0, "r-1\n")
    for _ in range(2):
        started = await run("start", "r-1", "--at", "2026-03-02T08:00:00+08:00", "--command-key", "k")
        assert started == (0, "r-1: start at 2026-03-02T00:00:00Z, running\n")
    code, said = await run("command", "r-1", "restart")
    assert (code, "run_command_not_allowed" in said) == (1, True)
    assert "held" in (await run("command", "r-1", "hold", "--reason", "filter"))[1]
    assert "r-1" in (await run("list", "--only", "running"))[1]
    assert (await run("show", "r-1"))[1].startswith("r-1  held")
    given = (await rig.client.get("/v1/runs/r-1/commands")).json()["items"]
    assert [(item["command"], item["reason"]) for item in given if item["problem"] is None] == [
        ("start", ""),
        ("hold", "filter"),
    ]
    file.write_text("run: [", encoding="utf-8")
    assert "is not YAML or JSON" in (await run("create", str(file)))[1]
    file.write_text(json.dumps(wanted | {"customer": "nobody"}), encoding="utf-8")
    assert "customer_unknown" in (await run("create", str(file)))[1]


async def test_a_webhook_is_tested_looked_into_and_removed(rig: Rig) -> None:  # V-22
    run = commanding(rig, webhooks)
    webhook = (await run("add", "https://receiver.example/hook"))[1].split("\n")[0]
    assert (await run("test", webhook))[1].startswith("queued as ")
    delivery = (await run("deliveries", webhook))[1].split()[0]
    code, said = await run("attempts", webhook, delivery)
    assert (code, said.split()[0]) == (0, delivery)
    assert "webhook_delivery_unknown" in (await run("attempts", webhook, "999999"))[1]
    assert await run("remove", webhook) == (0, f"{webhook} removed\n")
    for words in (("remove", webhook), ("test", webhook)):
        code, said = await run(*words)
        assert (code, "webhook_unknown" in said) == (1, True)
