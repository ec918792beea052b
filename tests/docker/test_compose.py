"""`docker compose up --wait` is the whole system: every process healthy, shut in, and a frame comes out as a row."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.docker.compose_project import Project, compose_project

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

PROCESSES = ("http", "sink", "worker", "verification-api", "meter", "recorder", "billing-api")
PUBLISHED = ("INGEST_PORT", "VERIFICATION_PORT", "BILLING_PORT")
STORED_WITHIN = 30.0


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with compose_project(f"pilotline-test-{os.getpid()}") as running:
        yield running


# O-3
def test_every_server_and_process_is_healthy_and_the_preparations_ended_well(project: Project) -> None:
    containers = project.containers()
    health = {name: containers[name]["Health"] for name in ("kafka", "timescaledb", *PROCESSES)}
    assert health == dict.fromkeys(health, "healthy")
    ended = {name: (containers[name]["State"], containers[name]["ExitCode"]) for name in ("secrets", "migrate")}
    assert ended == dict.fromkeys(ended, ("exited", 0))


# O-3
@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_not_root_has_no_capability_and_cannot_write_its_root(project: Project, process: str) -> None:
    assert project.run_in(process, "id", "-u").strip() == "10001"
    assert "CapEff:\t0000000000000000" in project.run_in(process, "cat", "/proc/1/status")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        project.run_in(process, "touch", "/opt/code/written")
    assert "Read-only file system" in refused.value.stderr


# O-4
@pytest.mark.parametrize("port", PUBLISHED)
def test_a_published_process_answers_alive_ready_and_metrics(project: Project, port: str) -> None:
    answers = {path: httpx.get(project.address(port) + path) for path in ("/livez", "/readyz", "/metrics")}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert "python_info" in answers["/metrics"].text


# O-1
def test_a_frame_pushed_over_http_becomes_a_stored_row(project: Project) -> None:
    project.run_in("http", "pilotline", "registry", "apply", "deploy/demo/registry.yaml")
    created = project.run_in("http", "pilotline", "keys", "create", "--role", "gateway", "--label", "compose")
    frame = {
        "stream": "te1/reactor",
        "boot": "compose",
        "seq": 0,
        "t0": "2026-03-02T00:00:00+08:00",
        "dt": 180,
        "values": {"pressure": [2705.0, 2706.1], "temperature": [120.4, 120.4]},
    }
    answer = httpx.post(
        project.address("INGEST_PORT") + "/v1/telemetry",
        headers={"Authorization": f"Bearer {created.strip()}"},
        json={"frames": [frame]},
    )
    assert answer.is_success, answer.text
    assert "accepted" in answer.text
    assert stored_instants(project, "compose") == "2"


def stored_instants(project: Project, boot: str) -> str:
    """How many instants of this boot are stored, as soon as there is one; after the deadline, whatever there is."""
    query = f"select coalesce(sum(octet_length(times) / 8), 0) from ingest.block where boot = '{boot}'"
    deadline = time.monotonic() + STORED_WITHIN
    while (count := project.query(query)) == "0" and time.monotonic() < deadline:
        time.sleep(0.1)
    return count


# O-4
def test_a_stopped_process_ends_by_itself_within_the_time_it_is_given(project: Project) -> None:
    began = time.monotonic()
    project.compose("stop", *PROCESSES)
    assert time.monotonic() - began < 25
    containers = project.containers()
    codes = {name: containers[name]["ExitCode"] for name in PROCESSES}
    assert codes == dict.fromkeys(PROCESSES, 0)
