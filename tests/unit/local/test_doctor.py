"""O-13: the doctor says what is wrong and what mends it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from deploy.local import doctor
from deploy.local.doctor import (
    Finding,
    examine,
    java_finding,
    python_findings,
    report,
    room_finding,
    server_findings,
    variable_findings,
)
from deploy.local.ports import free_port
from deploy.local.stack import Endpoints


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10), "mend"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "mend")]
)
def test_python_must_be_one_the_dependencies_are_built_for(version: tuple[int, int], verdict: str) -> None:  # O-13
    assert [finding.verdict for finding in python_findings(version)] == [verdict]


def test_an_old_java_must_be_mended_and_a_missing_one_says_how() -> None:  # O-13
    assert java_finding(17).verdict == "ok"
    old = java_finding(11)
    assert old.verdict == "mend"
    assert "17" in old.remedy
    assert java_finding(None).remedy


def test_too_little_room_is_told() -> None:
    assert room_finding("disk", 5, 10).verdict == "mend"
    assert room_finding("disk", 10, 10).verdict == "ok"


def test_variables_that_name_no_file_or_no_port_are_told(tmp_path: Path) -> None:  # O-13
    there = tmp_path / "there"
    there.touch()
    found = variable_findings(
        {
            "PILOTLINE_DATABASE_URL_FILE": str(tmp_path / "gone"),
            "PILOTLINE_CONFIG": str(there),
            "PILOTLINE_HTTP_PORT": "80a",
            "PILOTLINE_SINK_PORT": "8080",
            "OTHER_FILE": "gone",
        }
    )
    assert [finding.subject for finding in found] == ["PILOTLINE_DATABASE_URL_FILE", "PILOTLINE_HTTP_PORT"]


def test_servers_that_do_not_answer_are_told_with_a_remedy_and_without_the_password() -> None:  # O-13
    nobody = free_port()
    url = f"postgresql://pilotline:secret@127.0.0.1:{nobody}/pilotline"
    found = list(server_findings(Endpoints(f"127.0.0.1:{nobody}", url), "start them"))
    assert [(finding.subject, finding.verdict, finding.remedy) for finding in found] == [
        ("Kafka", "mend", "start them"),
        ("database", "mend", "start them"),
    ]
    assert "secret" not in "".join(finding.found for finding in found)


def test_naming_one_server_only_is_told(monkeypatch: pytest.MonkeyPatch) -> None:  # O-13
    monkeypatch.setenv("PILOTLINE_KAFKA", "127.0.0.1:9092")
    monkeypatch.delenv("PILOTLINE_DATABASE_URL", raising=False)
    found = {finding.subject: finding for finding in examine("nothing-of-this-name")}
    assert found["servers"].verdict == "mend"
    assert "PILOTLINE_DATABASE_URL" in found["servers"].remedy


@pytest.mark.parametrize(("verdict", "code"), [("mend", 1), ("note", 0), ("ok", 0)])
def test_the_exit_code_says_whether_something_must_be_mended(
    verdict: doctor.Verdict, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:  # O-13
    monkeypatch.setattr(doctor, "_LOOKS", (lambda _name: iter([Finding("thing", verdict, "found", "remedy")]),))
    text = io.StringIO()
    assert report("default", Console(file=text, width=100)) == code
    assert "thing" in text.getvalue()
    assert "remedy" in text.getvalue()
