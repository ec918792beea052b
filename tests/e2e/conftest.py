"""The demonstration as a user starts it: one process, real servers, everything running until the tests are done."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local import waiting
from deploy.local.installation import is_running
from deploy.local.places import REPOSITORY

_TOLD_WITHIN = 420.0
_ENDED_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The summary it wrote, what it printed, and the address of its pages."""

    summary: dict[str, Any]
    printed: str
    pages: str


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """All eleven runs, told to the end; the pages are still served."""
    folder = tmp_path_factory.mktemp("demo")
    summary, log = folder / "summary.json", folder / "printed.txt"
    pilotline = Path(sys.executable).with_name("pilotline")
    name = f"e2e-{os.getpid()}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [pilotline, "--run", name, "demo", "--keep", "--summary", summary],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )
    try:
        waiting.until(lambda: _told(process, log), _TOLD_WITHIN, f"the end of the demonstration; see {log}")
        printed = log.read_text(encoding="utf-8")
        address = re.search(r"live page (http://\S+)/board", printed)
        assert address is not None, printed
        assert process.poll() is None, printed
        yield Demonstration(json.loads(summary.read_text(encoding="utf-8")), printed, address.group(1))
    finally:
        process.send_signal(signal.SIGTERM)  # not SIGINT: a background job of a shell ignores it
        process.wait(_ENDED_WITHIN)
        assert not is_running(name), "the demonstration has left something running"


def _told(process: subprocess.Popen[bytes], log: Path) -> bool:
    return process.poll() is not None or "Ctrl-C ends it" in log.read_text(encoding="utf-8")
