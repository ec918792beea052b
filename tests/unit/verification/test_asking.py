"""What commands say when they ask the API: addresses, ids and answers that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from services.cli import main
from services.processes import PROCESSES, preferred_address
from services.verification.entrypoints.asking import ask, save
from services.verification.entrypoints.iteration_cli import iterations
from services.verification.entrypoints.report_cli import reports
from services.verification.entrypoints.webhook_cli import webhooks


class Answering(ThreadingHTTPServer):
    """Answers everything with one document and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.status, self.kind, self.body = 200, "application/json", b"{}"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.status, self.kind, self.body = status, kind, body


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Answering)
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.kind)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing of it belongs in the output of tests."""


@pytest.fixture
def api() -> Iterator[Answering]:
    with Answering() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(group: click.Group, *arguments: str) -> Result:
    return CliRunner().invoke(group, [*arguments, "--key", "pl_a_b"])


@pytest.mark.parametrize(
    ("run_id", "path"),
    [
        ("../../v1/standards?x=", "/v1/runs/..%2F..%2Fv1%2Fstandards%3Fx%3D/comparison"),
        ("..", "/v1/runs/%2E%2E/comparison"),
        ("r 1#x", "/v1/runs/r%201%23x/comparison"),
    ],
)
def test_what_is_in_an_id_stays_in_it(api: Answering, run_id: str, path: str) -> None:  # V-21
    api.answer(404, json.dumps({"code": "run_unknown", "detail": "there is no such run"}).encode())
    answer = run(iterations, "compare", run_id, "--api", api.address)
    assert (answer.exit_code, "run_unknown: there is no such run" in answer.output) == (1, True)
    assert api.asked == [path]


def test_an_empty_id_asks_nothing(api: Answering) -> None:
    answer = run(iterations, "compare", "", "--api", api.address)
    assert (answer.exit_code, "an id is empty" in answer.output, api.asked) == (1, True, [])


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>", "text/html"),
        (200, b"", "text/plain"),
        (200, b"[]", "application/json"),
        (302, b"", "text/plain"),
        (404, b'{"detail": "Not Found"}', "application/json"),
        (502, b"<html>", "text/html"),
    ],
)
def test_an_answer_of_something_else_names_the_address(api: Answering, status: int, body: bytes, kind: str) -> None:
    api.answer(status, body, kind)
    answer = run(iterations, "compare", "r-1", "--api", api.address)
    assert answer.exit_code == 1
    assert f"{api.address} is no verification api: it answers {status} with {kind}" in answer.output


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "127.0.0.1:8401", "http://[::1", "ftp://here"])
def test_an_address_where_nothing_answers_is_named(address: str) -> None:
    answer = run(iterations, "compare", "r-1", "--api", address)
    assert (answer.exit_code, f"{address} does not answer" in answer.output) == (1, True)


def test_a_file_is_saved_whole_or_not_at_all(api: Answering, tmp_path: Path) -> None:  # V-23
    api.answer(502, b"<html>", "text/html")
    target = tmp_path / "report.pdf"
    with pytest.raises(click.ClickException, match="is no verification api"):
        save(api.address, "pl_a_b", target, "reports", "p", "VR-1", "pdf")
    assert list(tmp_path.iterdir()) == []
    answer = run(reports, "pdf", "p/../../x", "--api", api.address, "-o", str(target))
    assert (answer.exit_code, api.asked[-1]) == (1, "/v1/reports/p/..%2F..%2Fx/pdf?lang=zh")


def test_a_key_that_no_header_takes_is_refused() -> None:
    with pytest.raises(click.ClickException, match="the key has characters"):
        ask("http://127.0.0.1:1", "pl_\u00e9", "GET", "runs")


@pytest.mark.parametrize("hours", ["nan", "inf", "-1", "721", "soon"])
def test_an_overlap_is_a_number_of_hours(hours: str) -> None:  # V-22
    answer = run(webhooks, "rotate", "w", f"--overlap-hours={hours}", "--api", "http://127.0.0.1:1")
    assert (answer.exit_code, "--overlap-hours" in answer.output) == (2, True)


class Found:
    """A running installation as `find` gives it."""

    def __init__(self, port: int | None) -> None:
        self.processes = [type("Status", (), {"name": "verification-api", "port": port})]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Found]:
    found: dict[str, Found] = {}
    monkeypatch.setattr("deploy.local.installation.find", found.get)
    monkeypatch.setenv("PILOTLINE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.delenv("PILOTLINE_API", raising=False)
    return found


def asked_where(*arguments: str) -> str:
    return CliRunner().invoke(main, [*arguments, "iterations", "issues", "r-1", "--key", "pl_a_b"]).output


def test_commands_ask_the_installation_that_is_named(running: dict[str, Found], api: Answering) -> None:  # O-2
    api.answer(404, json.dumps({"code": "run_unknown", "detail": "none"}).encode())
    running["mine"] = Found(api.server_address[1])
    assert "run_unknown" in asked_where("--run", "mine")
    assert api.asked == ["/v1/runs/r-1/issues"]


def test_an_installation_that_does_not_run_is_not_taken_for_another(running: dict[str, Found]) -> None:  # O-2
    running["starting"] = Found(None)
    for name in ("mine", "starting"):
        assert f"no verification-api of the installation `{name}` runs here" in asked_where("--run", name)


def test_an_address_that_is_given_wins(
    running: dict[str, Found], api: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:  # O-2
    running["mine"] = Found(1)
    monkeypatch.setenv("PILOTLINE_API", f"{api.address}/")
    api.answer(404, json.dumps({"code": "run_unknown", "detail": "none"}).encode())
    assert "run_unknown" in asked_where("--run", "mine")


def test_without_an_installation_the_port_that_containers_publish_is_asked(running: dict[str, Found]) -> None:  # O-4
    assert not running
    address = preferred_address("verification-api")
    assert address.endswith(str(next(item.port for item in PROCESSES if item.name == "verification-api")))
    shown = asked_where()
    assert address in shown or "key_unknown" in shown


def test_help_asks_nobody_for_an_address(running: dict[str, Found]) -> None:  # O-2
    assert not running
    answer = CliRunner().invoke(main, ["--run", "mine", "iterations", "issues", "--help"])
    assert answer.exit_code == 0
    assert "the installation that runs here" in answer.output
