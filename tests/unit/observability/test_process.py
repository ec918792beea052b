"""The outer life of a process, in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

URL = "postgresql://u:secret@127.0.0.1/db"
PROGRAM = """
import asyncio, sys
from shared.observability.process import run_process
from shared.observability.settings import ProcessSettings

async def main(settings, stop):
    print("up", flush=True)
    {body}

run_process("a-process", main, ProcessSettings, sys.argv[1:])
"""


def _start(tmp_path: Path, body: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(body=body))
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith("PILOTLINE_")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# O-4
def test_sigterm_stops_in_order(tmp_path: Path) -> None:
    process = _start(tmp_path, "await stop.wait(); print('tidied up', flush=True)", PILOTLINE_DATABASE_URL=URL)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "tidied up\n")


# O-4
def test_a_failure_ends_with_a_code_that_the_supervisor_sees(tmp_path: Path) -> None:
    process = _start(tmp_path, "raise RuntimeError('broken')", PILOTLINE_DATABASE_URL=URL)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 70
    assert "process_failed" in errors


# O-4
def test_check_validates_the_configuration_and_leaves(tmp_path: Path) -> None:
    process = _start(tmp_path, "pass", "--check", PILOTLINE_DATABASE_URL=URL)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert "configuration is valid" in errors


# O-4
def test_a_configuration_that_is_not_valid_names_the_variable_and_shows_no_secret(tmp_path: Path) -> None:
    process = _start(tmp_path, "pass", PILOTLINE_DATABASE_URL=URL, PILOTLINE_BIND="secret-host")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "PILOTLINE_BIND" in errors
    assert "secret" not in errors


# O-4
@pytest.mark.timeout(60)
@pytest.mark.slow
def test_a_process_that_hangs_is_ended_within_twenty_seconds(tmp_path: Path) -> None:
    body = "await stop.wait()\n    import time\n    time.sleep(3600)"
    process = _start(tmp_path, body, PILOTLINE_DATABASE_URL=URL)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    process.communicate(timeout=40)
    assert process.returncode == 75
    assert time.monotonic() - started < 21.5
