"""Child processes with a log file each, tied to the life of this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TETHER = Path(__file__).with_name("tether.py")


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as when we are root."""

    name: str
    uid: int
    gid: int


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
    on_our_death: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program from the path; its output is appended to `log`. It gets `on_our_death` when the calling thread's process ends.

    A session of its own: Ctrl-C in the terminal reaches us only, so that the order of stopping stays ours.
    Raises FileNotFoundError when there is no such program.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise FileNotFoundError(argv[0])
    user = f"{account.uid}:{account.gid}" if account else "-"
    tethered = [sys.executable, "-I", "-S", str(_TETHER), str(int(on_our_death)), str(os.getpid()), user]
    command = [*tethered, program, *argv[1:]]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> int:
    """Send each signal in turn with its patience in seconds until the process ends, at last SIGKILL; returns its code."""
    for number, patience in steps:
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
    return process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for a message that says why a process did not come up."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
