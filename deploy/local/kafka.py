"""One genuine Kafka broker (KRaft, broker and controller in one process) with the small settings of a laptop."""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import struct
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import waiting
from deploy.local.child import Account, spawn, stop, tail
from deploy.local.places import own
from deploy.local.ports import free_port

_HERE = Path(__file__).parent / "kafka"
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    "num.io.threads": "2",
    "num.network.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed waits for its own old registration to die: 3 s instead of 9.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controlled.shutdown.max.retries": "1",
}
_HEAP = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True, slots=True)
class KafkaParts:
    """What the installation provides: the jars, the files a formatted broker starts from, the shared class archive."""

    libs: Path
    formatted: Path
    archive: Path | None


def jvm(parts: KafkaParts, *options: str) -> list[str]:
    """The Java command up to the name of the class."""
    shared = [f"-XX:SharedArchiveFile={parts.archive}", "-Xshare:auto"] if parts.archive else []
    log = f"-Dlog4j2.configurationFile={_HERE / 'log4j2.xml'}"
    return ["java", *_HEAP, *shared, *options, "-Djava.awt.headless=true", log, "-cp", f"{parts.libs}/*"]


def random_id() -> str:
    """A Kafka id: a UUID in 22 URL-safe characters that does not look like an option of a command line."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


@dataclass(slots=True)
class KafkaServer:
    """The broker in `directory` (data, settings, log). The port stays the same over `kill` and `start`."""

    directory: Path
    parts: KafkaParts
    account: Account | None = None
    jvm_options: tuple[str, ...] = ()
    port: int = field(default=0, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "kafka.log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, preferred_port: int | None = None) -> None:
        """Start the process; `wait_ready` says when it serves."""
        own(self.directory, self.account)
        data = self.directory / "data"
        if not (data / "meta.properties").exists():
            self._format(data)
        if not self.port:
            self.port = free_port(preferred_port)
            self._configure(data, free_port(taken=(self.port,)))
        settings = self.directory / "server.properties"
        self._process = spawn(
            [*jvm(self.parts, *self.jvm_options), "kafka.Kafka", str(settings)],
            log=self.log,
            cwd=self.directory,
            account=self.account,
        )

    def _format(self, data: Path) -> None:
        """What `kafka-storage format` makes, with ids of this broker's own; a start of Java is saved."""
        own(data, self.account)
        shutil.copyfile(self.parts.formatted / "bootstrap.checkpoint", data / "bootstrap.checkpoint")
        (data / "bootstrap.checkpoint").chmod(0o644)
        identity = f"version=1\nnode.id=1\ncluster.id={random_id()}\ndirectory.id={random_id()}\n"
        (data / "meta.properties").write_text(identity, encoding="ascii")
        for file in data.iterdir():
            if self.account:
                shutil.chown(file, self.account.uid, self.account.gid)

    def _configure(self, data: Path, controller: int) -> None:
        settings = _SETTINGS | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(data),
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self.directory / "server.properties").write_text(text, encoding="ascii")

    def wait_ready(self, seconds: float = 60) -> None:
        """Return when the broker lists itself as alive. Raises RuntimeError with its log when it exits, or TimeoutError."""

        def serves() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"Kafka ended while starting; the end of {self.log}:\n{tail(self.log)}")
            return live_brokers(self.port) > 0

        waiting.until(serves, seconds, f"Kafka on {self.bootstrap}")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self, patience: float = 10) -> None:
        if self._process:
            stop(self._process, (signal.SIGTERM, patience))


def live_brokers(port: int, host: str = "127.0.0.1", patience: float = 2.0) -> int:
    """How many brokers a Metadata request lists; 0 when nobody answers.

    An open port is not enough: a broker answers before the controller has taken it in, and topics made then fail.
    """
    no_topics, no_creation = struct.pack(">i", 0), b"\0"
    header = struct.pack(">hhih", 3, 4, 1, -1)  # Metadata, version 4, correlation id 1, no client id
    request = header + no_topics + no_creation
    try:
        with socket.create_connection((host, port), patience) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            answer = link.makefile("rb").read(16)
    except OSError:
        return 0
    if len(answer) < 16:
        return 0
    _size, _correlation, _throttle, brokers = struct.unpack(">iiii", answer)
    return int(brokers)
