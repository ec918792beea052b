"""The demonstration as a user starts it: exit code, summary, nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.tennessee import RUNS
from deploy.local.installation import is_running
from deploy.local.places import REPOSITORY

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_whole_story_ends_well(tmp_path: Path) -> None:
    name, file = f"e2e-{os.getpid()}", tmp_path / "summary.json"
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", "--run", name, "demo", "--summary", str(file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-20_000:] + ended.stderr[-5_000:]
    summary = json.loads(file.read_text(encoding="utf-8"))
    assert summary["passed"]
    assert all(check["passed"] for check in summary["checks"])
    assert set(summary["runs"]) == set(RUNS)
    assert {facts["verdict_state"] for facts in summary["runs"].values()} == {"final"}
    assert summary["restarts"]["worker"] >= 1
    assert summary["restarts"]["sink"] >= 1
    assert {bill["invoice"]["state"] for bill in summary["invoices"].values()} == {"final"}
    assert file.with_name("summary-ledger.jsonl").stat().st_size > 0
    assert not is_running(name)
