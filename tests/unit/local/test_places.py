"""Ports, folders, locks and the list of processes."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local import places
from deploy.local.locks import Lease
from deploy.local.places import cache_dir, run_dir, traversable
from deploy.local.ports import free_port, is_free, reserved_port
from services.processes import PROCESSES


def test_a_preferred_port_is_taken_only_when_it_is_free() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        held = holder.getsockname()[1]
        assert not is_free(held)
        other = free_port(held)
        assert other != held
        assert free_port(other) == other
        assert free_port(other, taken=(other,)) != other


def test_a_reserved_port_is_given_to_nobody_else_while_its_process_is_down(tmp_path: Path) -> None:
    wished = free_port()
    with ExitStack() as later:
        with ExitStack() as ends:
            assert reserved_port(wished, tmp_path, ends) == wished
            assert is_free(wished)
            assert reserved_port(wished, tmp_path, later) != wished
        assert reserved_port(wished, tmp_path, later, taken=(wished,)) != wished
        assert reserved_port(wished, tmp_path, later) == wished


def test_chosen_ports_lie_outside_the_range_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < min(lowest, 32_768) for _ in range(20))


def test_the_cache_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PILOTLINE_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"


def test_root_with_a_closed_home_uses_the_systems_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.delenv("PILOTLINE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cache_dir() == Path("/var/cache/pilotline")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cache_dir() == tmp_path / "cache" / "pilotline"


def test_data_of_a_closed_checkout_lies_where_the_servers_account_can_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(places, "REPOSITORY", tmp_path / "checkout")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert not traversable(tmp_path / "checkout")
    assert traversable(run_dir("demo"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run_dir("demo") == tmp_path / "checkout" / "build" / "run" / "demo"


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import time; from pathlib import Path; from deploy.local.locks import Lease\n"
        f"lease = Lease(Path({str(path)!r})); lease.take(); print('held', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not Lease(path).try_take()
        holder.kill()
    assert Lease(path).try_take()


def test_shared_leases_exclude_the_exclusive_one(tmp_path: Path) -> None:
    one, other, alone = (Lease(tmp_path / "lock") for _ in range(3))
    one.share()
    other.share()
    one.release()
    assert not alone.try_take()
    other.release()
    assert alone.try_take()
    alone.release()


def test_both_ways_to_run_kafka_use_the_same_release() -> None:
    release = re.compile(r"<kafka\.version>(.+?)<")
    poms = [places.REPOSITORY / f"deploy/{way}/kafka/pom.xml" for way in ("local", "docker")]
    assert len({release.findall(pom.read_text())[0] for pom in poms}) == 1


def test_processes_have_names_and_ports_of_their_own_and_modules_that_exist() -> None:  # O-2
    assert len({process.name for process in PROCESSES}) == len(PROCESSES)
    assert len({process.port for process in PROCESSES}) == len(PROCESSES)
    assert [process.order for process in PROCESSES] == sorted(process.order for process in PROCESSES)
    assert [process.module for process in PROCESSES if importlib.util.find_spec(process.module) is None] == []
