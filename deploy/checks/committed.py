"""What must not be committed: host names of package registries, paths of this machine, secrets.

    python -m deploy.checks.committed

The host names are those that this machine's own clients are configured with; none is written here. Exit code 1 when something is found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.apt import configured_mirrors
from deploy.local.places import REPOSITORY

_SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "cloud access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "forge token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20})\b",
    "address with a password": r"\b[a-z][a-z0-9+]*://[^\s/:@'\"{}$%<>]+:[^\s/:@'\"{}$%<>]{8,}@",
}
_EXAMPLES = ("127.0.0.1", "localhost", "example", "timescaledb:")
_LARGEST = 2_000_000


@dataclass(frozen=True, slots=True)
class Offence:
    """A line that must not be committed."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def registry_hosts() -> frozenset[str]:
    """Host names of the Debian mirror, the Python index and the npm registry this machine uses."""
    addresses = [mirror.uri for mirror in configured_mirrors()]
    addresses += _said(sys.executable, "-m", "pip", "config", "get", "global.index-url")
    addresses += _said(
        sys.executable,
        "-c",
        "from pip._internal.models.index import PyPI as p; print(p.url); print('//' + p.file_storage_domain)",
    )
    addresses += _said("npm", "config", "get", "registry")
    hosts = (urlsplit(address).hostname for address in addresses)
    return frozenset(host for host in hosts if host and "." in host)


def machine_paths(repository: Path, home: Path) -> tuple[str, ...]:
    """Folders no other machine has. Root's home is left out: every container has it."""
    return tuple(f"{path}/" for path in (repository, home) if path not in (Path("/root"), Path("/")))


def offences(file: str, text: str, hosts: Iterable[str], paths: Iterable[str]) -> Iterator[Offence]:
    """What is wrong in a file's text."""
    forbidden = {re.compile(re.escape(host), re.IGNORECASE): f"host name of a registry ({host})" for host in hosts}
    forbidden |= {re.compile(re.escape(path)): f"path of this machine ({path})" for path in paths}
    secrets = {re.compile(pattern): what for what, pattern in _SECRETS.items()}
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in forbidden.items():
            if pattern.search(line):
                yield Offence(file, number, what)
        for pattern, what in secrets.items():
            found = pattern.search(line)
            if found and not any(line.startswith(example, found.end()) for example in _EXAMPLES):
                yield Offence(file, number, what)


def main() -> None:
    """Examine every tracked text file."""
    hosts, paths = registry_hosts(), machine_paths(REPOSITORY, Path.home())
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    found: list[Offence] = []
    for name in filter(None, tracked.decode().split("\0")):
        path = REPOSITORY / name
        if not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        raw = path.read_bytes()
        if b"\0" not in raw:
            found += offences(name, raw.decode("utf-8", "replace"), hosts, paths)
    sys.stdout.write("".join(f"{offence}\n" for offence in found))
    sys.exit(1 if found else 0)


def _said(*command: str) -> list[str]:
    """The lines a program prints; none when it lacks or fails."""
    if shutil.which(command[0]) is None:
        return []
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


if __name__ == "__main__":
    main()
