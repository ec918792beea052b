"""What this needs to know of a Debian machine: its mirror, and how a missing tool is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.locks import locked


class MissingTool(Exception):
    """Something this machine lacks; the message says what and how to get it."""

    def __init__(self, tool: str, remedy: str) -> None:
        super().__init__(f"{tool}: {remedy}")
        self.tool = tool
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Mirror:
    """One source of packages: its address and its suites."""

    uri: str
    suites: tuple[str, ...]


def deb822_mirrors(text: str) -> Iterator[Mirror]:
    """The mirrors of a `.sources` file, in order; disabled stanzas and pure source stanzas are left out."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in kept.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in " \t" and name:
                fields[name] += " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "0") or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            yield Mirror(uri, tuple(fields.get("suites", "").split()))


def one_line_mirrors(text: str) -> Iterator[Mirror]:
    """The mirrors of a `sources.list`: `deb [options] URI suite component…`, in order."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        rest = words[1:]
        if rest and rest[0].startswith("["):
            end = next((i for i, word in enumerate(rest) if word.endswith("]")), len(rest))
            rest = rest[end + 1 :]
        if len(rest) >= 2:
            yield Mirror(rest[0], (rest[1],))


def configured_mirrors(etc_apt: Path = Path("/etc/apt")) -> tuple[Mirror, ...]:
    """Every mirror apt is configured with, deb822 files first (where both exist, they are the newer form)."""
    found: list[Mirror] = []
    for path in sorted((etc_apt / "sources.list.d").glob("*.sources")):
        found += deb822_mirrors(path.read_text(encoding="utf-8"))
    for path in (etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*.list"))):
        if path.is_file():
            found += one_line_mirrors(path.read_text(encoding="utf-8"))
    return tuple(found)


def debian_mirror(etc_apt: Path = Path("/etc/apt"), os_release: Path = Path("/etc/os-release")) -> str:
    """The address of a Debian archive: PILOTLINE_DEBIAN_MIRROR, else the one this Debian machine is configured with.

    The archive of the machine's own release is meant, not one of security updates or of another vendor.
    Raises MissingTool where there is none, as on Ubuntu, whose archive has no Debian packages.
    """
    chosen = os.environ.get("PILOTLINE_DEBIAN_MIRROR")
    if chosen:
        return chosen
    release = _os_release(os_release)
    if release.get("ID") == "debian":
        codename = release.get("VERSION_CODENAME", "")
        mirrors = configured_mirrors(etc_apt)
        for mirror in mirrors:
            if codename in mirror.suites or "stable" in mirror.suites:
                return mirror.uri
        for mirror in mirrors:
            if mirror.uri.rstrip("/").endswith("/debian"):
                return mirror.uri
    raise MissingTool(
        "Debian mirror",
        "apt is configured with none; set PILOTLINE_DEBIAN_MIRROR to the address of a Debian archive that has trixie, "
        "or set PILOTLINE_KAFKA and PILOTLINE_DATABASE_URL to servers of your own",
    )


def _os_release(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
    return {name: value.strip().strip('"') for name, _, value in pairs}


def can_install(os_release: Path = Path("/etc/os-release")) -> bool:
    """Whether packages may be installed here: root on Debian, Ubuntu or a relative of theirs."""
    release = _os_release(os_release)
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    return os.geteuid() == 0 and bool(family & {"debian", "ubuntu"}) and shutil.which("apt-get") is not None


def install(packages: Sequence[str], log: Path) -> None:
    """Install packages with apt-get, without their recommendations and without starting daemons.

    Raises MissingTool when it is not root's Debian, or apt-get fails (its output is in `log`).
    """
    wanted = " ".join(packages)
    if not can_install():
        raise MissingTool(wanted, f"install it with your package manager (Debian, Ubuntu: apt-get install {wanted})")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    Path("/usr/share/man/man1").mkdir(parents=True, exist_ok=True)  # without it the Java package fails on slim systems
    options = ["-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
    with locked(log.with_suffix(".lock")), log.open("ab") as output:
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", *options, *packages]):
            code = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False).returncode
            if code != 0:
                raise MissingTool(wanted, f"`{' '.join(command)}` ended with {code}; its output is in {log}")
