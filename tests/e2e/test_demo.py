"""The demonstration as a user starts it: every check holds, and the summary says what happened."""

from __future__ import annotations

import pytest

from deploy.demo.tennessee import RUNS
from tests.e2e.conftest import Demonstration

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def test_the_whole_story_ends_well(demonstration: Demonstration) -> None:
    summary = demonstration.summary  # O-1
    assert summary["passed"]
    assert [check for check in summary["checks"] if not check["passed"]] == []
    assert len(summary["checks"]) > 60
    assert set(summary["runs"]) == set(RUNS)
    assert {facts["verdict_state"] for facts in summary["runs"].values()} == {"final"}
    assert summary["restarts"]["worker"] >= 1
    assert summary["restarts"]["sink"] >= 1
    assert {bill["invoice"]["state"] for bill in summary["invoices"].values()} == {"final"}
    assert f"all {len(summary['checks'])} checks hold" in demonstration.printed
