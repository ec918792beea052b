"""O-2: the supervisor, with real child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import waiting
from deploy.local.child import tail
from deploy.local.ports import free_port
from deploy.local.supervisor import MISCONFIGURED, Backoff, Supervised, Supervisor

QUICK = Backoff(first=0.05, longest=0.2, settled=60)


def python(name: str, code: str, *, order: int = 0, port: int | None = None) -> Supervised:
    return Supervised(name, (sys.executable, "-c", code), {"PYTHONUNBUFFERED": "1"}, port, order=order)


SLEEPER = "import signal; signal.pause()"


def polite(mark: Path) -> str:
    """Says when it runs; at SIGTERM notes its name and ends."""
    return (
        "import signal, sys\n"
        f"def leave(*_):\n    open({str(mark)!r}, 'a').write(sys.argv[0] and NAME + '\\n'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\nprint('runs')\nwhile True: signal.pause()\n"
    )


def said(supervisor: Supervisor, name: str) -> str:
    return tail(supervisor.log(name))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:  # O-2
    with Supervisor([python("one", SLEEPER)], logs=tmp_path, backoff=QUICK) as supervisor:
        supervisor.wait_ready("one", 10)
        first = supervisor.kill("one")
        waiting.until(lambda: supervisor.pid("one") not in (None, first), 10, "the next process")
        assert supervisor.restarts("one") == 1
        assert not is_alive(first)


def test_a_process_that_ends_by_itself_is_started_again(tmp_path: Path) -> None:  # O-2
    with Supervisor([python("one", "raise SystemExit(70)")], logs=tmp_path, backoff=QUICK) as supervisor:
        waiting.until(lambda: supervisor.restarts("one") >= 3, 20, "three restarts")
        assert supervisor.status()[0].code in (70, None)


def test_the_pause_before_a_restart_doubles_up_to_its_bound_and_is_jittered() -> None:  # O-2
    backoff = Backoff(first=0.5, longest=4.0)
    assert [backoff.pause(failures, 0.9999999999) for failures in (1, 2, 3, 4, 5, 1000)] == pytest.approx(
        [0.5, 1, 2, 4, 4, 4]
    )
    assert backoff.pause(2, 0.0) == 0.5


def test_a_misconfigured_process_is_not_started_again_and_says_why(tmp_path: Path) -> None:
    code = f"import sys; print('PILOTLINE_KAFKA: missing'); sys.exit({MISCONFIGURED})"
    with Supervisor([python("one", code)], logs=tmp_path, backoff=QUICK) as supervisor:
        waiting.until(lambda: supervisor.status()[0].state == "misconfigured", 10, "the end of the process")
        with pytest.raises(RuntimeError, match="PILOTLINE_KAFKA: missing"):
            supervisor.wait_ready("one", 10)
        assert supervisor.restarts("one") == 0


def test_what_started_last_stops_first_and_nothing_is_left(tmp_path: Path) -> None:  # O-2, O-4
    mark = tmp_path / "stops"
    processes = [
        python(name, f"NAME={name!r}\n{polite(mark)}", order=order) for order, name in enumerate(("a", "b", "c"))
    ]
    with Supervisor(processes, logs=tmp_path) as supervisor:
        waiting.until(lambda: all(said(supervisor, name) == "runs" for name in "abc"), 10, "all to run")
        pids = [supervisor.pid(name) for name in "abc"]
    assert mark.read_text().split() == ["c", "b", "a"]
    assert not any(pid is None or is_alive(pid) for pid in pids)


def test_a_process_that_ignores_sigterm_is_killed_at_the_deadline(tmp_path: Path) -> None:  # O-4
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')\nwhile True: signal.pause()"
    supervisor = Supervisor([python("one", code)], logs=tmp_path, stop_seconds=0.3)
    supervisor.start()
    waiting.until(lambda: said(supervisor, "one") == "deaf", 10, "start")
    pid = supervisor.pid("one")
    assert pid is not None
    supervisor.stop()
    assert not is_alive(pid)


def test_ready_means_that_the_address_answers_200(tmp_path: Path) -> None:  # O-4
    port = free_port()
    code = (
        "import http.server\n"
        "class Answer(http.server.BaseHTTPRequestHandler):\n"
        "    asked = 0\n"
        "    def do_GET(self):\n"
        "        Answer.asked += 1\n"
        "        self.send_response(503 if Answer.asked < 3 else 200); self.end_headers()\n"
        f"http.server.HTTPServer(('127.0.0.1', {port}), Answer).serve_forever()\n"
    )
    with Supervisor([python("web", code, port=port)], logs=tmp_path) as supervisor:
        supervisor.wait_all_ready(20)
        assert supervisor.log("web").read_text().count(" 503 ") == 2


def test_waiting_in_vain_shows_the_end_of_the_log(tmp_path: Path) -> None:
    process = python("one", "print('no broker'); " + SLEEPER, port=free_port())
    with Supervisor([process], logs=tmp_path) as supervisor:
        waiting.until(lambda: "no broker" in said(supervisor, "one"), 10, "output")
        with pytest.raises(TimeoutError, match="no broker"):
            supervisor.wait_ready("one", 0.1)


def test_children_end_when_the_supervisors_process_is_killed(tmp_path: Path) -> None:  # O-1: nothing is left running
    script = (
        "import sys, time; from pathlib import Path\n"
        "from deploy.local.supervisor import Supervised, Supervisor\n"
        f"s = Supervisor([Supervised('one', (sys.executable, '-c', {SLEEPER!r}))], logs=Path({str(tmp_path)!r}))\n"
        "s.start(); s.wait_ready('one', 20); print(s.pid('one'), flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    waiting.until(lambda: not is_alive(child), 10, "end of the child")


def test_two_processes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor([python("one", SLEEPER), python("one", SLEEPER)], logs=tmp_path)
