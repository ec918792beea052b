"""The outer life of a process, in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.observability.process import STOP_DEADLINE_SECONDS

URL = "postgresql://u:secret@127.0.0.1/db"
PROGRAM = """
import asyncio, sys, time
from shared.observability.logging import configure_logging
from shared.observability.process import run_process, supervise
from shared.observability.settings import ProcessSettings

async def main(settings, stop):
    print("up", flush=True)
    {body}

if sys.argv[1:] == ["supervise"]:
    configure_logging("a-process")
    sys.exit(asyncio.run(supervise(main, None, deadline=2.0)))
run_process("a-process", main, ProcessSettings, sys.argv[1:])
"""


@contextmanager
def _process(tmp_path: Path, body: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(body=body))
    others = {name: value for name, value in os.environ.items() if not name.startswith("PILOTLINE_")}
    with subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env=others | {"PILOTLINE_DATABASE_URL": URL} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and error of a process that ends by itself."""
    out, errors = process.communicate(timeout=20)
    return process.returncode, out, errors


def _terminated(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and output after SIGTERM, sent when the process is up."""
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGTERM)
    return _ended(process)[:2]


# O-4
def test_sigterm_stops_in_order(tmp_path: Path) -> None:
    with _process(tmp_path, "await stop.wait(); print('tidied up', flush=True)") as process:
        assert _terminated(process) == (0, "tidied up\n")


# O-4
def test_a_failure_ends_with_a_code_that_the_supervisor_sees(tmp_path: Path) -> None:
    with _process(tmp_path, "raise RuntimeError('broken')") as process:
        code, _, errors = _ended(process)
    assert code == 70
    assert "process_failed" in errors


# O-4
def test_check_validates_the_configuration_and_leaves(tmp_path: Path) -> None:
    with _process(tmp_path, "pass", "--check") as process:
        code, out, errors = _ended(process)
    assert (code, out) == (0, "")
    assert "configuration is valid" in errors


# O-4
def test_a_configuration_that_is_not_valid_names_the_variable_and_shows_no_secret(tmp_path: Path) -> None:
    with _process(tmp_path, "pass", PILOTLINE_BIND="secret-host") as process:
        code, _, errors = _ended(process)
    assert code == 2
    assert "PILOTLINE_BIND" in errors
    assert "secret" not in errors


# O-4
def test_a_process_whose_event_loop_hangs_is_ended_at_the_deadline(tmp_path: Path) -> None:
    assert STOP_DEADLINE_SECONDS <= 20
    with _process(tmp_path, "await stop.wait(); time.sleep(3600)", "supervise") as process:
        assert _terminated(process)[0] == 75


# O-4
def test_a_main_that_does_not_stop_is_cancelled_before_the_deadline(tmp_path: Path) -> None:
    body = "try:\n        await asyncio.sleep(3600)\n    finally:\n        print('tidied up', flush=True)"
    with _process(tmp_path, body, "supervise") as process:
        assert _terminated(process) == (0, "tidied up\n")
