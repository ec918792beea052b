"""The `pilotline` command."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from services.cli import ELSEWHERE, main


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_every_command_that_lives_elsewhere_is_there(name: str) -> None:
    module, attribute, text = ELSEWHERE[name]
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)
    assert text.endswith(".")


def test_help_imports_none_of_what_the_commands_need() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom services.cli import main\n"
        "answer = CliRunner().invoke(main, ['--help'])\nassert answer.exit_code == 0, answer.output\n"
        "print([name for name in ('numba', 'numpy', 'aiokafka', 'fastapi', 'psycopg', 'rich') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_status_of_what_does_not_run_has_a_code_of_its_own() -> None:  # O-2
    answer = CliRunner().invoke(main, ["--run", "nothing-of-this-name", "status"])
    assert answer.exit_code == 3
    assert "does not run" in answer.output


def test_down_of_what_does_not_run_is_no_failure() -> None:  # O-2
    answer = CliRunner().invoke(main, ["--run", "nothing-of-this-name", "down"])
    assert answer.exit_code == 0


def test_logs_of_an_unknown_process_name_those_there_are() -> None:  # O-2
    answer = CliRunner().invoke(main, ["--run", "nothing-of-this-name", "logs", "sink"])
    assert answer.exit_code == 2
    assert "no log of `sink`" in answer.output


def test_migrate_without_a_database_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTLINE_DATABASE_URL", raising=False)
    answer = CliRunner().invoke(main, ["--run", "nothing-of-this-name", "migrate"])
    assert answer.exit_code == 2
    assert "PILOTLINE_DATABASE_URL" in answer.output


def test_commands_read_the_address_of_the_database_from_a_secret_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # O-4
    secret = tmp_path / "url"
    secret.write_text("postgresql://nobody@127.0.0.1:1/none\n", encoding="utf-8")
    monkeypatch.setenv("PILOTLINE_DATABASE_URL", "")
    monkeypatch.delenv("PILOTLINE_DATABASE_URL")
    monkeypatch.setenv("PILOTLINE_DATABASE_URL_FILE", str(secret))
    answer = CliRunner().invoke(main, ["keys", "list"])
    assert answer.exit_code != 0
    assert "Missing option" not in answer.output
    assert os.environ["PILOTLINE_DATABASE_URL"] == "postgresql://nobody@127.0.0.1:1/none"
