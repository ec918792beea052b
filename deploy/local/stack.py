"""Kafka and TimescaleDB of this machine as one thing to start, break and stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console

from deploy.local.install import ensure_installed
from deploy.local.kafka import KafkaServer
from deploy.local.locks import Lease
from deploy.local.places import server_account
from deploy.local.postgres import PostgresServer


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers answer: `host:port` of the broker, address of the database with its password."""

    kafka_bootstrap: str
    database_url: str


class LocalStack:
    """One broker and one database in a folder that keeps their data between starts.

    The servers end with the thread that called `start`, by whatever death: nothing is left behind. One process at a time
    may use a folder.
    """

    def __init__(self, directory: Path, *, console: Console | None = None) -> None:
        self._directory = directory.absolute()
        self._lease = Lease(self._directory.parent / f"{self._directory.name}.lock")
        self._console = console
        self.kafka: KafkaServer
        self.database: PostgresServer

    def __enter__(self) -> Endpoints:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, kafka_port: int | None = None, database_port: int | None = None) -> Endpoints:
        """Install what lacks, start both servers at the same time and return when both serve.

        The ports asked for are taken when they are free. Raises MissingTool, RuntimeError (with the end of the log) or TimeoutError; then
        nothing runs.
        """
        parts = ensure_installed(self._console)
        account = server_account()
        self._directory.mkdir(parents=True, exist_ok=True)
        if not self._lease.try_take():
            raise RuntimeError(f"another process runs the servers of {self._directory}; end it first (pilotline down)")
        self.kafka = KafkaServer(self._directory / "kafka", parts.kafka, account)
        self.database = PostgresServer(self._directory / "postgres", parts.postgres_binaries, account)
        try:
            self.kafka.start(kafka_port)
            self.database.start(database_port)
            self.database.wait_ready()
            self.kafka.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self.endpoints

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.kafka.bootstrap, self.database.url())

    def stop(self) -> None:
        """End both servers in order: the broker's clients and the database's see an orderly end."""
        self.kafka.stop()
        self.database.stop()
        self._lease.release()

    def kill_kafka(self) -> None:
        """SIGKILL to the broker."""
        self.kafka.kill()

    def start_kafka(self) -> None:
        """Start the broker again on its port and wait until it serves."""
        self.kafka.start()
        self.kafka.wait_ready()

    def kill_database(self) -> None:
        """SIGKILL to the database server."""
        self.database.kill()

    def start_database(self) -> None:
        """Start the database again on its port and wait until it has recovered."""
        self.database.start()
        self.database.wait_ready()
