"""O-2: a whole installation with stand-ins for the services' processes."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from rich.console import Console

from deploy.local import waiting
from deploy.local.commands import down, is_ready, log_files, logs
from deploy.local.installation import (
    AlreadyRunning,
    Misconfigured,
    find,
    given_servers,
    installed,
    is_running,
    lock_of,
)
from deploy.local.places import REPOSITORY, run_dir
from deploy.local.stack import Endpoints
from services.processes import Process

pytestmark = pytest.mark.stack

MODULE = "tests.integration.local.stand_in"
STAND_INS = (Process("first", MODULE, 8490, order=0), Process("second", MODULE, 8490, order=1))


@pytest.fixture
def name() -> Iterator[str]:
    made = f"test-{uuid.uuid4().hex[:8]}"
    yield made
    shutil.rmtree(run_dir(made), ignore_errors=True)
    lock_of(made).unlink(missing_ok=True)


@pytest.fixture
def servers(stack: Endpoints, database: str, monkeypatch: pytest.MonkeyPatch) -> Endpoints:
    """The session's servers, named by the environment as a user names their own."""
    monkeypatch.setenv("PILOTLINE_KAFKA", stack.kafka_bootstrap)
    monkeypatch.setenv("PILOTLINE_DATABASE_URL", database)
    monkeypatch.setenv("PILOTLINE_TOPIC_PREFIX", f"t{uuid.uuid4().hex[:8]}.")
    return Endpoints(stack.kafka_bootstrap, database)


def test_processes_get_servers_and_ports_of_their_own_and_become_ready(servers: Endpoints, name: str) -> None:  # O-2
    with installed(name, processes=STAND_INS) as system:
        system.supervisor.wait_all_ready(60)
        assert system.stack is None
        assert system.endpoints == servers
        assert system.url("first") != system.url("second")

        seen = find(name)
        assert seen is not None
        assert seen.endpoints == servers
        assert all(is_ready(process) for process in seen.processes)
        assert stat.S_IMODE((run_dir(name) / "state.json").stat().st_mode) == 0o600

        killed = system.supervisor.kill("first")
        waiting.until(lambda: system.supervisor.pid("first") not in (None, killed), 20, "the next process")
        system.supervisor.wait_ready("first", 30)
    assert find(name) is None
    assert not is_running(name)


def test_a_second_one_of_the_same_name_is_refused(servers: Endpoints, name: str) -> None:
    with installed(name, processes=()), pytest.raises(AlreadyRunning, match=name), installed(name, processes=()):
        pass


@pytest.mark.usefixtures("servers")
def test_down_ends_an_installation_of_another_process(name: str) -> None:  # O-2
    script = (
        "from deploy.local.commands import up\nfrom rich.console import Console\n"
        "from tests.integration.local.test_installation import STAND_INS\n"
        f"up({name!r}, Console(), fresh=False, patience=60, processes=STAND_INS)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:

        def ready() -> bool:
            seen = find(name)
            return (
                seen is not None and len(seen.processes) == 2 and all(is_ready(process) for process in seen.processes)
            )

        waiting.until(ready, 60, "the installation")
        lines = list(logs(log_files(name), lines=5, follow=False))
        assert any(line.startswith("second |") for line in lines)
        assert down(name, Console(quiet=True))
        parent.wait(30)
        assert parent.returncode == 0
    assert not down(name, Console(quiet=True))


def test_naming_one_server_and_not_the_other_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLINE_KAFKA", "127.0.0.1:9092")
    monkeypatch.delenv("PILOTLINE_DATABASE_URL", raising=False)
    with pytest.raises(Misconfigured, match="PILOTLINE_DATABASE_URL"):
        given_servers()
