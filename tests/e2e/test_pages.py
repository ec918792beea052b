"""What an engineer sees, in a real Chromium: the board, a run, a criterion with its evidence and curve."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.local.places import REPOSITORY
from tests.e2e.conftest import Demonstration

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.timeout(600)]

WEB = REPOSITORY / "services" / "verification" / "entrypoints" / "web"
PICTURES = REPOSITORY / "build" / "pictures"
RUN = "d06"


@pytest.fixture(scope="module")
def found(demonstration: Demonstration) -> dict[str, Any]:
    """What the journey saw; the pictures stay under build/pictures."""
    node = shutil.which("node")
    assert node is not None, "the pages are tested with node and Chromium: install nodejs and chromium"
    assert (WEB / "node_modules" / "playwright-core").is_dir(), "run make assets"
    PICTURES.mkdir(parents=True, exist_ok=True)
    journey = Path(__file__).parent / "browser" / "journey.mjs"
    done = subprocess.run(
        [node, journey, demonstration.pages, PICTURES, WEB / "node_modules", RUN],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("visit", ["en-light", "zh-dark"])
def test_the_board_lists_every_run_and_is_current(found: dict[str, Any], visit: str) -> None:
    page = found["pages"][f"board-{visit}"]  # L-1, L-3
    assert page["rows"] == 11
    assert page["language"] == ("en" if visit.startswith("en") else "zh-CN")
    assert page["title"] == ("Lines and runs" if visit.startswith("en") else "产线与验证运行")


@pytest.mark.parametrize("visit", ["en-light", "zh-dark"])
def test_a_verdict_leads_to_its_evidence_and_its_curve(found: dict[str, Any], visit: str) -> None:
    page = found["pages"][f"run-{visit}"]  # L-2
    assert page["criteria"] >= 10
    assert page["facts"] >= 5
    assert page["samples"] >= 1
    assert f"c={page['chosen']}" in page["address"]
    assert "[" in page["legend"]


@pytest.mark.parametrize("visit", ["en-light", "zh-dark"])
def test_a_comparison_shows_every_column_and_calls_phases_by_their_titles(found: dict[str, Any], visit: str) -> None:
    page = found["pages"][f"compare-{visit}"]  # V-21, L-5
    assert page["clipped"] == 0
    assert page["phases"] == (["Lined out", "Challenge"] if visit.startswith("en") else ["平稳运行", "扰动考核"])


@pytest.mark.parametrize("visit", ["en-light", "zh-dark"])
def test_a_wrong_address_is_a_page_with_a_way_back_and_a_telephone_shows_the_verdicts(
    found: dict[str, Any], visit: str
) -> None:
    nowhere = found["pages"][f"nowhere-{visit}"]  # L-12
    assert (nowhere["status"], nowhere["back"]) == (404, "/board")
    assert nowhere["title"] == ("There is no such page" if visit.startswith("en") else "没有此页面")
    assert found["pages"][f"narrow-{visit}"]["clipped"] == 0


def test_no_page_has_an_error_or_an_accessibility_violation(found: dict[str, Any]) -> None:
    assert found["errors"] == []  # L-13: console errors, policy violations included
    assert found["violations"] == {name: [] for name in found["violations"]}  # L-13
    assert len(found["violations"]) == 6
    for name in found["violations"]:
        assert (PICTURES / f"{name}.png").stat().st_size > 10_000
