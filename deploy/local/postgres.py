"""One genuine PostgreSQL 17 with TimescaleDB, on 127.0.0.1 and a unix socket, with a password made at random."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from deploy.local import waiting
from deploy.local.child import Account, spawn, stop, tail
from deploy.local.places import own
from deploy.local.ports import free_port

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # The Apache edition's own jobs are telemetry and the upkeep of features it does not have.
    "timescaledb.max_background_workers": "0",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "fsync": "on",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
_LONGEST_SOCKET = 107 - len("/.s.PGSQL.65535")
_USER = "pilotline"


@dataclass(slots=True)
class PostgresServer:
    """The cluster in `directory` (data, log). The port stays the same over `kill` and `start`."""

    directory: Path
    binaries: Path
    account: Account | None = None
    port: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def url(self, database: str = _USER) -> str:
        """The address with its password, which lies beside the data for the servers' account and root alone."""
        password = (self.directory / "password").read_text(encoding="ascii")
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self, preferred_port: int | None = None) -> None:
        """Start the process, after making the cluster at the first start; `wait_ready` says when it serves."""
        own(self.directory, self.account)
        data = self.directory / "data"
        if not data.exists():
            self._make_cluster(data)
        if not self.port:
            self.port = free_port(preferred_port)
        sockets = own(self.directory / "socket", self.account)
        socket_dir = str(sockets) if len(str(sockets)) <= _LONGEST_SOCKET else ""
        options = _SETTINGS | {"port": str(self.port), "unix_socket_directories": socket_dir}
        arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # Its children end with it; SIGQUIT is the crash from which it recovers at the next start.
        self._process = spawn(
            [str(self.binaries / "postgres"), "-D", str(data), *arguments],
            log=self.log,
            env=self._environment(),
            cwd=self.directory,
            account=self.account,
            on_our_death=signal.SIGQUIT,
        )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _make_cluster(self, data: Path) -> None:
        unfinished = data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)  # of an initdb that was killed
        password = self.directory / "password"
        password.write_text(secrets.token_urlsafe(24), encoding="ascii")
        password.chmod(0o600)
        if self.account:
            os.chown(password, self.account.uid, self.account.gid)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        process = spawn(
            [str(self.binaries / "initdb"), "-D", str(unfinished), "-U", _USER, f"--pwfile={password}", *options],
            log=self.log,
            env=self._environment(),
            cwd=self.directory,
            account=self.account,
        )
        if process.wait() != 0:
            raise RuntimeError(f"initdb failed; the end of {self.log}:\n{tail(self.log)}")
        unfinished.rename(data)

    def wait_ready(self, seconds: float = 60) -> None:
        """Return when the database answers. Raises RuntimeError with its log when it exits, or TimeoutError."""

        def serves() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended while starting; the end of {self.log}:\n{tail(self.log)}")
            return answers(self.url("postgres"))

        waiting.until(serves, seconds, f"PostgreSQL on 127.0.0.1:{self.port}")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            present = connection.execute("select from pg_database where datname = %s", (_USER,)).fetchone()
            if present is None:
                connection.execute(f'create database "{_USER}"')

    def kill(self) -> None:
        """SIGKILL to the server, as a crash would; it recovers at the next start.

        Returns when its children have noticed and ended: until then they hold the memory a new server asks for.
        """
        if self._process and self._process.poll() is None:
            children = [Path("/proc") / child for child in _children(self._process.pid)]
            self._process.kill()
            self._process.wait()
            waiting.until(lambda: not any(child.exists() for child in children), 20, "end of PostgreSQL's children")

    def stop(self) -> None:
        if self._process:
            stop(self._process, (signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0))


def answers(database_url: str, patience: int = 2) -> bool:
    """Whether the database at this address answers a query within `patience` seconds."""
    try:
        with psycopg.connect(database_url, connect_timeout=patience) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
